//! `Idempotency-Key`: the same key with the same request gives the first answer again, with another
//! request 409. A request with a key runs to its end even when its client goes away, so that its
//! answer can be kept; where its process was killed, a repeat answers with what had been made.
//! Invariants: what is kept of an account is bounded, in number and of each; a large answer is not
//! kept, so whatever is large and was made, is noted with its claim by its handler.

use std::{convert::Infallible, pin::pin, str::FromStr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use rigbox_fabric::task;
use rigbox_store::{
    Adding,
    idempotency::{Begin, Claim, LEASE},
};
use rigbox_types::{
    Principal,
    authz::Standing,
    limits::{
        IDEMPOTENCY_ANSWER_MAX_BYTES, IDEMPOTENCY_HOURS, IDEMPOTENCY_KEY_MAX_LEN,
        IDEMPOTENCY_KEYS_MAX_COUNT,
    },
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::{
    access_control::may_by_path,
    control::Control,
    error::{ApiError, ApiResult, TooFast},
    http::{access::Access, body},
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// When to come again while the first request is under way.
const IN_FLIGHT_RETRY_S: u32 = 2;
/// How often a claim is renewed: two of these may be missed.
const RENEW_EVERY: Duration = LEASE.checked_div(3).expect("three is not zero");

/// What a handler that makes something needs to make it once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Once {
    /// The claim on the key, if the request has one: to be noted with what is made.
    pub(crate) claim: Option<Claim>,
    made: Option<String>,
}

impl Once {
    /// What an interrupted attempt of this request has made already.
    pub(crate) fn made<T: FromStr>(&self) -> Option<T> {
        self.made.as_ref()?.parse().ok()
    }

    /// How a handler adds one of at most so many to the account.
    pub(crate) fn adding(&self, most: u64) -> Adding<'_> {
        Adding { most, claim: self.claim.as_ref() }
    }
}

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The key of a request, if it has one.
pub(crate) fn key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_MAX_LEN || values.next().is_some() {
        let rule =
            format!("must be one value of 1 to {IDEMPOTENCY_KEY_MAX_LEN} visible characters");
        return Err(ApiError::field("Idempotency-Key", rule));
    }
    Ok(Some(text.to_owned()))
}

/// Runs a request once.
pub(crate) async fn run(
    control: &Arc<Control>,
    access: &Access,
    key: String,
    request: Request,
    next: Next,
) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let bytes = body::collect(parts.headers.clone(), body).await?;
    let hash = request_hash(&parts, &bytes, access.principal()?);
    let whose = (access.account()?, most_keys(access.principal()?));
    let begin = control.store.idempotency().begin(whose, &key, &hash).await?;
    let (claim, made) = match begin {
        Begin::Work { claim, made } => (claim, made),
        Begin::Answered { status, body } => {
            // What was shared when it was answered may be shared no more.
            let asked = (access.endpoint, parts.uri.path());
            if may_by_path(control, access.principal()?, asked).await? {
                return Ok(replay(status, body));
            }
            return Err(ApiError::not_found("workspace"));
        }
        Begin::InFlight => {
            return Err(ApiError::conflict("a request with this Idempotency-Key is under way")
                .retry_after(IN_FLIGHT_RETRY_S));
        }
        Begin::TooMany { retry_after_s } => return Err(too_many(retry_after_s)),
        Begin::Mismatch => {
            return Err(ApiError::conflict(
                "this Idempotency-Key was used for another request; take a new one",
            ));
        }
    };
    parts.extensions.insert(Once { claim: Some(claim.clone()), made });
    let request = Request::from_parts(parts, Body::from(bytes));
    let control = control.clone();
    let work = async move {
        let answer = async { settle(&control, &claim, next.run(request).await).await };
        while_renewing(&control, &claim, answer).await
    };
    let work = work.instrument(tracing::Span::current());
    task::spawn("control.idempotent", work).await.map_err(ApiError::internal)?
}

/// How many keys an account may have; the operator's has only the limits of the machine.
fn most_keys(who: &Principal) -> Option<u32> {
    match who {
        Principal::Key { standing: Standing::Operator, .. } => None,
        Principal::Key { .. } | Principal::Guest { .. } => Some(IDEMPOTENCY_KEYS_MAX_COUNT),
    }
}

fn too_many(retry_after_s: u32) -> ApiError {
    let limit = IDEMPOTENCY_KEYS_MAX_COUNT;
    let facts = TooFast {
        class: "idempotency_keys",
        limit,
        window_s: IDEMPOTENCY_HOURS.saturating_mul(3_600),
        retry_after_s,
    };
    let text = format!(
        "answers to {limit} requests with an Idempotency-Key are kept for this account, as many as \
         there may be within {IDEMPOTENCY_HOURS} h; send it without one, or come again in \
         {retry_after_s} s"
    );
    facts.refusal(text).adding(json!({ "used": limit }))
}

/// Does the work, and keeps the claim on it meanwhile.
async fn while_renewing<T>(control: &Control, claim: &Claim, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(renew(control, claim))).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}

async fn renew(control: &Control, claim: &Claim) -> Infallible {
    loop {
        sleep(RENEW_EVERY).await;
        if let Err(error) = control.store.idempotency().renew(claim).await {
            tracing::warn!(%error, "a claim was not renewed");
        }
    }
}

/// Keeps the answer, or gives the key back where a repeat may fare better.
async fn settle(control: &Control, claim: &Claim, response: Response) -> ApiResult<Response> {
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            control.store.idempotency().abandon(claim).await?;
            return Err(ApiError::internal(error));
        }
    };
    let text =
        std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= IDEMPOTENCY_ANSWER_MAX_BYTES);
    let passing = parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS;
    match text {
        Some(text) if !passing => {
            control.store.idempotency().finish(claim, parts.status.as_u16(), text).await?;
        }
        Some(_) | None => control.store.idempotency().abandon(claim).await?,
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn replay(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [json, (REPLAYED, HeaderValue::from_static("true"))], body).into_response()
}

/// What makes two requests the same: method, path with query, body, and what the key may do. An
/// answer that is kept is given without asking again who may have it, so it is only for a key with
/// the same scopes.
fn request_hash(parts: &Parts, body: &[u8], who: &Principal) -> [u8; 32] {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let scopes = match who {
        Principal::Key { scopes, .. } if !scopes.is_full() => scopes.to_string(),
        Principal::Key { .. } | Principal::Guest { .. } => String::new(),
    };
    let mut digest = Sha256::new();
    let of_all = [parts.method.as_str().as_bytes(), target.as_bytes(), body];
    let of_narrow = (!scopes.is_empty()).then_some(scopes.as_bytes());
    for part in of_all.into_iter().chain(of_narrow) {
        // The length keeps the parts apart.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
