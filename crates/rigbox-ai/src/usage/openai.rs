//! OpenAI's answers, and those of who copies it: `usage` of chat completions and embeddings (in a
//! stream, in one of the last events), `response.usage` of the Responses API, `usage.cost` of OpenRouter.
//! Invariants: `prompt_tokens` contains cached, written and audio tokens, `completion_tokens` contains
//! reasoning and audio; what `total_tokens` has beyond both was written too; the last usage counts, and
//! one of nothing does not undo one of something.

use super::{Report, Standing, Usage, count, ending, put, refuses, tier};
use crate::{
    json::{Holder, ITEM, Path, Sink, Value},
    money::Cost,
};

pub(super) const WORDS: &[&str] = &[
    "action",
    "arguments",
    "audio",
    "audio_tokens",
    "cache_write_tokens",
    "cached_tokens",
    "choices",
    "code",
    "completion_tokens",
    "completion_tokens_details",
    "content",
    "cost",
    "cost_details",
    "data",
    "delta",
    "error",
    "finish_reason",
    "function",
    "function_call",
    "image_tokens",
    "image_url",
    "images",
    "input_tokens",
    "input_tokens_details",
    "is_byok",
    "item",
    "message",
    "output",
    "output_tokens",
    "output_tokens_details",
    "prompt_tokens",
    "prompt_tokens_details",
    "reasoning",
    "reasoning_content",
    "reasoning_tokens",
    "refusal",
    "response",
    "server_tool_use",
    "service_tier",
    "text",
    "tool_calls",
    "total_tokens",
    "transcript",
    "type",
    "upstream_inference_cost",
    "url",
    "usage",
    "web_search_requests",
];

#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
    audio_input: Option<u64>,
    reasoning: Option<u64>,
    audio_output: Option<u64>,
    image_output: Option<u64>,
    searches: Option<u64>,
    cost: Option<Cost>,
    upstream_cost: Option<Cost>,
    is_byok: bool,
}

/// Calls of tools that the provider runs itself.
#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    web: u64,
    pages: u64,
    file: u64,
    code: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    under_way: Fields,
    fields: Fields,
    has_usage: bool,
    tier: Option<String>,
    shown_bytes: u64,
    media_bytes: u64,
    audio_bytes: u64,
    failed: bool,
    refused: bool,
    finished: bool,
    /// Those that a whole response lists, and those that events have told of.
    listed: Calls,
    told: Calls,
    /// Of the event under way.
    event: Option<Event>,
    item: Item,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    ItemDone,
    Over,
    Failed,
    Other,
}

/// An item of a response.
#[derive(Debug, Clone, Copy, Default)]
struct Item {
    kind: Option<Kind>,
    /// Whether it has only looked at a page that a search had found: that has no fee.
    is_no_search: bool,
}

/// What a provider runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Web,
    File,
    Code,
}

impl Kind {
    fn of(value: Value<'_>) -> Option<Self> {
        match value.text()? {
            "web_search_call" => Some(Self::Web),
            "file_search_call" => Some(Self::File),
            "code_interpreter_call" => Some(Self::Code),
            _ => None,
        }
    }
}

impl Item {
    fn set(&mut self, path: Path<'_>, value: Value<'_>) {
        match path {
            ["type"] => self.kind = Kind::of(value),
            ["action", "type"] => {
                self.is_no_search = matches!(value.text(), Some("open_page" | "find_in_page"));
            }
            _ => {}
        }
    }
}

impl Calls {
    fn add(&mut self, item: Item) {
        let slot = match item.kind {
            Some(Kind::Web) if item.is_no_search => &mut self.pages,
            Some(Kind::Web) => &mut self.web,
            Some(Kind::File) => &mut self.file,
            Some(Kind::Code) => &mut self.code,
            None => return,
        };
        *slot = slot.saturating_add(1);
    }

    fn all(&self) -> u64 {
        [self.web, self.pages, self.file, self.code].into_iter().fold(0, u64::saturating_add)
    }
}

