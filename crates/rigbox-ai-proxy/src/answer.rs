//! Answers of providers, on their way to a caller.
//! Invariants: the beginning of a call is on disk before the head of its answer is passed on; what a call
//! has cost is written down before the last of a whole answer is; nothing of a key, an account or a cookie
//! of ours comes through; a redirect is an error.

mod stream;
mod whole;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use memchr::memmem;
use rigbox_ai::{
    prices::ProviderName,
    route::{Operation, headers},
    translate::{self, Answering},
    usage::{Dialect, Ending, Framing, Report},
};
use rigbox_types::{Credits, Timestamp, api::ai::AiMode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    places::Share,
    plan::Plan,
    provider::{Admitted, Provider, Verdict},
    refusal::Refusal,
    settling::Settling,
};

/// Longest error of a provider that is passed on.
const ERROR_MAX_BYTES: usize = 64 * 1024;

/// How long an error may take.
const ERROR_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Shortest key that is looked for in an error: a shorter one would be found in anything.
const KEY_MIN_LEN: usize = 8;

/// What a provider has said so far, and what belongs to the call.
pub(crate) struct Seen {
    pub(crate) response: Response<Incoming>,
    /// Where the answer is still to show whether the provider works.
    pub(crate) admitted: Option<Admitted>,
    pub(crate) key: SecretString,
    pub(crate) mode: AiMode,
    pub(crate) place: [OwnedSemaphorePermit; 2],
    pub(crate) share: Share,
    /// Where the provider speaks otherwise than the caller.
    pub(crate) answering: Option<Answering>,
    pub(crate) stamp: Stamp,
}

/// What an answer that we write ourselves is known by.
pub(crate) struct Stamp {
    pub(crate) id: String,
    pub(crate) created: Timestamp,
}

impl Stamp {
    fn get(&self) -> translate::Stamp<'_> {
        let created = u64::try_from(self.created.as_micros() / 1_000_000).unwrap_or(0);
        translate::Stamp { id: &self.id, created }
    }
}

/// The answer to a caller.
pub(crate) async fn answer(
    plan: &Plan<'_>,
    call: Option<Settling>,
    seen: Seen,
) -> Result<Response<Body>, Refusal> {
    let status = seen.response.status();
    if !status.is_success() {
        return error(plan.provider, seen).await;
    }
    if !headers::is_plain(seen.response.headers()) {
        // What was read of it is unknown: the call is settled by an estimate as it is dropped.
        tracing::warn!(provider = %plan.provider.name, "an answer is encoded although it must not be");
        let message =
            format!("{} answered in an encoding it was not asked for", plan.provider.name);
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "provider_malformed", message));
    }
    if is_stream(plan.operation, framing(seen.response.headers())) {
        return Ok(stream::answer(plan, call, seen).await);
    }
    whole::answer(plan, call, seen).await
}

fn framing(headers: &HeaderMap) -> Framing {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.map_or(Framing::Json, Framing::of)
}

/// Gemini streams a JSON array where nobody asks for events.
fn is_stream(operation: Operation, framing: Framing) -> bool {
    framing == Framing::Events || operation == Operation::StreamGenerate
}

/// How answers to an operation are read: as the provider writes them.
fn dialect(plan: &Plan<'_>) -> Dialect {
    if plan.is_translated { plan.provider.dialect } else { plan.operation.dialect() }
}

/// What an answer has shown of its provider.
fn verdict(report: &Report) -> Verdict {
    match report.ending {
        Ending::Whole => Verdict::Works,
        // An error within an answer is one, whatever its status, and counts as its status would.
        Ending::Failed if report.is_refusal => Verdict::Works,
        Ending::Failed | Ending::Cut => Verdict::Failed,
    }
}

/// What a call has cost, where it is known.
fn tell_cost(headers: &mut HeaderMap, cost: Credits) {
    headers.insert("x-rigbox-cost-micro", HeaderValue::from(cost.micro()));
    if let Ok(value) = HeaderValue::try_from(cost.to_string()) {
        headers.insert("x-rigbox-cost-credits", value);
    }
}

/// An answer that is no success: as the provider says it, but for what only the operator may know.
async fn error(provider: &Provider, seen: Seen) -> Result<Response<Body>, Refusal> {
    let status = seen.response.status();
    let name = &provider.name;
    if status.is_redirection() || status.is_informational() {
        let message = format!("{name} answered with a redirect, which is not followed with a key");
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "provider_malformed", message));
    }
    let is_about_key = matches!(status.as_u16(), 401..=403);
    if seen.mode == AiMode::Managed && is_about_key {
        tracing::error!(provider = %name, %status, "a provider refuses the platform's key");
        let message = format!(
            "{name} does not accept the platform's key; tell its operator, or use a key of your own"
        );
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "provider_refused", message));
    }
    let mut headers = headers::downstream(seen.response.headers());
    headers.remove(header::CONTENT_LENGTH);
    let body = Limited::new(seen.response.into_body(), ERROR_MAX_BYTES).collect();
    let body = match timeout(ERROR_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        // The status says enough.
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let is_about_account = status == StatusCode::TOO_MANY_REQUESTS || names_account(status, &body);
    if seen.mode == AiMode::Managed && is_about_account {
        return Err(of_account(name, status, headers.get(header::RETRY_AFTER)));
    }
    let body = without(&body, &seen.key);
    let (status, body) = match &seen.answering {
        None => (status, body),
        Some(answering) => {
            let said = answering.whole(status.as_u16(), &body, seen.stamp.get());
            (StatusCode::from_u16(said.status).unwrap_or(status), said.body.into())
        }
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// Whether a provider speaks of the account of whoever has the key. What is wrong with a request may be
/// called by any word of the caller's, so only a provider's own sentence counts there.
fn names_account(status: StatusCode, body: &[u8]) -> bool {
    let sentences: &[&[u8]] = &[b"credit balance is too low", b"insufficient_quota"];
    let words: &[&[u8]] = &[b"billing", b"organization"];
    let has = |all: &[&[u8]]| all.iter().any(|word| memmem::find(body, word).is_some());
    has(sentences) || (!matches!(status.as_u16(), 400 | 413 | 422) && has(words))
}

/// What a provider says of the platform's account is the operator's; that it says something is the caller's.
fn of_account(name: &ProviderName, status: StatusCode, wait: Option<&HeaderValue>) -> Refusal {
    if status != StatusCode::TOO_MANY_REQUESTS {
        tracing::error!(provider = %name, %status, "a provider speaks of the platform's account");
        let message =
            format!("{name} does not serve the platform at the moment; tell its operator");
        return Refusal::new(StatusCode::BAD_GATEWAY, "provider_refused", message);
    }
    let message = format!("{name} has too many calls of this platform; try again");
    let refusal = Refusal::new(status, "provider_rate_limited", message);
    let seconds = wait.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match seconds {
        Some(seconds) => refusal.after(std::time::Duration::from_secs(seconds)),
        None => refusal,
    }
}

/// A text without a key that a provider may repeat.
fn without(body: &Bytes, key: &SecretString) -> Bytes {
    let key = key.expose_secret().as_bytes();
    if key.len() < KEY_MIN_LEN || memmem::find(body, key).is_none() {
        return body.clone();
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.as_ref();
    while let Some(at) = memmem::find(rest, key) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(b"[key]");
        rest = rest.get(at + key.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.into()
}
