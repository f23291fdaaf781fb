//! What an answer is written as, piece by piece, in the shape that was asked for.
//! Does not read anything of a provider (see `anthropic`, `gemini`).

use serde::Serialize;
use serde_json::value::RawValue;

use super::{chat, completion, response};
use crate::{
    translate::{
        Answering, Kind, Stamp,
        answer::{Call, Failure, Finish, UsageOut},
    },
    usage::Report,
};

/// See the module.
#[derive(Debug)]
pub(super) enum Emitter {
    Chat(chat::Chunks),
    Completion(completion::Chunks),
    Response(Box<response::Events>),
}

impl Emitter {
    pub(super) fn new(answering: &Answering, stamp: Stamp<'_>) -> Self {
        match &answering.kind {
            Kind::Completion => Self::Completion(completion::Chunks::new(answering, stamp)),
            Kind::Response(said) => {
                Self::Response(Box::new(response::Events::new(answering, said, stamp)))
            }
            // Vectors are not streamed.
            Kind::Chat | Kind::Embedding { .. } => Self::Chat(chat::Chunks::new(answering, stamp)),
        }
    }

    /// An answer begins.
    pub(super) fn role(&mut self, answer: u64, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chunks) => chunks.role(answer, out),
            Self::Completion(_) => {}
            Self::Response(events) => events.begin(out),
        }
    }

    /// Some of its text, as it is written.
    pub(super) fn text(&mut self, answer: u64, text: &RawValue, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chunks) => chunks.text(answer, text, out),
            Self::Completion(chunks) => chunks.text(answer, text, out),
            Self::Response(events) => events.text(answer, text, out),
        }
    }

    /// A call of a tool, or more of its arguments.
    pub(super) fn call(&mut self, answer: u64, call: Call<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chunks) => chunks.call(answer, call, out),
            // There are no tools in a request for one.
            Self::Completion(_) => {}
            Self::Response(events) => events.call(answer, &call, out),
        }
    }

    /// An answer has ended.
    pub(super) fn finish(&mut self, answer: u64, finish: Finish, out: &mut Vec<u8>) {
        match self {
            Self::Chat(chunks) => chunks.finish(answer, finish, out),
            Self::Completion(chunks) => chunks.finish(answer, finish, out),
            Self::Response(events) => events.finish(answer, finish, out),
        }
    }

    /// All have, and this was used.
    pub(super) fn end(&mut self, report: &Report, out: &mut Vec<u8>) {
        let usage = || UsageOut::of(report);
        match self {
            Self::Chat(chunks) => chunks.end(usage().as_ref(), out),
            Self::Completion(chunks) => chunks.end(usage().as_ref(), out),
            Self::Response(events) => events.end(report, out),
        }
    }

    /// Something has gone wrong: nothing comes after that.
    pub(super) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) | Self::Completion(_) => chunk(failure, out),
            Self::Response(events) => events.fail(failure, out),
        }
    }

    /// Bytes of what it was told that it keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            Self::Chat(_) | Self::Completion(_) => 0,
            Self::Response(events) => events.kept_bytes(),
        }
    }

    /// Why what it was told can not be written in its shape.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Chat(_) | Self::Completion(_) => None,
            Self::Response(events) => events.failure().map(Failure::ours),
        }
    }
}

/// Writes an event that has data alone.
pub(super) fn chunk(data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    let begin = out.len();
    // Writing to memory does not fail, and nothing here is a map.
    drop(serde_json::to_writer(&mut *out, data));
    // What is repeated of a request may have lines, and an event's data has none. They stand between
    // values alone: within a text a line feed is written as two characters.
    for byte in out.iter_mut().skip(begin).filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
}

/// What a stream of chunks ends with.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";
