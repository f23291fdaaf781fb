//! A chat as Anthropic's messages.
//!
//! | OpenAI | Anthropic |
//! |---|---|
//! | instructions, wherever they stand | `system` |
//! | messages of tools and users in a row | one message of the user: what calls have given stands first |
//! | `response_format` with a schema | `output_config.format` |
//! | `response_format` without one | a tool that must be called; its input is the answer's content |
//! | `reasoning_effort` | `output_config.effort`; `none` switches thinking off |
//!
//! Invariants: `max_tokens` is always there; texts that are empty are left out, as they are refused.
//! Does not switch thinking on: its blocks would have to come back with the next request, and OpenAI's
//! shape has no place for them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Target, TranslateError,
    chat::{Chat, Choice, Effort, Format, Names, Part, Sampling, Source, Tool, Turn, source},
    raw::{self, Object},
};

/// The tool whose input is the answer.
const JSON_TOOL: &str = "json_answer";

/// What the model is told of it.
const JSON_TOOL_DESCRIPTION: &str = "Takes the whole answer as its input, which is a JSON object.";

/// Images that Anthropic reads.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

#[derive(Debug, Serialize)]
struct Body<'b> {
    model: &'b str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'b>>,
    messages: Vec<Message<'b>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'b>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Debug, Serialize)]
struct Message<'b> {
    role: &'static str,
    content: Vec<Block<'b>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'b> {
    Text {
        text: &'b RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Kind>,
    },
    Image {
        source: ImageSource<'b>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Kind>,
    },
    ToolUse {
        id: Cow<'b, str>,
        name: Cow<'b, str>,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'b, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
    },
}

/// Where an image is: in itself, or at an address.
#[derive(Debug, Serialize)]
struct ImageSource<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'b, str>>,
}

/// An object that has a type alone.
#[derive(Debug, Serialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct ToolOut<'b> {
    name: Cow<'b, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'b, RawValue>>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Debug, Serialize)]
struct ToolChoice<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'b, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Debug, Serialize)]
struct OutputConfig<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'b>>,
}

#[derive(Debug, Serialize)]
struct OutputFormat<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'b RawValue,
}

#[derive(Debug, Serialize)]
struct Metadata<'b> {
    user_id: &'b RawValue,
}

/// The body, and whether the answer is to be found in the input of a tool.
pub(super) fn body(chat: Chat<'_>, target: &Target<'_>) -> Result<(Vec<u8>, bool), TranslateError> {
    refuse_sampling(&chat.sampling, chat.answers)?;
    let is_by_tool = matches!(chat.format, Format::Json);
    let (tools, tool_choice) = if is_by_tool {
        if !chat.tools.is_empty() {
            let why = "with tools it takes a schema: use \"json_schema\"";
            return Err(TranslateError::unsupported(chat.names.format.to_owned(), why));
        }
        json_tool()?
    } else {
        (tools(&chat.tools, chat.names)?, tool_choice(&chat)?)
    };
    let format = match chat.format {
        Format::Schema(schema) => Some(OutputFormat { kind: "json_schema", schema }),
        Format::Text | Format::Json => None,
    };
    let effort = chat.effort.and_then(effort).filter(|_| takes_effort(target.model));
    let is_configured = format.is_some() || effort.is_some();
    let stream = chat.is_stream();
    let body = Body {
        model: target.model,
        max_tokens: chat.max_tokens.unwrap_or(target.max_output),
        system: blocks(chat.system)?,
        messages: messages(chat.turns, chat.names)?,
        tools,
        tool_choice,
        temperature: chat.sampling.temperature,
        top_p: chat.sampling.top_p,
        stop_sequences: chat.stop,
        output_config: is_configured.then_some(OutputConfig { effort, format }),
        thinking: (chat.effort == Some(Effort::None)).then_some(Kind { kind: "disabled" }),
        metadata: chat.user.map(|user_id| Metadata { user_id }),
        stream,
    };
    Ok((raw::written(&body)?, is_by_tool))
}

