//! What was asked, and what the real provider would have charged for it.
//! Invariants: both lists are bounded, the oldest goes first; a request is charged at most once, when it
//! ends; totals count what the lists no longer have.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::speak::Provider;

/// Most requests that are kept, and most charges.
const KEPT_MAX: usize = 20_000;

/// Most bytes of names and values of one request's headers that are kept.
const HEADERS_MAX_BYTES: usize = 16 * 1024;

/// Tokens by class, each in one only, and what is paid by the piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Read, and in none of the next five.
    pub input: u64,
    /// Read from a cache.
    pub cached: u64,
    /// Written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Audio that was read.
    pub audio_input: u64,
    /// What tools of the provider have read.
    pub tool_input: u64,
    /// Shown, and in none of the next three.
    pub output: u64,
    /// Written and not shown.
    pub reasoning: u64,
    /// Audio that was written.
    pub audio_output: u64,
    /// Images that were written.
    pub image_output: u64,
    /// Searches on the web.
    pub web_searches: u64,
    /// Pages read.
    pub web_fetches: u64,
    /// Searches in files.
    pub file_searches: u64,
    /// Containers that ran code.
    pub code_interpreters: u64,
}

impl Counts {
    /// All that was read, whatever it costs.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.input
            .saturating_add(self.cached)
            .saturating_add(self.written())
            .saturating_add(self.audio_input)
            .saturating_add(self.tool_input)
    }

    /// All that was put into a cache.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }

    /// All that the model wrote.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.output
            .saturating_add(self.reasoning)
            .saturating_add(self.audio_output)
            .saturating_add(self.image_output)
    }

    fn add(&mut self, other: &Self) {
        let sum = |one: &mut u64, two: u64| *one = one.saturating_add(two);
        sum(&mut self.input, other.input);
        sum(&mut self.cached, other.cached);
        sum(&mut self.cache_write_5m, other.cache_write_5m);
        sum(&mut self.cache_write_1h, other.cache_write_1h);
        sum(&mut self.audio_input, other.audio_input);
        sum(&mut self.tool_input, other.tool_input);
        sum(&mut self.output, other.output);
        sum(&mut self.reasoning, other.reasoning);
        sum(&mut self.audio_output, other.audio_output);
        sum(&mut self.image_output, other.image_output);
        sum(&mut self.web_searches, other.web_searches);
        sum(&mut self.web_fetches, other.web_fetches);
        sum(&mut self.file_searches, other.file_searches);
        sum(&mut self.code_interpreters, other.code_interpreters);
    }
}

/// A secret that a request has shown, wherever it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The header's name, or `?key` for the query.
    pub place: String,
    /// What was shown, without `Bearer`.
    pub value: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It has not.
    #[default]
    Open,
    /// With all of the answer.
    Whole,
    /// With an error: a status, or inside a stream.
    Refused,
    /// Cut off by the simulator, as it was told to.
    Cut,
    /// The client went away before the end.
    Left,
}

/// A request, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Counts from 1.
    pub id: u64,
    /// When it had come, in milliseconds from the start of the simulator.
    pub at_ms: u64,
    /// Whose prefix it had. None for what a redirect led here.
    pub provider: Option<Provider>,
    /// The method.
    pub method: String,
    /// The path, without the provider's prefix.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
    /// The version of HTTP: `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Every header, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Every secret that was shown.
    pub credentials: Vec<Credential>,
    /// Length of the body.
    pub body_bytes: u64,
    /// SHA-256 of the body, in hexadecimal digits.
    pub body_sha256: String,
    /// The model that was asked for.
    pub model: String,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// How many images it had.
    pub images: u64,
    /// The status of the answer, 0 before there is one.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent_bytes: u64,
    /// How it ended.
    pub ended: Ended,
    /// When, in milliseconds from the start of the simulator. That is when a client's leaving was noticed.
    pub ended_ms: u64,
}

