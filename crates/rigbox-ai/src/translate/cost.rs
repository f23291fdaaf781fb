//! What a call has cost, put into answers of OpenAI's shape: `usage.cost_micro` and
//! `usage.cost_credits`, in a body and in the last usage of a stream.
//! Invariants: every other byte stays as it is and where it is; of a stream, only a usage and what is
//! left of its event is held back, and at most [`EVENT_MAX_BYTES`]; a cost that is not known is not
//! there. What a provider says under these names comes before ours, so that readers take ours.
//! Does not know what a call has cost: the caller says.

use rigbox_types::Credits;

use crate::{
    json::{Holder, Path, Scanner, Sink, Value},
    sse::{Events, Lines},
};

/// Longest rest of an event that is held back, from its usage on. That has some hundreds of bytes.
const EVENT_MAX_BYTES: usize = 64 * 1024;

const WORDS: &[&str] = &["response", "usage"];

/// A body with its cost; unchanged where it has no usage.
#[must_use]
pub fn in_body(body: Vec<u8>, cost: Credits) -> Vec<u8> {
    let (mut scanner, mut place) = (Scanner::new(WORDS), Place::default());
    scanner.feed(&body, &mut place);
    let end = place.closed.filter(|_| scanner.is_whole()).and_then(|bytes| bytes.checked_sub(1));
    match end.and_then(|end| body.split_at_checked(end)) {
        Some((before, after)) => with(before, cost, after),
        None => body,
    }
}

/// The parts with the members between them: before `after` ends the object.
fn with(before: &[u8], cost: Credits, after: &[u8]) -> Vec<u8> {
    let comma = if before.trim_ascii_end().ends_with(b"{") { "" } else { "," };
    let micro = cost.micro();
    let members = format!("{comma}\"cost_micro\":{micro},\"cost_credits\":{cost}");
    [before, members.as_bytes(), after].concat()
}

/// Puts costs into a stream. See the module.
#[derive(Debug)]
pub struct CostStream {
    lines: Lines,
    event: Event,
    /// From a usage on.
    held: Vec<u8>,
    /// Where in it the usage ends.
    end: Option<usize>,
}

impl Default for CostStream {
    fn default() -> Self {
        Self::new()
    }
}

impl CostStream {
    /// One for a stream that begins.
    #[must_use]
    pub fn new() -> Self {
        let event = Event { scanner: Scanner::new(WORDS), place: Place::default(), ended: false };
        Self { lines: Lines::new(), event, held: Vec::new(), end: None }
    }

    /// Takes more of the stream, and appends to `out` what goes on. For each event that has a usage,
    /// once it is over, `cost` is asked what the call has cost: whoever has let a `usage::Meter` see the
    /// provider's bytes first knows by then (`Meter::so_far`), if its report is final.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut cost: impl FnMut() -> Option<Credits>,
    ) {
        // What opens, closes and ends something is the last byte of its piece.
        let is_last = |byte: &u8| matches!(byte, b'{' | b'}' | b'\n' | b'\r');
        for piece in bytes.split_inclusive(is_last) {
            self.lines.feed(piece, &mut self.event);
            let (opened, closed) = self.event.place.take();
            let ended = std::mem::take(&mut self.event.ended);
            if self.held.len().saturating_add(piece.len()) > EVENT_MAX_BYTES {
                self.release(out, None);
            }
            if self.held.is_empty() {
                let passes = piece.len().saturating_sub(usize::from(opened));
                let (before, from) = piece.split_at_checked(passes).unwrap_or((piece, &[]));
                out.extend_from_slice(before);
                self.held.extend_from_slice(from);
                continue;
            }
            self.held.extend_from_slice(piece);
            if closed {
                self.end = self.held.len().checked_sub(1);
            }
            if ended {
                self.release(out, self.end.and_then(|_| cost()));
            }
        }
    }

    /// The stream is over. What was not is passed on as it came.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.release(out, None);
    }

    fn release(&mut self, out: &mut Vec<u8>, cost: Option<Credits>) {
        let split = self.end.take().and_then(|end| self.held.split_at_checked(end));
        match (split, cost) {
            (Some((before, after)), Some(cost)) => out.extend(with(before, cost, after)),
            _ => out.extend_from_slice(&self.held),
        }
        self.held.clear();
    }
}

#[derive(Debug)]
struct Event {
    scanner: Scanner,
    place: Place,
    ended: bool,
}

impl Events for Event {
    fn data(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes, &mut self.place);
    }

    fn ended(&mut self) {
        self.scanner.reset();
        self.ended = true;
    }
}

/// Where a usage is.
#[derive(Debug, Default)]
struct Place {
    position: usize,
    opened: bool,
    /// How many bytes had come with its end.
    closed: Option<usize>,
}

impl Place {
    /// Whether the last byte has opened or closed one.
    fn take(&mut self) -> (bool, bool) {
        (std::mem::take(&mut self.opened), self.closed.take().is_some())
    }
}

/// In a response of its own, and in one that an event holds.
fn is_usage(path: Path<'_>, holder: Holder) -> bool {
    holder == Holder::Object && matches!(path, ["usage"] | ["response", "usage"])
}

impl Sink for Place {
    fn position(&mut self, bytes: usize) {
        self.position = bytes;
    }

    fn value(&mut self, _: Path<'_>, _: Value<'_>) {}

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        self.opened |= is_usage(path, holder);
    }

    fn closed(&mut self, path: Path<'_>, holder: Holder) {
        if is_usage(path, holder) {
            self.closed = Some(self.position);
        }
    }
}

#[cfg(test)]
mod tests;
