//! Changes to a request's body: usage in streams, the provider's name of a model, bounds of what is written
//! and of what tools do, and what follows from nothing being stored. Everything else stays byte for byte.
//! Invariant: the body was read by `estimate::Request`, so that it is strict, bounded, and has each of
//! these fields once at most.

use super::Operation;
use crate::{
    estimate::Tools,
    json::{Holder, ITEM, Path, Scanner, Sink, Value},
};

/// What is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// A stream of OpenAI's shape tells its usage.
    pub include_usage: bool,
    /// The provider's name of the model.
    pub model: Option<String>,
    /// Most tokens of an answer, where the caller says none (see `Estimate::clamped`), in this field of
    /// the provider.
    pub output: Option<(OutputField, u64)>,
    /// Most calls of the tools that the provider runs, where the caller says none.
    pub tool_calls: Option<(CallsField, u64)>,
    /// A response of OpenAI's is not kept there, which is its default: all workspaces share the
    /// platform's account.
    pub no_store: bool,
    /// A response tells its thoughts in a form that its caller can give back, because nobody keeps them: a
    /// model that thinks does not go on without them after a call of a tool.
    pub include_reasoning: bool,
}

/// The field that bounds what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputField {
    /// Anthropic, completions, and who copies OpenAI.
    MaxTokens,
    /// OpenAI's chats.
    MaxCompletionTokens,
    /// OpenAI's responses.
    MaxOutputTokens,
    /// Gemini, within `generationConfig`.
    Gemini,
}

/// The field that bounds how often a provider calls its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallsField {
    /// OpenAI's `max_tool_calls`: of all of them.
    OfAll,
    /// Anthropic's `max_uses`: of each.
    OfEach,
}

impl CallsField {
    /// The provider's own for an operation; none where it has none.
    #[must_use]
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Response => Some(Self::OfAll),
            Operation::Message => Some(Self::OfEach),
            _ => None,
        }
    }
}

impl CallsField {
    /// As a request has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OfAll => "max_tool_calls",
            Self::OfEach => "tools[].max_uses",
        }
    }
}

impl OutputField {
    /// The provider's own for an operation; none where nothing is written.
    #[must_use]
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::ChatCompletion => Some(Self::MaxCompletionTokens),
            Operation::Completion | Operation::Message => Some(Self::MaxTokens),
            Operation::Response => Some(Self::MaxOutputTokens),
            Operation::Generate | Operation::StreamGenerate => Some(Self::Gemini),
            Operation::Embedding
            | Operation::ModelList
            | Operation::MessageCount
            | Operation::Embed
            | Operation::EmbedBatch
            | Operation::Count
            | Operation::WebSearch => None,
        }
    }
}

/// The body with the changes; none where it is no object.
#[must_use]
pub fn rewrite(body: &[u8], changes: &Changes) -> Option<Vec<u8>> {
    let mut places = Places::default();
    let mut scanner = Scanner::new(WORDS);
    scanner.feed(body, &mut places);
    let mut root = places.root?;
    if !scanner.is_whole() {
        return None;
    }
    let mut edits = Vec::new();
    if changes.include_usage {
        edits.push(usage_edit(&places, &mut root));
    }
    if let Some(model) = &changes.model {
        let value = serde_json::to_string(model).ok()?;
        edits.push(match places.model {
            Some(span) => Edit { span, text: value },
            None => root.member(format!("\"model\":{value}")),
        });
    }
    if let Some((field, tokens)) = changes.output {
        edits.push(output_edit(&places, &mut root, field, tokens));
    }
    match changes.tool_calls {
        Some((CallsField::OfAll, calls)) => edits.push(calls_edit(&places, &mut root, calls)),
        Some((CallsField::OfEach, calls)) => {
            edits.extend(places.tools.iter_mut().map(|tool| tool.bounded(calls)));
        }
        None => {}
    }
    if changes.no_store {
        let text = "false".to_owned();
        edits.push(match places.store {
            Some(span) => Edit { span, text },
            None => root.member(format!("\"store\":{text}")),
        });
    }
    if changes.include_reasoning {
        edits.extend(places.include.edit(&mut root));
    }
    // Of members at one place the later one stands first, as each has its comma behind it.
    edits.reverse();
    edits.sort_by_key(|edit| edit.span.0);
    apply(body, &edits)
}

