//! Reads a request's fields as they pass, and refuses what cannot be relied on.
//! Invariants: what bounds a cost is there once, in whatever spelling, and is what it must be; what is
//! seen is at paths of known words alone, so that content which looks like a field is none.

mod tools;

use std::collections::BTreeSet;

use super::{
    media::Eye,
    request::{Bound, Request, RequestError, Tools},
    words::{CONFIGURING, NOT_OFFERED, STORED},
};
use crate::{
    json::{Holder, ITEM, Path, Sink, Value},
    route::Operation,
    usage::Dialect,
};

/// Most answers of one request: what OpenAI takes.
const ANSWERS_MAX: u64 = 128;

/// Most calls that tools of a provider may make in one request.
const TOOL_CALLS_MAX: u64 = 100;

/// What an item of a response's `input` may be: what was said and called before. All else is refused,
/// as new kinds may be anything.
const ITEMS: [&str; 17] = [
    "apply_patch_call",
    "apply_patch_call_output",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    // It is refused as something that is stored.
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "message",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "web_search_call",
];

const UNKNOWN_COST: &str = "what it costs is not known";

/// Longest name of whom a call is for.
const SUBJECT_MAX_CHARS: usize = 256;

/// A tool of a request.
#[derive(Debug, Default)]
struct Tool {
    kind: Option<String>,
    uses_max: Option<u64>,
    /// How often each was there.
    kinds: u8,
    uses: u8,
}

/// What an item of OpenAI's `input` has: an id alone names what is stored.
#[derive(Debug, Default)]
struct Item {
    has_id: bool,
    has_type: bool,
    has_content: bool,
}

pub(super) struct Reader {
    pub(super) request: Request,
    eye: Eye,
    /// Fields that were there, as they are written.
    seen: BTreeSet<String>,
    error: Option<RequestError>,
    tool: Tool,
    best_of: u64,
    prompts: u64,
    item: Item,
}

impl Reader {
    pub(super) fn new(operation: Operation) -> Self {
        Self {
            request: Request::without_body(operation),
            eye: Eye::default(),
            seen: BTreeSet::new(),
            error: None,
            tool: Tool::default(),
            best_of: 1,
            prompts: 0,
            item: Item::default(),
        }
    }

    pub(super) fn finish(mut self) -> Result<Request, RequestError> {
        let stored = self.eye.stored.take();
        let stored = stored.map(|field| RequestError::NotOffered { field, why: STORED });
        if let Some(error) = self.error.or(stored) {
            return Err(error);
        }
        self.request.media = {
            let mut found = self.eye.found;
            found.is_unbounded |= self.request.media.is_unbounded;
            found
        };
        let each = self.request.answers.max(self.best_of);
        self.request.answers = each.saturating_mul(self.prompts.max(1));
        Ok(self.request)
    }

    fn refuse(&mut self, error: RequestError) {
        self.error.get_or_insert(error);
    }

    /// A field of the request itself or of what configures it is there.
    fn see(&mut self, path: Path<'_>, is_nothing: bool) {
        let is_watched = match path {
            [_] => true,
            [first, rest @ ..] => {
                rest.len() <= 2 && !rest.contains(&ITEM) && CONFIGURING.contains(first)
            }
            [] => false,
        };
        if let ["tools", ITEM, name @ ("type" | "max_uses")] = path {
            let times = if *name == "type" { &mut self.tool.kinds } else { &mut self.tool.uses };
            *times = times.saturating_add(1);
            if *times > 1 {
                self.refuse(RequestError::Twice(path.join(".")));
            }
        }
        if let [list, ITEM, ..] = path {
            self.see_listed(&[list]);
        }
        if !is_watched {
            return;
        }
        // Gemini knows two spellings of a name.
        let spelling = path.join(".").replace('_', "").to_ascii_lowercase();
        if !self.seen.insert(spelling) {
            self.refuse(RequestError::Twice(path.join(".")));
        }
        if !is_nothing {
            self.see_listed(path);
        }
    }

