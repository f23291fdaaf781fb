//! The way of every request to its handler: an id, a place, the query, who asks.
//! Invariant: a handler runs only for a caller that was authenticated, unless its row says
//! `Public`; whatever happens, the answer has a request id and, if refused, the error document.
//! Does not decide rights: handlers take proofs (see `access`).

use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::HttpBody as _,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use rigbox_types::{
    Right,
    api::error::ErrorCode,
    endpoint::{Endpoint, Method, Operation, Payload, Replay},
};
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::{
    audit::Trail,
    authn::{Caller, Presented},
    control::Control,
    error::{ApiError, ApiResult},
    http::{access::Access, idempotency, params::Params, places::BUSY_RETRY_S},
    pages,
    rates::Left,
};

/// How long a request whose answer is a document may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest `X-Request-Id` that is taken over from a client.
const REQUEST_ID_MAX_LEN: usize = 64;

/// A body of this size has come with its head.
const READ_IN_PASSING_BYTES: u64 = 4 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id, as its answer says it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Which endpoint a route belongs to, and everything it needs.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) control: Arc<Control>,
    pub(crate) endpoint: &'static Endpoint,
}

/// Lets one request in.
pub(crate) async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let operation = gate.endpoint.operation.as_str();
    tracing::Span::current().record("operation", operation);
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    let id = request.extensions().get::<RequestId>().map(RequestId::as_str);
    let seen = (id.unwrap_or_default().to_owned(), from);
    let mut trail = Trail::new(gate.endpoint, &request, seen);
    let admitted = AssertUnwindSafe(admit(&gate, &mut trail, from, request, next));
    let response = match admitted.catch_unwind().await {
        Ok(admitted) => admitted.unwrap_or_else(IntoResponse::into_response),
        Err(panic) => ApiError::internal(panic_text(&*panic)).into_response(),
    };
    if let Some(entry) = trail.completed(&response)
        && (entry.account.is_some() || gate.control.rates.is_worth_an_entry())
    {
        gate.control.audit.completed(entry);
    }
    response
}

