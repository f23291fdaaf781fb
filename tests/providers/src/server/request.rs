//! What happens to one request: it is read, put into the ledger, given its behaviour, and answered.
//! Invariant: a request is in the ledger before anything is decided about it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts,
};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::{Shared, control};
use crate::{
    BODY_MAX_BYTES,
    behaviour::{Behaviour, Failure},
    call::{self, Call, Endpoint},
    directive,
    ledger::{Credential, Ended, Request},
    plan::{Plan, Progress},
    speak::{self, Provider, Refusal},
    wire::{self, Answer, HANG, Ticket},
};

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up, as told")]
pub(super) struct HungUp;

type Body = Either<Answer, Full<Bytes>>;

/// A request that is read.
struct Asked {
    provider: Provider,
    parts: Parts,
    document: Value,
    /// The key that it shows to this provider.
    key: Option<String>,
    call: Call,
}

/// Answers a request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, HungUp> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
        let error = json!({ "error": "the body is too large, or not all of it came" });
        return Ok(control::reply(StatusCode::PAYLOAD_TOO_LARGE, &error).map(Either::Right));
    };
    let body = body.to_bytes();
    let path = parts.uri.path().to_owned();
    if let Some(provider) = Provider::ALL.into_iter().find(|provider| {
        path.strip_prefix(provider.prefix()).is_some_and(|rest| rest.starts_with('/'))
    }) {
        let path = path.strip_prefix(provider.prefix()).unwrap_or_default();
        return ask(&shared, (provider, path), (parts, &body)).await;
    }
    if path == "/sim/trap" {
        let mut request = describe(&shared, &parts, &body);
        request.path = path;
        drop(finished(&shared, request, (StatusCode::OK, Ended::Whole)));
        let trapped = json!({ "trapped": true });
        return Ok(control::reply(StatusCode::OK, &trapped).map(Either::Right));
    }
    Ok(control::answer(&shared, &parts, &body).map(Either::Right))
}

/// Answers what is below a provider's prefix.
async fn ask(
    shared: &Arc<Shared>,
    to: (Provider, &str),
    came: (Parts, &Bytes),
) -> Result<Response<Body>, HungUp> {
    let ((provider, path), (parts, body)) = (to, came);
    let mut request = describe(shared, &parts, body);
    (request.provider, request.path) = (Some(provider), path.to_owned());
    let places: &[&str] = match provider {
        Provider::OpenAi | Provider::OpenRouter => &["authorization"],
        Provider::Anthropic => &["x-api-key", "authorization"],
        Provider::Google => &["x-goog-api-key", "?key"],
        Provider::Brave => &["x-subscription-token"],
    };
    let shown = request.credentials.iter().find(|shown| places.contains(&shown.place.as_str()));
    let key = shown.map(|shown| shown.value.clone());
    let refuse = |request, refusal: &Refusal| {
        let ticket = finished(shared, request, (refusal.status(), Ended::Refused));
        Ok(refused(provider, refusal, &Behaviour::default(), ticket))
    };
    let Some(at) = call::route(provider, path) else {
        let message = format!("Invalid URL ({} {path})", parts.method);
        return refuse(request, &Refusal::because(provider, 404, message));
    };
    let method = if at.0.is_read() { Method::GET } else { Method::POST };
    if parts.method != method {
        let message = format!("Not allowed to {} on {path}", parts.method);
        return refuse(request, &Refusal::because(provider, 405, message));
    }
    let document = if at.0.is_read() { Ok(Value::Null) } else { serde_json::from_slice(body) };
    let Ok(document) = document else {
        let message = "We could not parse the JSON body of your request.".to_owned();
        return refuse(request, &Refusal::because(provider, 400, message));
    };
    let call = Call::read(provider, at, &document, parts.uri.query().unwrap_or_default());
    (request.model, request.images) = (call.model.clone(), call.images);
    request.is_stream = call.is_stream;
    let asked = Asked { provider, parts, document, key, call };
    let behaviour = behaviour(shared, &asked, body);
    let ticket = Ticket::new(shared.clone(), shared.begin(request));
    match behaviour {
        Err(error) => {
            let refusal = Refusal::because(provider, 400, format!("sim: {error}"));
            Ok(refused(provider, &refusal, &Behaviour::default(), ticket))
        }
        Ok((behaviour, series)) => act(shared, asked, (behaviour, &series), ticket).await,
    }
}