fn usage_edit(places: &Places, root: &mut Open) -> Edit {
    match (places.include_usage, places.options, places.no_options) {
        (Some(span), _, _) => Edit { span, text: "true".to_owned() },
        (None, Some(mut options), _) => options.member("\"include_usage\":true".to_owned()),
        (None, None, Some(span)) => Edit { span, text: "{\"include_usage\":true}".to_owned() },
        (None, None, None) => root.member("\"stream_options\":{\"include_usage\":true}".to_owned()),
    }
}

fn output_edit(places: &Places, root: &mut Open, field: OutputField, tokens: u64) -> Edit {
    let name = match field {
        OutputField::MaxTokens => "max_tokens",
        OutputField::MaxCompletionTokens => "max_completion_tokens",
        OutputField::MaxOutputTokens => "max_output_tokens",
        OutputField::Gemini => "maxOutputTokens",
    };
    // Where it is null it is there already.
    let is_it = |at: &str| match field {
        OutputField::Gemini => at == "gemini",
        _ => at == name,
    };
    if let Some((_, span)) = places.nulls.iter().find(|(at, _)| is_it(at)) {
        return Edit { span: *span, text: tokens.to_string() };
    }
    let member = format!("\"{name}\":{tokens}");
    match (field, places.config, places.no_config) {
        (OutputField::Gemini, Some(mut config), _) => config.member(member),
        (OutputField::Gemini, None, Some(span)) => Edit { span, text: format!("{{{member}}}") },
        (OutputField::Gemini, None, None) => {
            root.member(format!("\"generationConfig\":{{{member}}}"))
        }
        _ => root.member(member),
    }
}

fn calls_edit(places: &Places, root: &mut Open, calls: u64) -> Edit {
    let name = "max_tool_calls";
    match places.nulls.iter().find(|(at, _)| *at == name) {
        Some((_, span)) => Edit { span: *span, text: calls.to_string() },
        None => root.member(format!("\"{name}\":{calls}")),
    }
}

/// From where to where.
type Span = (usize, usize);

/// An object's beginning.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: usize,
    is_empty: bool,
}

impl Open {
    /// A first member.
    fn member(&mut self, mut text: String) -> Edit {
        if !std::mem::take(&mut self.is_empty) {
            text.push(',');
        }
        Edit { span: (self.at, self.at), text }
    }
}

#[derive(Debug)]
struct Edit {
    span: Span,
    text: String,
}

fn apply(body: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = Vec::with_capacity(body.len().saturating_add(added));
    let mut done = 0;
    for Edit { span: (from, to), text } in edits {
        out.extend_from_slice(body.get(done..*from)?);
        out.extend_from_slice(text.as_bytes());
        done = *to;
    }
    out.extend_from_slice(body.get(done..)?);
    Some(out)
}

const WORDS: &[&str] = &[
    "generationConfig",
    "generation_config",
    "include",
    "include_usage",
    "maxOutputTokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "max_uses",
    "model",
    "store",
    "stream_options",
    "tools",
    "type",
];

/// A tool.
#[derive(Debug, Default)]
struct Tool {
    open: Option<Open>,
    takes_uses: bool,
    uses: Option<Span>,
    has_uses: bool,
}

impl Tool {
    fn bounded(&mut self, calls: u64) -> Edit {
        match (self.uses, &mut self.open) {
            (None, Some(open)) => open.member(format!("\"max_uses\":{calls}")),
            (uses, _) => Edit { span: uses.unwrap_or_default(), text: calls.to_string() },
        }
    }
}

/// What a response is to include.
#[derive(Debug, Default)]
struct Include {
    list: Option<Open>,
    null: Option<Span>,
    /// It is among what is there, or that is no list.
    is_said: bool,
}

impl Include {
    fn edit(&mut self, root: &mut Open) -> Option<Edit> {
        const REASONING: &str = "\"reasoning.encrypted_content\"";
        if self.is_said {
            return None;
        }
        Some(match (self.null, &mut self.list) {
            (Some(span), _) => Edit { span, text: format!("[{REASONING}]") },
            (None, Some(list)) => list.member(REASONING.to_owned()),
            (None, None) => root.member(format!("\"include\":[{REASONING}]")),
        })
    }
}

