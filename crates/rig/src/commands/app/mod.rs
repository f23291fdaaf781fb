//! `rig app`, `rig open`: finding, listing and showing apps, and the way to everything else.

mod change;
mod domain;
mod expose;
mod health;
mod logs;
mod metrics;
mod new;
mod requests;
mod share;
mod sources;

use rigbox_types::{
    AppId, WorkspaceId,
    api::apps::{App, AppKind, AppStatus, GetAppResponse, ListAppsResponse},
    edge::Visibility,
};
use serde_json::Value;

use super::workspace::{find_workspace, unknown, workspace_name};
use crate::{
    browser,
    cli::{AppCommand, AppListArgs, AppTarget, OpenArgs},
    client::{ClientError, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    output::{Cell, Fields, Table, Tone, ago},
    session::{Session, Verb, explain},
};

const BASE: &str = "/apps";
const LIST: &str = "rig app ls";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: AppCommand) -> CommandResult {
    match command {
        AppCommand::Ls(args) => list(session, &args).await,
        AppCommand::Show(target) => show(session, &target).await,
        AppCommand::New(args) => new::new(session, &args).await,
        AppCommand::Start(target) => change::act(session, change::Act::Start, &target).await,
        AppCommand::Stop(target) => change::act(session, change::Act::Stop, &target).await,
        AppCommand::Restart(target) => change::act(session, change::Act::Restart, &target).await,
        AppCommand::Rm(args) => change::remove(session, &args).await,
        AppCommand::Rename(args) => change::rename(session, &args).await,
        AppCommand::Update(args) => change::update(session, &args).await,
        AppCommand::Logs(args) => logs::run(session, &args).await,
        AppCommand::Health(target) => health::run(session, &target).await,
        AppCommand::ExposePort(args) => expose::run(session, &args).await,
        AppCommand::Share(args) => share::run(session, &args).await,
        AppCommand::Unshare(target) => share::unshare(session, &target).await,
        AppCommand::Domain(args) => domain::run(session, &args).await,
        AppCommand::Metrics(args) => metrics::run(session, &args).await,
        AppCommand::LogSource(command) => sources::run(session, command).await,
    }
}

/// `rig open`. The URL is printed in any case: whoever has no browser here wants it elsewhere.
pub(super) async fn open(session: &Session, args: &OpenArgs) -> CommandResult {
    let found = find(session, &args.target.app).await?;
    let app = &found.value;
    let url = app.url.as_deref().ok_or_else(|| has_no_url(app))?;
    if !session.output.is_human() {
        session.output.document(&found.raw)?;
    } else {
        session.output.line(url)?;
    }
    if app.status == AppStatus::Inactive {
        let start = format!("rig app start {}", app.name);
        session.output.warning(format!("{} is stopped", app.name), Some(&start));
    }
    if !args.print && browser::open(url) && session.output.is_human() {
        session.output.notice("a browser opens");
    }
    Ok(())
}

fn has_no_url(app: &App) -> CommandError {
    CommandError::failed(format!("{} is a program to be run and has no URL", app.name))
        .coded("invalid_state")
        .hint(format!("rig app show {}", app.name))
}

async fn list(session: &Session, args: &AppListArgs) -> CommandResult {
    session.output.progress("reading the apps");
    let path = if args.shared { shared() } else { Path::api(BASE) };
    let workspace = match &args.workspace {
        Some(typed) => Some(find_workspace(session, typed).await?),
        None => None,
    };
    let mut answer: Document<ListAppsResponse> = session.client.list(path, "apps").await?;
    if let Some(vm) = &workspace {
        retain(&mut answer, |app| app.workspace_id == vm.id);
    }
    if let Some(limit) = args.limit {
        let mut left = limit;
        retain(&mut answer, |_| {
            let is_within = left > 0;
            left = left.saturating_sub(1);
            is_within
        });
    }
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let none = match &workspace {
        Some(vm) => format!("no apps of {}", vm.name),
        None if args.shared => "no apps".to_owned(),
        None => "no apps yet".to_owned(),
    };
    if answer.value.apps.is_empty() && !args.shared {
        session.output.hint("rig app new my-app --port 3000");
    }
    let mut table = Table::new(["NAME", "PORT", "STATUS", "VISIBILITY", "URL"]);
    for app in &answer.value.apps {
        table.row([
            app.name.as_str().into(),
            port_of(app).into(),
            status_cell(app.status),
            visibility_word(app.visibility).into(),
            app.url.as_deref().unwrap_or_default().into(),
        ]);
    }
    session.output.table(&table, &none)
}