/// Does as the behaviour says.
async fn act(
    shared: &Arc<Shared>,
    asked: Asked,
    as_told: (Behaviour, &str),
    mut ticket: Ticket,
) -> Result<Response<Body>, HungUp> {
    let ((behaviour, series), provider) = (as_told, asked.provider);
    if behaviour.hang_up {
        ticket.ended = Ended::Cut;
        return Err(HungUp);
    }
    if let Some(refusal) = refusal(shared, &asked) {
        return Ok(refused(provider, &refusal, &behaviour, ticket));
    }
    let is_failing = behaviour.fail_first == 0 || shared.attempt(series) <= behaviour.fail_first;
    let failure = match &behaviour.error {
        _ if !is_failing => None,
        None => (behaviour.fail_first > 0).then(Failure::default),
        Some(failure) => Some(failure.clone()),
    };
    let first = Duration::from_millis(behaviour.first_ms);
    let redirect = behaviour.redirect.clone();
    let (hang, is_read) = (behaviour.hang, asked.call.endpoint == Endpoint::Models);
    let plan = Plan::new(ticket.number, shared.unix(), asked.call, behaviour);
    let is_charged = !is_read
        && !matches!(plan.call.endpoint, Endpoint::CountMessages | Endpoint::CountContents);
    let has_worked = failure.as_ref().is_none_or(|failure| failure.billed) && redirect.is_none();
    if is_charged && has_worked {
        let so_far = plan.call.is_stream && failure.is_none();
        let counts = if so_far { plan.charged(Progress::default()) } else { Some(plan.counts) };
        ticket.bill = counts.map(|counts| wire::bill(&plan, counts));
    }
    sleep_for(if hang { HANG } else { first }).await;
    if let Some(failure) = failure {
        let refusal = Refusal::of(provider, &failure, asked.key.as_deref());
        return Ok(refused(provider, &refusal, &plan.behaviour, ticket));
    }
    if let Some(to) = redirect {
        return Ok(redirected(&to, &plan.behaviour, ticket));
    }
    Ok(answered(plan, &asked.parts, ticket, is_charged))
}

/// A timer of no time would still be one.
async fn sleep_for(length: Duration) {
    if !length.is_zero() {
        sleep(length).await;
    }
}

/// What the real provider would not take, keys first.
fn refusal(shared: &Shared, asked: &Asked) -> Option<Refusal> {
    let key = asked.key.as_deref().filter(|key| !key.is_empty());
    let is_right = shared.key.is_none() || key == shared.key.as_deref();
    if key.is_none() || !is_right {
        return Some(speak::refuse(asked.provider, key, key.is_none()));
    }
    let message = asked.call.refusal(&asked.parts.headers, &asked.document)?;
    let status = if asked.provider == Provider::Brave { 422 } else { 400 };
    Some(Refusal::because(asked.provider, status, message))
}

/// The behaviour of a request, and the series that it belongs to.
fn behaviour(
    shared: &Shared,
    asked: &Asked,
    body: &Bytes,
) -> Result<(Behaviour, String), serde_json::Error> {
    let settings = shared.settings();
    let behaviour = settings.of(&asked.call.model);
    let directive = match asked.call.endpoint {
        Endpoint::Search => directive::in_text(&asked.call.query),
        _ => directive::find(body, &asked.document),
    };
    let (behaviour, series) = match directive {
        None => (behaviour.clone(), asked.call.model.clone()),
        Some(fields) => (behaviour.with(&fields)?, fields.to_string()),
    };
    let series = behaviour.series.clone().unwrap_or(series);
    Ok((behaviour, series))
}

/// A request as the ledger keeps it.
fn describe(shared: &Shared, parts: &Parts, body: &Bytes) -> Request {
    let mut request = Request {
        at_ms: shared.at_ms(),
        method: parts.method.to_string(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        version: format!("{:?}", parts.version),
        body_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body_sha256: format!("{:x}", Hexadecimal(&Sha256::digest(body))),
        ..Request::default()
    };
    request.keep(&parts.headers);
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(&request.query).unwrap_or_default();
    let keys = pairs.into_iter().filter(|(name, _)| name == "key");
    request
        .credentials
        .extend(keys.map(|(_, value)| Credential { place: "?key".to_owned(), value }));
    request
}

struct Hexadecimal<'b>(&'b [u8]);

