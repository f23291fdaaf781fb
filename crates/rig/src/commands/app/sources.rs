//! `rig app log-source`: where the logs of an app are.

use http::Method;
use rigbox_types::api::{
    app_logs::{
        AppLogSource, CreateAppLogSourceRequest, GetAppLogSourceResponse,
        ListAppLogSourcesResponse, UpdateAppLogSourceRequest,
    },
    apps::App,
    change::Change,
    services::LogSourceType,
    workspaces::MessageResponse,
};

use super::path;
use crate::{
    cli::{AppTarget, LogSourceArgs, LogSourceCommand},
    client::{Call, ClientError, Document, Path},
    commands::workspace::unknown,
    error::{CommandError, CommandResult},
    output::Table,
    session::Session,
};

/// Does what the command says.
pub(super) async fn run(session: &Session, command: LogSourceCommand) -> CommandResult {
    match command {
        LogSourceCommand::Ls(target) => list(session, &target).await,
        LogSourceCommand::Add { target, source } => add(session, &target, source).await,
        LogSourceCommand::Update { target, source, change } => {
            update(session, &target, &source, change).await
        }
        LogSourceCommand::Rm { target, source } => remove(session, &target, &source).await,
    }
}

async fn list(session: &Session, target: &AppTarget) -> CommandResult {
    let app = super::find(session, &target.app).await?.value;
    let answer = all(session, &app).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let mut table = Table::new(["NAME", "KIND", "PLACE", "PRIMARY", "ID"]);
    for source in &answer.value.sources {
        table.row([
            source.display_name.as_deref().unwrap_or_default().into(),
            word(source.source_type).into(),
            (&source.source_ref).into(),
            if source.is_primary { "yes" } else { "no" }.into(),
            source.id.to_string().into(),
        ]);
    }
    session.output.table(&table, &format!("{} has no log sources", app.name))
}

async fn add(session: &Session, target: &AppTarget, args: LogSourceArgs) -> CommandResult {
    let Some((source_type, source_ref)) = place(&args) else {
        let message = "say where the logs are: --unit, --container or --file";
        return Err(CommandError::usage(message).hint("rig app log-source add --help"));
    };
    let app = super::find(session, &target.app).await?.value;
    let request = CreateAppLogSourceRequest {
        source_type,
        source_ref,
        display_name: args.name,
        is_primary: args.primary.then_some(true),
    };
    let call = Call::new(Method::POST, base(&app)).json(&request)?;
    let answer: Document<GetAppLogSourceResponse> = session.client.fetch(call).await?;
    tell(session, &app, &answer, "added")
}

async fn update(
    session: &Session,
    target: &AppTarget,
    typed: &str,
    args: LogSourceArgs,
) -> CommandResult {
    let place = place(&args);
    let request = UpdateAppLogSourceRequest {
        source_type: place.as_ref().map(|place| place.0),
        source_ref: place.map(|place| place.1),
        display_name: match args.name {
            None => Change::Keep,
            Some(name) if name.is_empty() => Change::Clear,
            Some(name) => Change::Set(name),
        },
        is_primary: args.primary.then_some(true),
    };
    if request == UpdateAppLogSourceRequest::default() {
        return Err(CommandError::usage("there is nothing to change")
            .hint("rig app log-source update --help"));
    }
    let app = super::find(session, &target.app).await?.value;
    let source = find(session, &app, typed).await?;
    let call = Call::new(Method::PATCH, one(&app, &source)).json(&request)?;
    let answer: Document<GetAppLogSourceResponse> = session.client.fetch(call).await?;
    tell(session, &app, &answer, "changed")
}

async fn remove(session: &Session, target: &AppTarget, typed: &str) -> CommandResult {
    let app = super::find(session, &target.app).await?.value;
    let source = find(session, &app, typed).await?;
    let call = Call::new(Method::DELETE, one(&app, &source));
    let answer: Document<MessageResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("{} does not read {} any more", app.name, source.source_ref))
}

fn tell(
    session: &Session,
    app: &App,
    answer: &Document<GetAppLogSourceResponse>,
    what: &str,
) -> CommandResult {
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let source = &answer.value.source;
    session.output.line(format!("{what} the log source {} of {}", source.source_ref, app.name))
}

/// The log source with this id, name or place.
pub(super) async fn find(session: &Session, app: &App, typed: &str) -> CommandResult<AppLogSource> {
    let sources = all(session, app).await?.value.sources;
    let is = |source: &&AppLogSource| {
        source.id.to_string() == typed
            || source.display_name.as_deref() == Some(typed)
            || source.source_ref == typed
    };
    let list = format!("rig app log-source ls {}", app.name);
    let mut found = sources.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(source), None) => Ok(source.clone()),
        (Some(_), Some(_)) => {
            let message = format!("several log sources are named '{typed}': use an id");
            Err(CommandError::failed(message).hint(list))
        }
        (None, _) => {
            let names = sources.iter().map(shown);
            Err(unknown("log source", typed, names, &list))
        }
    }
}

fn shown(source: &AppLogSource) -> &str {
    source.display_name.as_deref().unwrap_or(&source.source_ref)
}

async fn all(
    session: &Session,
    app: &App,
) -> Result<Document<ListAppLogSourcesResponse>, ClientError> {
    session.client.get(base(app)).await
}

fn base(app: &App) -> Path {
    path(&app.id).then("/log-sources")
}

fn one(app: &App, source: &AppLogSource) -> Path {
    base(app).segment(&source.id.to_string())
}

fn place(args: &LogSourceArgs) -> Option<(LogSourceType, String)> {
    let places = [
        (LogSourceType::SystemdUnit, &args.unit),
        (LogSourceType::DockerContainer, &args.container),
        (LogSourceType::FilePath, &args.file),
    ];
    places.into_iter().find_map(|(kind, place)| Some((kind, place.clone()?)))
}

fn word(kind: LogSourceType) -> &'static str {
    match kind {
        LogSourceType::SystemdUnit => "unit",
        LogSourceType::DockerContainer => "container",
        LogSourceType::FilePath => "file",
    }
}
