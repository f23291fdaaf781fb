//! One call, from its head to the head of its answer.
//!
//! ```text
//! who ── where to ── body ── plan ── hold ── journal ── provider ── answer
//!  403      404       413     400/404   402                502..504
//! ```
//!
//! Invariants: what is refused has held nothing and has cost nothing, but for what a provider may have worked
//! on; a request is sent again only where it surely was not worked on, and is one call then; the caller's
//! credentials end here.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use hyper::body::Incoming;
use rigbox_ai::{
    route::{self, Operation, Route, Spoken, headers},
    settle::Attempt,
    translate::Answering,
    usage::{Dialect, Report},
};
use rigbox_store::ai::AiCaller;
use rigbox_types::{AccountId, Credits, api::ai::AiMode, guest::refusal::Shape};
use secrecy::SecretString;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
    time::{error::Elapsed, sleep, timeout},
};

use crate::{
    answer::{self, Stamp},
    caller,
    hang_up::Presence,
    journal::{Beginning, CallId, request_id},
    models,
    plan::{Plan, Tables},
    provider::{Admitted, Provider, Verdict},
    proxy::Proxy,
    purse::{Hold, HoldError},
    refusal::{Refusal, unpaid},
    settling::{Parts, Settling},
    subject::{Limits, subject},
};

/// How long a provider may take until it says how it answers: an answer that comes as a whole may take it
/// that long to write.
const HEAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Longest time between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(8);

/// Time before the second attempt where the provider says none; before the third twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(250);

/// A call on its way to a provider.
struct Sending<'a> {
    plan: &'a Plan<'a>,
    admitted: Admitted,
    presence: &'a Presence,
    /// Whether it is seen to its end without its caller.
    is_kept: bool,
}

/// What goes to a provider, again where it must.
struct Outgoing {
    method: Method,
    uri: http::Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Who asks for what, as the relay says it.
pub(crate) struct Asked {
    pub(crate) host: String,
    pub(crate) workspace: String,
    /// The path that a workspace has asked for.
    pub(crate) path: String,
    pub(crate) presence: Presence,
}

impl Proxy {
    /// Answers a call of a workspace.
    pub(crate) async fn answer(&self, asked: &Asked, request: Request<Body>) -> Response<Body> {
        let shape = Shape::of(&asked.path);
        let id = CallId::new_v4();
        let answered = Box::pin(self.call(asked, id, request)).await;
        let mut answer = answered.unwrap_or_else(|refusal| {
            self.metrics.refused(refusal.code());
            refusal.answer(shape)
        });
        if let Ok(value) = HeaderValue::try_from(request_id(id)) {
            answer.headers_mut().insert("x-rigbox-request-id", value.clone());
            answer.headers_mut().entry("x-request-id").or_insert(value);
        }
        answer
    }

    async fn call(
        &self,
        asked: &Asked,
        id: CallId,
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let place = self.places.call()?;
        let caller = caller::identify(&self.store, &asked.host, &asked.workspace).await?;
        let (head, body) = request.into_parts();
        let route = route::route(&head.method, &asked.path, head.uri.query())?;
        if route.spoken == Spoken::Gateway && route.operation == Operation::ModelList {
            return match &route.model {
                None => Ok(models::list(self, &caller)),
                Some(model) => models::one(self, &caller, model),
            };
        }
        let share = self.places.share(caller.account);
        let place = [place, share.call()?];
        let (body, memory) = share.read(body).await?;
        let prices = self.prices.load_full();
        let tables = Tables {
            providers: &self.providers,
            prices: &prices,
            aliases: &self.aliases,
            now: self.store.now(),
        };
        let mut plan = computing(&body, || Plan::make(&tables, &caller, &route, &body))?;
        let key = caller::key(&caller, &self.vault, plan.provider)?;
        let mut call = self.begin(id, (&caller, &head), &mut plan).await?;
        let (outgoing, answering) =
            computing(&body, || outgoing(&plan, &route, (&head, &body), &key))?;
        drop(body);
        // Last of all, so that whoever is let through to see does ask the provider.
        let admitted = admit(plan.provider, caller.account)?;
        let is_kept = !plan.is_stream() && caller.mode == AiMode::Managed;
        let to = Sending { plan: &plan, admitted, presence: &asked.presence, is_kept };
        let (response, admitted) = self.send(to, &mut call, &outgoing).await?;
        drop((outgoing, memory));
        let stamp = Stamp { id: request_id(id), created: self.store.now() };
        let mode = caller.mode;
        let seen = answer::Seen { response, admitted, key, mode, place, share, answering, stamp };
        answer::answer(&plan, call, seen).await
    }

