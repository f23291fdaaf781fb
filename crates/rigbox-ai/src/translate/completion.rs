//! A text that goes on, as OpenAI had it before chats: its prompt as the one message of a user, and what
//! the model says to that as the text.
//! Invariants: those of `chat`; one prompt is one message. Where no bound is said, it is that of a chat:
//! OpenAI's own of 16 tokens is for models that do not end by themselves.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Answering, Stamp, Target, TranslateError,
    answer::{Choice, UsageOut},
    chat::{self, Chat, Format, Names, Part, Sampling, Turn},
    named,
    raw::{self, Object},
};
use crate::usage::Report;

/// There is no format, no effort and no tool to be named.
const NAMES: Names = Names {
    messages: "prompt",
    format: "response_format",
    effort: "reasoning_effort",
    parameters: "tools",
};

/// What none of the other providers has, what it may say all the same, and why it is refused.
const REFUSED: [(&str, &[&str], &str); 5] = [
    ("suffix", &["\"\""], "texts are not filled in"),
    ("echo", &["false"], "prompts are not repeated"),
    ("logprobs", &[], "probabilities are not told"),
    ("logit_bias", &["{}"], "tokens are not weighted"),
    ("best_of", &["1"], "it is not done"),
];

/// Reads a body.
pub(super) fn read<'b>(body: &'b [u8], target: &Target<'_>) -> Result<Chat<'b>, TranslateError> {
    let mut object = Object::of_body(body)?;
    let model = named(&mut object, target)?;
    let chat = Chat {
        names: &NAMES,
        model,
        system: Vec::new(),
        turns: vec![Turn::User(vec![Part::Text { text: prompt(&mut object)?, cache: None }])],
        tools: Vec::new(),
        choice: chat::Choice::Unsaid,
        parallel: None,
        format: Format::Text,
        effort: None,
        sampling: Sampling::read(&mut object)?,
        max_tokens: object.take_count("max_tokens")?,
        stop: chat::stops(&mut object)?,
        answers: object.take_count("n")?.unwrap_or(1),
        user: object.take_raw_text("user")?,
        is_stream: object.take_bool("stream")?.unwrap_or(false),
        include_usage: chat::include_usage(&mut object)?,
    };
    for (name, anyway, why) in REFUSED {
        object.refuse_unless(name, anyway, why)?;
    }
    object.finish()?;
    Ok(chat)
}

fn prompt<'b>(object: &mut Object<'b>) -> Result<&'b RawValue, TranslateError> {
    let must = "a text, or an array of one";
    let prompt = object.need("prompt", must)?;
    let one = if raw::is_text(prompt) {
        Some(prompt)
    } else {
        match raw::items(prompt, 1).as_deref() {
            Some([prompt]) => Some(*prompt),
            _ => None,
        }
    };
    let text = one.filter(|prompt| raw::is_text(prompt));
    text.ok_or_else(|| TranslateError::invalid("prompt".to_owned(), must))
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Debug, Serialize)]
struct Text {
    text: Box<RawValue>,
    index: u64,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

/// An answer that is whole.
pub(super) fn written(
    answering: &Answering,
    stamp: Stamp<'_>,
    choices: Vec<Choice<'_>>,
    report: &Report,
) -> Option<Vec<u8>> {
    let text = |choice: Choice<'_>| {
        let text = choice.content.map_or_else(|| raw::of_text("\"\"".to_owned()), Ok);
        let (index, finish_reason) = (choice.index, choice.finish.as_str());
        Some(Text { text: text.ok()?, index, logprobs: None, finish_reason })
    };
    let completion = Completion {
        id: id(stamp),
        object: OBJECT,
        created: stamp.created,
        model: &answering.model,
        choices: choices.into_iter().map(text).collect::<Option<_>>()?,
        usage: UsageOut::of(report),
    };
    raw::written(&completion).ok()
}

/// What an answer and the chunks of one are.
pub(super) const OBJECT: &str = "text_completion";

/// What an answer and the chunks of one are called.
pub(super) fn id(stamp: Stamp<'_>) -> String {
    format!("cmpl-{}", stamp.stem())
}
