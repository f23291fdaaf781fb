//! Takes out of a stream what is in it only because we asked for it: the event of OpenAI's shape that
//! has a usage and no choices, and the `"usage":null` that all others have then.
//! Invariants: every other byte comes out as it went in, in order; at most [`EVENT_MAX_BYTES`] are held
//! back, and none longer than until their event is over or is known to be another one, but for the few that
//! may begin such a null.

use crate::{
    json::{Holder, ITEM, Path, Scanner, Sink, Value},
    sse::{Events, Lines},
};

/// Longest event that is held back. One with a usage alone has some hundreds of bytes.
const EVENT_MAX_BYTES: usize = 16 * 1024;

const WORDS: &[&str] = &["choices", "usage"];

/// See the module.
#[derive(Debug)]
pub struct Strip {
    lines: Lines,
    held: Vec<u8>,
    event: Event,
    nulls: Nulls,
}

impl Default for Strip {
    fn default() -> Self {
        Self::new()
    }
}

impl Strip {
    /// One for a stream that begins.
    #[must_use]
    pub fn new() -> Self {
        let event = Event { scanner: Scanner::new(WORDS), seen: Seen::default(), ended: None };
        Self { lines: Lines::new(), held: Vec::new(), event, nulls: Nulls::default() }
    }

    /// Takes more of the stream, and appends to `out` what may go on.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // An event ends with a line, and so with one of these.
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.piece(piece, out);
        }
    }

    /// The stream is over.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.lines.finish(&mut self.event);
        if self.event.ended != Some(true) {
            self.nulls.feed(&self.held, out);
        }
        out.append(&mut self.nulls.begun);
    }

    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.lines.feed(piece, &mut self.event);
        self.held.extend_from_slice(piece);
        match self.event.ended.take() {
            // With `\r\n`, the line feed of the event before is in it, and its own one stays instead.
            Some(true) => self.held.clear(),
            Some(false) => self.pass(out),
            None if self.event.seen.is_another || self.held.len() > EVENT_MAX_BYTES => {
                self.event.seen.is_another = true;
                self.pass(out);
            }
            None => {}
        }
    }

    fn pass(&mut self, out: &mut Vec<u8>) {
        self.nulls.feed(&self.held, out);
        self.held.clear();
    }
}

/// Takes nulls out of what passes. A quotation mark within a text of JSON has a backslash before it, so that
/// none of this is ever what a model says.
#[derive(Debug, Default)]
struct Nulls {
    /// What may begin one.
    begun: Vec<u8>,
}

impl Nulls {
    /// As it is written without spaces, and as Python writes it.
    const FORMS: [&[u8]; 2] = [br#","usage":null"#, br#", "usage": null"#];

    fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.begun.is_empty() {
                let plain = memchr::memchr(b',', bytes).unwrap_or(bytes.len());
                let (plain, rest) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
                out.extend_from_slice(plain);
                bytes = rest;
                if let Some((comma, rest)) = rest.split_first() {
                    self.begun.push(*comma);
                    bytes = rest;
                }
                continue;
            }
            self.begun.push(*first);
            if Self::FORMS.contains(&self.begun.as_slice()) {
                self.begun.clear();
            } else if !Self::FORMS.iter().any(|form| form.starts_with(&self.begun)) {
                // The last byte may begin one itself, and none before it does: they have one comma alone.
                self.begun.pop();
                out.append(&mut self.begun);
                continue;
            }
            bytes = rest;
        }
    }
}

#[derive(Debug)]
struct Event {
    scanner: Scanner,
    seen: Seen,
    /// An event has ended: whether it is to be taken out.
    ended: Option<bool>,
}

#[derive(Debug, Default)]
struct Seen {
    has_usage: bool,
    has_choices: bool,
    /// Whether it surely goes on.
    is_another: bool,
}

impl Events for Event {
    fn data(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes, &mut self.seen);
    }

    fn ended(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        self.scanner.reset();
        self.ended = Some(seen.has_usage && seen.has_choices && !seen.is_another);
    }
}

impl Sink for Seen {
    fn value(&mut self, path: Path<'_>, _: Value<'_>) {
        self.is_another |= matches!(path, ["choices", ITEM]);
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        match (path, holder) {
            (["usage"], Holder::Object) => self.has_usage = true,
            (["choices"], Holder::Array) => self.has_choices = true,
            (["choices", ITEM], _) => self.is_another = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strip(stream: &[u8], size: usize) -> String {
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        for piece in stream.chunks(size) {
            strip.feed(piece, &mut out);
        }
        strip.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a08_the_event_that_we_asked_for_is_taken_out_and_nothing_else() {
        let usage = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}"#;
        for end in ["\n", "\r\n", "\r"] {
            let events = [
                r#"data: {"choices":[{"delta":{"content":"é"}}],"usage":null}"#,
                ": keep-alive",
                r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,
                r#"data: {"choices":[]}"#,
                r#"data: {"choices":[],"usage":null,"prompt_filter_results":[]}"#,
                r#"data: {"choices":[{"delta":{"content":",,\",\"usage\":null, usage"}}],"usage":{}}"#,
                usage,
                "data: [DONE]",
            ];
            let text = |events: &[&str]| -> String {
                events.iter().map(|event| format!("{event}{end}{end}")).collect()
            };
            let kept: Vec<&str> = events.iter().copied().filter(|event| *event != usage).collect();
            let (stream, expected) = (text(&events), text(&kept).replace(r#","usage":null"#, ""));
            for size in 1..80 {
                assert_eq!(strip(stream.as_bytes(), size), expected, "{end:?} by {size}");
            }
        }
        assert_eq!(strip(usage.as_bytes(), 7), "");
    }

    #[test]
    fn nulls_are_taken_out_in_both_forms_and_what_only_begins_like_one_stays() {
        let stream =
            "data: {\"choices\":[{}], \"usage\": null, \"a\":[,,\"usage\":nul,\"usage\":null]}\n\n";
        for size in 1..stream.len() {
            let expected = "data: {\"choices\":[{}], \"a\":[,,\"usage\":nul]}\n\n";
            assert_eq!(strip(stream.as_bytes(), size), expected, "by {size}");
        }
        assert_eq!(
            strip(b"data: {\"choices\":[{}],\"usage\":nul", 3),
            "data: {\"choices\":[{}],\"usage\":nul"
        );
    }

    #[test]
    fn an_event_that_is_another_one_is_not_held_back() {
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        strip.feed(br#"data: {"choices":[{"delta""#, &mut out);
        assert!(!out.is_empty());
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        strip.feed(b"data: {\"x\":\"", &mut out);
        strip.feed(&vec![b'x'; EVENT_MAX_BYTES], &mut out);
        assert!(out.len() > EVENT_MAX_BYTES);
        strip.feed(b"\"}\n\n", &mut out);
        assert!(out.ends_with(b"\"}\n\n"));
    }

    proptest! {
        #[test]
        fn a_stream_without_a_usage_passes_unchanged(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..9,
        ) {
            let (mut strip, mut out) = (Strip::new(), Vec::new());
            bytes.chunks(size).for_each(|piece| strip.feed(piece, &mut out));
            strip.finish(&mut out);
            prop_assert_eq!(out, bytes);
        }
    }
}
