//! What other parts may ask this host: operations of a guest, dials, the console, metrics.
//! Invariants: only what is listed reaches a guest; nothing here changes what should be; a guest
//! that does not run is `unavailable`, at once. Peers are known to the listener already.
//! Does not read what passes between control and a guest.

mod allow;
mod dials;
mod forward;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use http::{StatusCode, header};
use rigbox_fabric::{
    Accepts, ClientAuth, ServerAuth,
    identity::{Identity, PeerName},
};
use rigbox_types::{
    WorkspaceId,
    api::error::{ApiErrorBody, ApiErrorDetail, ErrorCode},
};
use serde_json::json;

use crate::{Config, agent::HostError, host::Host, metrics};

pub(crate) use dials::Dials;

/// The host's routes, dials apart.
pub(crate) fn router(host: &Arc<Host>) -> Router {
    Router::new()
        .route("/v1/workspaces/{id}/guest/{*path}", any(forward::forward))
        .route("/v1/workspaces/{id}/console", get(console))
        .route("/v1/status", get(status))
        .route("/metrics", get(metrics_text))
        .with_state(host.clone())
}

/// The certificates that the host shows to control.
pub(crate) fn client_identity(config: &Config) -> Result<ClientAuth, HostError> {
    Ok(ClientAuth::Tls { identity: identity(config)?, expect: PeerName::Control })
}

/// The certificates that the host shows to those who come.
pub(crate) fn server_identity(config: &Config) -> Result<ServerAuth, HostError> {
    Ok(ServerAuth::Tls { identity: identity(config)?, accepts: Accepts::Control })
}

fn identity(config: &Config) -> Result<Arc<Identity>, HostError> {
    let dir = config.identity_dir.clone().unwrap_or_else(|| config.data.join("host/identity"));
    Identity::load(&dir).map(Arc::new).map_err(HostError::part("read the host's identity"))
}

async fn console(State(host): State<Arc<Host>>, Path(workspace): Path<WorkspaceId>) -> Response {
    if host.table.view(&workspace).is_none() {
        return refuse(ErrorCode::NotFound, "this host does not have that workspace");
    }
    match rigbox_vmm::console::read(&host.layout.console(&workspace)).await {
        Ok(text) => {
            // The guest writes what it likes: nobody shall take it for a page.
            let plain = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (plain, text).into_response()
        }
        Err(error) => {
            tracing::warn!(%workspace, %error, "console not read");
            refuse(ErrorCode::Internal, "the console cannot be read")
        }
    }
}

async fn status(State(host): State<Arc<Host>>) -> Response {
    let workspaces: Vec<_> = host
        .table
        .views()
        .into_iter()
        .map(|(id, view)| json!({ "id": id, "observed": view.observed, "orphan": view.is_orphan }))
        .collect();
    axum::Json(json!({
        "host": host.config.id,
        "tag": host.layout.tag(),
        "version": env!("CARGO_PKG_VERSION"),
        "driver": host.drivers.current().name(),
        "capacity": host.ledger.capacity(),
        "promised": host.ledger.promised(),
        "drift": host.metrics.drift.load(std::sync::atomic::Ordering::Relaxed),
        "workspaces": workspaces,
    }))
    .into_response()
}

async fn metrics_text(State(host): State<Arc<Host>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, metrics::text(&host)).into_response()
}

fn refuse(code: ErrorCode, message: &str) -> Response {
    let status = StatusCode::from_u16(code.http_status());
    let detail =
        ApiErrorDetail { code, message: message.to_owned(), details: serde_json::Value::Null };
    let body = axum::Json(ApiErrorBody { error: detail });
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
}
