//! Changes to a request's body that metering and routing need: usage in streams, the provider's name of
//! a model, a bound of what is written. Everything else stays byte for byte.
//! Invariant: the body was read by `estimate::Request`, so that it is strict, bounded, and has each of
//! these fields once at most.

use super::Operation;
use crate::json::{Holder, Path, Scanner, Sink, Value};

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
    /// A response of OpenAI's is not kept there, which is its default: all workspaces share the
    /// platform's account.
    pub no_store: bool,
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
    if changes.no_store {
        let text = "false".to_owned();
        edits.push(match places.store {
            Some(span) => Edit { span, text },
            None => root.member(format!("\"store\":{text}")),
        });
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
    if let Some((_, span)) = places.no_output.iter().find(|(at, _)| is_it(at)) {
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
    "include_usage",
    "maxOutputTokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "model",
    "store",
    "stream_options",
];

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
    config: Option<Open>,
    no_config: Option<Span>,
    /// Bounds of what is written that are null.
    no_output: Vec<(&'static str, Span)>,
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
            ([name], Value::Null) => self.no_output.push((name, self.word(4))),
            (
                ["generationConfig" | "generation_config", "maxOutputTokens" | "max_output_tokens"],
                Value::Null,
            ) => self.no_output.push(("gemini", self.word(4))),
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        self.fill(path);
        let at = self.position;
        if holder == Holder::Object
            && let Some(slot) = self.slot(path)
        {
            *slot = Some(Open { at, is_empty: true });
        }
    }

    fn unknown(&mut self, holder: Path<'_>) {
        if let Some(Some(open)) = self.slot(holder) {
            open.is_empty = false;
        }
    }
}
