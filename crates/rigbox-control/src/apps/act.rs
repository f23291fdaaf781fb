//! Starting, stopping and restarting an app: its route, and its unit where it has one.
//! Invariants: the route is changed whether the guest answers or not; a workspace that does not run has
//! no unit to act on, and a unit of a spec starts with it.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_types::api::apps::ServiceActionResponse;

use super::{
    app, guest,
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
    let agent = guest::agent(control, about)?;
    let unit = match &agent {
        Some(agent) => guest::unit(control, &row, agent).await?,
        None => None,
    };
    if let (Some(agent), Some(unit)) = (&agent, &unit) {
        guest::systemctl(agent, action.verb(), &unit.name).await?;
    }
    let (name, done) = (&row.published.name, action.done());
    let message = match (&agent, &unit) {
        (_, Some(unit)) => format!("app {name} is {done}, and so is {}", unit.name),
        (Some(_), None) => format!("app {name} is {done}; no unit of its own listens for it"),
        (None, None) => format!("app {name} is {done}; its workspace does not run"),
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
