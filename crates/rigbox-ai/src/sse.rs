//! Server-sent events, read for the JSON in their data as it passes.
//! Invariants: no line, event or stream is too long, because nothing of one is kept; line ends may be
//! `\n`, `\r\n` or `\r`; the same bytes give the same calls however they are split.
//! Does not hold data back: `strip` does, where an event is to be taken out.

use memchr::memchr2;

/// The mark that a stream may begin with.
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Longest name of a field that is looked at.
const FIELD_MAX_LEN: usize = 8;

/// What becomes of the parts of events.
pub(crate) trait Events {
    /// More of an event's data. The lines of one come with line feeds between them.
    fn data(&mut self, bytes: &[u8]);
    /// An event has ended, with or without data.
    fn ended(&mut self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a line.
    Start,
    /// In the name of a field.
    Field,
    /// After the colon behind `data`, where a space does not count.
    Space,
    /// In data.
    Data,
    /// In what is not data.
    Skip,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    state: State,
    field: Vec<u8>,
    /// How much of the mark at the beginning was seen; none once that is over.
    bom: Option<usize>,
    after_return: bool,
    /// Whether the event under way has a line of data.
    has_data: bool,
    /// Whether the event under way has any line.
    has_lines: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start,
            field: Vec::with_capacity(FIELD_MAX_LEN),
            bom: Some(0),
            after_return: false,
            has_data: false,
            has_lines: false,
        }
    }

    /// Takes more bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], events: &mut impl Events) {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.is_of_bom(byte) {
                rest = tail;
                continue;
            }
            match self.state {
                State::Data | State::Skip => {
                    let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                    if self.state == State::Data && !line.is_empty() {
                        events.data(line);
                    }
                    rest = after;
                    if let Some((&byte, tail)) = rest.split_first() {
                        rest = tail;
                        self.line_ends(byte);
                    }
                }
                State::Start | State::Field | State::Space => {
                    rest = tail;
                    self.byte(byte, events);
                }
            }
        }
    }

    /// The stream is over: what was under way has ended too.
    pub(crate) fn finish(&mut self, events: &mut impl Events) {
        if self.state == State::Field {
            self.field_ends(events);
        }
        if self.has_lines || self.state != State::Start {
            events.ended();
        }
        (self.state, self.has_lines, self.has_data) = (State::Start, false, false);
    }

    fn is_of_bom(&mut self, byte: u8) -> bool {
        let Some(seen) = self.bom else { return false };
        if BOM.get(seen) == Some(&byte) {
            self.bom = Some(seen + 1);
            return true;
        }
        self.bom = None;
        if seen != 0 && seen != BOM.len() {
            // Not the mark: bytes of a line that is no field.
            self.state = State::Skip;
        }
        false
    }

    fn byte(&mut self, byte: u8, events: &mut impl Events) {
        let follows_return = std::mem::take(&mut self.after_return);
        match (self.state, byte) {
            (State::Start, b'\n') if follows_return => {}
            (State::Start, b'\n' | b'\r') => {
                self.after_return = byte == b'\r';
                events.ended();
                (self.has_data, self.has_lines) = (false, false);
            }
            (State::Field, b'\n' | b'\r') => {
                self.field_ends(events);
                self.line_ends(byte);
            }
            (State::Start | State::Field, b':') => self.field_ends(events),
            (State::Start | State::Field, _) => {
                if self.state == State::Start {
                    self.field.clear();
                    self.state = State::Field;
                }
                if self.field.len() < FIELD_MAX_LEN {
                    self.field.push(byte);
                }
            }
            (_, b'\n' | b'\r') => self.line_ends(byte),
            (_, b' ') => self.state = State::Data,
            (_, _) => {
                self.state = State::Data;
                events.data(&[byte]);
            }
        }
    }

    fn field_ends(&mut self, events: &mut impl Events) {
        let is_data = self.state == State::Field && self.field == b"data";
        self.has_lines = true;
        self.state = if is_data { State::Space } else { State::Skip };
        if is_data {
            if self.has_data {
                events.data(b"\n");
            }
            self.has_data = true;
        }
    }

    fn line_ends(&mut self, byte: u8) {
        self.state = State::Start;
        self.after_return = byte == b'\r';
        self.has_lines = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default)]
    struct Seen {
        events: Vec<String>,
        data: Vec<u8>,
    }

    impl Events for Seen {
        fn data(&mut self, bytes: &[u8]) {
            self.data.extend(bytes);
        }

        fn ended(&mut self) {
            let data = std::mem::take(&mut self.data);
            if !data.is_empty() {
                self.events.push(String::from_utf8_lossy(&data).into_owned());
            }
        }
    }

    fn read(bytes: &[u8], size: usize) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::new(), Seen::default());
        for piece in bytes.chunks(size) {
            lines.feed(piece, &mut seen);
        }
        lines.finish(&mut seen);
        seen.events
    }

    #[test]
    fn a22_events_are_found_in_every_form_and_at_every_split() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            ("data:a\n\ndata:  b\n\n", vec!["a", " b"]),
            (": keep-alive\n\ndata: a\n: more\n\n", vec!["a"]),
            ("event: x\nid: 1\ndata: a\nretry: 5\n\n", vec!["a"]),
            ("data: a\ndata: b\n\n", vec!["a\nb"]),
            ("data: a\r\ndata: b\r\n\r\n", vec!["a\nb"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("data: é€😀\n\n", vec!["é€😀"]),
            ("data: a", vec!["a"]),
            ("data: a\n", vec!["a"]),
            ("data\ndatas: x\ndat: y\n data: z\n\n", vec![]),
            ("event: a\nevent: b\n\n\n\n", vec![]),
            ("data: \n\n", vec![]),
            ("verylongfieldname: a\ndata: b\n\n", vec!["b"]),
        ] {
            for size in 1..=stream.len() {
                assert_eq!(read(stream.as_bytes(), size), expected, "{stream:?} by {size}");
            }
        }
        // A mark that is none makes its line no field.
        assert!(read(b"\xef\xbbdata: a\n\n", 1).is_empty());
    }

    #[test]
    fn a_line_of_any_length_passes() {
        let line = format!("data: {}\n\n", "x".repeat(1 << 20));
        assert_eq!(read(line.as_bytes(), 4096).concat().len(), 1 << 20);
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_as_the_whole(
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(&b"data: \r\n\xef\xbb\xbf"[..])],
                0..120,
            ),
            size in 1_usize..7,
        ) {
            prop_assert_eq!(read(&bytes, size), read(&bytes, bytes.len().max(1)));
        }
    }
}
