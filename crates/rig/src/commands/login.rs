//! `rig login`, `logout`, `whoami`.

use std::rc::Rc;

use http::Method;
use rigbox_types::{
    Email,
    api::{
        accounts::GetUserLimitsResponse,
        users::{CredentialKind, GetAccountResponse},
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::device::{self, Given};
use crate::{
    cli::{LoginArgs, LogoutArgs},
    client::{Call, Client, Document, Path, Scheme, ServerUrl},
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

/// Signs in: gets a key by a browser or takes one that is brought, proves it, keeps it.
pub(crate) async fn login(app: &App, args: LoginArgs) -> CommandResult {
    if args.misplaced.is_some() {
        return Err(CommandError::usage(
            "a key on the command line can be read by everyone on this machine; \
             it is taken from standard input or a file",
        )
        .hint("rig login"));
    }
    let (name, url) = place(app, args.url.as_deref())?;
    if url.scheme() == Scheme::Http && !url.is_local() {
        app.output.warning(format!("{url} is not encrypted: the key can be read on the way"), None);
    }
    let kept = app.config.contexts.get(&name).filter(|context| context.url == url);
    let ca_file = app.wishes.ca_file.clone().or_else(|| kept?.ca_file.clone());
    let client = |key: Option<SecretString>| {
        Client::new(url.clone(), key, ca_file.clone(), Rc::clone(&app.output))
    };
    let given = match args.token || args.import_token.is_some() {
        true => Given { key: key(app, &args, &url).await?, id: None, email: None },
        false => device::key(&client(None), &app.output, !args.no_browser).await?,
    };
    app.output.progress(format!("asking {url}"));
    let limits = limits(&client(Some(given.key.clone()))).await;
    let limits = limits.map_err(|error| match error.exit.code() {
        3 => CommandError::not_signed_in(format!("{url} does not accept this key")),
        _ => error,
    })?;
    app.file.change(|config| {
        let ca_file = ca_file.as_ref().map(std::path::absolute).transpose();
        let ca_file = ca_file.map_err(|error| CommandError::file("find the --ca file", &error))?;
        let (key, key_id) = (Some(given.key), given.id);
        config.contexts.insert(name.clone(), Context { url: url.clone(), key, key_id, ca_file });
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
    let (plan, who) = (limits.value.plan, given.email);
    let who = who.map(|email| format!("{email} in ")).unwrap_or_default();
    app.output.line(format!("signed in to {url} as {who}context {name}, plan {plan}"))
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
    input::key_from_stdin(&app.output, &format!("API key for {url}: ")).await
}

async fn limits(client: &Client) -> CommandResult<Document<GetUserLimitsResponse>> {
    Ok(client.get(Path::api("/users/me/limits")).await?)
}

/// Forgets the key of one server, or of all. A key that was made by signing in here ends on the
/// server as well; one that was brought may be in use elsewhere, and goes on.
pub(crate) async fn logout(app: &App, args: &LogoutArgs) -> CommandResult {
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
            let was = kept.clone();
            if meant && kept.key.take().is_some() {
                kept.key_id = None;
                forgotten.push((context.clone(), was));
            }
        }
        Ok(forgotten)
    })?;
    for (_, was) in &forgotten {
        end_key(app, was).await;
    }
    if app.wishes.key.is_some() {
        app.output.warning("RIG_API_KEY is still set", Some("unset RIG_API_KEY"));
    }
    let names: Vec<&str> = forgotten.iter().map(|(name, _)| name.as_str()).collect();
    if !app.output.is_human() {
        return app.output.document(&json!({ "signed_out": names }));
    }
    if names.is_empty() {
        app.output.notice("no key was kept");
        return Ok(());
    }
    app.output.line(format!("forgot the key of {}", names.join(", ")))
}

/// Deletes a key on its server, where signing in has made it.
async fn end_key(app: &App, context: &Context) {
    let Some(id) = context.key_id else { return };
    let client = Client::new(
        context.url.clone(),
        context.key.clone(),
        context.ca_file.clone(),
        Rc::clone(&app.output),
    );
    app.output.progress(format!("asking {}", context.url));
    let call = Call::new(Method::DELETE, Path::api("/api-keys").segment(&id.to_string()));
    let ended = client.fetch::<Value>(call).await;
    if let Err(error) = ended {
        let status = error.refusal().map(|refusal| refusal.status);
        // It was gone already.
        if !matches!(status, Some(401 | 404)) {
            let text =
                format!("the key goes on at {}, which did not delete it: {error}", context.url);
            app.output.warning(text, Some(&format!("rig api-key rm {id}")));
        }
    }
}

/// Shows which server, account and credential are used.
pub(crate) async fn whoami(app: &App) -> CommandResult {
    let session = app.session()?;
    app.output.progress(format!("asking {}", session.profile.url));
    let answer: Document<GetAccountResponse> = session.client.get(Path::api("/users/me")).await?;
    let GetAccountResponse { user, credential } = &answer.value;
    let profile = &session.profile;
    if !app.output.is_human() {
        return app.output.document(&json!({
            "context": profile.context,
            "url": profile.url,
            "account": user.id,
            "email": user.email,
            "plan": user.plan,
            "credential": credential,
            "key_preview": preview(profile),
            "key_source": profile.key_source.as_str(),
        }));
    }
    let kind = match credential.kind {
        CredentialKind::ApiKey => "API key",
        CredentialKind::Session => "session",
    };
    let mut fields = Fields::default();
    fields
        .add("server", profile.url.to_string())
        .add("context", profile.context.as_deref().unwrap_or_default())
        .add("account", user.id.to_string())
        .add("e-mail", user.email.as_ref().map_or("-", Email::as_str))
        .add("plan", user.plan.as_str())
        .add("credential", format!("{kind} {}, scopes {}", credential.id, credential.scopes))
        .add("key", format!("{} (from {})", preview(profile), profile.key_source.as_str()));
    app.output.fields(&fields)
}

/// The beginning of a key.
pub(super) fn preview(profile: &Profile) -> String {
    let key = profile.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let shown: String = key.chars().take(PREVIEW_CHARS).collect();
    if shown.len() < key.len() / 2 { format!("{shown}…") } else { "…".to_owned() }
}