    /// Refuses what may not be there.
    fn see_listed(&mut self, path: Path<'_>) {
        let listed = NOT_OFFERED.iter().find(|(listed, _)| path == [*listed]);
        if let Some((_, why)) = listed {
            self.not_offered(path, why);
        }
    }

    /// Refuses any other word than the one that has no price of its own.
    fn only(&mut self, path: Path<'_>, value: Value<'_>, standard: &str) {
        if value != Value::Null && value.text() != Some(standard) {
            self.refuse(RequestError::NotOffered { field: path.join("."), why: UNKNOWN_COST });
        }
    }

    fn not_offered(&mut self, path: Path<'_>, why: &'static str) {
        let is_said = match path {
            // Words that are something else elsewhere.
            ["prompt"] => self.request.operation == Operation::Response,
            ["background" | "conversation"] => self.request.operation == Operation::Response,
            ["container" | "mcp_servers"] => self.request.operation == Operation::Message,
            _ => true,
        };
        if is_said {
            self.refuse(RequestError::NotOffered { field: path.join("."), why });
        }
    }

    fn number(&mut self, path: Path<'_>, value: Value<'_>) -> Option<u64> {
        let whole = match value {
            Value::Number(text) => text.parse::<u64>().ok(),
            Value::Null => return None,
            Value::Bool(_) | Value::Text(..) => None,
        };
        if whole.is_none() {
            let field = path.join(".");
            self.refuse(RequestError::Invalid { field, must: "a whole number from 0 on" });
        }
        whole
    }

    fn output(&mut self, path: Path<'_>, value: Value<'_>) {
        let Some(tokens) = self.number(path, value) else { return };
        // Some take nothing for no bound at all.
        if tokens == 0 && self.request.operation.output_field().is_some() {
            let field = path.join(".");
            self.refuse(RequestError::Invalid { field, must: "a whole number from 1 on" });
        }
        Bound::widen(&mut self.request.output, tokens, path);
    }

    fn thinking(&mut self, path: Path<'_>, value: Value<'_>) {
        // Gemini's -1 leaves it to the model.
        if value == Value::Number("-1") {
            return;
        }
        if let Some(tokens) = self.number(path, value) {
            Bound::widen(&mut self.request.thinking, tokens, path);
        }
    }

    /// How often tools may be called. Some take nothing for no bound at all.
    fn tool_calls(&mut self, field: &str, path: Path<'_>, value: Value<'_>) -> Option<u64> {
        let calls = self.number(path, value)?;
        if !(1..=TOOL_CALLS_MAX).contains(&calls) {
            let field = field.to_owned();
            self.refuse(RequestError::Invalid { field, must: "a whole number from 1 to 100" });
        }
        Some(calls.clamp(1, TOOL_CALLS_MAX))
    }

    fn answers(&mut self, path: Path<'_>, value: Value<'_>) -> u64 {
        let Some(count) = self.number(path, value) else { return 1 };
        if !(1..=ANSWERS_MAX).contains(&count) {
            let field = path.join(".");
            self.refuse(RequestError::Invalid { field, must: "a whole number from 1 to 128" });
        }
        count.max(1)
    }

