//! Messages of Anthropic, read for translation.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Arguments, Call, Choice, Failure, Finish, Function, Id};
use crate::translate::raw;

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

/// A block of content; in a stream, what it begins with.
#[derive(Debug, Deserialize)]
pub(in crate::translate) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(in crate::translate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(in crate::translate) text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(in crate::translate) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(in crate::translate) name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(in crate::translate) input: Option<&'a RawValue>,
}

impl<'a> Block<'a> {
    /// Its text, where it is of that kind.
    pub(in crate::translate) fn written_text(&self) -> Option<&'a RawValue> {
        self.text.filter(|text| self.kind == "text" && raw::is_text(text))
    }

    /// Id and name, where it is a call of a tool.
    pub(in crate::translate) fn call(&self) -> Option<(&'a RawValue, &'a RawValue)> {
        let id = self.id.filter(|id| self.kind == "tool_use" && raw::is_text(id))?;
        Some((id, self.name.filter(|name| raw::is_text(name))?))
    }
}

/// The answer of a message.
pub(super) fn choice(body: &[u8], is_by_tool: bool) -> Option<Choice<'_>> {
    let message: Message<'_> = serde_json::from_slice(body).ok()?;
    let finish = finish(message.stop_reason.as_deref(), is_by_tool);
    let tool = message.content.iter().find(|block| block.kind == "tool_use");
    // Without a call, what was said is the answer: it is paid for.
    if let Some(tool) = tool.filter(|_| is_by_tool) {
        let input = tool.input.map(RawValue::get);
        let content = input.and_then(|input| serde_json::value::to_raw_value(input).ok());
        return Some(Choice { index: 0, content, calls: Vec::new(), finish });
    }
    let texts: Vec<_> = message.content.iter().filter_map(Block::written_text).collect();
    let calls = message.content.iter().filter_map(|block| {
        let (id, name) = block.call()?;
        let arguments = Arguments::Made(block.input.map_or("{}", RawValue::get));
        Some(Call {
            index: None,
            id: Some(Id::Written(id)),
            kind: Some("function"),
            function: Function { name: Some(name), arguments },
            extra_content: None,
        })
    });
    let calls = calls.collect();
    Some(Choice { index: 0, content: raw::joined(&texts), calls, finish })
}

/// Why it has ended.
pub(in crate::translate) fn finish(reason: Option<&str>, is_by_tool: bool) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") if !is_by_tool => Finish::ToolCalls,
        Some("refusal") => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

#[derive(Debug, Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

/// What has gone wrong.
#[derive(Debug, Deserialize)]
pub(in crate::translate) struct Error<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

impl Error<'_> {
    /// In OpenAI's shape.
    pub(in crate::translate) fn failure(self) -> Failure {
        let kind = self.kind.map_or_else(|| "api_error".to_owned(), Cow::into_owned);
        let message = self.message.as_deref().unwrap_or("the provider has told of an error");
        Failure::of(message, kind, None)
    }
}

/// An error that came as a whole.
pub(super) fn failure(body: &[u8]) -> Option<Failure> {
    serde_json::from_slice::<Failed<'_>>(body).ok().map(|failed| failed.error.failure())
}
