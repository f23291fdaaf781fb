//! A chat as content for Gemini.
//!
//! | OpenAI | Gemini |
//! |---|---|
//! | instructions, wherever they stand | `systemInstruction` |
//! | what calls have given | `functionResponse`, with the name of the call that has the id |
//! | `response_format` | `responseMimeType`, `responseJsonSchema` |
//! | `reasoning_effort` | `thinkingLevel`, or a `thinkingBudget` before Gemini 3 |
//! | `tool_calls[].extra_content.google.thought_signature` | `thoughtSignature` |
//!
//! Invariants: `maxOutputTokens` is always there; a call that Gemini 3 wants signed is.
//! Does not pass addresses of images on: whose files they may be is not known.

use std::{borrow::Cow, collections::HashMap};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Target, TranslateError,
    chat::{Call, Chat, Choice, Effort, Format, Names, Part, Source, Tool, Turn, source},
    raw,
};

/// What Gemini documents for a call that has lost its signature.
const NO_SIGNATURE: &str = "\"skip_thought_signature_validator\"";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'b>>,
    contents: Vec<Content<'b>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
    generation_config: Config<'b>,
}

#[derive(Debug, Serialize)]
struct Content<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<PartOut<'b>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartOut<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<InlineData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'b, RawValue>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InlineData {
    mime_type: String,
    data: String,
}

#[derive(Debug, Serialize)]
struct FunctionCall<'b> {
    id: Cow<'b, str>,
    name: Cow<'b, str>,
    args: Box<RawValue>,
}

#[derive(Debug, Serialize)]
struct FunctionResponse<'b> {
    id: Cow<'b, str>,
    name: Cow<'b, str>,
    response: Output<'b>,
}

