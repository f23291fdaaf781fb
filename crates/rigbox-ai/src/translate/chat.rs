//! A chat in OpenAI's shape, read for translation: its messages, tools and settings.
//! Invariants: what is in here was understood; what was not is refused by name; texts, numbers, schemas
//! and arguments are kept as they are written.
//! Does not know what a provider has (see `anthropic`, `gemini`): only what none of them has is refused
//! here.

mod message;

use serde_json::value::RawValue;

pub(super) use message::{
    Call, MESSAGES_MAX, Messages, PARTS_MAX, Part, Source, Turn, arguments, signature, source,
};

use super::{
    Answering, Kind, Target, TranslateError, named,
    raw::{self, Object},
};

/// Most tools of a request: what OpenAI takes.
const TOOLS_MAX: usize = 128;

/// Most sequences that end an answer. OpenAI takes four, others more.
const STOPS_MAX: usize = 16;

/// What fields are called in the shape that a request has, so that a refusal names them.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) messages: &'static str,
    pub(super) format: &'static str,
    pub(super) effort: &'static str,
    pub(super) parameters: &'static str,
}

/// In a chat.
const NAMES: Names = Names {
    messages: "messages",
    format: "response_format",
    effort: "reasoning_effort",
    parameters: "tools[].function.parameters",
};

/// A chat, or what can be said as one.
#[derive(Debug)]
pub(super) struct Chat<'b> {
    pub(super) names: &'static Names,
    /// The model as the caller names it.
    pub(super) model: String,
    /// Instructions, wherever they stood.
    pub(super) system: Vec<Part<'b>>,
    pub(super) turns: Vec<Turn<'b>>,
    pub(super) tools: Vec<Tool<'b>>,
    pub(super) choice: Choice,
    pub(super) parallel: Option<bool>,
    pub(super) format: Format<'b>,
    pub(super) effort: Option<Effort>,
    pub(super) sampling: Sampling<'b>,
    pub(super) max_tokens: Option<u64>,
    pub(super) stop: Vec<&'b RawValue>,
    pub(super) answers: u64,
    pub(super) user: Option<&'b RawValue>,
    pub(super) is_stream: bool,
    pub(super) include_usage: bool,
}

/// How words are chosen, as it is written.
#[derive(Debug, Default)]
pub(super) struct Sampling<'b> {
    pub(super) temperature: Option<&'b RawValue>,
    pub(super) top_p: Option<&'b RawValue>,
    pub(super) seed: Option<&'b RawValue>,
    pub(super) frequency_penalty: Option<&'b RawValue>,
    pub(super) presence_penalty: Option<&'b RawValue>,
}

/// A function that the model may call.
#[derive(Debug)]
pub(super) struct Tool<'b> {
    pub(super) name: &'b RawValue,
    pub(super) description: Option<&'b RawValue>,
    pub(super) parameters: Option<&'b RawValue>,
    pub(super) is_strict: bool,
}

/// Which tools are to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing is said.
    Unsaid,
    None,
    Auto,
    Required,
    Named(String),
}

/// What an answer looks like.
#[derive(Debug)]
pub(super) enum Format<'b> {
    Text,
    Json,
    /// By this schema.
    Schema(&'b RawValue),
}

/// How much a model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

/// What changes nothing: what is kept and for whom, and hints for caches.
const HARMLESS: [&str; 4] =
    ["metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"];

/// What none of the other providers has, what it may say all the same, and why it is refused.
const REFUSED: [(&str, &[&str], &str); 14] = [
    ("audio", &[], "answers are texts"),
    ("modalities", &["[\"text\"]", "[]"], "answers are texts"),
    ("logprobs", &["false"], "probabilities are not told"),
    ("top_logprobs", &["0"], "probabilities are not told"),
    ("logit_bias", &["{}"], "tokens are not weighted"),
    ("prediction", &[], "predictions are not used"),
    ("functions", &["[]"], "they are called tools"),
    ("function_call", &[], "it is called tool_choice"),
    ("web_search_options", &[], "its provider does not search for a chat"),
    ("store", &["false"], "answers are not kept"),
    ("service_tier", &["\"auto\"", "\"default\""], "it has no tiers of OpenAI"),
    ("verbosity", &["\"medium\""], "how much is written is not set"),
    ("moderation", &[], "it is not done"),
    ("best_of", &["1"], "it is not done"),
];