/// What Anthropic has nothing like.
fn refuse_sampling(sampling: &Sampling<'_>, answers: u64) -> Result<(), TranslateError> {
    let refuse = |field: &str, why| Err(TranslateError::unsupported(field.to_owned(), why));
    let number = |raw: Option<&RawValue>| raw.and_then(|raw| raw.get().parse::<f64>().ok());
    if answers != 1 {
        return refuse("n", "one answer is given at a time");
    }
    if sampling.seed.is_some() {
        return refuse("seed", "answers are not repeated");
    }
    if number(sampling.frequency_penalty).is_some_and(|penalty| penalty != 0.0) {
        return refuse("frequency_penalty", "words are not weighted");
    }
    if number(sampling.presence_penalty).is_some_and(|penalty| penalty != 0.0) {
        return refuse("presence_penalty", "words are not weighted");
    }
    if number(sampling.temperature).is_some_and(|temperature| temperature > 1.0) {
        let must = "from 0 to 1 with this model";
        return Err(TranslateError::invalid("temperature".to_owned(), must));
    }
    Ok(())
}

/// Whether a model can be told how much effort to make. Those that came before do what they do, which is
/// better than an error to who asks all models for the same.
fn takes_effort(model: &str) -> bool {
    // The fourth of them with their dates, too.
    const BEFORE: [&str; 9] = [
        "claude-3",
        "claude-haiku-4",
        "claude-opus-4-0",
        "claude-opus-4-1",
        "claude-opus-4-2",
        "claude-sonnet-4-0",
        "claude-sonnet-4-2",
        "claude-sonnet-4-5",
        "claude-2",
    ];
    !BEFORE.iter().any(|begin| model.starts_with(begin))
}

fn effort(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::ExtraHigh => Some("xhigh"),
        Effort::Max => Some("max"),
    }
}

fn messages<'b>(turns: Vec<Turn<'b>>, names: &Names) -> Result<Vec<Message<'b>>, TranslateError> {
    let mut messages: Vec<Message<'b>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let (role, mut content) = match turn {
            Turn::User(parts) => ("user", blocks(parts)?),
            Turn::Assistant { parts, calls } => {
                let mut content = blocks(parts)?;
                content.extend(calls.into_iter().map(|call| Block::ToolUse {
                    id: call.id,
                    name: call.name,
                    input: call.arguments,
                }));
                ("assistant", content)
            }
            Turn::Tool { call, parts, .. } => {
                ("user", vec![Block::ToolResult { tool_use_id: call, content: blocks(parts)? }])
            }
        };
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.append(&mut content),
            None if content.is_empty() => {}
            None => messages.push(Message { role, content }),
        }
    }
    if messages.is_empty() {
        let must = "messages, of which one is a user's and not empty";
        return Err(TranslateError::invalid(names.messages.to_owned(), must));
    }
    Ok(messages)
}