    fn word(&mut self, path: Path<'_>, value: Value<'_>) -> Option<String> {
        match value {
            Value::Text(text, _) => return Some(text.to_owned()),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) => {
                let field = path.join(".");
                self.refuse(RequestError::Invalid { field, must: "a text" });
            }
        }
        None
    }

    fn is_true(&mut self, path: Path<'_>, value: Value<'_>) -> bool {
        match value {
            Value::Bool(is_true) => return is_true,
            Value::Null => {}
            Value::Text(..) | Value::Number(_) => {
                let field = path.join(".");
                self.refuse(RequestError::Invalid { field, must: "true or false" });
            }
        }
        false
    }

    fn edit(&mut self, value: Value<'_>) {
        if value.text().is_some_and(|text| text.starts_with("compact")) {
            let field = "context_management.edits".to_owned();
            let why = "compaction calls the model once more";
            self.refuse(RequestError::NotOffered { field, why });
        }
    }

    /// A value within tools, messages and the like.
    fn inner(&mut self, path: Path<'_>, value: Value<'_>) {
        match path {
            ["tools"] | ["tools", ITEM] if value != Value::Null => self.no_list(path),
            ["tools", ITEM, "container" | "vector_store_ids"]
            | ["tools", ITEM, "container", "file_ids", ITEM]
            | ["messages", ITEM, "audio", "id"]
                if value != Value::Null =>
            {
                self.stored(path);
            }
            ["tools", ITEM, name] => self.tool_value(name, path, value),
            ["context_management", ITEM, "type"]
            | ["context_management", "edits", ITEM, "type"] => self.edit(value),
            ["input", ITEM, "id"] => self.item.has_id = value != Value::Null,
            ["input", ITEM, "type"] => self.item_type(value),
            ["input", ITEM, "tools"] if value != Value::Null => self.inner_tools(),
            ["input", ITEM, "content"] => self.item.has_content = value != Value::Null,
            _ => {}
        }
    }

    /// Items that bring tools, change settings or call the model once more are not among those.
    fn item_type(&mut self, value: Value<'_>) {
        self.item.has_type = value.text().is_some();
        let is_known = value.text().is_some_and(|kind| ITEMS.contains(&kind));
        if self.request.operation == Operation::Response && value != Value::Null && !is_known {
            let kind: String = value.text().unwrap_or_default().chars().take(64).collect();
            let field = format!("input[].type {kind:?}");
            self.refuse(RequestError::NotOffered { field, why: UNKNOWN_COST });
        }
    }

    /// Tools within messages would be beside those that are bounded.
    fn inner_tools(&mut self) {
        let field = "input[].tools".to_owned();
        self.refuse(RequestError::NotOffered { field, why: UNKNOWN_COST });
    }

    fn stored(&mut self, path: Path<'_>) {
        self.refuse(RequestError::NotOffered { field: path.join("."), why: STORED });
    }

    fn is_gemini(&self) -> bool {
        self.request.operation.dialect() == Dialect::Gemini
    }
}

