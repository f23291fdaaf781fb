//! `rig login`, `logout`, `whoami`.

use rigbox_types::api::accounts::GetUserLimitsResponse;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::{
    cli::{LoginArgs, LogoutArgs},
    client::{Client, Document, Path, Scheme, ServerUrl},
    config::{Config, Context},
    error::{CommandError, CommandResult},
    input,
    output::Fields,
    profile::{Profile, of_server, parse_url},
    session::App,
};

/// Name of the first context when nobody names it.
const FIRST_CONTEXT: &str = "default";
/// Longest name of a context.
const CONTEXT_MAX_LEN: usize = 64;
/// Characters of a key that are shown: enough to tell two keys apart, too few to guess one.
const PREVIEW_CHARS: usize = 7;

/// Signs in: reads a key, proves it, keeps it.
pub(crate) async fn login(app: &App, args: LoginArgs) -> CommandResult {
    if args.misplaced.is_some() {
        return Err(CommandError::usage(
            "a key on the command line can be read by everyone on this machine; \
             it is taken from standard input or a file",
        )
        .hint("rig login"));
    }
    let (name, url) = place(app, args.url.as_deref())?;
    let key = key(app, &args, &url).await?;
    if url.scheme() == Scheme::Http && !url.is_local() {
        app.output.warning(format!("{url} is not encrypted: the key can be read on the way"), None);
    }
    let kept = app.config.contexts.get(&name).filter(|context| context.url == url);
    let ca_file = app.wishes.ca_file.clone().or_else(|| kept?.ca_file.clone());
    let client = Client::new(
        url.clone(),
        Some(key.clone()),
        ca_file.clone(),
        std::rc::Rc::clone(&app.output),
    );
    app.output.progress(format!("asking {url}"));
    let limits = account(&client).await.map_err(|error| match error.exit.code() {
        3 => CommandError::not_signed_in(format!("{url} does not accept this key")),
        _ => error,
    })?;
    app.file.change(|config| {
        let ca_file = ca_file.as_ref().map(std::path::absolute).transpose();
        let ca_file = ca_file.map_err(|error| CommandError::file("find the --ca file", &error))?;
        config.contexts.insert(name.clone(), Context { url: url.clone(), key: Some(key), ca_file });
        config.current_context = Some(name.clone());
        Ok(())
    })?;
    if !app.output.is_human() {
        let path = app.file.path();
        return app.output.record(&json!({ "event": "saved", "path": path, "context": name }));
    }
    if app.wishes.key.is_some() {
        app.output.warning("RIG_API_KEY is set and wins over the key that was kept", None);
    }
    let plan = limits.value.plan;
    app.output.line(format!("signed in to {url} as context {name}, plan {plan}"))
}

/// Which context to write, and for which server.
fn place(app: &App, url: Option<&str>) -> CommandResult<(String, ServerUrl)> {
    let config = &app.config;
    if let Some(name) = &app.wishes.context {
        check_name(name)?;
        let kept = config.contexts.get(name).map(|context| context.url.clone());
        let wanted = url.or(app.wishes.url.as_deref()).map(parse_url).transpose()?;
        let missing = || {
            CommandError::usage(format!("there is no context '{name}' yet: which server is it?"))
                .hint(format!("rig login --context {name} --url URL"))
        };
        return Ok((name.clone(), wanted.or(kept).ok_or_else(missing)?));
    }
    let url = match url {
        Some(url) => parse_url(url)?,
        None => app.profile()?.url,
    };
    Ok((name_for(config, &url), url))
}

/// The context that has the server, or a new name.
fn name_for(config: &Config, url: &ServerUrl) -> String {
    match of_server(config, url) {
        (Some(name), _) => name,
        (None, _) if config.contexts.is_empty() => FIRST_CONTEXT.to_owned(),
        (None, _) => url.context_name(),
    }
}

/// A name that can be typed without quotes.
pub(super) fn check_name(name: &str) -> CommandResult {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > CONTEXT_MAX_LEN || !name.chars().all(is_plain) {
        return Err(CommandError::usage(
            "a context's name has 1 to 64 letters, digits, '-', '_' and '.'",
        ));
    }
    Ok(())
}

async fn key(app: &App, args: &LoginArgs, url: &ServerUrl) -> CommandResult<SecretString> {
    if let Some(file) = &args.import_token {
        return input::key_from_text(&input::text_of(file).await?);
    }
    if !args.token && !input::can_ask() {
        return Err(CommandError::usage("there is no terminal to ask for the API key on")
            .hint("rig login --token < KEY_FILE"));
    }
    input::key_from_stdin(&app.output, &format!("API key for {url}: ")).await
}

async fn account(client: &Client) -> CommandResult<Document<GetUserLimitsResponse>> {
    Ok(client.get(Path::api("/users/me/limits")).await?)
}

/// Forgets the key of one server, or of all. The server is not told: a key ends there when it is
/// removed there.
pub(crate) fn logout(app: &App, args: &LogoutArgs) -> CommandResult {
    let name = match (&app.wishes.context, args.all) {
        (_, true) => None,
        (Some(name), false) => Some(name.clone()),
        (None, false) => app.profile()?.context,
    };
    if name.is_none() && !args.all {
        return Err(
            CommandError::failed("there is no context to sign out of").hint("rig context ls")
        );
    }
    let forgotten = app.file.change(|config| {
        if let Some(name) = &name {
            crate::profile::named(config, name)?;
        }
        let mut forgotten = Vec::new();
        for (context, kept) in &mut config.contexts {
            let meant = name.as_ref().is_none_or(|name| name == context);
            if meant && kept.key.take().is_some() {
                forgotten.push(context.clone());
            }
        }
        Ok(forgotten)
    })?;
    if app.wishes.key.is_some() {
        app.output.warning("RIG_API_KEY is still set", Some("unset RIG_API_KEY"));
    }
    if !app.output.is_human() {
        return app.output.document(&json!({ "signed_out": forgotten }));
    }
    if forgotten.is_empty() {
        app.output.notice("no key was kept");
        return Ok(());
    }
    app.output.line(format!("forgot the key of {}", forgotten.join(", ")))
}

/// Shows which server and account are used.
pub(crate) async fn whoami(app: &App) -> CommandResult {
    let session = app.session()?;
    app.output.progress(format!("asking {}", session.profile.url));
    let limits = account(&session.client).await?;
    let profile = &session.profile;
    if !app.output.is_human() {
        return app.output.document(&json!({
            "context": profile.context,
            "url": profile.url,
            "plan": limits.value.plan,
            "key_preview": preview(profile),
            "key_source": profile.key_source.as_str(),
        }));
    }
    let mut fields = Fields::default();
    fields
        .add("server", profile.url.to_string())
        .add("context", profile.context.as_deref().unwrap_or_default())
        .add("plan", &limits.value.plan)
        .add("key", format!("{} (from {})", preview(profile), profile.key_source.as_str()));
    app.output.fields(&fields)
}

/// The beginning of a key.
pub(super) fn preview(profile: &Profile) -> String {
    let key = profile.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let shown: String = key.chars().take(PREVIEW_CHARS).collect();
    if shown.len() < key.len() / 2 { format!("{shown}…") } else { "…".to_owned() }
}
