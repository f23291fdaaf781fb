//! The messages of a chat.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{NAMES, Names};
use crate::translate::{
    TranslateError,
    raw::{self, Object},
};

/// Most messages of a chat: half of what Anthropic takes.
pub(in crate::translate) const MESSAGES_MAX: usize = 50_000;

/// Most parts and calls of a message.
pub(in crate::translate) const PARTS_MAX: usize = 10_000;

/// Most parts and calls of a chat.
const ALL_PARTS_MAX: usize = 50_000;

/// Who says something.
#[derive(Debug)]
pub(in crate::translate) enum Turn<'b> {
    User(Vec<Part<'b>>),
    Assistant {
        parts: Vec<Part<'b>>,
        calls: Vec<Call<'b>>,
    },
    /// What a call has given.
    Tool {
        call: Cow<'b, str>,
        /// The field that names the call.
        at: String,
        parts: Vec<Part<'b>>,
    },
}

impl Turn<'_> {
    /// How many parts and calls it has.
    fn count(&self) -> usize {
        match self {
            Self::User(parts) | Self::Tool { parts, .. } => parts.len(),
            Self::Assistant { parts, calls } => parts.len().saturating_add(calls.len()),
        }
    }
}

/// A part of a message.
#[derive(Debug)]
pub(in crate::translate) enum Part<'b> {
    /// As it is written.
    Text { text: &'b RawValue, cache: Option<&'b RawValue> },
    /// By its address, and the field that has it.
    Image { url: Cow<'b, str>, at: String, cache: Option<&'b RawValue> },
}

/// A call of a tool that the model has made.
#[derive(Debug)]
pub(in crate::translate) struct Call<'b> {
    pub(in crate::translate) id: Cow<'b, str>,
    pub(in crate::translate) name: Cow<'b, str>,
    /// A JSON object.
    pub(in crate::translate) arguments: Box<RawValue>,
    /// What Gemini has signed it with.
    pub(in crate::translate) signature: Option<&'b RawValue>,
}

/// Whose part it is: who may show images, and who is told what to keep in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Instructions,
    User,
    Assistant,
    Tool,
}

/// Instructions, and the rest of a conversation, of bounded size together.
#[derive(Debug, Default)]
pub(in crate::translate) struct Messages<'b> {
    pub(in crate::translate) system: Vec<Part<'b>>,
    pub(in crate::translate) turns: Vec<Turn<'b>>,
    /// How many parts and calls the turns have.
    count: usize,
}

impl<'b> Messages<'b> {
    /// Adds instructions.
    pub(in crate::translate) fn instruct(
        &mut self,
        mut parts: Vec<Part<'b>>,
        names: &Names,
    ) -> Result<(), TranslateError> {
        self.system.append(&mut parts);
        self.check(names)
    }

    /// Adds a turn.
    pub(in crate::translate) fn push(
        &mut self,
        turn: Turn<'b>,
        names: &Names,
    ) -> Result<(), TranslateError> {
        self.count = self.count.saturating_add(turn.count());
        self.turns.push(turn);
        self.check(names)
    }

    /// Adds a call to what the model has said last.
    pub(in crate::translate) fn call(
        &mut self,
        call: Call<'b>,
        names: &Names,
    ) -> Result<(), TranslateError> {
        if let Some(Turn::Assistant { calls, .. }) = self.turns.last_mut() {
            calls.push(call);
            self.count = self.count.saturating_add(1);
            return self.check(names);
        }
        self.push(Turn::Assistant { parts: Vec::new(), calls: vec![call] }, names)
    }

    fn check(&self, names: &Names) -> Result<(), TranslateError> {
        if self.count.saturating_add(self.system.len()) > ALL_PARTS_MAX {
            let must = "messages with at most 50000 parts";
            return Err(TranslateError::invalid(names.messages.to_owned(), must));
        }
        Ok(())
    }
}

/// Reads all messages. Instructions come first at the other providers, wherever they stood.
pub(super) fn read(messages: &RawValue) -> Result<Messages<'_>, TranslateError> {
    let must = "an array of 1 to 50000 messages";
    let list = raw::items(messages, MESSAGES_MAX).filter(|list| !list.is_empty());
    let invalid = || TranslateError::invalid(NAMES.messages.to_owned(), must);
    let mut read = Messages::default();
    for (index, item) in list.ok_or_else(invalid)?.into_iter().enumerate() {
        let mut message = Object::read(item, format!("messages[{index}]"))?;
        let role = message.need_text("role")?;
        // What clients send back of answers, and what nobody else has.
        message.drop_harmless(&["annotations", "reasoning_content", "reasoning", "id"]);
        let why = "it has no names of who speaks: say it in the content";
        match &*role {
            "tool" => message.drop_harmless(&["name"]),
            _ => message.refuse_unless("name", &[], why)?,
        }
        match &*role {
            "system" | "developer" => {
                read.instruct(needed(&mut message, Of::Instructions)?, &NAMES)?;
            }
            "user" => read.push(Turn::User(needed(&mut message, Of::User)?), &NAMES)?,
            "assistant" => read.push(assistant(&mut message)?, &NAMES)?,
            "tool" => {
                let call = message.need_text("tool_call_id")?;
                let at = message.field("tool_call_id");
                let parts = needed(&mut message, Of::Tool)?;
                read.push(Turn::Tool { call, at, parts }, &NAMES)?;
            }
            _ => {
                let must = "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"";
                return Err(TranslateError::invalid(message.field("role"), must));
            }
        }
        message.finish()?;
    }
    Ok(read)
}

