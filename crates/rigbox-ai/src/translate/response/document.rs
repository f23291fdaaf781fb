//! A response of the Responses API, as an answer and as the events of a stream have it.
//! Invariant: what was used stands behind all that a request and a model say, so that whoever puts a cost
//! into a stream holds nothing else back (see `cost`).

use serde::Serialize;

use super::Said;
use crate::{
    translate::{
        Answering, Stamp, TranslateError,
        answer::{Arguments, Call, Choice, Failure, Finish, Id},
        raw::{self, Json},
    },
    usage::{Report, Standing},
};

/// How far a response is, or an item of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::translate) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    /// By why an answer has ended.
    pub(in crate::translate) const fn of(finish: Finish) -> Self {
        match finish {
            Finish::Stop | Finish::ToolCalls => Self::Completed,
            Finish::Length | Finish::ContentFilter => Self::Incomplete,
        }
    }
}

/// What all responses to a request have.
#[derive(Debug)]
pub(in crate::translate) struct Frame {
    id: String,
    created: u64,
    model: String,
    said: Said,
}

/// What one of them is.
#[derive(Debug)]
pub(in crate::translate) struct State<'s> {
    pub(in crate::translate) status: Status,
    pub(in crate::translate) finish: Option<Finish>,
    pub(in crate::translate) failure: Option<&'s Failure>,
    pub(in crate::translate) output: &'s [Item],
    pub(in crate::translate) usage: Option<Usage>,
}

/// An item of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::translate) enum Item {
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<Part>,
    },
    FunctionCall {
        id: String,
        status: Status,
        call_id: Json,
        name: Json,
        arguments: Json,
        /// What Gemini has signed it with, as its own endpoint of OpenAI's shape has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<Json>,
    },
}

/// A part of a message.
#[derive(Debug, Serialize)]
pub(in crate::translate) struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    pub(in crate::translate) text: Json,
    annotations: [(); 0],
    logprobs: [(); 0],
}

impl Part {
    pub(in crate::translate) fn new(text: Json) -> Self {
        Self { kind: "output_text", text, annotations: [], logprobs: [] }
    }
}

impl Item {
    /// The `number`-th of all, which has no content yet.
    pub(in crate::translate) fn message(stem: &str, number: usize, status: Status) -> Self {
        let id = format!("msg_{stem}_{number}");
        Self::Message { id, status, role: "assistant", content: Vec::new() }
    }

    /// The `number`-th of all, which has no arguments yet.
    pub(in crate::translate) fn call(
        stem: &str,
        number: usize,
        status: Status,
        call: &Call<'_>,
    ) -> Result<Self, TranslateError> {
        let call_id = match &call.id {
            Some(Id::Written(id)) => Json::of(id),
            Some(Id::Made(id)) => Json::text(id),
            None => Json::text(""),
        };
        Ok(Self::FunctionCall {
            id: format!("fc_{stem}_{number}"),
            status,
            call_id,
            name: call.function.name.map_or_else(|| Json::text(""), Json::of),
            arguments: Json::text(""),
            extra_content: call.extra_content.as_ref().map(Json::written).transpose()?,
        })
    }

    pub(in crate::translate) fn id(&self) -> &str {
        match self {
            Self::Message { id, .. } | Self::FunctionCall { id, .. } => id,
        }
    }

    pub(in crate::translate) fn is(&mut self, now: Status) {
        match self {
            Self::Message { status, .. } | Self::FunctionCall { status, .. } => *status = now,
        }
    }

    /// How many bytes are kept of it.
    pub(in crate::translate) fn len(&self) -> usize {
        match self {
            Self::Message { content, .. } => content.iter().map(|part| part.text.len()).sum(),
            Self::FunctionCall { call_id, name, arguments, extra_content, .. } => {
                let parts = [Some(call_id), Some(name), Some(arguments), extra_content.as_ref()];
                parts.into_iter().flatten().map(Json::len).sum()
            }
        }
    }
}

/// Arguments, as a text.
pub(in crate::translate) fn text_of(arguments: &Arguments<'_>) -> Json {
    match arguments {
        Arguments::Written(text) => Json::of(text),
        Arguments::Made(text) => Json::text(text),
    }
}

/// What was used, in OpenAI's convention.
#[derive(Debug, Serialize)]
pub(in crate::translate) struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl Usage {
    /// None where the provider has told nothing.
    pub(in crate::translate) fn of(report: &Report) -> Option<Self> {
        if report.standing == Standing::Nothing {
            return None;
        }
        let usage = &report.usage;
        let (input_tokens, output_tokens) = (usage.input_tokens(), usage.output_tokens());
        Some(Self {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h),
            },
            output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning },
            total_tokens: input_tokens.saturating_add(output_tokens),
        })
    }
}

