//! The workspace's own API at the platform: what is below `/rig/` goes to control.
//! Invariants: only what is listed of a request passes; an answer is handed on whole or not at all.
//! Does not answer anything itself: control does.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Request, Response, header, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use rigbox_types::guest::refusal::Shape;
use tokio::time::timeout;

use super::{Gateway, refusal::Refusal};

/// Largest body of a request.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Longest query.
const QUERY_MAX_BYTES: usize = 1024;

/// How long control may take for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer of control. It is read whole before the guest gets any of it, so that a guest
/// which does not read holds no connection to control.
pub(super) const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// What is passed on; everything else stays outside.
const PASSED: [HeaderName; 3] = [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT];

impl Gateway {
    /// Asks control, and answers with what it says.
    pub(super) async fn platform(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let answer = self.platform_ask(&head, body).await;
        answer.unwrap_or_else(|refusal| refusal.answer(Shape::Platform))
    }

    async fn platform_ask(
        &self,
        head: &request::Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Refusal> {
        let path = inner_path(head.uri.path()).ok_or(Refusal::NOTHING_HERE)?;
        let query = inner_query(head.uri.query()).ok_or(Refusal::QUERY_MALFORMED)?;
        let body = Limited::new(body, BODY_MAX_BYTES).collect();
        let body = timeout(self.patience.body, body).await;
        let body = body.map_err(|_| Refusal::BODY_TOO_SLOW)?;
        let body = body.map_err(|_| Refusal::BODY_TOO_LARGE)?.to_bytes();
        let outer = self.outer(head, &format!("{path}{query}"), body.into());
        let outer = outer.ok_or(Refusal::MALFORMED)?;
        let answer = timeout(ANSWER_TIMEOUT, self.ask(outer)).await;
        answer.ok().flatten().ok_or(Refusal::UNAVAILABLE)
    }

    /// Control's answer, whole. Whatever a guest does slowly is over before a place is taken, or
    /// comes after it was given back.
    async fn ask(&self, request: Request<Body>) -> Option<Response<Body>> {
        let _place = self.ways.requests.acquire().await.ok()?;
        let answer = self.ways.control.request(request).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::debug!(workspace = %self.workspace, %error, "control does not answer");
        };
        let (head, body) = answer.inspect_err(|error| failed(error)).ok()?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let body = body.inspect_err(|error| failed(error)).ok()?.to_bytes();
        Some(inward(&head, body))
    }

    /// The request to control: the identity is in the path, made here and nowhere else.
    fn outer(&self, head: &request::Parts, path: &str, body: Body) -> Option<Request<Body>> {
        let (host, workspace) = (&self.ways.host, &self.workspace);
        let uri = format!("/internal/v1/hosts/{host}/guest-api/{workspace}/rig/v1/{path}");
        let mut request = Request::builder().method(&head.method).uri(uri).body(body).ok()?;
        for name in PASSED {
            if let Some(value) = head.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        Some(request)
    }
}

/// The part after `/rig/v1/`, when it cannot lead anywhere else.
pub(super) fn inner_path(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("/rig/v1/")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let segments = inner.split('/').all(|part| !part.is_empty() && part.bytes().all(plain));
    segments.then_some(inner)
}

/// The query with its question mark, when it is one that control may be given.
pub(super) fn inner_query(query: Option<&str>) -> Option<String> {
    let Some(query) = query else { return Some(String::new()) };
    let plain = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    (plain && query.len() <= QUERY_MAX_BYTES).then(|| format!("?{query}"))
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