fn assistant<'b>(message: &mut Object<'b>) -> Result<Turn<'b>, TranslateError> {
    message.refuse_unless("audio", &[], "answers are texts")?;
    message.refuse_unless("function_call", &[], "calls are in tool_calls")?;
    let mut parts = match message.take("content") {
        Some(content) => self::parts(content, message.field("content"), Of::Assistant)?,
        None => Vec::new(),
    };
    // A refusal is what the model has said.
    if let Some(text) = message.take_raw_text("refusal")? {
        parts.push(Part::Text { text, cache: None });
    }
    let calls = match message.take("tool_calls") {
        Some(list) => calls(list, message.field("tool_calls"))?,
        None => Vec::new(),
    };
    Ok(Turn::Assistant { parts, calls })
}

fn needed<'b>(message: &mut Object<'b>, of: Of) -> Result<Vec<Part<'b>>, TranslateError> {
    let content = message.need("content", "a text or an array of parts")?;
    parts(content, message.field("content"), of)
}

fn parts(content: &RawValue, at: String, of: Of) -> Result<Vec<Part<'_>>, TranslateError> {
    if raw::is_text(content) {
        return Ok(vec![Part::Text { text: content, cache: None }]);
    }
    let Some(list) = raw::items(content, PARTS_MAX) else {
        return Err(TranslateError::invalid(at, "a text or an array of at most 10000 parts"));
    };
    let part = |(index, item)| part(item, format!("{at}[{index}]"), of);
    list.into_iter().enumerate().map(part).collect()
}

fn part(item: &RawValue, at: String, of: Of) -> Result<Part<'_>, TranslateError> {
    let mut part = Object::read(item, at)?;
    let kind = part.need_text("type")?;
    let cache = part.take("cache_control");
    let read = match (&*kind, of) {
        ("text", _) | ("refusal", Of::Assistant) => {
            let text = part.need(&kind, "a text")?;
            if !raw::is_text(text) {
                return Err(TranslateError::invalid(part.field(&kind), "a text"));
            }
            Part::Text { text, cache }
        }
        ("image_url", Of::User | Of::Tool) => {
            let image = part.need("image_url", "an object")?;
            let mut image = Object::read(image, part.field("image_url"))?;
            let url = image.need_text("url")?;
            image.drop_harmless(&["detail"]);
            let at = image.field("url");
            image.finish()?;
            Part::Image { url, at, cache }
        }
        _ => {
            let field = part.field("type");
            return Err(TranslateError::unsupported(field, "parts are texts, and images of users"));
        }
    };
    // What is found in a text belongs to answers.
    part.drop_harmless(&["annotations"]);
    part.finish()?;
    Ok(read)
}

fn calls(list: &RawValue, at: String) -> Result<Vec<Call<'_>>, TranslateError> {
    let Some(list) = raw::items(list, PARTS_MAX) else {
        return Err(TranslateError::invalid(at, "an array of at most 10000 calls"));
    };
    let call = |(index, item)| call(item, format!("{at}[{index}]"));
    list.into_iter().enumerate().map(call).collect()
}

fn call(item: &RawValue, at: String) -> Result<Call<'_>, TranslateError> {
    let mut call = Object::read(item, at)?;
    let id = call.need_text("id")?;
    if call.take("type").is_some_and(|kind| kind.get() != "\"function\"") {
        return Err(TranslateError::unsupported(call.field("type"), "tools are functions"));
    }
    let function = call.need("function", "an object")?;
    let mut function = Object::read(function, call.field("function"))?;
    let name = function.need_text("name")?;
    let arguments = arguments(&mut function)?;
    let signature = match call.take("extra_content") {
        Some(extra) => signature(extra),
        None => None,
    };
    call.drop_harmless(&["index"]);
    function.finish()?;
    call.finish()?;
    Ok(Call { id, name, arguments, signature })
}

/// Takes out the arguments of a call.
pub(in crate::translate) fn arguments(
    call: &mut Object<'_>,
) -> Result<Box<RawValue>, TranslateError> {
    let text = call.need_text("arguments")?;
    let text = if text.trim().is_empty() { "{}".to_owned() } else { text.into_owned() };
    let arguments = RawValue::from_string(text).ok().filter(|raw| raw.get().starts_with('{'));
    let must = "a JSON object, as a text";
    arguments.ok_or_else(|| TranslateError::invalid(call.field("arguments"), must))
}

/// What Gemini's own endpoint of OpenAI's shape has as well: `{"google":{"thought_signature":"..."}}`.
pub(in crate::translate) fn signature(extra: &RawValue) -> Option<&RawValue> {
    let mut extra = Object::read(extra, String::new()).ok()?;
    let mut google = Object::read(extra.take("google")?, String::new()).ok()?;
    google.take("thought_signature").filter(|raw| raw::is_text(raw))
}

/// Where an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::translate) enum Source<'s> {
    /// In its address, in base64.
    Data { media_type: &'s str, base64: &'s str },
    /// At `https://`.
    Address,
}

/// Reads the address of an image.
pub(in crate::translate) fn source<'s>(
    url: &'s str,
    at: &str,
) -> Result<Source<'s>, TranslateError> {
    let scheme = |name: &str| url.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name));
    if scheme("https://") {
        return Ok(Source::Address);
    }
    let data = scheme("data:").then(|| url.get("data:".len()..)).flatten();
    let data = data.and_then(|data| data.split_once(";base64,"));
    match data {
        Some((media_type, base64)) if media_type.starts_with("image/") && !base64.is_empty() => {
            Ok(Source::Data { media_type, base64 })
        }
        _ => {
            let must = "an https:// address, or data:image/...;base64,...";
            Err(TranslateError::invalid(at.to_owned(), must))
        }
    }
}
