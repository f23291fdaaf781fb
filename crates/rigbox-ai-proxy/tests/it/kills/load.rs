//! Callers: what each asks for, and what it sees of the answer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use rigbox_fabric::MultiplexedClient;
use rigbox_types::{AccountId, HostId, WorkspaceId};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

/// Most that a call of the load writes.
const OUTPUT_MAX: u64 = 200;

/// Random enough, and the same for the same seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }
}

/// What a call is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Stream,
    /// The caller goes after so many pieces of a stream.
    LeftStream(u64),
    /// The caller goes before the answer has come.
    LeftWhole,
    /// Refused first, and then not.
    Again,
    /// Refused for good, not worked on.
    Refused,
    /// Broken off by the provider, before or in the middle of its answer.
    HungUp,
    Cut,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) account: AccountId,
    pub(super) workspace: WorkspaceId,
}

/// How a call ended, as its caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With what ends an answer, whatever came behind it.
    Whole,
    /// With a status that is no success.
    Refused(StatusCode),
    /// The caller went.
    Left,
    /// In the middle, or before anything came.
    Broken,
}

/// A call that is over.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// What it is known by: its subject, and the agent that the provider sees.
    pub(super) name: String,
    pub(super) account: AccountId,
    pub(super) kind: Kind,
    /// Of its model, for a token read and one written, in micro-credits.
    pub(super) prices: (i64, i64),
    /// What it may cost at most.
    pub(super) most: i64,
    pub(super) outcome: Outcome,
}

/// What all callers share.
pub(super) struct Load {
    pub(super) client: MultiplexedClient,
    pub(super) host: HostId,
    pub(super) who: Vec<Who>,
    /// Whether the proxy serves: nobody asks one that does not.
    pub(super) serves: watch::Receiver<bool>,
    pub(super) ends: AtomicBool,
    pub(super) begun: Arc<AtomicUsize>,
    pub(super) done: Mutex<Vec<Done>>,
    pub(super) answered: Notify,
}

impl Load {
    /// Calls until it is told to end.
    pub(super) async fn call_on(self: Arc<Self>, mut dice: Dice) {
        let mut serves = self.serves.clone();
        while !self.ends.load(Ordering::SeqCst) {
            // The sender is gone where the test has failed.
            if serves.wait_for(|serves| *serves).await.is_err() {
                return;
            }
            let done = self.call(&mut dice).await;
            if done.outcome == Outcome::Refused(StatusCode::SERVICE_UNAVAILABLE) {
                // As it was told, only not as long.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.done.lock().unwrap().push(done);
            self.answered.notify_waiters();
        }
    }

    /// Waits until so many more calls are over.
    pub(super) async fn after(&self, calls: usize) {
        let until = self.done.lock().unwrap().len() + calls;
        loop {
            let answered = self.answered.notified();
            if self.done.lock().unwrap().len() >= until {
                return;
            }
            answered.await;
        }
    }

    async fn call(&self, dice: &mut Dice) -> Done {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        let name = format!("call-{number}");
        let who = &self.who[dice.index(self.who.len())];
        let kind = match dice.below(20) {
            0..5 => Kind::Whole,
            5..11 => Kind::Stream,
            11..13 => Kind::LeftStream(1 + dice.below(4)),
            13..15 => Kind::LeftWhole,
            15..17 => Kind::Again,
            17..18 => Kind::Refused,
            18..19 => Kind::HungUp,
            _ => Kind::Cut,
        };
        let is_claude = dice.below(3) == 0;
        let (path, model, prices) = if is_claude {
            ("/v1/messages", "claude-sonnet-4-5", (300, 1_500))
        } else {
            ("/v1/chat/completions", "gpt-4.1-mini", (40, 160))
        };
        let sim = directive(&name, kind, dice);
        let is_stream = matches!(kind, Kind::Stream | Kind::LeftStream(_) | Kind::Cut);
        let body = json!({
            "model": model,
            "stream": is_stream,
            "max_tokens": OUTPUT_MAX,
            "messages": [{ "role": "user", "content": format!("hello [[sim {sim}]]") }],
        })
        .to_string();
        // A token a byte, what the provider adds, and caches at twice the price.
        let read = 2 * (i64::try_from(body.len()).unwrap() + 2_048) * prices.0;
        let most = read + i64::try_from(OUTPUT_MAX).unwrap() * prices.1;
        let uri = format!("/internal/v1/hosts/{}/ai/{}{path}", self.host, who.workspace);
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("user-agent", &name)
            .header("x-rigbox-subject", &name)
            .body(Body::from(body))
            .unwrap();
        let outcome = match kind {
            Kind::LeftWhole => {
                let patience = Duration::from_millis(dice.below(12));
                let asked = tokio::time::timeout(patience, self.ask(request, u64::MAX)).await;
                asked.unwrap_or(Outcome::Left)
            }
            Kind::LeftStream(pieces) => self.ask(request, pieces).await,
            _ => self.ask(request, u64::MAX).await,
        };
        Done { name, account: who.account, kind, prices, most, outcome }
    }

    /// Asks, and reads at most so many pieces of the answer.
    async fn ask(&self, request: Request<Body>, pieces: u64) -> Outcome {
        let Ok(answer) = self.client.request(request).await else { return Outcome::Broken };
        let status = answer.status();
        let is_stream =
            answer.headers().get("content-type").is_some_and(|kind| kind != "application/json");
        let (mut body, mut all, mut left) = (answer.into_body(), Vec::new(), pieces);
        loop {
            let frame = match body.frame().await {
                None if status.is_success() && !is_stream => return Outcome::Whole,
                None if status.is_success() && is_over(&all) => return Outcome::Whole,
                None if status.is_success() => return Outcome::Broken,
                None => return Outcome::Refused(status),
                // Whoever has seen the end of a stream has all of it.
                Some(Err(_)) if status.is_success() && is_over(&all) => return Outcome::Whole,
                Some(Err(_)) => return Outcome::Broken,
                Some(Ok(frame)) => frame,
            };
            all.extend_from_slice(&frame.into_data().unwrap_or(Bytes::new()));
            left -= 1;
            if left == 0 {
                return Outcome::Left;
            }
        }
    }
}

/// Whether what ends a stream is there.
fn is_over(stream: &[u8]) -> bool {
    let stream = String::from_utf8_lossy(stream);
    stream.contains("data: [DONE]") || stream.contains("\"type\":\"message_stop\"")
}

/// What the provider is to do.
fn directive(name: &str, kind: Kind, dice: &mut Dice) -> Value {
    let mut sim = json!({
        "input": 500 + dice.below(500),
        "output": 1 + dice.below(OUTPUT_MAX),
        "first_ms": dice.below(20),
    });
    match kind {
        Kind::Whole | Kind::LeftWhole => {}
        Kind::Stream | Kind::LeftStream(_) => {
            sim["pieces"] = json!(6);
            sim["gap_ms"] = json!(dice.below(6));
            // Also between what ends an answer and the end of its stream.
            sim["drip_ms"] = json!(dice.below(4));
        }
        Kind::Again => {
            let status = [429, 503, 529][dice.index(3)];
            sim["error"] = json!({ "status": status, "retry_after": 0 });
            sim["fail_first"] = json!(1);
            sim["series"] = json!(name);
        }
        Kind::Refused => sim["error"] = json!({ "status": 400 }),
        Kind::HungUp => sim["hang_up"] = json!(true),
        Kind::Cut => sim["cut_after"] = json!(200 + dice.below(400)),
    }
    sim
}
