//! A provider's answer as OpenAI has it, whole, and its errors.
//! Invariants: what was used is what `usage` counts, in OpenAI's convention: cached tokens are among
//! those of the prompt, thoughts among those of the completion; a status stays what it is, but for an
//! answer that is none, which is a 502; texts pass as they are written.
//! Does not say what a model has thought: OpenAI's shape has no place for it.

pub(super) mod anthropic;
pub(super) mod gemini;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Answering, Kind, Stamp, completion, embeddings, raw,
    response::document::{self, Frame},
};
use crate::usage::{Dialect, Framing, Meter, Report, Standing};

/// Longest answer that is translated as a whole. What models write has a megabyte at most, and the
/// vectors of Gemini's largest batch some four.
pub const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Longest message of an error that is passed on.
const MESSAGE_MAX_CHARS: usize = 4_096;

/// The status of an answer that is none.
const BAD_GATEWAY: u16 = 502;

/// An answer for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body, which is JSON.
    pub body: Vec<u8>,
}

/// Why an answer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

impl Finish {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// One answer of those that were asked for.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    pub(super) index: u64,
    pub(super) content: Option<Box<RawValue>>,
    pub(super) calls: Vec<Call<'a>>,
    pub(super) finish: Finish,
}

/// A call of a tool, whole or a part of one.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    /// Only in streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Id<'a>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: Function<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<Extra<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a RawValue>,
    pub(super) arguments: Arguments<'a>,
}

/// An id: the provider's as it is written, or one that was made.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Id<'a> {
    Written(&'a RawValue),
    Made(String),
}

/// Arguments, which are a text: one already, or a value to make one of.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Arguments<'a> {
    Written(&'a RawValue),
    Made(&'a str),
}

/// What Gemini's own endpoint of OpenAI's shape has as well.
#[derive(Debug, Serialize)]
pub(super) struct Extra<'a> {
    pub(super) google: Google<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Google<'a> {
    pub(super) thought_signature: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChoiceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Debug, Serialize)]
struct ChoiceOut<'a> {
    index: u64,
    message: MessageOut<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct MessageOut<'a> {
    role: &'static str,
    content: Option<Box<RawValue>>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

impl<'a> ChoiceOut<'a> {
    fn of(choice: Choice<'a>) -> Self {
        let message = MessageOut {
            role: "assistant",
            content: choice.content,
            refusal: None,
            tool_calls: choice.calls,
        };
        let finish_reason = choice.finish.as_str();
        Self { index: choice.index, message, logprobs: None, finish_reason }
    }
}

/// Usage in OpenAI's convention.
#[derive(Debug, Serialize)]
pub(super) struct UsageOut {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    /// As OpenRouter names it; OpenAI has none.
    #[serde(skip_serializing_if = "is_none")]
    cache_write_tokens: u64,
    #[serde(skip_serializing_if = "is_none")]
    audio_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(tokens: &u64) -> bool {
    *tokens == 0
}

impl UsageOut {
    /// None where the provider has told nothing.
    pub(super) fn of(report: &Report) -> Option<Self> {
        if report.standing == Standing::Nothing {
            return None;
        }
        let usage = &report.usage;
        let (prompt_tokens, completion_tokens) = (usage.input_tokens(), usage.output_tokens());
        let reasoning = CompletionDetails { reasoning_tokens: usage.reasoning };
        Some(Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h),
                audio_tokens: usage.audio_input,
            },
            completion_tokens_details: (usage.reasoning > 0).then_some(reasoning),
        })
    }
}