    /// Holds what a call may cost and writes down that it begins; nothing for one that no provider charges
    /// for.
    async fn begin(
        &self,
        id: CallId,
        (caller, head): (&AiCaller, &request::Parts),
        plan: &mut Plan<'_>,
    ) -> Result<Option<Settling>, Refusal> {
        if !plan.operation.is_priced() {
            if caller.mode == AiMode::Managed {
                self.free.admit(caller.account, self.store.now())?;
            }
            return Ok(None);
        }
        let subject = subject(&head.headers, plan.request.user.as_deref())?;
        let limits = match &subject {
            Some(_) => Limits::read(&head.headers)?,
            None => Limits::default(),
        };
        let worst = plan.estimate.as_ref().map_or(Credits::ZERO, |estimate| estimate.hold);
        let under_way = match &subject {
            Some(subject) => {
                let of = (caller.account, subject.as_str());
                let with = (id, &limits, worst);
                Some(self.subjects.admit((&self.store, &self.purse), of, with).await?)
            }
            None => None,
        };
        let hold = self.hold(caller, plan).await?;
        let beginning = Beginning {
            account: caller.account,
            workspace: caller.workspace.clone(),
            provider: plan.provider.name.to_string(),
            model: plan.model.clone(),
            operation: plan.operation.as_str().to_owned(),
            mode: caller.mode.as_str().to_owned(),
            subject,
            held: hold.amount(),
            at: self.store.now(),
        };
        let parts = Parts {
            store: self.store.clone(),
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
        };
        let begun =
            Settling::begin(parts, (id, beginning), (hold, under_way), plan.estimate.clone());
        begun.map(Some)
    }

    /// Holds the worst case, or, where the balance does not pay for it and the request does not say how
    /// often tools are called and how much is written, for as much as it pays for.
    async fn hold(&self, caller: &AiCaller, plan: &mut Plan<'_>) -> Result<Hold, Refusal> {
        let Plan { request, estimate: planned, .. } = plan;
        let request = &*request;
        let refuse = |error, tokens| unpaid(error, request, tokens);
        let Some(mut estimate) = planned.clone() else {
            return self.purse.hold_nothing(caller.account).map_err(|error| refuse(error, None));
        };
        let short = loop {
            let short = match self.purse.hold(caller.account, estimate.hold).await {
                Ok(hold) => {
                    *planned = Some(estimate);
                    return Ok(hold);
                }
                Err(HoldError::Exhausted(short)) => short,
                Err(error) => return Err(refuse(error, None)),
            };
            match estimate.with_fewer_calls(request) {
                Some(fewer) => estimate = fewer,
                None => break short,
            }
        };
        let tokens = estimate.affordable(short.fits());
        let clamped = tokens.and_then(|tokens| {
            // Less than this is no answer.
            const LEAST_TOKENS: u64 = 16;
            (tokens >= LEAST_TOKENS).then(|| estimate.clamped(tokens)).flatten()
        });
        let Some(clamped) = clamped else {
            return Err(refuse(HoldError::Exhausted(short), tokens));
        };
        let hold = self.purse.hold(caller.account, clamped.hold).await;
        let hold = hold.map_err(|error| refuse(error, tokens))?;
        *planned = Some(clamped);
        Ok(hold)
    }

    /// Sends a request, again where it surely was not worked on. What comes of it is an answer of the
    /// provider, also one that is no success; whether the provider works shows in one that is.
    async fn send(
        &self,
        Sending { plan, admitted, presence, is_kept }: Sending<'_>,
        call: &mut Option<Settling>,
        outgoing: &Outgoing,
    ) -> Result<(Response<Incoming>, Option<Admitted>), Refusal> {
        let provider = plan.provider;
        let mut number = 1;
        loop {
            if let Some(call) = call {
                call.sent(plan.is_stream());
                presence.keep(is_kept);
            }
            let sent = timeout(HEAD_TIMEOUT, provider.send(outgoing.request())).await;
            let attempt = attempt(&sent);
            let verdict = self.note(provider, attempt);
            let asked = match &sent {
                Ok(Ok(response)) => retry_after(response.headers()),
                Ok(Err(_)) | Err(_) => None,
            };
            let wait = asked.unwrap_or_else(|| RETRY_FIRST.saturating_mul(number));
            // Who would wait longer is told so, and asks again by itself.
            if attempt.may_be_repeated(number) && wait <= RETRY_MAX {
                if let Some(call) = call {
                    call.not_sent();
                }
                presence.keep(false);
                if presence.is_gone() {
                    return Err(Refusal::unavailable("nobody waits for the answer"));
                }
                sleep(wait).await;
                number += 1;
                continue;
            }
            let admitted = match verdict {
                Some(verdict) => {
                    admitted.is(verdict);
                    None
                }
                None => Some(admitted),
            };
            if let Some(call) = call {
                if let Ok(Ok(response)) = &sent {
                    call.answered(response.status().as_u16());
                }
                if !attempt.is_settled() {
                    call.release();
                } else if !matches!(sent, Ok(Ok(_))) {
                    call.settle(&Report::default());
                }
            }
            let response = sent
                .map_err(|_| silent(provider))?
                .map_err(|error| unreachable(provider, &error))?;
            return Ok((response, admitted));
        }
    }