/// Leaves some apps out, of what we read and of the document.
fn retain(answer: &mut Document<ListAppsResponse>, mut keeps: impl FnMut(&App) -> bool) {
    let kept: Vec<bool> = answer.value.apps.iter().map(&mut keeps).collect();
    let mut flags = kept.iter();
    answer.value.apps.retain(|_| flags.next().is_some_and(|keep| *keep));
    let mut flags = kept.iter();
    if let Some(list) = answer.raw.get_mut("apps").and_then(Value::as_array_mut) {
        list.retain(|_| flags.next().is_some_and(|keep| *keep));
    }
}

async fn show(session: &Session, target: &AppTarget) -> CommandResult {
    let found = find(session, &target.app).await?;
    let app = &found.value;
    if !session.output.is_human() {
        return session.output.document(&found.raw);
    }
    let now = clock::now();
    let mut fields = Fields::default();
    fields.add("name", app.name.as_str()).add("id", app.id.as_str());
    if let Some(url) = &app.url {
        fields.add("url", url);
    }
    fields
        .add("kind", kind_word(app.app_kind))
        .add("workspace", workspace_name(session, &app.workspace_id).await)
        .add("port", port_of(app))
        .add("status", status_cell(app.status))
        .add("visibility", visibility_word(app.visibility));
    if !app.allowed_emails.is_empty() {
        fields.add("emails", emails(app));
    }
    if let Some(domain) = &app.custom_domain {
        fields.add("domain", domain::cell(domain, app.custom_domain_verified));
    }
    if let Some(description) = &app.description {
        fields.add("about", description);
    }
    fields.add("created", ago(now, app.created_at)).add("updated", ago(now, app.updated_at));
    session.output.fields(&fields)
}

/// The app with this name or id; the document is that of `GET /apps/{id}`.
async fn find(session: &Session, typed: &str) -> CommandResult<Document<App>> {
    session.output.progress(format!("looking for {typed}"));
    if let Ok(id) = typed.parse::<AppId>() {
        // A name may look like an id: what is no id may still be a name.
        match details(session, &id).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is("not_found") => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Names are unique on the platform, and written in lower case.
    let name = typed.to_ascii_lowercase();
    let is = |app: &&App| app.name.as_str() == name;
    let mut apps = all(session, Path::api(BASE)).await?;
    if !apps.iter().any(|app| is(&app)) {
        // Who may not see what is shared has not shared this one.
        apps.extend(all(session, shared()).await.unwrap_or_default());
    }
    let Some(app) = apps.iter().find(is) else {
        let names = apps.iter().map(|app| app.name.as_str());
        return Err(unknown("app", typed, names, LIST));
    };
    Ok(details(session, &app.id).await?)
}

async fn all(session: &Session, path: Path) -> Result<Vec<App>, ClientError> {
    let list: Document<ListAppsResponse> = session.client.list(path, "apps").await?;
    Ok(list.value.apps)
}

/// The apps that a workspace is to answer for: those with a port that are not stopped.
pub(super) async fn served_by(session: &Session, id: &WorkspaceId) -> CommandResult<Vec<App>> {
    let mut apps = all(session, Path::api(BASE)).await?;
    apps.extend(all(session, shared()).await.unwrap_or_default());
    apps.retain(|app| {
        let is_served = app.app_kind == AppKind::Service && app.status == AppStatus::Active;
        app.workspace_id == *id && is_served
    });
    Ok(apps)
}

/// The apps of others that are shared with the account.
fn shared() -> Path {
    Path::api(BASE).query("shared", "true")
}

async fn details(session: &Session, id: &AppId) -> Result<Document<App>, ClientError> {
    let answer: Document<GetAppResponse> = session.client.get(path(id)).await?;
    Ok(Document { raw: answer.raw, value: answer.value.app })
}

/// The path of one app.
pub(super) fn path(id: &AppId) -> Path {
    Path::api(BASE).segment(id.as_str())
}

/// What a refusal says, with a command that fits the state of the workspace that answers.
fn why(error: ClientError, app: &App) -> CommandError {
    explain(error, Verb::Enter, app.workspace_id.as_str())
}

fn status_cell(status: AppStatus) -> Cell {
    let (word, tone) = match status {
        AppStatus::Active => ("active", Tone::Good),
        AppStatus::Inactive => ("inactive", Tone::Plain),
        AppStatus::Installing => ("installing", Tone::Busy),
        AppStatus::Error => ("error", Tone::Bad),
    };
    Cell::toned(word, tone)
}

fn visibility_word(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Public => "public",
        Visibility::Privileged => "privileged",
    }
}

fn kind_word(kind: AppKind) -> &'static str {
    match kind {
        AppKind::Service => "service",
        AppKind::Cli => "cli",
    }
}

fn port_of(app: &App) -> String {
    match app.app_kind {
        AppKind::Service => app.port.to_string(),
        AppKind::Cli => String::new(),
    }
}

fn emails(app: &App) -> String {
    app.allowed_emails.iter().map(|email| email.as_str()).collect::<Vec<_>>().join(" ")
}