impl Event {
    fn of(value: Value<'_>) -> Self {
        match value.text().unwrap_or_default() {
            "response.output_item.done" => Self::ItemDone,
            "response.completed" | "response.incomplete" => Self::Over,
            "response.failed" | "error" => Self::Failed,
            _ => Self::Other,
        }
    }
}

impl Fields {
    fn set(&mut self, path: Path<'_>, value: Value<'_>) {
        let counted = count(value);
        match path {
            ["prompt_tokens" | "input_tokens"] => put(&mut self.input, counted),
            ["completion_tokens" | "output_tokens"] => put(&mut self.output, counted),
            ["total_tokens"] => put(&mut self.total, counted),
            ["prompt_tokens_details" | "input_tokens_details", detail] => match *detail {
                "cached_tokens" => put(&mut self.cached, counted),
                "cache_write_tokens" => put(&mut self.written, counted),
                "audio_tokens" => put(&mut self.audio_input, counted),
                _ => {}
            },
            ["completion_tokens_details" | "output_tokens_details", detail] => match *detail {
                "reasoning_tokens" => put(&mut self.reasoning, counted),
                "audio_tokens" => put(&mut self.audio_output, counted),
                "image_tokens" => put(&mut self.image_output, counted),
                _ => {}
            },
            ["server_tool_use", "web_search_requests"] => put(&mut self.searches, counted),
            ["cost"] => self.cost = cost(value).or(self.cost),
            ["cost_details", "upstream_inference_cost"] => {
                self.upstream_cost = cost(value).or(self.upstream_cost);
            }
            ["is_byok"] => self.is_byok = value == Value::Bool(true),
            _ => {}
        }
    }

    fn is_something(&self) -> bool {
        self.input.unwrap_or(0) > 0 || self.output.unwrap_or(0) > 0 || self.total.unwrap_or(0) > 0
    }

    fn usage(&self) -> Usage {
        let [input, output] = [self.input, self.output].map(Option::unwrap_or_default);
        let [cached, written, audio_input] =
            [self.cached, self.written, self.audio_input].map(Option::unwrap_or_default);
        let [reasoning, audio_output, image_output] =
            [self.reasoning, self.audio_output, self.image_output].map(Option::unwrap_or_default);
        let beyond = self.total.unwrap_or(0).saturating_sub(input.saturating_add(output));
        let inner = |sum: u64, parts: [u64; 3]| parts.into_iter().fold(sum, u64::saturating_sub);
        Usage {
            input: inner(input, [cached, written, audio_input]),
            cache_read: cached,
            cache_write_5m: written,
            audio_input,
            output: inner(output, [reasoning, audio_output, image_output]).saturating_add(beyond),
            reasoning,
            audio_output,
            image_output,
            ..Usage::default()
        }
    }

    /// What was paid: where the key upstream is somebody's own, what that was charged comes on top.
    fn cost(&self) -> Option<Cost> {
        let upstream = self.upstream_cost.filter(|_| self.is_byok).unwrap_or_default();
        self.cost?.plus(upstream)
    }
}

fn cost(value: Value<'_>) -> Option<Cost> {
    match value {
        Value::Number(text) => Cost::from_usd(text),
        Value::Null | Value::Bool(_) | Value::Text(..) => None,
    }
}

impl Reader {
    pub(super) fn event_ended(&mut self) {
        match (self.event.take(), std::mem::take(&mut self.item)) {
            (Some(Event::ItemDone), item) => self.told.add(item),
            (Some(Event::Over), _) => self.finished = true,
            (Some(Event::Failed), _) => self.failed = true,
            (Some(Event::Other) | None, _) => {}
        }
    }

    pub(super) const fn shown(&self) -> u64 {
        self.shown_bytes.saturating_add(self.media_bytes).saturating_add(self.audio_bytes)
    }

    pub(super) const fn is_final(&self) -> bool {
        self.has_usage && (self.finished || self.failed)
    }

