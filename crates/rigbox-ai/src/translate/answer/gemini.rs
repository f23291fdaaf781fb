//! Content of Gemini, read for translation.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Arguments, Call, Choice, Extra, Failure, Finish, Function, Google, Id, kind_of};
use crate::translate::{Stamp, raw};

/// Most answers of one request: what OpenAI takes.
pub(in crate::translate) const ANSWERS_MAX: usize = 128;

/// An answer, or an event of one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::translate) struct Response<'a> {
    #[serde(borrow, default)]
    pub(in crate::translate) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(in crate::translate) error: Option<Error<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::translate) struct Candidate<'a> {
    #[serde(default)]
    pub(in crate::translate) index: Option<u64>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<Part<'a>>>,
}

/// A part of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::translate) struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default)]
    function_call: Option<FunctionCall<'a>>,
    #[serde(borrow, default)]
    thought_signature: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

impl<'a> Response<'a> {
    /// Whether the prompt was refused.
    pub(in crate::translate) fn is_blocked(&self) -> bool {
        self.prompt_feedback.as_ref().is_some_and(|feedback| feedback.block_reason.is_some())
    }

    /// Whether it is anything of an answer.
    fn is_answer(&self) -> bool {
        self.candidates.is_some() || self.is_blocked() || self.usage_metadata.is_some()
    }
}

impl<'a> Candidate<'a> {
    /// Its parts.
    pub(in crate::translate) fn parts(&self) -> &[Part<'a>] {
        self.content.as_ref().and_then(|content| content.parts.as_deref()).unwrap_or_default()
    }

    /// Why it has ended, where it has.
    pub(in crate::translate) fn finish(&self, has_calls: bool) -> Option<Finish> {
        Some(match self.finish_reason.as_deref()? {
            "MAX_TOKENS" => Finish::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => Finish::ContentFilter,
            _ if has_calls => Finish::ToolCalls,
            _ => Finish::Stop,
        })
    }
}

impl<'a> Part<'a> {
    /// What it says, where that is no thought.
    pub(in crate::translate) fn said(&self) -> Option<&'a RawValue> {
        let is_thought = self.thought == Some(true);
        self.text.filter(|text| !is_thought && raw::is_text(text) && !raw::is_empty_text(text))
    }

    /// The call that it is: the `number`-th of an answer, where that has no id.
    pub(in crate::translate) fn call(
        &self,
        stamp: Stamp<'_>,
        answer: u64,
        number: usize,
    ) -> Option<Call<'a>> {
        let call = self.function_call.as_ref()?;
        let id = call.id.filter(|id| raw::is_text(id) && !raw::is_empty_text(id));
        let made = || Id::Made(format!("call_{}_{answer}_{number}", stamp.stem()));
        let signature = self.thought_signature.filter(|signature| raw::is_text(signature));
        let extra = |thought_signature| Extra { google: Google { thought_signature } };
        Some(Call {
            index: None,
            id: Some(id.map_or_else(made, Id::Written)),
            kind: Some("function"),
            function: Function {
                name: Some(call.name).filter(|name| raw::is_text(name)),
                arguments: Arguments::Made(call.args.map_or("{}", RawValue::get)),
            },
            extra_content: signature.map(extra),
        })
    }
}

/// All answers of a response.
pub(super) fn choices<'a>(body: &'a [u8], stamp: Stamp<'_>) -> Option<Vec<Choice<'a>>> {
    let response: Response<'a> = serde_json::from_slice(body).ok()?;
    if response.error.is_some() || !response.is_answer() {
        return None;
    }
    let candidates = response.candidates.as_deref().unwrap_or_default();
    let choice = |(place, candidate): (usize, &Candidate<'a>)| {
        let index = candidate.index.unwrap_or_else(|| u64::try_from(place).unwrap_or(0));
        let texts: Vec<_> = candidate.parts().iter().filter_map(Part::said).collect();
        let mut calls: Vec<Call<'a>> = Vec::new();
        for part in candidate.parts() {
            calls.extend(part.call(stamp, index, calls.len()));
        }
        let finish = candidate.finish(!calls.is_empty()).unwrap_or(Finish::Stop);
        Choice { index, content: raw::joined(&texts), calls, finish }
    };
    let mut choices: Vec<_> = candidates.iter().take(ANSWERS_MAX).enumerate().map(choice).collect();
    if choices.is_empty() {
        let finish = if response.is_blocked() { Finish::ContentFilter } else { Finish::Stop };
        choices.push(Choice { index: 0, content: None, calls: Vec::new(), finish });
    }
    Some(choices)
}

#[derive(Debug, Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

/// What has gone wrong.
#[derive(Debug, Deserialize)]
pub(in crate::translate) struct Error<'a> {
    #[serde(default)]
    code: Option<u16>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
}

impl Error<'_> {
    /// In OpenAI's shape.
    pub(in crate::translate) fn failure(self) -> Failure {
        let message = self.message.as_deref().unwrap_or("the provider has told of an error");
        let kind = kind_of(self.code.unwrap_or(500)).to_owned();
        Failure::of(message, kind, self.status.map(Cow::into_owned))
    }
}

/// An error that came as a whole; streams may have it in an array.
pub(super) fn failure(body: &[u8]) -> Option<Failure> {
    let failed = if body.trim_ascii_start().starts_with(b"[") {
        let list: Vec<Failed<'_>> = serde_json::from_slice(body).ok()?;
        list.into_iter().next()?
    } else {
        serde_json::from_slice(body).ok()?
    };
    Some(failed.error.failure())
}
