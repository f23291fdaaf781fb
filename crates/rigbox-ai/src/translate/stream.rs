//! A provider's stream as OpenAI's, translated as it comes.
//!
//! ```text
//! events ──> role ──> text and calls ──> finish ──> usage, if asked for ──> [DONE]
//!    └── error, cut, too long or unreadable ──> error (and never [DONE])
//! ```
//! These are a chat's, and those of a text that goes on; for the events of a response, see `response`.
//!
//! Invariants: at most [`EVENT_MAX_BYTES`] are held back, and none longer than until their event is
//! over; the same bytes give the same events however they are split; what comes after the end is not
//! looked at; only an answer that came to its end ends as one. Of an answer, nothing is kept but what
//! the last event of a response repeats.
//! Does not say what a model has thought: OpenAI's shape has no place for it.

mod anthropic;
mod chat;
mod completion;
mod emitter;
mod gemini;
mod response;

use emitter::Emitter;

use super::{Answering, Stamp, answer::Failure};
use crate::{
    sse::{Events, Lines},
    usage::{Dialect, Framing, Meter},
};

/// Longest event of a provider. Those of a text have some hundreds of bytes, a whole call has more.
const EVENT_MAX_BYTES: usize = 1024 * 1024;

/// Most calls of tools in an answer.
const CALLS_MAX: usize = 1_024;

/// Translates a stream. See the module.
#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    /// Data of the event under way.
    event: Vec<u8>,
    state: State,
}

#[derive(Debug)]
struct State {
    reader: Reader,
    meter: Meter,
    emitter: Emitter,
    is_over: bool,
}

#[derive(Debug)]
enum Reader {
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
    /// Nobody streams otherwise.
    None,
}

impl Stream {
    pub(super) fn new(answering: &Answering, stamp: Stamp<'_>) -> Self {
        let reader = match answering.dialect {
            Dialect::Anthropic => Reader::Anthropic(anthropic::Reader::new(answering.is_by_tool)),
            Dialect::Gemini => Reader::Gemini(gemini::Reader::new(stamp)),
            Dialect::OpenAi | Dialect::Brave => Reader::None,
        };
        let meter = Meter::new(answering.dialect, Framing::Events);
        let emitter = Emitter::new(answering, stamp);
        let state = State { reader, meter, emitter, is_over: false };
        Self { lines: Lines::new(), event: Vec::new(), state }
    }

    /// Takes more of the stream, and appends to `out` what goes on.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.state.is_over {
            return;
        }
        let mut under_way = UnderWay { event: &mut self.event, state: &mut self.state, out };
        self.lines.feed(bytes, &mut under_way);
    }

    /// Whether the last event is out: what else comes is not looked at.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.is_over
    }

    /// Bytes of the answer that are kept until its end, some thousands more or less.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.state.emitter.kept_bytes()
    }

    /// There is no room for what it keeps: it fails.
    pub fn fail_for_room(&mut self, out: &mut Vec<u8>) {
        if !self.state.is_over {
            let why = "the calls of this account have too much in memory at once; try again";
            self.state.fail(&Failure::ours(why), out);
        }
    }

    /// The stream of the provider is over, for whatever reason.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let mut under_way = UnderWay { event: &mut self.event, state: &mut self.state, out };
        self.lines.finish(&mut under_way);
        if self.state.is_over {
            return;
        }
        // Gemini ends where nothing more comes, and Anthropic says so.
        let is_whole = match &self.state.reader {
            Reader::Gemini(reader) => reader.is_whole(),
            Reader::Anthropic(_) | Reader::None => false,
        };
        if is_whole {
            self.state.end(out);
        } else {
            self.state.fail(&Failure::ours("the answer of the provider was cut off"), out);
        }
    }
}

/// What an event becomes.
enum Step {
    /// The answer goes on.
    On,
    /// It has come to its end.
    End,
    /// It has failed.
    Failed(Failure),
}

struct UnderWay<'u> {
    event: &'u mut Vec<u8>,
    state: &'u mut State,
    out: &'u mut Vec<u8>,
}

impl Events for UnderWay<'_> {
    fn data(&mut self, bytes: &[u8]) {
        if self.state.is_over {
            return;
        }
        if self.event.len().saturating_add(bytes.len()) > EVENT_MAX_BYTES {
            let failure = Failure::ours("an event of the provider is too long");
            return self.state.fail(&failure, self.out);
        }
        // Between the lines of an event is nothing but space.
        self.event.extend(bytes.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    }

    fn ended(&mut self) {
        if !self.state.is_over {
            self.state.event(self.event, self.out);
        }
        self.event.clear();
    }
}

impl State {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let data = data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        for part in [b"data: ".as_slice(), data, b"\n\n"] {
            self.meter.feed(part);
        }
        let step = match &mut self.reader {
            // Else a list would be read as the members of an object, by their order.
            _ if !data.starts_with(b"{") => None,
            Reader::Anthropic(reader) => reader.event(data, &mut self.emitter, out),
            Reader::Gemini(reader) => reader.event(data, &mut self.emitter, out),
            Reader::None => None,
        };
        // Only where it is about to be told of it does a shape say that it can not tell it.
        let step = match self.emitter.failure() {
            Some(failure) => Some(Step::Failed(failure)),
            None => step,
        };
        match step {
            Some(Step::On) => {}
            Some(Step::End) => self.end(out),
            Some(Step::Failed(failure)) => self.fail(&failure, out),
            None => {
                let failure = Failure::ours("an event of the provider can not be read");
                self.fail(&failure, out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.is_over = true;
        self.emitter.end(&self.meter.so_far(), out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.is_over = true;
        self.emitter.fail(failure, out);
    }
}

#[cfg(test)]
mod tests;
