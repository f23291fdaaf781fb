//! The gateway that a workspace sees at 172.16.0.1:9090: its own, workspace-scoped API.
//! Invariants: the caller is the workspace whose namespace the socket was bound in, and every
//! header that claims an identity is dropped; connections, sizes and times are bounded.
//! Does not answer anything itself: control does.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use rigbox_fabric::{Client, task};
use rigbox_types::{HostId, WorkspaceId};

use super::{idle::Idle, next};

#[cfg(test)]
mod tests;

/// Most connections of one workspace: a few programs that each ask now and then.
const MAX_CONNECTIONS: usize = 32;

/// Most requests of all workspaces of a host that control is asked at once.
pub const MAX_REQUESTS: usize = 256;

/// How long what a guest does may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the head of a request.
    head: Duration,
    /// For its body: with it as long as for the head, whatever comes drop by drop.
    body: Duration,
    /// Between two bytes in either direction: longer than control takes for an answer.
    idle: Duration,
    /// For a connection as a whole. A client that goes on opens another one.
    life: Duration,
}

const PATIENCE: Patience = Patience {
    head: Duration::from_secs(15),
    body: Duration::from_secs(15),
    idle: Duration::from_secs(60),
    life: Duration::from_secs(600),
};

/// Most headers, and most bytes of a head: what common servers allow.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Largest body of a request.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// How long control may take for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer of control. It is read whole before the guest gets any of it, so that a guest
/// which does not read holds no connection to control.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// What is passed on; everything else stays outside.
const PASSED: [HeaderName; 3] = [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT];

/// The gateway of one workspace.
pub struct Gateway {
    host: HostId,
    workspace: WorkspaceId,
    control: Client,
    requests: Arc<Semaphore>,
    patience: Patience,
}

impl Gateway {
    /// A gateway that speaks for `workspace`. All gateways of a host share the places for requests
    /// ([`MAX_REQUESTS`]).
    #[must_use]
    pub fn new(
        host: HostId,
        workspace: WorkspaceId,
        control: Client,
        requests: Arc<Semaphore>,
    ) -> Self {
        Self { host, workspace, control, requests, patience: PATIENCE }
    }

    /// Answers until told to stop.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let gateway = Arc::new(self);
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some((stream, _)) = next(&stop, |cx| listener.poll_accept(cx)).await {
            // Over the limit: closing at once is an answer that every client understands.
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
            let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
            task::spawn("relay.gateway.connection", async move {
                let _permit = permit;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = gateway.converse(stream) => {}
                }
            });
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let Patience { head, idle, life, .. } = self.patience;
        let service = service_fn(move |request| {
            let gateway = Arc::clone(&self);
            async move { Ok::<_, Infallible>(gateway.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(Idle::new(stream, idle)), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = sleep(life) => {
                connection.as_mut().graceful_shutdown();
                // Whatever is under way ends within the time of one exchange, or is cut.
                timeout(idle, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "gateway connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Some(path) = inner_path(head.uri.path()) else {
            return refusal(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
        };
        let body = Limited::new(body, BODY_MAX_BYTES).collect();
        let body = match timeout(self.patience.body, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return refusal(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    "the body is over 64 KiB or was cut off",
                );
            }
            Err(_) => {
                let mut slow = refusal(
                    StatusCode::REQUEST_TIMEOUT,
                    "invalid_request",
                    "the body did not come in time",
                );
                // The rest of the body would be taken for the next request.
                let close = http::HeaderValue::from_static("close");
                slow.headers_mut().insert(header::CONNECTION, close);
                return slow;
            }
        };
        let Some(outer) = self.outer(&head.method, path, &head.headers, body.into()) else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", "the path is malformed");
        };
        match timeout(ANSWER_TIMEOUT, self.ask(outer)).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => unavailable(),
        }
    }

    /// Control's answer, whole. Whatever a guest does slowly is over before a place is taken, or
    /// comes after it was given back.
    async fn ask(&self, request: Request<Body>) -> Option<Response<Body>> {
        let _place = self.requests.acquire().await.ok()?;
        let answer = self.control.request(request).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::debug!(workspace = %self.workspace, %error, "control does not answer");
        };
        let (head, body) = answer.inspect_err(|error| failed(error)).ok()?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let body = body.inspect_err(|error| failed(error)).ok()?.to_bytes();
        Some(inward(&head, body))
    }

    /// The request to control: the identity is in the path, made here and nowhere else.
    fn outer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Option<Request<Body>> {
        let (host, workspace) = (&self.host, &self.workspace);
        let uri = format!("/internal/v1/hosts/{host}/guest-api/{workspace}/rig/v1/{path}");
        let mut request = Request::builder().method(method).uri(uri).body(body).ok()?;
        for name in PASSED {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        Some(request)
    }
}

/// The part after `/rig/v1/`, when it cannot lead anywhere else.
fn inner_path(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("/rig/v1/")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let segments = inner.split('/').all(|part| !part.is_empty() && part.bytes().all(plain));
    segments.then_some(inner)
}

fn inward(head: &http::response::Parts, body: Bytes) -> Response<Body> {
    let mut inward = Response::new(Body::from(body));
    *inward.status_mut() = head.status;
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = head.headers.get(&name) {
            inward.headers_mut().insert(name, value.clone());
        }
    }
    inward
}

fn unavailable() -> Response<Body> {
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the platform does not answer; try again",
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let document =
        serde_json::json!({"error": {"code": code, "message": message, "details": null}});
    let mut answer = Response::new(Body::from(document.to_string()));
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
