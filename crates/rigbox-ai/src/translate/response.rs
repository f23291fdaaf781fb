//! A request of the Responses API, read as a chat for translation.
//!
//! | Responses | a chat |
//! |---|---|
//! | `instructions`, messages of the system and of developers | instructions, in this order |
//! | `function_call` | a call of what the model has said before it, if anything |
//! | `function_call_output` | what a call has given |
//! | `reasoning` | left out: nobody else can read it |
//!
//! Answers are not kept, whatever `store` would be: what asks for that, or names what was kept, is
//! refused, and so are tools that OpenAI runs itself.
//! Invariants: those of `chat`; what an answer repeats of its request has at most [`SAID_MAX_BYTES`].

pub(super) mod document;
mod input;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Target, TranslateError,
    chat::{self, Chat, Choice, Format, Names, Part, Sampling, Tool},
    named,
    raw::{self, Json, Object},
};

/// Most bytes of a request that its answer repeats: a request counts as memory until it is sent, and
/// this is kept for longer. Of more than that, an answer says what is said where nothing is.
const SAID_MAX_BYTES: usize = 16 * 1024;

const NAMES: Names = Names {
    messages: "input",
    format: "text.format",
    effort: "reasoning.effort",
    parameters: "tools[].parameters",
};

/// What changes nothing: hints for caches, and a bound of what only OpenAI's own tools do.
const HARMLESS: [&str; 4] =
    ["prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "max_tool_calls"];

/// What none of the other providers has, what it may say all the same, and why it is refused.
const REFUSED: [(&str, &[&str], &str); 10] = [
    ("previous_response_id", &[], "answers are not kept: send what was said before as input"),
    ("conversation", &[], "answers are not kept: send what was said before as input"),
    ("store", &["false"], "answers are not kept"),
    ("background", &["false"], "answers are not kept"),
    ("prompt", &[], "prompts are not kept: send what it says as instructions and input"),
    ("context_management", &["[]"], "what was said before is not shortened"),
    ("truncation", &["\"disabled\""], "what was said before is not shortened"),
    ("top_logprobs", &["0"], "probabilities are not told"),
    ("service_tier", &["\"auto\"", "\"default\""], "it has no tiers of OpenAI"),
    ("moderation", &[], "it is not done"),
];

/// Most of what an answer is to include.
const INCLUDED_MAX: usize = 32;

/// What may be asked for that answers have besides: what is not there then, as nothing is thought aloud.
const INCLUDED: &str = "\"reasoning.encrypted_content\"";

/// What an answer repeats of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    instructions: Option<Json>,
    max_output_tokens: Option<u64>,
    parallel: bool,
    effort: Option<Json>,
    format: Option<Json>,
    temperature: Option<Json>,
    top_p: Option<Json>,
    tools: Vec<Json>,
    choice: Option<Json>,
    user: Option<Json>,
    metadata: Option<Json>,
}

/// Reads a body.
pub(super) fn read<'b>(
    body: &'b [u8],
    target: &Target<'_>,
) -> Result<(Chat<'b>, Said), TranslateError> {
    let mut object = Object::of_body(body)?;
    let model = named(&mut object, target)?;
    let instructions = object.take_raw_text("instructions")?;
    let input = object.need("input", "a text or an array of items")?;
    let messages = input::read(instructions, input)?;
    let tools = chat::tools(&mut object, tool)?;
    let choice = chat::choice(&mut object, chat::name)?;
    choice.check(&tools, "tool_choice.name")?;
    let (format, written_format) = format(&mut object)?;
    let (effort, written_effort) = effort(&mut object)?;
    let user = object.take_raw_text("user")?;
    let safety_identifier = object.take_raw_text("safety_identifier")?;
    let metadata = object.take("metadata").filter(|raw| raw.get().starts_with('{'));
    check_included(&mut object)?;
    let chat = Chat {
        names: &NAMES,
        model,
        system: messages.system,
        turns: messages.turns,
        tools,
        choice,
        parallel: object.take_bool("parallel_tool_calls")?,
        format,
        effort,
        sampling: Sampling {
            temperature: object.take_number("temperature")?,
            top_p: object.take_number("top_p")?,
            ..Sampling::default()
        },
        max_tokens: object.take_count("max_output_tokens")?,
        stop: Vec::new(),
        answers: 1,
        user: user.or(safety_identifier),
        is_stream: object.take_bool("stream")?.unwrap_or(false),
        include_usage: false,
    };
    // Usage is always told.
    chat::include_usage(&mut object)?;
    object.drop_harmless(&HARMLESS);
    for (name, anyway, why) in REFUSED {
        object.refuse_unless(name, anyway, why)?;
    }
    object.finish()?;
    let written =
        Written { instructions, metadata, user, format: written_format, effort: written_effort };
    let said = said(&chat, &written)?;
    Ok((chat, said))
}

fn tool(item: &RawValue, at: String) -> Result<Tool<'_>, TranslateError> {
    let mut tool = Object::read(item, at)?;
    chat::need_function(&mut tool)?;
    Tool::read(tool)
}

