//! An answer as chunks of a text that goes on.

use serde::Serialize;
use serde_json::value::RawValue;

use super::emitter::{DONE, chunk};
use crate::translate::{
    Answering, Stamp,
    answer::{Finish, UsageOut},
    completion::{OBJECT, id},
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
    choices: &'c [Text<'c>],
    /// Null before the last one, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<&'c UsageOut>>,
}

#[derive(Debug, Serialize)]
struct Text<'c> {
    text: Said<'c>,
    index: u64,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

/// A text as it is written, or none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said<'c> {
    Written(&'c RawValue),
    Nothing(&'static str),
}

impl Chunks {
    pub(super) fn new(answering: &Answering, stamp: Stamp<'_>) -> Self {
        Self {
            id: id(stamp),
            created: stamp.created,
            model: answering.model.clone(),
            include_usage: answering.include_usage,
        }
    }

    pub(super) fn text(&self, answer: u64, text: &RawValue, out: &mut Vec<u8>) {
        self.choice(answer, (Said::Written(text), None), out);
    }

    pub(super) fn finish(&self, answer: u64, finish: Finish, out: &mut Vec<u8>) {
        self.choice(answer, (Said::Nothing(""), Some(finish.as_str())), out);
    }

    /// The last chunk, where it was asked for, and the end.
    pub(super) fn end(&self, usage: Option<&UsageOut>, out: &mut Vec<u8>) {
        if let Some(usage) = usage.filter(|_| self.include_usage) {
            self.chunk(&[], Some(usage), out);
        }
        out.extend_from_slice(DONE);
    }

    fn choice(
        &self,
        index: u64,
        (text, finish_reason): (Said<'_>, Option<&'static str>),
        out: &mut Vec<u8>,
    ) {
        self.chunk(&[Text { text, index, logprobs: None, finish_reason }], None, out);
    }

    fn chunk(&self, choices: &[Text<'_>], usage: Option<&UsageOut>, out: &mut Vec<u8>) {
        let data = Chunk {
            id: &self.id,
            object: OBJECT,
            created: self.created,
            model: &self.model,
            choices,
            usage: self.include_usage.then_some(usage),
        };
        chunk(&data, out);
    }
}
