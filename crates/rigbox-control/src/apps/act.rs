//! Starting, stopping and restarting an app: its route, and its unit where it has one.
//! Invariants: the route is changed whether the guest answers or not; a workspace that does not run has
//! no unit to act on, and a unit of a spec starts with it; a unit that nobody who may enter the workspace
//! has named is left alone for who may not enter it either.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_types::{
    Right,
    api::{apps::ServiceActionResponse, error::ErrorCode},
};

use super::{
    app,
    guest::{self, Unit},
    view::{self, Warned},
};
use crate::{control::Control, error::ApiResult, http::access::ForApp};

type Answer = ApiResult<Warned<Json<ServiceActionResponse>>>;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start,
    Stop,
    Restart,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Restart => "restarted",
        }
    }
}

/// Starts.
pub(crate) async fn app_start(State(control): State<Arc<Control>>, about: ForApp) -> Answer {
    act(&control, &about, Action::Start).await
}

/// Stops.
pub(crate) async fn app_stop(State(control): State<Arc<Control>>, about: ForApp) -> Answer {
    act(&control, &about, Action::Stop).await
}

/// Restarts.
pub(crate) async fn app_restart(State(control): State<Arc<Control>>, about: ForApp) -> Answer {
    act(&control, &about, Action::Restart).await
}

async fn act(control: &Control, about: &ForApp, action: Action) -> Answer {
    let active = action != Action::Stop;
    let changed = app::change(control, &about.id, |_, is| {
        is.active = active;
        Ok(())
    });
    let row = changed.await?;
    let warning = control.edges.effective(row.revision).await;
    let agent = guest::agent(control, about, &about.workspace)?;
    let found = match &agent {
        Some(agent) => guest::unit(control, &row, agent).await?,
        None => None,
    };
    let (unit, left_alone) = match found {
        // Whoever may rename an app or change its port would choose which unit root stops.
        Some(unit) if !unit.is_named => match may_act(control, about, &unit).await? {
            None => (Some(unit), None),
            Some(refusal) => (None, Some(refusal)),
        },
        found => (found, None),
    };
    if let (Some(agent), Some(unit)) = (&agent, &unit) {
        guest::systemctl(agent, action.verb(), &unit.name).await?;
    }
    let (name, done) = (&row.published.name, action.done());
    let message = match (&agent, &unit, left_alone) {
        (_, Some(unit), _) => format!("app {name} is {done}, and so is {}", unit.name),
        (_, None, Some(why)) => format!("app {name} is {done}, but nothing else: {why}"),
        (Some(_), None, None) => format!("app {name} is {done}; no unit of its own listens for it"),
        (None, None, None) => format!("app {name} is {done}; its workspace does not run"),
    };
    let service_name = unit.map(|unit| unit.name).unwrap_or_default();
    let app = view::app(control, &row);
    Ok(Warned::document(warning, |warning| ServiceActionResponse {
        app,
        message,
        service_name,
        warning,
    }))
}

/// Why a unit that is only found by the app's name or port is left alone.
async fn may_act(control: &Control, about: &ForApp, unit: &Unit) -> ApiResult<Option<String>> {
    let what = format!(
        "to act on {}, which no primary log source of the app names and is only found by its name or \
         port,",
        unit.name
    );
    match about.beyond(control, (Right::WorkspaceEnter, &what)).await {
        Ok(_) => Ok(None),
        Err(error) if error.code() == ErrorCode::Forbidden => Ok(Some(error.message().to_owned())),
        Err(error) => Err(error),
    }
}