async fn admit(
    gate: &Gate,
    trail: &mut Trail,
    from: Option<IpAddr>,
    mut request: Request,
    next: Next,
) -> ApiResult<Response> {
    let Gate { control, endpoint } = gate;
    let place = control.places.take(is_long(endpoint))?;
    // Who asks comes before what is asked: a stranger learns nothing of the rules.
    let (caller, left) = caller(gate, from, (request.uri(), request.headers())).await?;
    let (principal, renewed) = match caller {
        Some(Caller { principal, renewed }) => (Some(principal), renewed),
        None => (None, None),
    };
    if let Some(principal) = &principal {
        trail.is_of(principal);
    }
    let _share = match principal {
        Some(_) => None,
        None => control.places.of_stranger(from)?,
    };
    let place = control.places.take_own(place, principal.as_ref(), is_long(endpoint)).await?;
    let params = Params::read(endpoint, request.uri())?;
    let access = Access { principal, endpoint, params };
    let key = idempotency::key(request.headers())?.filter(|_| endpoint.method == Method::Post);
    if key.is_some() && endpoint.replay == Replay::Never {
        // To take it and then do the thing twice would be worse than to refuse.
        return Err(ApiError::field("Idempotency-Key", "answers of this endpoint are not kept"));
    }
    if trail.is_kept() {
        control.audit.received(trail.received()).await?;
    }
    // Before the right is decided that it stands on.
    let permit = access.principal.as_ref().filter(|_| is_long(endpoint));
    let permit = permit.and_then(|who| control.permits.hold(who, endpoint, request.uri().path()));
    let extensions = request.extensions_mut();
    extensions.insert(access.clone());
    extensions.insert(trail.clone());
    extensions.insert(place.clone());
    if let Some(permit) = &permit {
        extensions.insert(permit.clone());
    }
    let response = match (key, &permit) {
        (Some(key), _) => idempotency::run(control, &access, key, request, next).await?,
        (None, Some(permit)) => permit.answer(next.run(request)).await?,
        (None, None) => timeout(REQUEST_TIMEOUT, next.run(request))
            .await
            .map_err(|_| ApiError::unavailable("this took too long", BUSY_RETRY_S))?,
    };
    let mut response = match permit.filter(|_| endpoint.is_stream()) {
        Some(permit) => response.map(|body| permit.carry(body, place)),
        None => response,
    };
    if let Some(left) = left {
        left.write(response.headers_mut());
    }
    if let Some(cookie) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Who asks, the cookie to answer with, and what is left of the bucket that the request drew from.
async fn caller(
    gate: &Gate,
    from: Option<IpAddr>,
    (uri, headers): (&Uri, &HeaderMap),
) -> ApiResult<(Option<Caller>, Option<Left>)> {
    let Gate { control, endpoint } = gate;
    if endpoint.right == Right::Public {
        return Ok((None, from.map(|from| control.rates.draw_open(from)).transpose()?));
    }
    let presented = control.authn.presented(headers);
    let shown = presented.as_ref().ok().map(Presented::digest);
    from.map_or(Ok(()), |from| control.rates.check_guesses(from, shown.as_ref()))?;
    let is_terminal = endpoint.operation == Operation::TerminalOpen;
    if presented.as_ref().is_ok_and(Presented::is_cookie) {
        let changes = endpoint.method != Method::Get || is_terminal;
        control.authn.cookies.check_origin(headers, changes)?;
    }
    let found = if is_terminal {
        let found = control.terminal_principal(uri, presented).await;
        found.map(|principal| Caller { principal, renewed: None })
    } else {
        match presented {
            Ok(presented) => control.authn.caller(&control.store, &presented).await,
            Err(missing) => Err(missing),
        }
    };
    let caller = match (found, from) {
        (Err(error), Some(from)) if error.code() == ErrorCode::Unauthenticated => {
            control.rates.count_guess(from, shown.as_ref());
            return Err(error);
        }
        (found, _) => found?,
    };
    let left = control.rates.draw(&control.store, &caller.principal, endpoint.rate).await?;
    // A terminal may have been opened by its token, and the key not been looked at.
    if let Some(shown) = shown.filter(|_| !is_terminal) {
        control.rates.trust(shown);
    }
    Ok((Some(caller), left))
}

/// Whether a request may take as long as its client wants, in one of the two directions.
fn is_long(endpoint: &Endpoint) -> bool {
    endpoint.is_stream() || matches!(endpoint.request, Payload::Bytes)
}

/// The outermost layer: request id, span, and an answer even when a handler panics.
pub(crate) async fn identify(
    State(control): State<Arc<Control>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers()).unwrap_or_else(|| control.request_id());
    request.extensions_mut().insert(RequestId(id.clone()));
    control.proxies.reveal(&mut request);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        operation = tracing::field::Empty,
        workspace = tracing::field::Empty,
    );
    let large = is_large(&request);
    let (reads, began) = (request.method().is_safe(), Instant::now());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answer.unwrap_or_else(|panic| {
        span.in_scope(|| ApiError::internal(panic_text(&*panic)).into_response())
    });
    span.in_scope(|| note(reads, response.status(), began.elapsed()));
    response.headers_mut().insert(REQUEST_ID, id);
    if large && (response.status().is_client_error() || response.status().is_server_error()) {
        // The body may not have been read: the client must not send another request behind it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// One line for each request that may have changed something.
fn note(reads: bool, status: StatusCode, took: Duration) {
    let (status, took_ms) = (status.as_u16(), took.as_millis());
    if reads {
        tracing::debug!(status, took_ms, "answered");
    } else {
        tracing::info!(status, took_ms, "answered");
    }
}

/// Whether a request has a body that is not read in passing when its handler leaves it.
fn is_large(request: &Request) -> bool {
    let length = request.body().size_hint();
    length.upper().is_none_or(|upper| upper > READ_IN_PASSING_BYTES)
}

fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let text = value.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !text.is_empty() && text.len() <= REQUEST_ID_MAX_LEN && text.bytes().all(plain);
    fits.then(|| value.clone())
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("handler panicked: {}", text.unwrap_or_default())
}

/// No such path.
pub(crate) async fn unknown_path(uri: Uri, headers: HeaderMap) -> Response {
    let text = "there is no such path; the API is under /api/v1";
    refused(&uri, &headers, ApiError::new(ErrorCode::NotFound, text))
}

/// See [`not_this_method`].
pub(crate) async fn wrong_method(uri: Uri, headers: HeaderMap) -> Response {
    refused(&uri, &headers, not_this_method())
}

/// The path is there, but not for this method.
pub(crate) fn not_this_method() -> ApiError {
    ApiError::request("this path does not take this method").status(StatusCode::METHOD_NOT_ALLOWED)
}

/// A refusal as a page, where somebody looks who wants one; else as the API's document.
fn refused(uri: &Uri, headers: &HeaderMap, error: ApiError) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accepts.is_some_and(|accept| accept.contains("text/html"));
    match is_browser && !uri.path().starts_with("/api/") {
        true => pages::refusal(error),
        false => error.into_response(),
    }
}