impl Sink for Reader {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        // A field that is null is as good as absent, but still there.
        let is_off = path == ["background"] && value == Value::Bool(false);
        self.see(path, is_off || value == Value::Null);
        self.eye.value(path, value);
        match path {
            ["model"] => self.request.model = self.word(path, value),
            ["user"] => {
                // One that is no text would pass by whatever bounds a subject.
                let user = self.word(path, value);
                let user = user.as_deref().map(str::trim).filter(|user| !user.is_empty());
                self.request.user = user.map(|user| user.chars().take(SUBJECT_MAX_CHARS).collect());
            }
            ["stream"] => self.request.is_stream = self.is_true(path, value),
            ["stream_options", "include_usage"] => {
                self.request.asks_for_usage = self.is_true(path, value);
            }
            ["max_tokens" | "max_completion_tokens" | "max_output_tokens"]
            | ["generationConfig" | "generation_config", "maxOutputTokens" | "max_output_tokens"] => {
                self.output(path, value)
            }
            ["thinking", "budget_tokens"]
            | ["reasoning", "max_tokens"]
            | [
                "generationConfig" | "generation_config",
                "thinkingConfig" | "thinking_config",
                "thinkingBudget" | "thinking_budget",
            ] => self.thinking(path, value),
            ["n"]
            | ["generationConfig" | "generation_config", "candidateCount" | "candidate_count"] => {
                self.request.answers = self.request.answers.max(self.answers(path, value))
            }
            ["best_of"] => self.best_of = self.answers(path, value),
            ["prompt", ITEM] if value.text().is_some() => {
                self.prompts = self.prompts.saturating_add(1);
            }
            ["service_tier" | "serviceTier"] => {
                // Anthropic's word for the standard one.
                let tier = self.word(path, value).filter(|tier| tier != "standard_only");
                let is_openai = self.request.operation.dialect() == Dialect::OpenAi;
                let tier = tier.map(|tier| match tier.as_str() {
                    // OpenAI's other word for it.
                    "fast" if is_openai => "priority".to_owned(),
                    _ => tier,
                });
                self.request.tier = tier.or_else(|| self.request.tier.take());
            }
            // It thinks several times.
            ["reasoning", "mode"] => self.only(path, value, "standard"),
            // What is kept for longer has a price of its own.
            ["prompt_cache_options", "ttl"] => self.only(path, value, "30m"),
            ["speed"] => {
                self.request.speed = self.word(path, value).filter(|speed| speed != "standard");
            }
            ["max_tool_calls"] => {
                self.request.tool_calls_max = self.tool_calls("max_tool_calls", path, value);
            }
            ["store"] if self.is_true(path, value) => {
                let why = "the platform keeps nothing; use store=false";
                self.refuse(RequestError::NotOffered { field: "store".to_owned(), why });
            }
            ["prediction"] => self.request.has_prediction |= value != Value::Null,
            ["tools" | "messages" | "input" | "context_management", ..] => self.inner(path, value),
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        // An empty list brings nothing; what is in another one is seen by itself.
        self.see(path, holder == Holder::Array);
        self.eye.opened(path, holder);
        match path {
            [first] | [first, "thinkingConfig" | "thinking_config"]
                if holder == Holder::Array && CONFIGURING.contains(first) =>
            {
                let field = path.join(".");
                self.refuse(RequestError::Invalid { field, must: "an object" });
            }
            ["tools"] if holder == Holder::Object => self.no_list(path),
            ["tools", ITEM] if holder == Holder::Array => self.no_list(path),
            ["prompt", ITEM] => self.prompts = self.prompts.saturating_add(1),
            ["prediction"] => self.request.has_prediction = true,
            ["web_search_options"] => self.request.tools.searches = true,
            ["tools", ITEM, name] if self.is_gemini() => self.gemini_tool(name),
            ["tools", ITEM] => self.tool = Tool::default(),
            ["input", ITEM] => self.item = Item::default(),
            ["input", ITEM, "content"] => self.item.has_content = true,
            ["input", ITEM, "type"] => self.item_type(Value::Bool(true)),
            ["input", ITEM, "tools"] => self.inner_tools(),
            ["tools", ITEM, "type" | "max_uses"] => {
                let field = path.join(".");
                self.refuse(RequestError::Invalid { field, must: "a single value" });
            }
            ["tools", ITEM, "vector_store_ids"] => self.stored(path),
            // What is to be a number or a word is none.
            [
                "model"
                | "n"
                | "best_of"
                | "max_tokens"
                | "max_completion_tokens"
                | "max_output_tokens"
                | "stream"
                | "service_tier"
                | "serviceTier"
                | "speed"
                | "store"
                | "user"
                | "max_tool_calls",
            ]
            | ["reasoning", "mode"]
            | ["prompt_cache_options", "ttl"] => {
                let field = path.join(".");
                self.refuse(RequestError::Invalid { field, must: "a single value" });
            }
            _ => {}
        }
    }

    fn closed(&mut self, path: Path<'_>, holder: Holder) {
        self.eye.closed(path, holder);
        match path {
            ["tools", ITEM] if !self.is_gemini() => self.tool_ended(),
            ["input", ITEM] if self.item.has_id && !self.item.has_type => {
                if self.item.has_content {
                    self.request.media.is_unbounded = true;
                } else {
                    self.stored(&["input", ITEM, "id"]);
                }
            }
            _ => {}
        }
    }

    fn unknown(&mut self, path: Path<'_>) {
        if self.is_gemini() && path == ["tools", ITEM] {
            self.gemini_tool("");
        }
    }
}
