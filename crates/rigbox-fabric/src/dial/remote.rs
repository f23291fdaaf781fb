//! Dials between machines: a request that is upgraded to the stream itself, over mutual TLS.
//! Invariant: open streams of a host are bounded; a peer that vanished is noticed by the
//! connection's keep-alive. Does not judge (see [`Dialer`]).

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Path, Query, Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rigbox_types::WorkspaceId;
use serde::Deserialize;
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    DIAL_TIMEOUT, DialError, DialRefusal, DialRefused, DialRequest, Dialer, Port, Purpose,
};
use crate::{Body, Client, FabricError, Peer, Refusal, task};

/// The protocol's name in the upgrade.
const PROTOCOL: &str = "rigbox-dial";

/// Most open streams of one host.
const MAX_STREAMS: usize = 2_048;

#[derive(Clone)]
struct Host {
    dialer: Arc<dyn Dialer>,
    places: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct DialQuery {
    port: Port,
    purpose: Purpose,
}

/// The host's routes, to be merged into its listener's: `GET /v1/workspaces/{id}/dial`.
pub fn router(dialer: Arc<dyn Dialer>) -> Router {
    let host = Host { dialer, places: Arc::new(Semaphore::new(MAX_STREAMS)) };
    Router::new().route("/v1/workspaces/{id}/dial", get(answer)).with_state(host)
}

pub(super) async fn dial(client: &Client, request: &DialRequest) -> Result<Upgraded, DialError> {
    let DialRequest { workspace, port, purpose } = request;
    let purpose = serde_json::to_value(purpose).unwrap_or_default();
    let purpose = purpose.as_str().unwrap_or_default();
    let request = http::Request::get(format!(
        "/v1/workspaces/{workspace}/dial?port={port}&purpose={purpose}"
    ))
    .header(header::CONNECTION, "upgrade")
    .header(header::UPGRADE, PROTOCOL)
    .body(Body::empty())
    .expect("id, port and purpose are words of a URI");
    let answer = client.request(request).await.map_err(DialError::Fabric)?;
    let answer = client.accepted(answer).await.map_err(refused)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(DialError::Fabric(FabricError::Malformed {
            address: client.address().clone(),
            what: format!("{} in place of an upgrade", answer.status()),
        }));
    }
    hyper::upgrade::on(answer).await.map_err(|error| {
        DialError::Fabric(FabricError::Broken {
            address: client.address().clone(),
            source: error.into(),
        })
    })
}

/// Reads the refusal of a dial back out of the error document.
fn refused(error: FabricError) -> DialError {
    let known = error.refusal().and_then(|Refusal { details, message, .. }| {
        let code = serde_json::from_value(details.get("refusal")?.clone()).ok()?;
        Some(DialRefused { code, message: message.clone() })
    });
    known.map_or_else(|| DialError::Fabric(error), DialError::Refused)
}

async fn answer(
    State(host): State<Host>,
    Extension(peer): Extension<Peer>,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<DialQuery>,
    request: Request,
) -> Response {
    let asked = request.headers().get(header::UPGRADE).is_some_and(|value| value == PROTOCOL);
    if !asked {
        return refuse(DialRefusal::Invalid, "a dial must ask for an upgrade to rigbox-dial");
    }
    let Ok(place) = host.places.try_acquire_owned() else {
        return refuse(DialRefusal::Busy, "too many open streams");
    };
    let dial = DialRequest { workspace, port: query.port, purpose: query.purpose };
    let socket = match timeout(DIAL_TIMEOUT, host.dialer.dial(&peer, &dial)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(DialRefused { code, message })) => return refuse(code, &message),
        Err(_) => return refuse(DialRefusal::TimedOut, "the workspace does not answer"),
    };
    task::spawn("fabric.stream", carry(request, socket, place));
    let mut answer = StatusCode::SWITCHING_PROTOCOLS.into_response();
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    answer
}

async fn carry(request: Request, mut socket: TcpStream, _place: OwnedSemaphorePermit) {
    let copied = match hyper::upgrade::on(request).await {
        Ok(upgraded) => copy_bidirectional(&mut TokioIo::new(upgraded), &mut socket).await,
        Err(error) => Err(std::io::Error::other(error)),
    };
    if let Err(error) = copied {
        tracing::debug!(%error, "stream ended early");
    }
}

fn refuse(code: DialRefusal, message: &str) -> Response {
    let api = code.api_code();
    let status = StatusCode::from_u16(api.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let document = serde_json::json!({ "error": {
        "code": api, "message": message, "details": { "refusal": code },
    }});
    (status, Json(document)).into_response()
}
