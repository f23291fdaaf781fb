//! The input of a request of the Responses API: one text, or what was said and called before.

use serde_json::value::RawValue;

use super::{Cow, NAMES, Part};
use crate::translate::{
    TranslateError,
    chat::{self, Call, MESSAGES_MAX, Messages, PARTS_MAX, Turn},
    raw::{self, Object},
};

/// What SDKs send back of answers, and what changes nothing.
const HARMLESS: [&str; 3] = ["id", "status", "phase"];

/// Whose part it is: users and tools may show images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Instructions,
    User,
    Assistant,
    Tool,
}

/// Reads all of it.
pub(super) fn read<'b>(
    instructions: Option<&'b RawValue>,
    input: &'b RawValue,
) -> Result<Messages<'b>, TranslateError> {
    let text = |text| Part::Text { text, cache: None };
    let mut messages = Messages::default();
    messages.instruct(instructions.into_iter().map(text).collect(), &NAMES)?;
    if raw::is_text(input) {
        messages.push(Turn::User(vec![text(input)]), &NAMES)?;
        return Ok(messages);
    }
    let list = raw::items(input, MESSAGES_MAX).filter(|list| !list.is_empty());
    let must = "a text or an array of 1 to 50000 items";
    let list = list.ok_or_else(|| TranslateError::invalid(NAMES.messages.to_owned(), must))?;
    for (index, item) in list.into_iter().enumerate() {
        self::item(Object::read(item, format!("input[{index}]"))?, &mut messages)?;
    }
    Ok(messages)
}

fn item<'b>(mut item: Object<'b>, messages: &mut Messages<'b>) -> Result<(), TranslateError> {
    let kind = match item.take("type") {
        Some(kind) => raw::text(kind),
        None => Some(Cow::Borrowed("message")),
    };
    item.drop_harmless(&HARMLESS);
    match kind.as_deref() {
        Some("message") => message(&mut item, messages)?,
        Some("function_call") => messages.call(call(&mut item)?, &NAMES)?,
        Some("function_call_output") => {
            // Whose it is, is known by the call.
            item.drop_harmless(&["name", "namespace"]);
            let call = item.need_text("call_id")?;
            let at = item.field("call_id");
            let output = item.need("output", "a text or an array of parts")?;
            let parts = parts(output, item.field("output"), Of::Tool)?;
            messages.push(Turn::Tool { call, at, parts }, &NAMES)?;
        }
        // What it has is encrypted, for OpenAI.
        Some("reasoning") => return Ok(()),
        Some("item_reference") => {
            let why = "answers are not kept: send the item itself";
            return Err(TranslateError::unsupported(item.field("type"), why));
        }
        Some(_) => {
            let why = "items are messages, calls of functions and what these have given";
            return Err(TranslateError::unsupported(item.field("type"), why));
        }
        None => return Err(TranslateError::invalid(item.field("type"), "a text")),
    }
    item.finish()
}

fn message<'b>(item: &mut Object<'b>, messages: &mut Messages<'b>) -> Result<(), TranslateError> {
    let role = item.need_text("role")?;
    let content = item.need("content", "a text or an array of parts")?;
    let parts = |of| parts(content, item.field("content"), of);
    match &*role {
        "system" | "developer" => messages.instruct(parts(Of::Instructions)?, &NAMES),
        "user" => messages.push(Turn::User(parts(Of::User)?), &NAMES),
        "assistant" => {
            let parts = parts(Of::Assistant)?;
            messages.push(Turn::Assistant { parts, calls: Vec::new() }, &NAMES)
        }
        _ => {
            let must = "\"system\", \"developer\", \"user\" or \"assistant\"";
            Err(TranslateError::invalid(item.field("role"), must))
        }
    }
}

fn call<'b>(item: &mut Object<'b>) -> Result<Call<'b>, TranslateError> {
    let id = item.need_text("call_id")?;
    let name = item.need_text("name")?;
    let arguments = chat::arguments(item)?;
    let signature = item.take("extra_content").and_then(chat::signature);
    // What SDKs make of the arguments.
    item.drop_harmless(&["parsed_arguments"]);
    Ok(Call { id, name, arguments, signature })
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
        ("input_text" | "output_text", _) => {
            // What is found in a text, and what SDKs make of it.
            part.drop_harmless(&["annotations", "logprobs", "parsed"]);
            Part::Text { text: need_raw_text(&mut part, "text")?, cache }
        }
        // A refusal is what the model has said.
        ("refusal", Of::Assistant) => {
            Part::Text { text: need_raw_text(&mut part, "refusal")?, cache }
        }
        ("input_image", Of::User | Of::Tool) => {
            part.refuse_unless("file_id", &[], "files are not kept: send an image_url")?;
            part.drop_harmless(&["detail"]);
            let url = part.need_text("image_url")?;
            Part::Image { url, at: part.field("image_url"), cache }
        }
        _ => {
            let field = part.field("type");
            return Err(TranslateError::unsupported(field, "parts are texts, and images of users"));
        }
    };
    part.finish()?;
    Ok(read)
}

fn need_raw_text<'b>(part: &mut Object<'b>, name: &str) -> Result<&'b RawValue, TranslateError> {
    let text = part.take_raw_text(name)?;
    text.ok_or_else(|| TranslateError::invalid(part.field(name), "a text"))
}