impl<'b> Chat<'b> {
    /// Reads a body.
    pub(super) fn read(body: &'b [u8], target: &Target<'_>) -> Result<Self, TranslateError> {
        let mut object = Object::of_body(body)?;
        let model = named(&mut object, target)?;
        let messages = object.need("messages", "an array of messages")?;
        let Messages { system, turns, .. } = message::read(messages)?;
        let tools = tools(&mut object, tool)?;
        let choice = choice(&mut object, named_function)?;
        choice.check(&tools, "tool_choice.function.name")?;
        let parallel = object.take_bool("parallel_tool_calls")?;
        let user = object.take_raw_text("user")?;
        let safety_identifier = object.take_raw_text("safety_identifier")?;
        let most = object.take_count("max_tokens")?;
        let chat = Self {
            names: &NAMES,
            model,
            system,
            turns,
            tools,
            choice,
            parallel,
            format: format(&mut object)?,
            effort: effort(object.take("reasoning_effort"), NAMES.effort)?,
            sampling: Sampling::read(&mut object)?,
            max_tokens: object.take_count("max_completion_tokens")?.or(most),
            stop: stops(&mut object)?,
            answers: object.take_count("n")?.unwrap_or(1),
            user: user.or(safety_identifier),
            is_stream: object.take_bool("stream")?.unwrap_or(false),
            include_usage: include_usage(&mut object)?,
        };
        object.drop_harmless(&HARMLESS);
        for (name, anyway, why) in REFUSED {
            object.refuse_unless(name, anyway, why)?;
        }
        object.finish()?;
        Ok(chat)
    }

    /// What is needed for the answer.
    pub(super) fn answering(&self, kind: Kind, target: &Target<'_>) -> Answering {
        Answering {
            dialect: target.dialect,
            kind,
            model: self.model.clone(),
            is_stream: self.is_stream,
            include_usage: self.is_stream && self.include_usage,
            is_by_tool: false,
        }
    }

    /// Whether a stream is asked for.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }
}

impl<'b> Sampling<'b> {
    /// Takes all of it out, for the shapes that have all of it.
    pub(super) fn read(object: &mut Object<'b>) -> Result<Self, TranslateError> {
        Ok(Self {
            temperature: object.take_number("temperature")?,
            top_p: object.take_number("top_p")?,
            seed: object.take_number("seed")?,
            frequency_penalty: object.take_number("frequency_penalty")?,
            presence_penalty: object.take_number("presence_penalty")?,
        })
    }
}

impl Choice {
    /// Refuses a name at `field` that no tool has.
    pub(super) fn check(&self, tools: &[Tool<'_>], field: &str) -> Result<(), TranslateError> {
        match self {
            Self::Named(name)
                if !tools.iter().any(|tool| raw::text(tool.name).as_deref() == Some(name)) =>
            {
                let must = "the name of one of the tools";
                Err(TranslateError::invalid(field.to_owned(), must))
            }
            _ => Ok(()),
        }
    }
}

/// Reads all tools, each by `tool`.
pub(super) fn tools<'b>(
    object: &mut Object<'b>,
    tool: fn(&'b RawValue, String) -> Result<Tool<'b>, TranslateError>,
) -> Result<Vec<Tool<'b>>, TranslateError> {
    let Some(list) = object.take("tools") else { return Ok(Vec::new()) };
    let list = raw::items(list, TOOLS_MAX);
    let list = list.ok_or_else(|| {
        TranslateError::invalid("tools".to_owned(), "an array of at most 128 tools")
    })?;
    let tool = |(index, item)| tool(item, format!("tools[{index}]"));
    list.into_iter().enumerate().map(tool).collect()
}

fn tool(item: &RawValue, at: String) -> Result<Tool<'_>, TranslateError> {
    let mut tool = Object::read(item, at)?;
    need_function(&mut tool)?;
    let function = tool.need("function", "an object")?;
    let function = Object::read(function, tool.field("function"))?;
    tool.finish()?;
    Tool::read(function)
}

/// Takes a type out that must be that of functions.
pub(super) fn need_function(object: &mut Object<'_>) -> Result<(), TranslateError> {
    if object.need_text("type")? == "function" {
        return Ok(());
    }
    Err(TranslateError::unsupported(object.field("type"), "tools are functions"))
}

impl<'b> Tool<'b> {
    /// Reads what describes a function.
    pub(super) fn read(mut function: Object<'b>) -> Result<Self, TranslateError> {
        let name = function.need("name", "a text")?;
        if !raw::is_text(name) || raw::is_empty_text(name) {
            return Err(TranslateError::invalid(function.field("name"), "a text"));
        }
        let parameters = function.take("parameters");
        if parameters.is_some_and(|schema| !schema.get().starts_with('{')) {
            return Err(TranslateError::invalid(function.field("parameters"), "an object"));
        }
        let description = function.take_raw_text("description")?;
        let is_strict = function.take_bool("strict")?.unwrap_or(false);
        function.finish()?;
        Ok(Self { name, description, parameters, is_strict })
    }
}

