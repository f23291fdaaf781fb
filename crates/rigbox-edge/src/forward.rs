//! Passes a request on to a workspace, or to control, and its answer back.
//! Invariants: bodies go through as they come; a request is sent again only if nothing of it was sent,
//! or if it changes nothing, has no body, and met an idle connection that had ended; an upgrade that
//! nobody asked for is no answer.

use std::{future::poll_fn, sync::Arc, task::Poll};

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request, uri,
};
use hyper::body::Incoming;
use rigbox_fabric::dial::{DialError, DialRefusal};
use rigbox_types::{Authorised, WorkspaceId, api::error::ErrorCode};
use tokio::time::timeout;

use crate::{
    body::EdgeBody,
    headers::{self, To},
    pages::Refusal,
    request::Visit,
    table::App,
    upstream::{Conn, OpenError, RequestBody, SendFailed, Upstream, UpstreamBody},
    visit::Who,
};

/// A request on its way.
pub(crate) struct Exchange {
    pub(crate) visit: Arc<Visit>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) target: Target,
    pub(crate) id: HeaderValue,
}

/// Whom it goes to.
pub(crate) enum Target {
    App { app: Arc<App>, who: Who },
    Control,
}

impl Exchange {
    /// Makes a request's head ready, as HTTP/1.1.
    pub(crate) fn prepare(&self, parts: &mut request::Parts) {
        let to = match &self.target {
            Target::App { who, .. } => To::Workspace(
                who.known().map(|known| (&known.id_header, known.email_header.as_ref())),
            ),
            Target::Control => To::Control,
        };
        headers::forward(&mut parts.headers, &self.visit.said, self.id.clone(), to);
        match &self.target {
            Target::App { .. } => crate::visit::cookies::strip(&mut parts.headers),
            Target::Control => {}
        }
        parts.version = Version::HTTP_11;
        if parts.uri.authority().is_some() {
            let mut own = uri::Parts::default();
            own.path_and_query = parts.uri.path_and_query().cloned();
            parts.uri = Uri::from_parts(own).unwrap_or_default();
        }
        // What only the connection needs to know.
        parts.extensions.clear();
    }

    /// The proof that a connection to a workspace takes.
    pub(crate) fn proof(&self) -> Result<Option<Authorised<WorkspaceId>>, Refusal> {
        match &self.target {
            Target::Control => Ok(None),
            Target::App { app, who } => {
                let target = app.route.workspace.clone();
                let proof = who.authorise(app, target).map_err(|_| {
                    let message = "this app is not shown to you";
                    Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message)
                })?;
                Ok(Some(proof))
            }
        }
    }

    /// A new connection, counted.
    pub(crate) async fn open(&self) -> Result<crate::upstream::Io, Refusal> {
        let metrics = &self.visit.edge.metrics;
        metrics.dials_total.add(1);
        Box::pin(self.upstream.open(self.proof()?)).await.map_err(|error| {
            metrics.dials_failed_total.add(1);
            not_opened(error)
        })
    }

    fn failed(&self, error: &hyper::Error) -> Refusal {
        self.visit.edge.metrics.upstream_failed_total.add(1);
        tracing::debug!(%error, "no answer from a workspace");
        let message = "the app broke off before it answered";
        Refusal::new(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, message)
    }
}

/// Passes a request on.
pub(crate) async fn pass(
    exchange: Exchange,
    request: Request<Incoming>,
) -> Result<Response<EdgeBody>, Refusal> {
    let is_h2 = request.version() == Version::HTTP_2;
    let (mut parts, body) = request.into_parts();
    let is_grpc = is_h2 && is_grpc(&parts) && matches!(exchange.target, Target::App { .. });
    exchange.prepare(&mut parts);
    let body = RequestBody::visitor(body, exchange.visit.edge.limits.body_timeout);
    if is_grpc {
        return Box::pin(pass_grpc(exchange, parts, body)).await;
    }
    let limit = exchange.visit.edge.limits.answer_timeout;
    match timeout(limit, send(&exchange, Request::from_parts(parts, body))).await {
        Ok(answer) => answer,
        Err(_) => Err(too_late()),
    }
}

