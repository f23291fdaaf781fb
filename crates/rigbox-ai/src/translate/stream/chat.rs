//! An answer as chunks of a chat.

use serde::Serialize;
use serde_json::value::RawValue;

use super::emitter::{DONE, chunk};
use crate::translate::{
    Answering, Stamp,
    answer::{Call, Finish, UsageOut},
};

/// Writes chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
}

#[derive(Debug, Serialize)]
struct Chunk<'c> {
    id: &'c str,
    object: &'static str,
    created: u64,
    model: &'c str,
    choices: &'c [ChoiceOut<'c>],
    /// Null before the last one, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<&'c UsageOut>>,
}

#[derive(Debug, Serialize)]
struct ChoiceOut<'c> {
    index: u64,
    delta: Delta<'c>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'c>; 1]>,
}

/// A text, as it is written or of our own.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'c> {
    Written(&'c RawValue),
    Made(&'static str),
}

impl Chunks {
    pub(super) fn new(answering: &Answering, stamp: Stamp<'_>) -> Self {
        Self {
            id: stamp.id.to_owned(),
            created: stamp.created,
            model: answering.model.clone(),
            include_usage: answering.include_usage,
        }
    }

    pub(super) fn role(&self, answer: u64, out: &mut Vec<u8>) {
        let (role, content) = (Some("assistant"), Some(Content::Made("")));
        self.delta(answer, Delta { role, content, ..Delta::default() }, out);
    }

    pub(super) fn text(&self, answer: u64, text: &RawValue, out: &mut Vec<u8>) {
        let content = Some(Content::Written(text));
        self.delta(answer, Delta { content, ..Delta::default() }, out);
    }

    pub(super) fn call(&self, answer: u64, call: Call<'_>, out: &mut Vec<u8>) {
        self.delta(answer, Delta { tool_calls: Some([call]), ..Delta::default() }, out);
    }

    pub(super) fn finish(&self, answer: u64, finish: Finish, out: &mut Vec<u8>) {
        self.choice(answer, Delta::default(), Some(finish.as_str()), out);
    }

    /// The last chunk, where it was asked for, and the end.
    pub(super) fn end(&self, usage: Option<&UsageOut>, out: &mut Vec<u8>) {
        if let Some(usage) = usage.filter(|_| self.include_usage) {
            self.chunk(&[], Some(usage), out);
        }
        out.extend_from_slice(DONE);
    }

    fn delta(&self, answer: u64, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.choice(answer, delta, None, out);
    }

    fn choice(
        &self,
        answer: u64,
        delta: Delta<'_>,
        finish_reason: Option<&'static str>,
        out: &mut Vec<u8>,
    ) {
        let choice = ChoiceOut { index: answer, delta, logprobs: None, finish_reason };
        self.chunk(&[choice], None, out);
    }

    fn chunk(&self, choices: &[ChoiceOut<'_>], usage: Option<&UsageOut>, out: &mut Vec<u8>) {
        let data = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: self.include_usage.then_some(usage),
        };
        chunk(&data, out);
    }
}
