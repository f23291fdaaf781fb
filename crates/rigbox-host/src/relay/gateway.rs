//! The gateway that a workspace sees at 172.16.0.1:9090: its own, workspace-scoped API.
//! Invariants: the caller is the workspace whose namespace the socket was bound in, and every
//! header that claims an identity is dropped; connections, sizes and times are bounded.
//! Does not answer anything itself: control does.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use rigbox_fabric::{Client, task};
use rigbox_types::{HostId, WorkspaceId};

use super::next;

/// Most connections of one workspace.
const MAX_CONNECTIONS: usize = 128;

/// How long a connection may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Most headers, and most bytes of a head: what common servers allow.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Largest body of a request.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// How long control may take for the head of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is passed on; everything else stays outside.
const PASSED: [HeaderName; 3] = [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT];

/// The gateway of one workspace.
pub struct Gateway {
    host: HostId,
    workspace: WorkspaceId,
    control: Client,
}

impl Gateway {
    /// A gateway that speaks for `workspace`.
    #[must_use]
    pub fn new(host: HostId, workspace: WorkspaceId, control: Client) -> Self {
        Self { host, workspace, control }
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
        let service = service_fn(move |request| {
            let gateway = Arc::clone(&self);
            async move { Ok::<_, Infallible>(gateway.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "gateway connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Some(path) = inner_path(head.uri.path()) else {
            return refusal(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
        };
        let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
            return refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body is over 64 KiB or was cut off",
            );
        };
        let Some(outer) = self.outer(&head.method, path, &head.headers, body.to_bytes().into())
        else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", "the path is malformed");
        };
        match timeout(ANSWER_TIMEOUT, self.control.request(outer)).await {
            Ok(Ok(answer)) => inward(answer),
            Ok(Err(error)) => {
                tracing::debug!(workspace = %self.workspace, %error, "control does not answer");
                unavailable()
            }
            Err(_) => unavailable(),
        }
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

fn inward(answer: Response<Incoming>) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let mut inward = Response::new(Body::new(body));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_workspaces_own_api() {
        assert_eq!(inner_path("/rig/v1/whoami"), Some("whoami"));
        for bad in ["/", "/rig/v1/", "/rig/v2/whoami", "/rig/v1/../x", "/rig/v1//x", "/rig/v1/a%2f"]
        {
            assert_eq!(inner_path(bad), None, "{bad}");
        }
    }
}
