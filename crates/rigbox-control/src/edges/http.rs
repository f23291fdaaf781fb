//! The internal API: routes for edges, on the fabric listener.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, Query, State},
    response::Response,
    routing::{get, post},
};
use futures_util::stream;
use http::StatusCode;
use rigbox_fabric::{Body, Peer, task, watch::response};
use rigbox_types::{
    Revision,
    api::error::ErrorCode,
    edge::{
        Admission, AdmissionRequest, EdgeAck, EdgeEvent, Exchange, Exchanged, RequestReport,
        TrafficReport,
    },
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{admission, exchange, watch};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// Longest name of an edge.
const NAME_MAX_LEN: usize = 64;

/// Largest document of an edge: a report of 10,000 apps.
const DOCUMENT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The routes, to be merged into those for hosts.
pub(crate) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/internal/v1/edge/events", get(edge_watch))
        .route("/internal/v1/edge/acks", post(edge_ack))
        .route("/internal/v1/edge/admissions", post(edge_admit))
        .route("/internal/v1/edge/exchanges", post(edge_exchange))
        .route("/internal/v1/edge/traffic", post(edge_report))
        .route("/internal/v1/edge/requests", post(edge_requests))
        .layer(DefaultBodyLimit::max(DOCUMENT_MAX_BYTES))
}

/// Who follows, and which revision it has seen.
#[derive(Debug, Deserialize)]
struct Follow {
    edge: String,
    after: Option<Revision>,
}

async fn edge_watch(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Query(Follow { edge, after }): Query<Follow>,
) -> ApiResult<Response<Body>> {
    check_peer(&control, &peer)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if edge.is_empty() || edge.len() > NAME_MAX_LEN || !edge.bytes().all(plain) {
        let rule = format!("must be 1 to {NAME_MAX_LEN} letters, digits, '-', '_' and '.'");
        return Err(ApiError::field("edge", rule));
    }
    let (events, queue) = mpsc::channel(watch::QUEUE);
    // Before anything is read: what is changed from here on waits for this edge.
    let connection = control.edges.connect(edge)?;
    task::spawn("control.edge", watch::Watch { control, connection, events }.run(after));
    let events = stream::unfold(queue, |mut queue| async {
        let event = queue.recv().await?;
        Some((event, queue))
    });
    Ok(response(events, EdgeEvent::Heartbeat))
}

async fn edge_ack(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(ack): Json<EdgeAck>,
) -> ApiResult<StatusCode> {
    check_peer(&control, &peer)?;
    control.edges.acknowledged(&ack);
    Ok(StatusCode::NO_CONTENT)
}

async fn edge_admit(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<AdmissionRequest>,
) -> ApiResult<Json<Admission>> {
    check_peer(&control, &peer)?;
    admission::admit(&control, request).await.map(Json)
}

async fn edge_exchange(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<Exchange>,
) -> ApiResult<Json<Exchanged>> {
    check_peer(&control, &peer)?;
    exchange::exchange(&control, request).await.map(Json)
}

async fn edge_report(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(report): Json<TrafficReport>,
) -> ApiResult<StatusCode> {
    check_peer(&control, &peer)?;
    control.traffic.add(report, control.store.now());
    Ok(StatusCode::NO_CONTENT)
}

async fn edge_requests(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Json(report): Json<RequestReport>,
) -> ApiResult<StatusCode> {
    check_peer(&control, &peer)?;
    control.app_requests.add(report);
    Ok(StatusCode::NO_CONTENT)
}

/// On one machine the listener has let in only our own users, of which one may be named. Between
/// machines a certificate has to say that it is an edge's, and those of hosts and control do not.
fn check_peer(control: &Control, peer: &Peer) -> ApiResult<()> {
    let is_edge = match peer {
        Peer::Local { uid, .. } => control.config.edge.uid.is_none_or(|edge| edge == *uid),
        _ => false,
    };
    let refused = || ApiError::new(ErrorCode::Forbidden, "this is for edges");
    is_edge.then_some(()).ok_or_else(refused)
}