/// Where things are.
#[derive(Debug, Default)]
struct Places {
    position: usize,
    root: Option<Open>,
    model: Option<Span>,
    options: Option<Open>,
    no_options: Option<Span>,
    include_usage: Option<Span>,
    store: Option<Span>,
    include: Include,
    config: Option<Open>,
    no_config: Option<Span>,
    /// Bounds that are null.
    nulls: Vec<(&'static str, Span)>,
    tool: Tool,
    /// Tools that take a bound and have none.
    tools: Vec<Tool>,
}

impl Places {
    /// The span of a word that ends one byte before what has come.
    fn word(&self, length: usize) -> Span {
        let end = self.position.saturating_sub(1);
        (end.saturating_sub(length), end)
    }

    fn slot(&mut self, path: Path<'_>) -> Option<&mut Option<Open>> {
        match path {
            [] => Some(&mut self.root),
            ["stream_options"] => Some(&mut self.options),
            ["generationConfig" | "generation_config"] => Some(&mut self.config),
            ["tools", ITEM] => Some(&mut self.tool.open),
            ["include"] => Some(&mut self.include.list),
            _ => None,
        }
    }

    /// Something is in an object.
    fn fill(&mut self, path: Path<'_>) {
        if let Some(Some(open)) = path.split_last().and_then(|(_, holder)| self.slot(holder)) {
            open.is_empty = false;
        }
    }
}

impl Sink for Places {
    fn position(&mut self, bytes: usize) {
        self.position = bytes;
    }

    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        self.fill(path);
        match (path, value) {
            (["model"], Value::Text(_, bytes)) => {
                // Between the quotes and with them.
                let length = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(2);
                self.model = Some((self.position.saturating_sub(length), self.position));
            }
            (["model"], Value::Null) => self.model = Some(self.word(4)),
            (["stream_options"], Value::Null) => self.no_options = Some(self.word(4)),
            (["stream_options", "include_usage"], Value::Bool(true) | Value::Null) => {
                self.include_usage = Some(self.word(4));
            }
            (["stream_options", "include_usage"], Value::Bool(false)) => {
                self.include_usage = Some(self.word(5));
            }
            (["store"], Value::Null | Value::Bool(true)) => self.store = Some(self.word(4)),
            (["store"], Value::Bool(false)) => self.store = Some(self.word(5)),
            (["generationConfig" | "generation_config"], Value::Null) => {
                self.no_config = Some(self.word(4));
            }
            (["tools", ITEM, "type"], Value::Text(kind, _)) => {
                self.tool.takes_uses = Tools::take_uses(kind);
            }
            (["tools", ITEM, "max_uses"], Value::Null) => self.tool.uses = Some(self.word(4)),
            (["tools", ITEM, "max_uses"], _) => self.tool.has_uses = true,
            (["include"], Value::Null) => self.include.null = Some(self.word(4)),
            (["include"], _)
            | (["include", ITEM], Value::Text("reasoning.encrypted_content", _)) => {
                self.include.is_said = true;
            }
            ([name], Value::Null) => self.nulls.push((name, self.word(4))),
            (
                ["generationConfig" | "generation_config", "maxOutputTokens" | "max_output_tokens"],
                Value::Null,
            ) => self.nulls.push(("gemini", self.word(4))),
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        self.fill(path);
        if let ["tools", ITEM] = path {
            self.tool = Tool::default();
        }
        let at = self.position;
        // What is to be included is the only list among them.
        let is_list = path == ["include"];
        if is_list == (holder == Holder::Array)
            && let Some(slot) = self.slot(path)
        {
            *slot = Some(Open { at, is_empty: true });
        }
        self.include.is_said |= is_list && holder == Holder::Object;
    }

    fn closed(&mut self, path: Path<'_>, _: Holder) {
        if let ["tools", ITEM] = path {
            let tool = std::mem::take(&mut self.tool);
            self.tools.extend((tool.takes_uses && !tool.has_uses).then_some(tool));
        }
    }

    fn unknown(&mut self, holder: Path<'_>) {
        if let Some(Some(open)) = self.slot(holder) {
            open.is_empty = false;
        }
    }
}

#[cfg(test)]
mod tests;