    pub(super) fn report(self, is_whole: bool) -> Report {
        let finished = self.finished || is_whole;
        let standing = match (self.has_usage, finished) {
            (false, _) => Standing::Nothing,
            // Where an error has ended it, what was reported is all that the provider counts.
            (true, _) if self.failed => Standing::Final,
            (true, true) => Standing::Final,
            (true, false) => Standing::SoFar,
        };
        let told = self.told;
        let usage = Usage {
            web_searches: self.listed.web.max(told.web).max(self.fields.searches.unwrap_or(0)),
            file_searches: self.listed.file.max(told.file),
            code_interpreters: self.listed.code.max(told.code),
            ..self.fields.usage()
        };
        Report {
            usage,
            standing,
            ending: ending(self.failed, finished),
            is_refusal: self.refused,
            shown_bytes: self.shown_bytes,
            media_bytes: self.media_bytes,
            audio_bytes: self.audio_bytes,
            found_bytes: 0,
            tool_calls: self.listed.all().max(told.all()),
            tier: self.tier,
            cost: self.fields.cost(),
        }
    }

    fn usage_ended(&mut self) {
        let new = std::mem::take(&mut self.under_way);
        let undoes = self.has_usage && self.fields.is_something() && !new.is_something();
        if !undoes {
            self.fields = new;
            self.has_usage = new.input.is_some() || new.output.is_some() || new.cost.is_some();
        }
    }

    fn show(&mut self, value: Value<'_>) {
        self.shown_bytes = self.shown_bytes.saturating_add(value.text_bytes());
    }
}

/// The same path in a response of its own and in one that an event holds.
fn inner<'p>(path: Path<'p>) -> Path<'p> {
    match path {
        ["response", rest @ ..] => rest,
        path => path,
    }
}

impl Sink for Reader {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        match inner(path) {
            ["usage", rest @ ..] if !rest.is_empty() => self.under_way.set(rest, value),
            ["service_tier"] => self.tier = tier(value).or_else(|| self.tier.take()),
            ["error"] if value != Value::Null => self.failed = true,
            ["error", "type" | "code"] => self.refused |= refuses(value),
            // The event of an error has it beside its type.
            ["code"] if path.len() == 1 => self.refused |= refuses(value),
            ["type"] if path.len() == 1 => self.event = Some(Event::of(value)),
            // What ends a stream is no JSON: `[DONE]`.
            [ITEM] if value == Value::Number("DONE") => self.finished = true,
            ["choices", ITEM, "finish_reason"] => self.finished |= value.text().is_some(),
            ["choices", ITEM, "text"] | ["delta"] => self.show(value),
            ["choices", ITEM, "delta" | "message", rest @ ..] => match rest {
                ["content" | "refusal" | "reasoning" | "reasoning_content"]
                | ["function_call", "arguments"]
                | ["tool_calls", ITEM, "function", "arguments"]
                | ["audio", "transcript"]
                | ["content", ITEM, "text"] => self.show(value),
                ["audio", "data"] => {
                    self.audio_bytes = self.audio_bytes.saturating_add(value.text_bytes());
                }
                // Images are OpenRouter's.
                ["images", ITEM, "image_url", "url"] => {
                    self.media_bytes = self.media_bytes.saturating_add(value.text_bytes());
                }
                _ => {}
            },
            // A response of its own; in events the same was shown before.
            ["output", ITEM, "content", ITEM, "text"] if path.len() == 5 => self.show(value),
            ["output", ITEM, rest @ ..] | ["item", rest @ ..] => self.item.set(rest, value),
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        match (inner(path), holder) {
            (["error"], _) => self.failed = true,
            (["usage"], Holder::Object) => self.under_way = Fields::default(),
            (["output"], Holder::Array) => self.listed = Calls::default(),
            (["output", ITEM], _) => self.item = Item::default(),
            _ => {}
        }
    }

    fn closed(&mut self, path: Path<'_>, holder: Holder) {
        match (inner(path), holder) {
            (["usage"], Holder::Object) => self.usage_ended(),
            (["output", ITEM], _) => self.listed.add(std::mem::take(&mut self.item)),
            _ => {}
        }
    }
}
