//! `rig app share|unshare`: who may visit an app. A share link that is made goes to standard output,
//! once, and is kept nowhere.

use http::Method;
use rigbox_types::{
    ShareLinkId,
    api::{
        apps::{
            App, CreateShareLinkRequest, GetAppResponse, ListShareLinksResponse,
            ShareLinkSecretResponse, UpdateAppVisibilityRequest,
        },
        workspaces::MessageResponse,
    },
    edge::Visibility,
};

use super::{emails, find, path, visibility_word};
use crate::{
    cli::{AppTarget, ShareArgs},
    client::{Call, ClientError, Document},
    clock,
    error::{CommandError, CommandResult},
    output::{Fields, Table, ago, span},
    session::Session,
    words::count,
};

/// Does what the options say.
pub(super) async fn run(session: &Session, args: &ShareArgs) -> CommandResult {
    let found = find(session, &args.target.app).await?;
    let app = &found.value;
    if args.public {
        return set(session, app, Visibility::Public, args).await;
    }
    if args.private {
        return set(session, app, Visibility::Private, args).await;
    }
    if !args.emails.is_empty() {
        return set(session, app, Visibility::Privileged, args).await;
    }
    if args.link {
        return link(session, app, args).await;
    }
    if args.links {
        return list(session, app).await;
    }
    if let Some(id) = &args.revoke {
        return revoke(session, app, id).await;
    }
    show(session, &found).await
}

async fn show(session: &Session, found: &Document<App>) -> CommandResult {
    if !session.output.is_human() {
        return session.output.document(&found.raw);
    }
    let app = &found.value;
    let who = match app.visibility {
        Visibility::Private => "you, and whoever has a role on it",
        Visibility::Public => "anyone",
        Visibility::Privileged => "you, whoever has a role on it, and the listed addresses",
    };
    let links = links(session, app).await?.value.share_links.len();
    let mut fields = Fields::default();
    fields.add("visibility", visibility_word(app.visibility)).add("visitors", who);
    if !app.allowed_emails.is_empty() {
        fields.add("emails", emails(app));
    }
    fields.add("links", links.to_string());
    session.output.fields(&fields)
}

async fn set(
    session: &Session,
    app: &App,
    visibility: Visibility,
    args: &ShareArgs,
) -> CommandResult {
    let allowed_emails = Some(args.emails.clone()).filter(|emails| !emails.is_empty());
    let answer = put(session, app, visibility, allowed_emails).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let app = &answer.value.app;
    let name = &app.name;
    session.output.line(match app.visibility {
        Visibility::Private => {
            format!("{name} is private: you may visit it, and whoever has a role on it")
        }
        Visibility::Public => format!("{name} is public: anyone may visit it"),
        Visibility::Privileged => {
            format!("{name} is privileged: you may visit it, and {}", emails(app))
        }
    })?;
    if app.visibility != Visibility::Public {
        warn_of_links(session, app).await;
    }
    Ok(())
}

/// Says that there are other ways in.
async fn warn_of_links(session: &Session, app: &App) {
    let links = links(session, app).await.map_or(0, |links| links.value.share_links.len());
    if links > 0 {
        let let_in = if links == 1 { "still lets in" } else { "still let in" };
        let line = format!("{} {let_in} whoever has it", count(links, "share link"));
        session.output.warning(line, Some(&format!("rig app share {} --links", app.name)));
    }
}

async fn put(
    session: &Session,
    app: &App,
    visibility: Visibility,
    allowed_emails: Option<Vec<rigbox_types::Email>>,
) -> Result<Document<GetAppResponse>, ClientError> {
    let request = UpdateAppVisibilityRequest { visibility, allowed_emails };
    session
        .client
        .fetch(Call::new(Method::PUT, path(&app.id).then("/visibility")).json(&request)?)
        .await
}

async fn link(session: &Session, app: &App, args: &ShareArgs) -> CommandResult {
    let now = clock::now();
    let request = CreateShareLinkRequest {
        name: args.name.clone(),
        expires_at: args.expires.map(|end| end.from(now)),
    };
    // Without a key for repeats: an answer with a secret is kept nowhere.
    let call = Call::new(Method::POST, path(&app.id).then(LINKS)).json(&request)?;
    let answer: Document<ShareLinkSecretResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let ends = ends(answer.value.link.expires_at.as_micros(), now.as_micros());
    session.output.notice(format!(
        "whoever has this link may visit {}; it ends {ends} and cannot be shown again",
        app.name
    ));
    session.output.line(&answer.value.url)
}

async fn links(
    session: &Session,
    app: &App,
) -> Result<Document<ListShareLinksResponse>, ClientError> {
    session.client.get(path(&app.id).then(LINKS)).await
}

const LINKS: &str = "/share-links";

async fn list(session: &Session, app: &App) -> CommandResult {
    let answer = links(session, app).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["ID", "NAME", "CREATED", "ENDS"]);
    for link in &answer.value.share_links {
        table.row([
            link.id.to_string().into(),
            link.name.as_deref().unwrap_or_default().into(),
            ago(now, link.created_at).into(),
            ends(link.expires_at.as_micros(), now.as_micros()).into(),
        ]);
    }
    session.output.table(&table, &format!("{} has no share links", app.name))
}

fn ends(end_micros: i64, now_micros: i64) -> String {
    // Rounded, so that a link of a week does not end in six days.
    match end_micros.saturating_sub(now_micros).saturating_add(500_000) / 1_000_000 {
        ..=0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

async fn revoke(session: &Session, app: &App, id: &ShareLinkId) -> CommandResult {
    let answer = delete(session, app, id).await.map_err(|error| {
        let missing = error.is("not_found");
        let told = CommandError::from(error);
        if missing { told.hint(format!("rig app share {} --links", app.name)) } else { told }
    })?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("the share link {id} lets nobody in any more"))
}

async fn delete(
    session: &Session,
    app: &App,
    id: &ShareLinkId,
) -> Result<Document<MessageResponse>, ClientError> {
    let path = path(&app.id).then(LINKS).segment(&id.to_string());
    session.client.fetch(Call::new(Method::DELETE, path)).await
}

/// Takes back everything that `share` gives.
pub(super) async fn unshare(session: &Session, target: &AppTarget) -> CommandResult {
    let app = find(session, &target.app).await?.value;
    let answer = put(session, &app, Visibility::Private, Some(Vec::new())).await?;
    let links = links(session, &app).await?.value.share_links;
    for link in &links {
        match delete(session, &app, &link.id).await {
            Ok(_) => {}
            // It has ended by itself, or somebody else was faster.
            Err(error) if error.is("not_found") => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let ended = match links.len() {
        0 => String::new(),
        some => format!("; {} ended", count(some, "share link")),
    };
    session.output.line(format!("{} is private{ended}", answer.value.app.name))
}