fn blocks(parts: Vec<Part<'_>>) -> Result<Vec<Block<'_>>, TranslateError> {
    parts.into_iter().filter_map(|part| block(part).transpose()).collect()
}

fn block(part: Part<'_>) -> Result<Option<Block<'_>>, TranslateError> {
    match part {
        Part::Text { text, .. } if raw::is_empty_text(text) => Ok(None),
        Part::Text { text, cache } => {
            Ok(Some(Block::Text { text, cache_control: cache_control(cache)? }))
        }
        Part::Image { url, at, cache } => {
            let source = image(url, at)?;
            Ok(Some(Block::Image { source, cache_control: cache_control(cache)? }))
        }
    }
}

fn image(url: Cow<'_, str>, at: String) -> Result<ImageSource<'_>, TranslateError> {
    match source(&url, &at)? {
        Source::Data { media_type, .. } if !IMAGES.contains(&media_type) => {
            Err(TranslateError::invalid(at, "a JPEG, PNG, GIF or WebP image"))
        }
        Source::Data { media_type, base64 } => Ok(ImageSource {
            kind: "base64",
            media_type: Some(media_type.to_owned()),
            data: Some(base64.to_owned()),
            url: None,
        }),
        Source::Address => {
            Ok(ImageSource { kind: "url", media_type: None, data: None, url: Some(url) })
        }
    }
}

/// What is kept in a cache is kept for minutes: an hour has a price of its own, which is not held for.
fn cache_control(cache: Option<&RawValue>) -> Result<Option<Kind>, TranslateError> {
    let Some(cache) = cache else { return Ok(None) };
    let mut cache = Object::read(cache, "cache_control".to_owned())?;
    if cache.need_text("type")? != "ephemeral" {
        return Err(TranslateError::invalid(cache.field("type"), "\"ephemeral\""));
    }
    cache.refuse_unless("ttl", &["\"5m\""], "caches are kept for minutes")?;
    cache.finish()?;
    Ok(Some(Kind { kind: "ephemeral" }))
}

fn tools<'b>(tools: &[Tool<'b>], names: &Names) -> Result<Vec<ToolOut<'b>>, TranslateError> {
    let tool = |tool: &Tool<'b>| {
        Ok(ToolOut {
            name: Cow::Borrowed(tool.name),
            description: tool.description.map(Cow::Borrowed),
            input_schema: schema(tool.parameters, names)?,
            strict: tool.is_strict,
        })
    };
    tools.iter().map(tool).collect()
}

/// A schema with the type that it must have here, and need not have at OpenAI.
fn schema(parameters: Option<&RawValue>, names: &Names) -> Result<Box<RawValue>, TranslateError> {
    let Some(parameters) = parameters else {
        return raw::of_text("{\"type\":\"object\",\"properties\":{}}".to_owned());
    };
    let mut members = Object::read(parameters, names.parameters.to_owned())?;
    if members.take("type").is_some() {
        return Ok(parameters.to_owned());
    }
    let rest = parameters.get().strip_prefix('{').unwrap_or_default();
    let comma = if members.is_empty() { "" } else { "," };
    raw::of_text(format!("{{\"type\":\"object\"{comma}{rest}"))
}

fn tool_choice<'b>(chat: &Chat<'b>) -> Result<Option<ToolChoice<'b>>, TranslateError> {
    let disable_parallel_tool_use = chat.parallel == Some(false);
    let choice = |kind, name| {
        Ok(Some(ToolChoice {
            kind,
            name,
            disable_parallel_tool_use: disable_parallel_tool_use && kind != "none",
        }))
    };
    match &chat.choice {
        Choice::Required if chat.tools.is_empty() => Err(TranslateError::invalid(
            "tools".to_owned(),
            "an array with the tool that is to be called",
        )),
        Choice::Unsaid | Choice::None | Choice::Auto if chat.tools.is_empty() => Ok(None),
        Choice::Unsaid if !disable_parallel_tool_use => Ok(None),
        Choice::Unsaid | Choice::Auto => choice("auto", None),
        Choice::None => choice("none", None),
        Choice::Required => choice("any", None),
        Choice::Named(name) => choice("tool", Some(Cow::Owned(name.clone()))),
    }
}

/// Tools, and which one is called.
type Tools<'b> = (Vec<ToolOut<'b>>, Option<ToolChoice<'b>>);

/// The tool whose input is the answer.
fn json_tool<'b>() -> Result<Tools<'b>, TranslateError> {
    let owned = |text: &str| raw::of_text(format!("\"{text}\"")).map(Cow::Owned);
    let tool = ToolOut {
        name: owned(JSON_TOOL)?,
        description: Some(owned(JSON_TOOL_DESCRIPTION)?),
        input_schema: raw::of_text(
            "{\"type\":\"object\",\"additionalProperties\":true}".to_owned(),
        )?,
        strict: false,
    };
    let choice = ToolChoice {
        kind: "tool",
        name: Some(Cow::Borrowed(JSON_TOOL)),
        disable_parallel_tool_use: true,
    };
    Ok((vec![tool], Some(choice)))
}
