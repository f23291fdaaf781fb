//! AI calls of a workspace: every path that is not the platform's own goes to the AI proxy as it
//! came, and its answer comes back as it is said.
//! Invariants: the workspace is the one whose namespace the socket was bound in, whatever a request
//! says; calls under way are bounded, for each workspace and for the host; nothing of a call is held
//! beyond what is just being passed on; an answer that was cut off is seen to be.
//! Holds no key, and does not read what it passes on: path and query are the proxy's to understand.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, Uri, header, request};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use rigbox_types::guest::refusal::Shape;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

use super::{
    Gateway, headers,
    idle::{Waiting, Waits},
    refusal::Refusal,
    upload::{UPLOAD_MAX_BYTES, Upload},
};

/// Most AI calls of one workspace under way.
pub(super) const MAX_CALLS: usize = 64;

/// Most AI calls of all workspaces of a host under way: half of the streams that the connection to
/// the proxy carries.
pub(super) const MAX_CALLS_OF_HOST: usize = 1_024;

/// Longest path with its query.
const PATH_MAX_BYTES: usize = 8 * 1024;

impl Gateway {
    /// Passes a call on, and the answer back.
    pub(super) async fn call(
        &self,
        request: Request<Incoming>,
        waiting: &Arc<Waiting>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let shape = Shape::of(head.uri.path());
        let held_back = head.headers.contains_key(header::EXPECT);
        let upload = Upload::new(body, self.patience.upload, held_back);
        let answer = self.pass_on(&head, upload, waiting).await;
        answer.unwrap_or_else(|refusal| refusal.answer(shape))
    }

    async fn pass_on(
        &self,
        head: &request::Parts,
        mut upload: Upload,
        waiting: &Arc<Waiting>,
    ) -> Result<Response<Body>, Refusal> {
        let ai = self.ways.ai.as_ref().ok_or(Refusal::NO_AI)?;
        let uri = self.call_uri(head)?;
        if upload.size_hint().lower() > UPLOAD_MAX_BYTES {
            return Err(Refusal::CALL_TOO_LARGE);
        }
        let own = Arc::clone(&self.calls).try_acquire_owned();
        let own = own.map_err(|_| Refusal::TOO_MANY_CALLS)?;
        let all = Arc::clone(&self.ways.calls).try_acquire_owned();
        let all = all.map_err(|_| Refusal::TOO_MANY_ON_HOST)?;
        let until = Instant::now() + self.patience.call;
        let waits = Arc::new(Waits::new(waiting));
        upload.wait_after(&waits);
        let fate = upload.fate();
        let mut outer = Request::new(Body::new(upload));
        *outer.method_mut() = head.method.clone();
        *outer.uri_mut() = uri;
        *outer.headers_mut() = headers::outward(&head.headers);
        let answer = match timeout_at(until, ai.request(outer)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(workspace = %self.workspace, %error, "no answer of the AI proxy");
                return Err(fate.refusal().unwrap_or(Refusal::UNAVAILABLE));
            }
            Err(_) => return Err(Refusal::UNAVAILABLE),
        };
        waits.begin();
        let (said, body) = answer.into_parts();
        let until = Box::pin(sleep_until(until));
        let mut inward =
            Response::new(Body::new(Answer { body, until, _waits: waits, _places: [own, all] }));
        *inward.status_mut() = said.status;
        *inward.headers_mut() = headers::inward(&said.headers);
        Ok(inward)
    }

    /// Where a call goes: the identity is in the path, made here and nowhere else.
    fn call_uri(&self, head: &request::Parts) -> Result<Uri, Refusal> {
        let path = head.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
        let path = path.filter(|_| head.method != Method::CONNECT).ok_or(Refusal::MALFORMED)?;
        if path.len() > PATH_MAX_BYTES {
            return Err(Refusal::PATH_TOO_LONG);
        }
        if !stays_below(path) {
            return Err(Refusal::MALFORMED);
        }
        let (host, workspace) = (&self.ways.host, &self.workspace);
        let uri = format!("/internal/v1/hosts/{host}/ai/{workspace}{path}");
        uri.parse().map_err(|_| Refusal::MALFORMED)
    }
}

/// Whether a path, with its query, stays below where it is put, whoever reads it.
pub(super) fn stays_below(path_and_query: &str) -> bool {
    let path = path_and_query.split('?').next().unwrap_or_default();
    // Some readers of paths take the encoded dots for dots.
    let leads_up = |part: &str| part.to_ascii_lowercase().replace("%2e", ".") == "..";
    path.starts_with('/')
        && !path_and_query.contains('#')
        && !path.contains("//")
        && !path.split('/').any(leads_up)
}

/// The answer of a call under way. It fails where the proxy's does, or when its time is over.
struct Answer {
    body: Body,
    until: Pin<Box<Sleep>>,
    _waits: Arc<Waits>,
    _places: [OwnedSemaphorePermit; 2],
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