/// What a call has given: a text, or several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Output<'b> {
    One { output: Option<&'b RawValue> },
    Some { output: Vec<&'b RawValue> },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'b> {
    function_declarations: Vec<Declaration<'b>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'b> {
    name: &'b RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'b RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    function_calling_config: CallingConfig,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig {
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_function_names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'b> {
    max_output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Thinking>,
}

/// The least budget of `gemini-2.5-flash-lite` that is not none; others take less.
const BUDGET_MIN_TOKENS: u64 = 512;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Thinking {
    ThinkingBudget(u64),
    ThinkingLevel(&'static str),
}

impl Thinking {
    /// Thoughts are part of what is written, and of what was held for it. None of the models takes all
    /// budgets below [`BUDGET_MIN_TOKENS`].
    fn within(self, max_output_tokens: u64) -> Self {
        match self {
            Self::ThinkingBudget(tokens) => {
                Self::ThinkingBudget(tokens.min(max_output_tokens.max(BUDGET_MIN_TOKENS)))
            }
            level @ Self::ThinkingLevel(_) => level,
        }
    }
}

/// The body.
pub(super) fn body(chat: Chat<'_>, target: &Target<'_>) -> Result<Vec<u8>, TranslateError> {
    if chat.parallel == Some(false) && !chat.tools.is_empty() {
        let why = "how many tools are called at once is not set";
        return Err(TranslateError::unsupported("parallel_tool_calls".to_owned(), why));
    }
    let tool_config = tool_config(&chat)?;
    let max_output_tokens = chat.max_tokens.unwrap_or(target.max_output);
    let thinking = |effort| thinking(effort, target.model, chat.names);
    let thinking_config = chat.effort.map(thinking).transpose()?;
    let thinking_config = thinking_config.map(|thinking| thinking.within(max_output_tokens));
    let (response_mime_type, response_json_schema) = match chat.format {
        Format::Text => (None, None),
        Format::Json => (Some("application/json"), None),
        Format::Schema(schema) => (Some("application/json"), Some(schema)),
    };
    let generation_config = Config {
        max_output_tokens,
        candidate_count: (chat.answers != 1).then_some(chat.answers),
        temperature: chat.sampling.temperature,
        top_p: chat.sampling.top_p,
        seed: chat.sampling.seed,
        frequency_penalty: chat.sampling.frequency_penalty,
        presence_penalty: chat.sampling.presence_penalty,
        stop_sequences: chat.stop,
        response_mime_type,
        response_json_schema,
        thinking_config,
    };
    let system = parts(chat.system)?;
    let tools = tools(&chat.tools);
    raw::written(&Body {
        system_instruction: (!system.is_empty()).then_some(Content { role: None, parts: system }),
        contents: contents(chat.turns, target.model, chat.names)?,
        tools,
        tool_config,
        generation_config,
    })
}

/// Whether a model is of those that came before levels of thinking and signatures that must be there.
fn is_early(model: &str) -> bool {
    model.starts_with("gemini-1") || model.starts_with("gemini-2")
}

/// The budgets are those that Gemini's own endpoint of OpenAI's shape has for these words.
fn thinking(effort: Effort, model: &str, names: &Names) -> Result<Thinking, TranslateError> {
    let refuse = |why| Err(TranslateError::unsupported(names.effort.to_owned(), why));
    let most = "the most is \"high\"";
    if is_early(model) {
        return match effort {
            Effort::None => Ok(Thinking::ThinkingBudget(0)),
            Effort::Minimal | Effort::Low => Ok(Thinking::ThinkingBudget(1_024)),
            Effort::Medium => Ok(Thinking::ThinkingBudget(8_192)),
            Effort::High => Ok(Thinking::ThinkingBudget(24_576)),
            Effort::ExtraHigh | Effort::Max => refuse(most),
        };
    }
    match effort {
        Effort::None => refuse("it always thinks: the least is \"minimal\" or \"low\""),
        Effort::Minimal => Ok(Thinking::ThinkingLevel("minimal")),
        Effort::Low => Ok(Thinking::ThinkingLevel("low")),
        Effort::Medium => Ok(Thinking::ThinkingLevel("medium")),
        Effort::High => Ok(Thinking::ThinkingLevel("high")),
        Effort::ExtraHigh | Effort::Max => refuse(most),
    }
}

fn contents<'b>(
    turns: Vec<Turn<'b>>,
    model: &str,
    names: &Names,
) -> Result<Vec<Content<'b>>, TranslateError> {
    let mut contents: Vec<Content<'b>> = Vec::with_capacity(turns.len());
    // What was called, by id: results name it here.
    let mut called: HashMap<Cow<'b, str>, Cow<'b, str>> = HashMap::new();
    for turn in turns {
        let (role, mut parts) = match turn {
            Turn::User(user) => ("user", parts(user)?),
            Turn::Assistant { parts: said, calls } => {
                let mut parts = parts(said)?;
                called.extend(calls.iter().map(|call| (call.id.clone(), call.name.clone())));
                parts.append(&mut self::calls(calls, model)?);
                ("model", parts)
            }
            Turn::Tool { call, at, parts } => {
                let name = called.get(&call).cloned();
                let must = "the id of a call of a message before";
                let name = name.ok_or_else(|| TranslateError::invalid(at, must))?;
                let response = output(parts)?;
                let function_response = Some(FunctionResponse { id: call, name, response });
                ("user", vec![PartOut { function_response, ..PartOut::default() }])
            }
        };
        match contents.last_mut().filter(|last| last.role == Some(role)) {
            Some(last) => last.parts.append(&mut parts),
            None if parts.is_empty() => {}
            None => contents.push(Content { role: Some(role), parts }),
        }
    }
    if contents.is_empty() {
        let must = "messages, of which one is a user's and not empty";
        return Err(TranslateError::invalid(names.messages.to_owned(), must));
    }
    Ok(contents)
}

/// Calls. Of those at once, Gemini signs the first.
fn calls<'b>(calls: Vec<Call<'b>>, model: &str) -> Result<Vec<PartOut<'b>>, TranslateError> {
    let is_signed = calls.iter().any(|call| call.signature.is_some());
    let must_be_signed = model.starts_with("gemini-") && !is_early(model) && !is_signed;
    let part = |(index, call): (usize, Call<'b>)| {
        let thought_signature = match call.signature {
            Some(signature) => Some(Cow::Borrowed(signature)),
            None if must_be_signed && index == 0 => {
                Some(Cow::Owned(raw::of_text(NO_SIGNATURE.to_owned())?))
            }
            None => None,
        };
        let function_call =
            Some(FunctionCall { id: call.id, name: call.name, args: call.arguments });
        Ok(PartOut { function_call, thought_signature, ..PartOut::default() })
    };
    calls.into_iter().enumerate().map(part).collect()
}

fn output(parts: Vec<Part<'_>>) -> Result<Output<'_>, TranslateError> {
    let text = |part| match part {
        Part::Text { text, .. } => Ok(text),
        Part::Image { at, .. } => {
            Err(TranslateError::unsupported(at, "what a tool has given is a text"))
        }
    };
    let mut texts: Vec<_> = parts.into_iter().map(text).collect::<Result<_, _>>()?;
    Ok(match texts.len() {
        0 | 1 => Output::One { output: texts.pop() },
        _ => Output::Some { output: texts },
    })
}

fn parts(parts: Vec<Part<'_>>) -> Result<Vec<PartOut<'_>>, TranslateError> {
    parts.into_iter().filter_map(|part| self::part(part).transpose()).collect()
}

/// Gemini keeps what it likes in caches unasked: being told to changes nothing.
fn part(part: Part<'_>) -> Result<Option<PartOut<'_>>, TranslateError> {
    match part {
        Part::Text { text, .. } if raw::is_empty_text(text) => Ok(None),
        Part::Text { text, .. } => Ok(Some(PartOut { text: Some(text), ..PartOut::default() })),
        Part::Image { url, at, .. } => match source(&url, &at)? {
            Source::Data { media_type, base64 } => {
                let (mime_type, data) = (media_type.to_owned(), base64.to_owned());
                let inline_data = Some(InlineData { mime_type, data });
                Ok(Some(PartOut { inline_data, ..PartOut::default() }))
            }
            Source::Address => {
                let must = "data:image/...;base64,... with this model, which fetches no addresses";
                Err(TranslateError::invalid(at, must))
            }
        },
    }
}

fn tools<'b>(tools: &[Tool<'b>]) -> Vec<Tools<'b>> {
    let declaration = |tool: &Tool<'b>| Declaration {
        name: tool.name,
        description: tool.description,
        parameters_json_schema: tool.parameters,
    };
    let function_declarations: Vec<_> = tools.iter().map(declaration).collect();
    if function_declarations.is_empty() {
        Vec::new()
    } else {
        vec![Tools { function_declarations }]
    }
}

fn tool_config(chat: &Chat<'_>) -> Result<Option<ToolConfig>, TranslateError> {
    let is_strict = chat.tools.iter().any(|tool| tool.is_strict);
    let (mode, names) = match &chat.choice {
        Choice::Required if chat.tools.is_empty() => {
            let must = "an array with the tool that is to be called";
            return Err(TranslateError::invalid("tools".to_owned(), must));
        }
        Choice::Unsaid | Choice::None | Choice::Auto if chat.tools.is_empty() => return Ok(None),
        // Calls keep to their schemas, as they do where one is required.
        Choice::Unsaid | Choice::Auto if is_strict => ("VALIDATED", Vec::new()),
        Choice::Unsaid => return Ok(None),
        Choice::Auto => ("AUTO", Vec::new()),
        Choice::None => ("NONE", Vec::new()),
        Choice::Required => ("ANY", Vec::new()),
        Choice::Named(name) => ("ANY", vec![name.clone()]),
    };
    let function_calling_config = CallingConfig { mode, allowed_function_names: names };
    Ok(Some(ToolConfig { function_calling_config }))
}