impl Request {
    /// The value of a header, the first if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Takes over the headers, and the secrets in them.
    pub(crate) fn keep(&mut self, headers: &http::HeaderMap) {
        let mut left = HEADERS_MAX_BYTES;
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if SECRETS.contains(&name.as_str()) {
                let shown = value.strip_prefix("Bearer ").unwrap_or(&value).to_owned();
                self.credentials.push(Credential { place: name.to_string(), value: shown });
            }
            let Some(rest) = left.checked_sub(name.as_str().len() + value.len()) else { break };
            left = rest;
            self.headers.push((name.to_string(), value));
        }
    }
}

/// Headers in which clients of any provider show a key.
const SECRETS: [&str; 6] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-subscription-token",
    "proxy-authorization",
];

/// What the provider charges for one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Billed {
    /// The request's number.
    pub request: u64,
    /// The answer's id.
    pub id: String,
    /// Who charges.
    pub provider: Option<Provider>,
    /// The model.
    pub model: String,
    /// What for.
    pub counts: Counts,
    /// The dollars that it says itself, of OpenRouter.
    pub cost: Option<f64>,
    /// The tier that it was served in.
    pub tier: Option<String>,
    /// Whether the answer came to its end.
    pub is_whole: bool,
}

/// Sums over everything, also over what the lists no longer have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Those that have not ended.
    pub open: u64,
    /// Those whose client went away before the end.
    pub left: u64,
    /// Requests that are charged.
    pub billed: u64,
    /// What for.
    pub counts: Counts,
}

/// The end of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct End {
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    pub(crate) ended: Ended,
    pub(crate) at_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    requests: VecDeque<Request>,
    billed: VecDeque<Billed>,
    totals: Totals,
    last: u64,
}

impl Ledger {
    /// Takes a request and gives it its number.
    pub(crate) fn begin(&mut self, mut request: Request) -> u64 {
        self.last += 1;
        request.id = self.last;
        self.totals.requests += 1;
        self.totals.open += 1;
        push(&mut self.requests, request);
        self.last
    }

    /// Ends a request, with what it is charged.
    pub(crate) fn end(&mut self, id: u64, how: End, billed: Option<Billed>) {
        self.totals.open = self.totals.open.saturating_sub(1);
        self.totals.left += u64::from(how.ended == Ended::Left);
        let at = self.requests.binary_search_by_key(&id, |request| request.id);
        if let Some(request) = at.ok().and_then(|at| self.requests.get_mut(at)) {
            (request.status, request.sent_bytes) = (how.status, how.sent_bytes);
            (request.ended, request.ended_ms) = (how.ended, how.at_ms);
        }
        if let Some(billed) = billed {
            self.totals.billed += 1;
            self.totals.counts.add(&billed.counts);
            push(&mut self.billed, billed);
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn billed(&self) -> Vec<Billed> {
        self.billed.iter().cloned().collect()
    }

    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Forgets all but those that are under way, and the numbers.
    pub(crate) fn reset(&mut self) {
        self.requests.retain(|request| request.ended == Ended::Open);
        self.billed.clear();
        self.totals = Totals { open: self.totals.open, ..Totals::default() };
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= KEPT_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_kept_and_totals_count_all() {
        let mut ledger = Ledger::default();
        for _ in 0..KEPT_MAX + 3 {
            let id = ledger.begin(Request::default());
            let counts = Counts { input: 2, ..Counts::default() };
            let billed = Billed { request: id, counts, ..Billed::default() };
            ledger.end(id, End::default(), Some(billed));
        }
        let all = u64::try_from(KEPT_MAX).unwrap() + 3;
        assert_eq!((ledger.requests().len(), ledger.billed().len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!(ledger.requests().first().unwrap().id, 4);
        let totals = ledger.totals();
        assert_eq!((totals.requests, totals.open, totals.counts.input), (all, 0, 2 * all));
    }
}
