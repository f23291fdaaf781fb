//! Anthropic's answers: `usage` of a message; in a stream `message_start.message.usage`, and the same
//! counted on in each `message_delta.usage`.
//! Invariants: counts are cumulative, so that the last explicit one counts and nothing is added up;
//! `input_tokens` contains no cached ones, `output_tokens` all thoughts; a zero that moves nothing into a cache does not undo a count;
//! what was written does not become less.

use super::{Report, Standing, Usage, count, ending, put, refuses, tier};
use crate::json::{Holder, ITEM, Path, Sink, Value};

pub(super) const WORDS: &[&str] = &[
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "content",
    "content_block",
    "data",
    "delta",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "error",
    "input_tokens",
    "iterations",
    "message",
    "name",
    "output_tokens",
    "output_tokens_details",
    "partial_json",
    "server_tool_use",
    "service_tier",
    "source",
    "speed",
    "stop_reason",
    "text",
    "thinking",
    "thinking_tokens",
    "type",
    "usage",
    "web_fetch_requests",
    "web_search_requests",
];

#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    input: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    fetches: Option<u64>,
}

impl Fields {
    fn set(&mut self, path: Path<'_>, value: Value<'_>) {
        let counted = count(value);
        match path {
            ["input_tokens"] => put(&mut self.input, counted),
            ["cache_read_input_tokens"] => put(&mut self.read, counted),
            ["cache_creation_input_tokens"] => put(&mut self.written, counted),
            ["cache_creation", "ephemeral_5m_input_tokens"] => put(&mut self.written_5m, counted),
            ["cache_creation", "ephemeral_1h_input_tokens"] => put(&mut self.written_1h, counted),
            ["output_tokens"] => put(&mut self.output, counted),
            ["output_tokens_details", "thinking_tokens"] => put(&mut self.thinking, counted),
            ["server_tool_use", "web_search_requests"] => put(&mut self.searches, counted),
            ["server_tool_use", "web_fetch_requests"] => put(&mut self.fetches, counted),
            _ => {}
        }
    }

    /// What a later usage says, explicitly.
    fn follow(&mut self, next: Self) {
        let moves = [next.read, next.written, next.written_5m, next.written_1h];
        let moves = moves.into_iter().flatten().any(|tokens| tokens > 0);
        if moves || next.input.is_some_and(|tokens| tokens > 0) || self.input.is_none() {
            put(&mut self.input, next.input);
        }
        let kept =
            |old: Option<u64>, new: Option<u64>| if moves { new.or(old) } else { new.max(old) };
        self.read = kept(self.read, next.read);
        // The parts are of the sum that came with them.
        if next.written.is_some_and(|written| Some(written) != self.written && moves) {
            (self.written_5m, self.written_1h) = (None, None);
        }
        self.written = kept(self.written, next.written);
        self.written_5m = kept(self.written_5m, next.written_5m);
        self.written_1h = kept(self.written_1h, next.written_1h);
        self.output = next.output.max(self.output);
        self.thinking = next.thinking.max(self.thinking);
        self.searches = next.searches.max(self.searches);
        self.fetches = next.fetches.max(self.fetches);
    }

    fn add(&mut self, other: Self) {
        let sum = |one: Option<u64>, two: Option<u64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        self.input = sum(self.input, other.input);
        self.read = sum(self.read, other.read);
        self.written = sum(self.written, other.written);
        self.written_5m = sum(self.written_5m, other.written_5m);
        self.written_1h = sum(self.written_1h, other.written_1h);
        self.output = sum(self.output, other.output);
        self.thinking = sum(self.thinking, other.thinking);
    }