/// What the answer is to look like, and how that is written.
type Formatted<'b> = (Format<'b>, Option<&'b RawValue>);

fn format<'b>(object: &mut Object<'b>) -> Result<Formatted<'b>, TranslateError> {
    let Some(raw) = object.take("text") else { return Ok((Format::Text, None)) };
    let mut text = Object::read(raw, "text".to_owned())?;
    let raw = text.take("format");
    text.refuse_unless("verbosity", &["\"medium\""], "how much is written is not set")?;
    text.finish()?;
    let Some(raw) = raw else { return Ok((Format::Text, None)) };
    let format = Object::read(raw, NAMES.format.to_owned())?;
    Ok((Format::read(format, chat::take_schema)?, Some(raw)))
}

/// How much is to be thought, and how that is written.
type Thought<'b> = (Option<chat::Effort>, Option<&'b RawValue>);

fn effort<'b>(object: &mut Object<'b>) -> Result<Thought<'b>, TranslateError> {
    let Some(raw) = object.take("reasoning") else { return Ok((None, None)) };
    let mut reasoning = Object::read(raw, "reasoning".to_owned())?;
    let raw = reasoning.take("effort");
    let effort = chat::effort(raw, NAMES.effort)?;
    // "auto" is whatever a model has, and here it has none.
    for name in ["summary", "generate_summary"] {
        reasoning.refuse_unless(name, &["\"auto\""], "thoughts are not told")?;
    }
    reasoning.refuse_unless("mode", &["\"standard\""], "it thinks once")?;
    reasoning.refuse_unless("context", &["\"auto\""], "thoughts are not kept")?;
    reasoning.finish()?;
    Ok((effort, raw))
}

fn check_included(object: &mut Object<'_>) -> Result<(), TranslateError> {
    let Some(raw) = object.take("include") else { return Ok(()) };
    let list =
        raw::items(raw, INCLUDED_MAX).filter(|list| list.iter().all(|item| raw::is_text(item)));
    let list = list.ok_or_else(|| {
        TranslateError::invalid("include".to_owned(), "an array of at most 32 texts")
    })?;
    match list.iter().position(|item| item.get() != INCLUDED) {
        Some(index) => {
            let field = format!("include[{index}]");
            Err(TranslateError::unsupported(field, "its provider does not tell it"))
        }
        None => Ok(()),
    }
}

/// Parts of a request as they are written.
struct Written<'b> {
    instructions: Option<&'b RawValue>,
    metadata: Option<&'b RawValue>,
    user: Option<&'b RawValue>,
    format: Option<&'b RawValue>,
    effort: Option<&'b RawValue>,
}

/// A tool as answers have it.
#[derive(Debug, Serialize)]
struct ToolOut<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'b RawValue,
    description: Option<&'b RawValue>,
    parameters: Option<&'b RawValue>,
    strict: bool,
}

/// A tool that must be called.
#[derive(Debug, Serialize)]
struct Named<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'b str,
}

fn said(chat: &Chat<'_>, written: &Written<'_>) -> Result<Said, TranslateError> {
    let mut left = SAID_MAX_BYTES;
    let mut fits = |bytes: usize| match left.checked_sub(bytes) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut copy = |raw: Option<&RawValue>| raw.filter(|raw| fits(raw.get().len())).map(Json::of);
    let (instructions, format) = (copy(written.instructions), copy(written.format));
    let (metadata, user) = (copy(written.metadata), copy(written.user));
    let (temperature, top_p) = (copy(chat.sampling.temperature), copy(chat.sampling.top_p));
    let effort = copy(written.effort);
    let lens = |tool: &Tool<'_>| {
        let parts = [Some(tool.name), tool.description, tool.parameters];
        parts.into_iter().flatten().map(|raw| raw.get().len()).fold(0, usize::saturating_add)
    };
    let tools: &[Tool<'_>] =
        if fits(chat.tools.iter().map(lens).sum()) { &chat.tools } else { &[] };
    let tool = |tool: &Tool<'_>| {
        Json::written(&ToolOut {
            kind: "function",
            name: tool.name,
            description: tool.description,
            parameters: tool.parameters,
            strict: tool.is_strict,
        })
    };
    let choice = match &chat.choice {
        Choice::Unsaid => None,
        Choice::None => Some(Json::text("none")),
        Choice::Auto => Some(Json::text("auto")),
        Choice::Required => Some(Json::text("required")),
        Choice::Named(name) if !tools.is_empty() && fits(name.len()) => {
            Some(Json::written(&Named { kind: "function", name })?)
        }
        Choice::Named(_) => None,
    };
    Ok(Said {
        instructions,
        max_output_tokens: chat.max_tokens,
        parallel: chat.parallel.unwrap_or(true),
        effort,
        format,
        temperature,
        top_p,
        tools: tools.iter().map(tool).collect::<Result<_, _>>()?,
        choice,
        user,
        metadata,
    })
}
