//! `rig app start|stop|restart|rm|rename|update`.

use http::Method;
use rigbox_types::{
    AppName,
    api::{
        apps::{App, AppStatus, GetAppResponse, ServiceActionResponse, UpdateAppRequest},
        change::Change,
        workspaces::MessageResponse,
    },
};

use super::{find, new, path, why};
use crate::{
    cli::{AppRemoveArgs, AppRenameArgs, AppTarget, AppUpdateArgs},
    client::{Call, ClientError, Document},
    error::{CommandError, CommandResult},
    input,
    session::Session,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Let requests in.
    Start,
    /// Let none in.
    Stop,
    /// Restart its unit, and let requests in.
    Restart,
}

impl Act {
    fn segment(self) -> &'static str {
        match self {
            Self::Start => "/start",
            Self::Stop => "/stop",
            Self::Restart => "/restart",
        }
    }
}

/// Starts, stops or restarts an app.
pub(super) async fn act(session: &Session, act: Act, target: &AppTarget) -> CommandResult {
    let app = find(session, &target.app).await?.value;
    let call = Call::new(Method::POST, path(&app.id).then(act.segment()));
    let answer: Result<Document<ServiceActionResponse>, _> = session.client.fetch(call).await;
    let answer = answer.map_err(|error| why(error, &app))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let (app, unit) = (&answer.value.app, &answer.value.service_name);
    let status = match (app.status, act) {
        (AppStatus::Active, Act::Restart) => "was restarted",
        (AppStatus::Active, _) => "is active",
        (AppStatus::Inactive, _) => "is inactive",
        (AppStatus::Installing, _) => "is being installed",
        (AppStatus::Error, _) => "is in error",
    };
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    session.output.line(format!("{} {status}{unit}", app.name))
}

/// Deletes an app.
pub(super) async fn remove(session: &Session, args: &AppRemoveArgs) -> CommandResult {
    let app = find(session, &args.target.app).await?.value;
    if !args.yes && input::can_ask() {
        let question = format!("delete {} ({})?", app.name, app.id);
        if !input::confirmed(&session.output, &question).await? {
            return Err(CommandError::failed(format!("{} was not deleted", app.name)));
        }
    }
    let call = Call::new(Method::DELETE, path(&app.id));
    let answer: Document<MessageResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("deleted {}", app.name))
}

/// Gives an app another name.
pub(super) async fn rename(session: &Session, args: &AppRenameArgs) -> CommandResult {
    let app = find(session, &args.target.app).await?.value;
    let request = UpdateAppRequest { name: Some(args.name.clone()), ..UpdateAppRequest::default() };
    let answer = match patch(session, &app, &request).await {
        Ok(answer) => answer,
        Err(error) => return Err(taken(session, error, &app, &args.name).await),
    };
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let (old, app) = (&app.name, &answer.value.app);
    let Some(url) = &app.url else {
        return session.output.line(format!("{old} is {} now", app.name));
    };
    session.output.notice(format!("{old} is {} now", app.name));
    session.output.line(url)
}

async fn taken(session: &Session, error: ClientError, app: &App, name: &AppName) -> CommandError {
    if !new::is_about_name(&error) {
        return error.into();
    }
    if new::own(session, name).await.is_some() {
        return CommandError::failed(format!("an app of yours is named {name} already"))
            .coded("conflict")
            .hint(format!("rig app show {name}"));
    }
    let told = CommandError::from(error);
    match new::alternative(name, "2") {
        Some(free) => told.hint(format!("rig app rename {} {free}", app.name)),
        None => told,
    }
}

/// Changes what was given.
pub(super) async fn update(session: &Session, args: &AppUpdateArgs) -> CommandResult {
    let app = find(session, &args.target.app).await?.value;
    let description = match args.description.as_deref() {
        None => Change::Keep,
        Some("") => Change::Clear,
        Some(text) => Change::Set(text.to_owned()),
    };
    let request = UpdateAppRequest { port: args.port, description, ..UpdateAppRequest::default() };
    let answer = patch(session, &app, &request).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("changed {}", answer.value.app.name))
}

/// Changes an app.
pub(super) async fn patch(
    session: &Session,
    app: &App,
    request: &UpdateAppRequest,
) -> Result<Document<GetAppResponse>, ClientError> {
    session.client.fetch(Call::new(Method::PATCH, path(&app.id)).json(request)?).await
}