    /// What an attempt says of the provider; nothing yet where an answer begins.
    fn note(&self, provider: &Provider, attempt: Attempt) -> Option<Verdict> {
        let what = match attempt {
            Attempt::NotSent => "connect",
            Attempt::Silent => "silent",
            Attempt::Refused(429) => "too_many",
            Attempt::Refused(500..) => "server_error",
            Attempt::Refused(401 | 403) => "key_refused",
            Attempt::Refused(_) => "refused",
            Attempt::Answered => return None,
        };
        self.metrics.failed(provider.name.as_str(), what);
        Some(match attempt {
            Attempt::NotSent => Verdict::Unreachable,
            Attempt::Silent | Attempt::Refused(500..) => Verdict::Failed,
            Attempt::Refused(_) | Attempt::Answered => Verdict::Works,
        })
    }
}

/// Does what takes as long as a body is: reading a long one keeps a processor for a good part of a second,
/// in which streams of others must go on.
fn computing<T>(body: &Bytes, work: impl FnOnce() -> T) -> T {
    const LONG_BYTES: usize = 256 * 1024;
    let has_threads = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if body.len() > LONG_BYTES && has_threads { block_in_place(work) } else { work() }
}

/// Lets a call through to a provider that works.
fn admit(provider: &Provider, account: AccountId) -> Result<Admitted, Refusal> {
    provider.breaker.admit(account).map_err(|broken| {
        let message = format!("{} has failed several times in a row; try again", provider.name);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", message)
            .after(broken.retry_after)
    })
}

impl Outgoing {
    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What goes to the provider: what is listed of the caller's, with the key that counts.
fn outgoing(
    plan: &Plan<'_>,
    route: &Route,
    (head, body): (&request::Parts, &Bytes),
    key: &SecretString,
) -> Result<(Outgoing, Option<Answering>), Refusal> {
    /// What Anthropic wants to be told, where the caller does not say it.
    const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
    let provider = plan.provider;
    let mut headers = headers::upstream(&head.headers, provider.scheme, key, plan.payer)
        .map_err(|error| Refusal::internal("a provider's key", &error))?;
    if provider.dialect == Dialect::Anthropic {
        headers.entry("anthropic-version").or_insert(ANTHROPIC_VERSION);
    }
    let mut answering = None;
    let (mut path, mut query) = (route.path.as_str(), route.query.as_deref());
    let translated;
    let body = if head.method == Method::GET {
        Bytes::new()
    } else if plan.is_translated {
        translated = plan.translated(body)?;
        (path, query) = (&translated.path, translated.query);
        answering = Some(translated.answering);
        translated.body.into()
    } else {
        plan.body(body)?
    };
    if !body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    let uri = provider.uri(path, query);
    let uri = uri.ok_or_else(|| Refusal::invalid("the path and query make no address"))?;
    Ok((Outgoing { method: head.method.clone(), uri, headers, body }, answering))
}

type Sent = Result<Result<Response<Incoming>, hyper_util::client::legacy::Error>, Elapsed>;

fn attempt(sent: &Sent) -> Attempt {
    match sent {
        Ok(Err(error)) if error.is_connect() => Attempt::NotSent,
        Ok(Err(_)) | Err(_) => Attempt::Silent,
        Ok(Ok(response)) if response.status().is_success() => Attempt::Answered,
        Ok(Ok(response)) => Attempt::Refused(response.status().as_u16()),
    }
}

/// What a provider says about asking again, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn silent(provider: &Provider) -> Refusal {
    let seconds = HEAD_TIMEOUT.as_secs();
    let message = format!("{} did not answer within {seconds} s", provider.name);
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "provider_timeout", message)
}

fn unreachable(provider: &Provider, error: &hyper_util::client::legacy::Error) -> Refusal {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(provider = %provider.name, %error, cause = source, "a provider does not answer");
    let message = format!("{} cannot be reached, or broke off before it answered", provider.name);
    Refusal::new(StatusCode::BAD_GATEWAY, "provider_unreachable", message)
}