async fn send(
    exchange: &Exchange,
    mut request: Request<RequestBody>,
) -> Result<Response<EdgeBody>, Refusal> {
    let metrics = &exchange.visit.edge.metrics;
    if let Some(mut conn) = exchange.upstream.idle().await {
        metrics.upstream_reused_total.add(1);
        let again = copy(&request);
        match conn.send(request).await {
            Ok(answer) => return finish(exchange, answer, conn).await,
            Err(SendFailed { unsent: Some(unsent), .. }) => request = unsent,
            Err(SendFailed { unsent: None, error }) => match again {
                // One that was closed while the request was on its way.
                Some(copy) if !error.is_parse() => request = copy,
                _ => return Err(exchange.failed(&error)),
            },
        }
        metrics.upstream_retried_total.add(1);
    }
    let io = exchange.open().await?;
    let mut conn = Conn::begin(io).await.map_err(|error| exchange.failed(&error))?;
    match conn.send(request).await {
        Ok(answer) => finish(exchange, answer, conn).await,
        Err(SendFailed { error, .. }) => Err(exchange.failed(&error)),
    }
}

async fn finish(
    exchange: &Exchange,
    answer: Response<Incoming>,
    conn: Conn,
) -> Result<Response<EdgeBody>, Refusal> {
    let (mut parts, body) = answer.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(unasked());
    }
    headers::answer(&mut parts.headers, exchange.id.clone());
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let mut body = UpstreamBody::new(body, conn, exchange.upstream.clone());
    poll_fn(|cx| {
        body.settle(cx);
        Poll::Ready(())
    })
    .await;
    Ok(Response::from_parts(parts, EdgeBody::upstream(body)))
}

/// gRPC needs HTTP/2 all the way, for what follows its bodies.
async fn pass_grpc(
    exchange: Exchange,
    mut parts: request::Parts,
    body: RequestBody,
) -> Result<Response<EdgeBody>, Refusal> {
    parts.version = Version::HTTP_2;
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    parts.headers.remove(header::HOST);
    let mut whole = uri::Parts::default();
    whole.scheme = Some(uri::Scheme::HTTP);
    whole.authority = exchange.visit.said.host.to_str().ok().and_then(|host| host.parse().ok());
    whole.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(whole).map_err(|_| Refusal::malformed("this is no path"))?;
    let metrics = &exchange.visit.edge.metrics;
    let opened = exchange.upstream.multiplexed(exchange.proof()?).await;
    let mut shared = opened.map_err(|error| {
        metrics.dials_failed_total.add(1);
        not_opened(error)
    })?;
    let limit = exchange.visit.edge.limits.answer_timeout;
    let answer = timeout(limit, shared.send(Request::from_parts(parts, body))).await;
    let answer = answer
        .map_err(|_| too_late())?
        .map_err(|SendFailed { error, .. }| exchange.failed(&error))?;
    let (mut parts, body) = answer.into_parts();
    headers::answer(&mut parts.headers, exchange.id.clone());
    parts.extensions.clear();
    Ok(Response::from_parts(parts, EdgeBody::driven(body)))
}

fn is_grpc(parts: &request::Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    parts.method == Method::POST && kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// A second one of a request that may be sent again.
fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let again = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !again || !request.body().is_empty() {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// What a visitor is told of a connection that could not be opened.
fn not_opened(error: OpenError) -> Refusal {
    let refused = match &error {
        OpenError::Dial(DialError::Refused(refused)) => Some(refused.code),
        OpenError::Dial(DialError::TimedOut) => Some(DialRefusal::TimedOut),
        _ => None,
    };
    let bad_gateway =
        |message| Refusal::new(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, message);
    match refused {
        Some(DialRefusal::PortClosed) => bad_gateway("the app is not listening at its port"),
        Some(DialRefusal::NotRunning | DialRefusal::UnknownWorkspace) => {
            Refusal::unavailable("the workspace of this app is not running")
        }
        Some(DialRefusal::TimedOut) => too_late(),
        Some(DialRefusal::Busy) => {
            let refusal = Refusal::unavailable("too many connections are being opened");
            Refusal { retry_after_s: Some(1), ..refusal }
        }
        Some(DialRefusal::Forbidden | DialRefusal::Invalid | DialRefusal::Internal) | None => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no connection to a workspace"
            );
            bad_gateway("the app cannot be reached")
        }
    }
}

pub(crate) fn unasked() -> Refusal {
    let message = "the app answered with a protocol that was not asked for";
    Refusal::new(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, message)
}

pub(crate) fn too_late() -> Refusal {
    let message = "the app did not answer in time";
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable, message)
}