/// Reads which tools are to be called; what is no word, by `function`.
pub(super) fn choice<'b>(
    object: &mut Object<'b>,
    function: fn(Object<'b>) -> Result<String, TranslateError>,
) -> Result<Choice, TranslateError> {
    let Some(raw) = object.take("tool_choice") else { return Ok(Choice::Unsaid) };
    let must = "\"none\", \"auto\", \"required\" or a function";
    if raw::is_text(raw) {
        return match raw::text(raw).as_deref() {
            Some("none") => Ok(Choice::None),
            Some("auto") => Ok(Choice::Auto),
            Some("required") => Ok(Choice::Required),
            _ => Err(TranslateError::invalid("tool_choice".to_owned(), must)),
        };
    }
    let mut choice = Object::read(raw, "tool_choice".to_owned())?;
    need_function(&mut choice)?;
    function(choice).map(Choice::Named)
}

fn named_function(mut choice: Object<'_>) -> Result<String, TranslateError> {
    let function = choice.need("function", "an object")?;
    let function = Object::read(function, choice.field("function"))?;
    choice.finish()?;
    self::name(function)
}

/// The name that is all that is left.
pub(super) fn name(mut function: Object<'_>) -> Result<String, TranslateError> {
    let name = function.need_text("name")?.into_owned();
    function.finish()?;
    Ok(name)
}

fn format<'b>(object: &mut Object<'b>) -> Result<Format<'b>, TranslateError> {
    let Some(raw) = object.take("response_format") else { return Ok(Format::Text) };
    let format = Object::read(raw, "response_format".to_owned())?;
    Format::read(format, |format| {
        let schema = format.need("json_schema", "an object")?;
        Object::read(schema, format.field("json_schema")).and_then(self::schema)
    })
}

impl<'b> Format<'b> {
    /// Reads a format; the schema, by `schema`.
    pub(super) fn read(
        mut format: Object<'b>,
        schema: fn(&mut Object<'b>) -> Result<Self, TranslateError>,
    ) -> Result<Self, TranslateError> {
        let kind = format.need_text("type")?;
        let read = match &*kind {
            "text" => Self::Text,
            "json_object" => Self::Json,
            "json_schema" => schema(&mut format)?,
            _ => {
                let field = format.field("type");
                let must = "\"text\", \"json_object\" or \"json_schema\"";
                return Err(TranslateError::invalid(field, must));
            }
        };
        format.finish()?;
        Ok(read)
    }
}

fn schema(mut object: Object<'_>) -> Result<Format<'_>, TranslateError> {
    let read = take_schema(&mut object)?;
    object.finish()?;
    Ok(read)
}

/// Takes a schema out, and what belongs to it.
pub(super) fn take_schema<'b>(object: &mut Object<'b>) -> Result<Format<'b>, TranslateError> {
    // The name is for the caller, and the others always keep to the schema.
    object.drop_harmless(&["name", "description", "strict"]);
    let schema = object.need("schema", "a JSON schema")?;
    if !schema.get().starts_with('{') {
        return Err(TranslateError::invalid(object.field("schema"), "a JSON schema"));
    }
    Ok(Format::Schema(schema))
}

/// How much is to be thought, where `field` says it.
pub(super) fn effort(
    raw: Option<&RawValue>,
    field: &str,
) -> Result<Option<Effort>, TranslateError> {
    let Some(raw) = raw else { return Ok(None) };
    Ok(Some(match raw::text(raw).as_deref() {
        Some("none") => Effort::None,
        Some("minimal") => Effort::Minimal,
        Some("low") => Effort::Low,
        Some("medium") => Effort::Medium,
        Some("high") => Effort::High,
        Some("xhigh") => Effort::ExtraHigh,
        Some("max") => Effort::Max,
        _ => {
            let must = "\"low\", \"medium\" or \"high\"";
            return Err(TranslateError::invalid(field.to_owned(), must));
        }
    }))
}

/// Takes out what ends an answer.
pub(super) fn stops<'b>(object: &mut Object<'b>) -> Result<Vec<&'b RawValue>, TranslateError> {
    let Some(raw) = object.take("stop") else { return Ok(Vec::new()) };
    if raw::is_text(raw) {
        return Ok(vec![raw]);
    }
    let are_texts = |list: &Vec<&RawValue>| list.iter().all(|stop| raw::is_text(stop));
    raw::items(raw, STOPS_MAX)
        .filter(are_texts)
        .ok_or_else(|| TranslateError::invalid("stop".to_owned(), "a text or some texts"))
}

/// Takes out whether a stream is to tell what was used.
pub(super) fn include_usage(object: &mut Object<'_>) -> Result<bool, TranslateError> {
    let Some(raw) = object.take("stream_options") else { return Ok(false) };
    let mut options = Object::read(raw, "stream_options".to_owned())?;
    let include_usage = options.take_bool("include_usage")?.unwrap_or(false);
    // Padding against who listens; connections to us are not listened to.
    options.drop_harmless(&["include_obfuscation"]);
    options.finish()?;
    Ok(include_usage)
}