    /// Of each count the larger one.
    fn most(&self, other: &Self) -> Self {
        Self {
            input: self.input.max(other.input),
            read: self.read.max(other.read),
            written: self.written.max(other.written),
            written_5m: self.written_5m.max(other.written_5m),
            written_1h: self.written_1h.max(other.written_1h),
            output: self.output.max(other.output),
            thinking: self.thinking.max(other.thinking),
            searches: self.searches.max(other.searches),
            fetches: self.fetches.max(other.fetches),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    under_way: Fields,
    iteration: Fields,
    iterations: Fields,
    fields: Fields,
    has_usage: bool,
    /// Whether a usage came that is of the whole answer.
    has_last: bool,
    tier: Option<String>,
    is_fast: bool,
    shown_bytes: u64,
    failed: bool,
    refused: bool,
    finished: bool,
    is_delta: bool,
    usage_in_event: bool,
    /// Calls of tools that the provider runs itself, in a stream that does not tell at its end.
    searches_begun: u64,
    fetches_begun: u64,
    /// Bytes of pages that it has read.
    found_bytes: u64,
    block: Option<Block>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Block {
    is_server_tool: bool,
    is_search: bool,
    is_fetch: bool,
}

impl Reader {
    pub(super) fn event_ended(&mut self) {
        if std::mem::take(&mut self.is_delta) && self.usage_in_event {
            self.has_last = true;
        }
        self.usage_in_event = false;
    }

    pub(super) const fn shown(&self) -> u64 {
        self.shown_bytes
    }

    pub(super) const fn is_final(&self) -> bool {
        self.has_usage && self.has_last
    }

    pub(super) fn report(self, is_whole: bool) -> Report {
        let finished = self.finished || is_whole;
        let has_last = self.has_last || is_whole;
        let standing = match (self.has_usage, has_last) {
            (false, _) => Standing::Nothing,
            (true, true) => Standing::Final,
            (true, false) => Standing::SoFar,
        };
        // Calls of the model within one request that the sum leaves out are paid for too.
        let fields = self.fields.most(&self.iterations);
        let [written, hour] = [fields.written, fields.written_1h].map(Option::unwrap_or_default);
        let short = fields.written_5m.unwrap_or(0);
        // Thoughts are part of what was written, and no more than that.
        let output = fields.output.unwrap_or(0);
        let thinking = fields.thinking.unwrap_or(0).min(output);
        let usage = Usage {
            input: fields.input.unwrap_or(0),
            cache_read: fields.read.unwrap_or(0),
            // What is of neither part was asked for in no other way than by default: for minutes.
            cache_write_5m: short.max(written.saturating_sub(hour)),
            cache_write_1h: hour,
            output: output.saturating_sub(thinking),
            reasoning: thinking,
            web_searches: fields.searches.unwrap_or(0).max(self.searches_begun),
            web_fetches: fields.fetches.unwrap_or(0).max(self.fetches_begun),
            ..Usage::default()
        };
        Report {
            usage,
            standing,
            ending: ending(self.failed, finished),
            is_refusal: self.refused,
            shown_bytes: self.shown_bytes,
            media_bytes: 0,
            audio_bytes: 0,
            found_bytes: self.found_bytes,
            tool_calls: usage.web_searches.saturating_add(usage.web_fetches),
            tier: if self.is_fast { Some("fast".to_owned()) } else { self.tier },
            cost: None,
        }
    }

    fn usage_value(&mut self, path: Path<'_>, value: Value<'_>) {
        match path {
            ["service_tier"] => self.tier = tier(value).or_else(|| self.tier.take()),
            ["speed"] => self.is_fast |= value.text() == Some("fast"),
            ["iterations", ITEM, rest @ ..] => self.iteration.set(rest, value),
            path => self.under_way.set(path, value),
        }
    }

    fn block_value(&mut self, name: &str, value: Value<'_>) {
        let block = self.block.get_or_insert_default();
        match (name, value.text().unwrap_or_default()) {
            ("type", text) => block.is_server_tool = text == "server_tool_use",
            ("name", text) => {
                block.is_search = text == "web_search";
                block.is_fetch = text == "web_fetch";
            }
            ("text" | "thinking", _) => {
                self.shown_bytes = self.shown_bytes.saturating_add(value.text_bytes());
            }
            _ => {}
        }
    }

    fn block_ended(&mut self) {
        let Some(block) = self.block.take().filter(|block| block.is_server_tool) else { return };
        self.searches_begun = self.searches_begun.saturating_add(u64::from(block.is_search));
        self.fetches_begun = self.fetches_begun.saturating_add(u64::from(block.is_fetch));
    }
}

/// The same path in a message of its own and in one that an event holds.
fn inner<'p>(path: Path<'p>) -> Path<'p> {
    match path {
        ["message", rest @ ..] => rest,
        path => path,
    }
}

impl Sink for Reader {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        match inner(path) {
            ["usage", rest @ ..] if !rest.is_empty() => self.usage_value(rest, value),
            ["type"] if path.len() == 1 => match value.text().unwrap_or_default() {
                "message_delta" => self.is_delta = true,
                "message_stop" => self.finished = true,
                "error" => self.failed = true,
                _ => {}
            },
            ["error"] if value != Value::Null => self.failed = true,
            ["error", "type"] => self.refused |= refuses(value),
            ["delta", "text" | "thinking" | "partial_json"] => {
                self.shown_bytes = self.shown_bytes.saturating_add(value.text_bytes());
            }
            ["content", ITEM, name] | ["content_block", name] => self.block_value(name, value),
            // A page, within the result of a tool.
            ["content", ITEM, "content", "content", "source", "data"]
            | ["content_block", "content", "content", "source", "data"] => {
                self.found_bytes = self.found_bytes.saturating_add(value.text_bytes());
            }
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, _: Holder) {
        match inner(path) {
            ["error"] => self.failed = true,
            ["usage"] => {
                (self.under_way, self.iterations) = (Fields::default(), Fields::default());
            }
            ["usage", "iterations", ITEM] => self.iteration = Fields::default(),
            _ => {}
        }
    }

    fn closed(&mut self, path: Path<'_>, _: Holder) {
        match inner(path) {
            ["usage"] => {
                let next = std::mem::take(&mut self.under_way);
                self.has_usage |= next.input.is_some() || next.output.is_some();
                self.usage_in_event = true;
                self.fields.follow(next);
            }
            ["usage", "iterations", ITEM] => {
                let iteration = std::mem::take(&mut self.iteration);
                self.iterations.add(iteration);
            }
            ["content", ITEM] | ["content_block"] => self.block_ended(),
            _ => {}
        }
    }
}