#[derive(Debug, Serialize)]
pub(in crate::translate) struct Document<'d> {
    id: &'d str,
    object: &'static str,
    created_at: u64,
    status: Status,
    background: bool,
    error: Option<Failed<'d>>,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'d Json>,
    max_output_tokens: Option<u64>,
    model: &'d str,
    output: &'d [Item],
    parallel_tool_calls: bool,
    previous_response_id: Option<()>,
    reasoning: Reasoning<'d>,
    store: bool,
    temperature: Option<&'d Json>,
    text: Text<'d>,
    tool_choice: Chosen<'d>,
    tools: &'d [Json],
    top_p: Option<&'d Json>,
    truncation: &'static str,
    user: Option<&'d Json>,
    metadata: Metadata<'d>,
    usage: Option<Usage>,
}

#[derive(Debug, Serialize)]
struct Failed<'d> {
    code: &'static str,
    message: &'d str,
}

#[derive(Debug, Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Reasoning<'d> {
    effort: Option<&'d Json>,
    summary: Option<()>,
}

#[derive(Debug, Serialize)]
struct Text<'d> {
    format: Format<'d>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Format<'d> {
    Written(&'d Json),
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Chosen<'d> {
    Written(&'d Json),
    Word(&'static str),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Metadata<'d> {
    Written(&'d Json),
    Nothing {},
}

impl Frame {
    pub(in crate::translate) fn new(answering: &Answering, said: &Said, stamp: Stamp<'_>) -> Self {
        Self {
            id: format!("resp_{}", stamp.stem()),
            created: stamp.created,
            model: answering.model.clone(),
            said: said.clone(),
        }
    }

    pub(in crate::translate) fn document<'d>(&'d self, state: State<'d>) -> Document<'d> {
        let said = &self.said;
        let incomplete = match state.finish {
            Some(Finish::Length) => Some("max_output_tokens"),
            Some(Finish::ContentFilter) => Some("content_filter"),
            Some(Finish::Stop | Finish::ToolCalls) | None => None,
        };
        let incomplete = incomplete.filter(|_| state.status == Status::Incomplete);
        let text = Format::Text { kind: "text" };
        Document {
            id: &self.id,
            object: "response",
            created_at: self.created,
            status: state.status,
            background: false,
            error: state.failure.map(|failure| Failed {
                code: code_of(failure.kind()),
                message: failure.message(),
            }),
            incomplete_details: incomplete.map(|reason| Incomplete { reason }),
            instructions: said.instructions.as_ref(),
            max_output_tokens: said.max_output_tokens,
            model: &self.model,
            output: state.output,
            parallel_tool_calls: said.parallel,
            previous_response_id: None,
            reasoning: Reasoning { effort: said.effort.as_ref(), summary: None },
            store: false,
            temperature: said.temperature.as_ref(),
            text: Text { format: said.format.as_ref().map_or(text, Format::Written) },
            tool_choice: said.choice.as_ref().map_or(Chosen::Word("auto"), Chosen::Written),
            tools: &said.tools,
            top_p: said.top_p.as_ref(),
            truncation: "disabled",
            user: said.user.as_ref(),
            metadata: said.metadata.as_ref().map_or(Metadata::Nothing {}, Metadata::Written),
            usage: state.usage,
        }
    }
}

/// What the Responses API calls the errors of a kind.
fn code_of(kind: &str) -> &'static str {
    match kind {
        "rate_limit_error" => "rate_limit_exceeded",
        "invalid_request_error" => "invalid_prompt",
        _ => "server_error",
    }
}

/// An answer that is whole. There is one of them.
pub(in crate::translate) fn written(
    frame: &Frame,
    stamp: Stamp<'_>,
    choices: Vec<Choice<'_>>,
    report: &Report,
) -> Option<Vec<u8>> {
    let choice = choices.into_iter().next()?;
    let (stem, whole) = (stamp.stem(), Status::Completed);
    let mut output = Vec::with_capacity(choice.calls.len().saturating_add(1));
    if let Some(text) = &choice.content {
        let mut message = Item::message(stem, 0, whole);
        if let Item::Message { content, .. } = &mut message {
            content.push(Part::new(Json::of(text)));
        }
        output.push(message);
    }
    for call in &choice.calls {
        let mut item = Item::call(stem, output.len(), whole, call).ok()?;
        if let Item::FunctionCall { arguments, .. } = &mut item {
            *arguments = text_of(&call.function.arguments);
        }
        output.push(item);
    }
    // What was cut off is the last of it.
    let status = Status::of(choice.finish);
    if let Some(last) = output.last_mut() {
        last.is(status);
    }
    let state = State {
        status,
        finish: Some(choice.finish),
        failure: None,
        output: &output,
        usage: Usage::of(report),
    };
    raw::written(&frame.document(state)).ok()
}