impl std::fmt::LowerHex for Hexadecimal<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// The ticket of a request that ends at once.
fn finished(shared: &Arc<Shared>, request: Request, how: (StatusCode, Ended)) -> Ticket {
    let mut ticket = Ticket::new(shared.clone(), shared.begin(request));
    (ticket.status, ticket.ended) = (how.0.as_u16(), how.1);
    ticket
}

fn refused(
    provider: Provider,
    refusal: &Refusal,
    behaviour: &Behaviour,
    mut ticket: Ticket,
) -> Response<Body> {
    ticket.status = refusal.status().as_u16();
    let number = ticket.number;
    let body = Bytes::from(refusal.body(number).to_string());
    let mut headers = refusal.headers();
    headers.extend(usual_headers(provider, number));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    encode(&mut headers, behaviour, Some(body.len()));
    let mut response = Response::new(Either::Left(Answer::refusal(body, behaviour, ticket)));
    (*response.status_mut(), *response.headers_mut()) = (refusal.status(), headers);
    response
}

fn redirected(to: &str, behaviour: &Behaviour, mut ticket: Ticket) -> Response<Body> {
    let status = behaviour.redirect_status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::FOUND);
    let to = if to.is_empty() { "/sim/trap" } else { to };
    ticket.status = status.as_u16();
    let mut response =
        Response::new(Either::Left(Answer::refusal(Bytes::new(), behaviour, ticket)));
    *response.status_mut() = status;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

fn answered(mut plan: Plan, parts: &Parts, mut ticket: Ticket, is_charged: bool) -> Response<Body> {
    ticket.status = StatusCode::OK.as_u16();
    let (provider, endpoint) = (plan.call.provider, plan.call.endpoint);
    let accepted = parts.headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if endpoint == Endpoint::Search && accepted.is_some_and(|value| value.contains("gzip")) {
        plan.behaviour.gzip = true;
    }
    let can_stream = matches!(
        endpoint,
        Endpoint::Chat
            | Endpoint::Completions
            | Endpoint::Responses
            | Endpoint::Messages
            | Endpoint::StreamGenerate
    );
    let is_stream = plan.call.is_stream && can_stream;
    let is_array = endpoint == Endpoint::StreamGenerate && !plan.call.is_sse;
    let kind = match (is_stream && !is_array, provider) {
        (true, Provider::Google) => "text/event-stream",
        (true, _) => "text/event-stream; charset=utf-8",
        (false, Provider::Google) => "application/json; charset=UTF-8",
        (false, _) => "application/json",
    };
    let mut headers = usual_headers(provider, plan.number);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let answer = if is_stream {
        encode(&mut headers, &plan.behaviour, None);
        Answer::stream(plan, is_array, ticket)
    } else {
        let body = Bytes::from(speak::whole(&plan).to_string());
        encode(&mut headers, &plan.behaviour, Some(body.len()));
        if is_charged {
            ticket.bill = Some(wire::bill(&plan, plan.counts));
        }
        Answer::whole(body, &plan.behaviour, ticket)
    };
    let mut response = Response::new(Either::Left(answer));
    *response.headers_mut() = headers;
    response
}

/// How the body is encoded, or how long it is.
fn encode(headers: &mut HeaderMap, behaviour: &Behaviour, length: Option<usize>) {
    if behaviour.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    } else if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

/// What every answer of a provider has.
fn usual_headers(provider: Provider, number: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = |prefix: &str| HeaderValue::try_from(format!("{prefix}sim{number:020x}"));
    let (name, id) = match provider {
        Provider::OpenAi => ("x-request-id", id("req_")),
        Provider::Anthropic => ("request-id", id("req_")),
        Provider::OpenRouter => ("x-generation-id", id("gen-")),
        Provider::Google => ("server-timing", HeaderValue::try_from("gfet4t7; dur=1")),
        Provider::Brave => ("x-ratelimit-remaining", HeaderValue::try_from("19, 14999")),
    };
    if let Ok(id) = id {
        headers.insert(HeaderName::from_static(name), id);
    }
    headers
}