/// Translates an answer.
pub(super) fn whole(answering: &Answering, status: u16, body: &[u8], stamp: Stamp<'_>) -> Answer {
    if !(200..300).contains(&status) {
        let body = Failure::read(answering.dialect, status, body).written();
        return Answer { status, body };
    }
    if body.len() > ANSWER_MAX_BYTES {
        let body = Failure::ours("the answer of the provider is too long").written();
        return Answer { status: BAD_GATEWAY, body };
    }
    let mut meter = Meter::new(answering.dialect, Framing::Json);
    meter.feed(body);
    let report = meter.finish();
    // Else a list would be read as the members of an object, by their order.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let translated = match &answering.kind {
        _ if !is_object => None,
        Kind::Embedding { is_base64 } if answering.dialect == Dialect::Gemini => {
            embeddings::answer(body, &answering.model, *is_base64, &report)
        }
        Kind::Embedding { .. } => None,
        Kind::Chat | Kind::Completion | Kind::Response(_) => choices(answering, body, stamp)
            .and_then(|choices| written(answering, stamp, choices, &report)),
    };
    match translated {
        Some(body) => Answer { status: 200, body },
        None => {
            let body = Failure::read(answering.dialect, BAD_GATEWAY, body).written();
            Answer { status: BAD_GATEWAY, body }
        }
    }
}

/// What the provider has answered; none where that is no answer.
fn choices<'a>(answering: &Answering, body: &'a [u8], stamp: Stamp<'_>) -> Option<Vec<Choice<'a>>> {
    match answering.dialect {
        Dialect::Anthropic => Some(vec![anthropic::choice(body, answering.is_by_tool)?]),
        Dialect::Gemini => gemini::choices(body, stamp),
        Dialect::OpenAi | Dialect::Brave => None,
    }
}

/// The same in the shape that was asked for.
fn written(
    answering: &Answering,
    stamp: Stamp<'_>,
    choices: Vec<Choice<'_>>,
    report: &Report,
) -> Option<Vec<u8>> {
    match &answering.kind {
        Kind::Completion => return completion::written(answering, stamp, choices, report),
        Kind::Response(said) => {
            let frame = Frame::new(answering, said, stamp);
            return document::written(&frame, stamp, choices, report);
        }
        Kind::Chat | Kind::Embedding { .. } => {}
    }
    let completion = Completion {
        id: stamp.id,
        object: "chat.completion",
        created: stamp.created,
        model: &answering.model,
        choices: choices.into_iter().map(ChoiceOut::of).collect(),
        usage: UsageOut::of(report),
    };
    raw::written(&completion).ok()
}

/// An error in OpenAI's shape.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    error: FailureInner,
}

#[derive(Debug, Serialize)]
pub(super) struct FailureInner {
    message: String,
    #[serde(rename = "type")]
    kind: String,
    param: Option<()>,
    code: Option<String>,
}

impl Failure {
    /// One that the provider has not told.
    pub(super) fn ours(message: &str) -> Self {
        Self::of(message, "api_error".to_owned(), Some("bad_gateway".to_owned()))
    }

    /// What the provider has told.
    pub(super) fn of(message: &str, kind: String, code: Option<String>) -> Self {
        let message = message.chars().take(MESSAGE_MAX_CHARS).collect();
        Self { error: FailureInner { message, kind, param: None, code } }
    }

    /// Reads an error that has come with a status.
    pub(super) fn read(dialect: Dialect, status: u16, body: &[u8]) -> Self {
        let body = body.get(..ANSWER_MAX_BYTES).unwrap_or(body);
        let read = match dialect {
            Dialect::Anthropic => anthropic::failure(body),
            Dialect::Gemini => gemini::failure(body),
            Dialect::OpenAi | Dialect::Brave => None,
        };
        read.unwrap_or_else(|| match status {
            BAD_GATEWAY => Self::ours("the provider has sent what is no answer"),
            status => {
                let message = format!("the provider has answered with status {status}");
                Self::of(&message, kind_of(status).to_owned(), None)
            }
        })
    }

    /// What has gone wrong.
    pub(super) fn message(&self) -> &str {
        &self.error.message
    }

    /// What OpenAI calls errors like it.
    pub(super) fn kind(&self) -> &str {
        &self.error.kind
    }

    /// The provider's word for it, or else OpenAI's.
    pub(super) fn code(&self) -> &str {
        self.error.code.as_deref().unwrap_or(&self.error.kind)
    }

    /// What is in it.
    pub(super) const fn error(&self) -> &FailureInner {
        &self.error
    }

    /// As a body.
    pub(super) fn written(&self) -> Vec<u8> {
        raw::written(self).unwrap_or_default()
    }
}

/// What OpenAI calls the errors of a status.
pub(super) const fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}
