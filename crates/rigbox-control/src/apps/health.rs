//! Whether an app answers, found out by trying: the host of its workspace dials the port.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_fabric::dial::{DialClient, DialError, Port, Purpose};
use rigbox_types::{
    Status,
    api::apps::{AppHealthResponse, AppKind},
};

use super::guest;
use crate::{control::Control, error::ApiResult, http::access::ForApp};

/// State of a unit that nobody can be asked about, and of none.
const UNKNOWN: &str = "unknown";
const NONE: &str = "none";

/// Tries.
pub(crate) async fn app_health(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<AppHealthResponse>> {
    let row = &about.row;
    let Some(agent) = guest::agent(&control, &about, &about.workspace)? else {
        return Ok(Json(AppHealthResponse {
            live: false,
            port_open: false,
            service_status: UNKNOWN.to_owned(),
            port_drift: false,
        }));
    };
    let (port_open, unit) =
        tokio::join!(is_open(&control, &about), guest::unit(&control, row, &agent));
    let (service_status, drifts) = match unit {
        Ok(Some(unit)) => {
            let elsewhere = !unit.ports.is_empty() && !unit.ports.contains(&row.published.port);
            (unit.state, elsewhere)
        }
        Ok(None) => (NONE.to_owned(), false),
        Err(error) => {
            tracing::info!(reason = error.message(), "the unit of an app is not known");
            (UNKNOWN.to_owned(), false)
        }
    };
    let is_served = row.published.active && !row.owner_disabled && row.status == Status::Running;
    Ok(Json(AppHealthResponse {
        live: is_served && port_open,
        port_open,
        service_status,
        port_drift: drifts && row.kind == AppKind::Service,
    }))
}

/// Whether the port takes a connection.
async fn is_open(control: &Control, about: &ForApp) -> bool {
    let row = &about.row;
    let (Ok(port), Some(address)) = (Port::try_from(row.published.port), &row.address) else {
        return false;
    };
    let Ok(client) = control.hosts.client(&row.host, address) else { return false };
    let dialled = DialClient::Remote(Box::new(client));
    match dialled.dial(about.workspace.clone(), port, Purpose::Health).await {
        Ok(_open) => true,
        Err(DialError::Refused(refused)) => {
            tracing::debug!(%refused, "an app's port is not open");
            false
        }
        Err(error) => {
            tracing::info!(%error, "an app's port was not dialled");
            false
        }
    }
}
