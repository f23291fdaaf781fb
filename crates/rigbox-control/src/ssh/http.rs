//! The internal API: routes for SSH gateways, on the fabric listener.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::{get, post},
};
use futures_util::stream;
use http::StatusCode;
use rigbox_fabric::{Body, Peer, task, watch::response};
use rigbox_types::{
    api::error::ErrorCode,
    ssh::{Ends, Forwarded, Held, Login, LoginAnswer, SshEvent},
};
use tokio::sync::mpsc;

use super::{forwards, held, login, watch};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// Largest document of a gateway: a report of 1,000 forwards.
const DOCUMENT_MAX_BYTES: usize = 2 * 1024 * 1024;

/// The routes, to be merged into those for hosts.
pub(crate) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/internal/v1/ssh/events", get(ssh_watch))
        .route("/internal/v1/ssh/logins", post(ssh_login))
        .route("/internal/v1/ssh/checks", post(ssh_check))
        .route("/internal/v1/ssh/forwards", post(ssh_forwards))
        .layer(DefaultBodyLimit::max(DOCUMENT_MAX_BYTES))
}

async fn ssh_watch(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
) -> ApiResult<Response<Body>> {
    check_peer(&control, &peer)?;
    let (events, queue) = mpsc::channel(watch::QUEUE);
    task::spawn("control.ssh", watch::run(control, events));
    let events = stream::unfold(queue, |mut queue| async {
        let event = queue.recv().await?;
        Some((event, queue))
    });
    Ok(response(events, SshEvent::Heartbeat))
}

async fn ssh_login(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(asked): Json<Login>,
) -> ApiResult<Json<LoginAnswer>> {
    check_peer(&control, &peer)?;
    login::login(&control, &asked).await.map(Json)
}

async fn ssh_check(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(sessions): Json<Vec<Held>>,
) -> ApiResult<Json<Ends>> {
    check_peer(&control, &peer)?;
    held::ends(&control, &sessions).await.map(Json)
}

async fn ssh_forwards(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(forwarded): Json<Vec<Forwarded>>,
) -> ApiResult<StatusCode> {
    check_peer(&control, &peer)?;
    forwards::record(&control, forwarded).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// On one machine the listener has let in only our own users, of which one may be named. Between machines
/// a certificate has to say that it is a gateway's, and those of hosts and control do not.
fn check_peer(control: &Control, peer: &Peer) -> ApiResult<()> {
    let is_gateway = match peer {
        Peer::Local { uid, .. } => control.config.ssh.uid.is_none_or(|gateway| gateway == *uid),
        _ => false,
    };
    let refused = || ApiError::new(ErrorCode::Forbidden, "this is for SSH gateways");
    is_gateway.then_some(()).ok_or_else(refused)
}
