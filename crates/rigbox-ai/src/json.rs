//! A push parser of JSON that keeps nothing but where it is: bytes come in any pieces, and what is at
//! paths of known words is handed to a [`Sink`] as it passes.
//! Invariants: memory does not depend on the input, whose depth and lengths have no limit here; nothing
//! recurses; the same bytes give the same calls however they are split.
//! Does not check the grammar beyond what it takes to know where it is: whoever relies on that checks
//! first (see `estimate`).

use memchr::memchr2;

/// Levels whose names are known; what is deeper passes unseen.
const PATH_MAX: usize = 14;

/// Most bytes of a text or number that are kept: the longest text that is wanted, of 256 characters.
const TEXT_MAX_BYTES: usize = 1024;

/// Most bytes of a name that are kept. No known word is longer.
const NAME_MAX_BYTES: usize = 40;

/// What stands in a path for an item of an array.
pub(crate) const ITEM: &str = "[]";

/// What stands in a path for a name that is no known word.
const OTHER: &str = "";

/// Where a value is, from the outside in. Names that are escaped in the input are not escaped here.
pub(crate) type Path<'p> = &'p [&'static str];

/// What holds other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Object,
    Array,
}

/// A value that holds no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    /// As it is written; empty where it is longer than [`TEXT_MAX_BYTES`].
    Number(&'v str),
    /// The beginning of a text, without escapes; and how many bytes all of it has in the input.
    Text(&'v str, u64),
}

impl Value<'_> {
    /// A whole number from nothing on, also where it is written as `12.0`.
    pub(crate) fn count(self) -> Option<u64> {
        let Self::Number(text) = self else { return None };
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        if !whole.bytes().all(|byte| byte.is_ascii_digit()) || rest.bytes().any(|byte| byte != b'0')
        {
            return None;
        }
        whole.parse().ok()
    }

    /// The beginning of a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text, _) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) => None,
        }
    }

    /// How many bytes a text has.
    pub(crate) fn text_bytes(self) -> u64 {
        match self {
            Self::Text(_, bytes) => bytes,
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
        }
    }
}

/// Who wants to know. Only paths of known words come.
pub(crate) trait Sink {
    /// How many bytes had come when the next call was due: of a text and of what opens or closes, its
    /// last one is among them; of a number or word, so is one byte behind it, unless nothing is.
    fn position(&mut self, _bytes: usize) {}
    /// A value that holds no other.
    fn value(&mut self, path: Path<'_>, value: Value<'_>);
    /// An object or array begins.
    fn opened(&mut self, _path: Path<'_>, _holder: Holder) {}
    /// An object or array has ended.
    fn closed(&mut self, _path: Path<'_>, _holder: Holder) {}
    /// A member that is no known word is in the object at this path.
    fn unknown(&mut self, _path: Path<'_>) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between values.
    Value,
    /// In an object, before a name.
    Name,
    /// After a name.
    Colon,
    /// After a value.
    Next,
    /// In a text.
    Text { is_name: bool },
    /// In a text, after a backslash.
    Escape { is_name: bool },
    /// In a text, in the digits of a `\u`.
    Unicode { is_name: bool, digits: u8, unit: u16 },
    /// In a number or a word.
    Word,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    /// What is looked for, sorted.
    words: &'static [&'static str],
    state: State,
    path: Vec<&'static str>,
    holders: Vec<Holder>,
    /// How deep we are in what nobody wants to know about.
    skipped: u64,
    deepest: u64,
    kept: Vec<u8>,
    length: u64,
    /// Whether a whole value has been seen.
    whole: bool,
    /// Bytes that have come.
    position: usize,
}

impl Scanner {
    /// One for these words, which are sorted.
    pub(crate) fn new(words: &'static [&'static str]) -> Self {
        debug_assert!(words.is_sorted(), "words are looked up by halving");
        Self {
            words,
            state: State::Value,
            path: Vec::with_capacity(PATH_MAX),
            holders: Vec::with_capacity(PATH_MAX),
            skipped: 0,
            deepest: 0,
            kept: Vec::new(),
            length: 0,
            whole: false,
            position: 0,
        }
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.state = State::Value;
        self.path.clear();
        self.holders.clear();
        self.kept.clear();
        (self.skipped, self.deepest, self.length, self.whole) = (0, 0, 0, false);
        self.position = 0;
    }

    /// Whether a whole object or array has been seen, and nothing is open.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole && self.holders.is_empty() && self.skipped == 0
    }

    /// How deep it went.
    pub(crate) fn deepest(&self) -> u64 {
        self.deepest
    }

    /// Takes more bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let (mut rest, before) = (bytes, self.position);
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            self.position = before.saturating_add(bytes.len().saturating_sub(rest.len()));
            match self.state {
                State::Text { is_name } => {
                    if byte == b'"' || byte == b'\\' {
                        self.text_byte(byte, is_name, sink);
                    } else {
                        self.keep(&[byte], is_name);
                        let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                        let (plain, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
                        self.keep(plain, is_name);
                        rest = after;
                    }
                }
                State::Escape { is_name } => self.escape_byte(byte, is_name),
                State::Unicode { is_name, digits, unit } => {
                    self.unicode_byte(byte, (is_name, digits, unit), sink);
                }
                State::Word if is_of_word(byte) => self.keep(&[byte], false),
                State::Word => {
                    self.word_ends(sink);
                    self.structure(byte, sink);
                }
                State::Value | State::Name | State::Colon | State::Next => {
                    self.structure(byte, sink);
                }
            }
        }
        self.position = before.saturating_add(bytes.len());
    }

    /// A number or word at the very end has nothing behind it that ends it.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink) {
        if self.state == State::Word {
            self.word_ends(sink);
        }
    }

    fn structure(&mut self, byte: u8, sink: &mut impl Sink) {
        match byte {
            b'{' => self.open(Holder::Object, sink),
            b'[' => self.open(Holder::Array, sink),
            b'}' | b']' => self.close(sink),
            b'"' => {
                let is_name = self.skipped == 0 && self.state == State::Name;
                self.kept.clear();
                self.length = 0;
                self.state = State::Text { is_name };
            }
            b',' => self.state = self.before_next(),
            b':' => self.state = State::Value,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                self.kept.clear();
                self.keep(&[byte], false);
                self.state = State::Word;
            }
        }
    }

    /// What comes after a comma.
    fn before_next(&self) -> State {
        match self.holders.last() {
            Some(Holder::Object) if self.skipped == 0 => State::Name,
            _ => State::Value,
        }
    }

    fn is_wanted(&self) -> bool {
        self.skipped == 0 && self.path.last() != Some(&OTHER)
    }

    fn open(&mut self, holder: Holder, sink: &mut impl Sink) {
        self.state = State::Value;
        let is_known = self.is_wanted() && self.path.len() < PATH_MAX;
        if !is_known {
            self.skipped = self.skipped.saturating_add(1);
        } else {
            sink.position(self.position);
            sink.opened(&self.path, holder);
            self.holders.push(holder);
            match holder {
                Holder::Object => {
                    self.path.push(OTHER);
                    self.state = State::Name;
                }
                Holder::Array => self.path.push(ITEM),
            }
        }
        let depth = u64::try_from(self.holders.len()).unwrap_or(u64::MAX);
        self.deepest = self.deepest.max(depth.saturating_add(self.skipped));
    }

    fn close(&mut self, sink: &mut impl Sink) {
        self.state = State::Next;
        if self.skipped > 0 {
            self.skipped -= 1;
        } else if let Some(holder) = self.holders.pop() {
            self.path.pop();
            sink.position(self.position);
            sink.closed(&self.path, holder);
        }
        if self.holders.is_empty() && self.skipped == 0 {
            self.whole = true;
            self.state = State::Value;
        }
    }

    fn text_byte(&mut self, byte: u8, is_name: bool, sink: &mut impl Sink) {
        if byte == b'\\' {
            self.length = self.length.saturating_add(1);
            self.state = State::Escape { is_name };
            return;
        }
        if is_name {
            self.name_ends(sink);
            self.state = State::Colon;
            return;
        }
        self.state = State::Next;
        if self.is_wanted() {
            sink.position(self.position);
            let text = String::from_utf8_lossy(&self.kept);
            // The last character may be cut where not all of it is kept.
            sink.value(&self.path, Value::Text(text.trim_end_matches('\u{fffd}'), self.length));
        }
    }

    fn name_ends(&mut self, sink: &mut impl Sink) {
        let found = std::str::from_utf8(&self.kept)
            .ok()
            .filter(|_| self.kept.len() <= NAME_MAX_BYTES)
            .and_then(|name| self.words.binary_search(&name).ok())
            .and_then(|index| self.words.get(index).copied());
        if found.is_none()
            && let Some((_, holder)) = self.path.split_last()
        {
            sink.unknown(holder);
        }
        if let Some(last) = self.path.last_mut() {
            *last = found.unwrap_or(OTHER);
        }
    }

    fn escape_byte(&mut self, byte: u8, is_name: bool) {
        self.length = self.length.saturating_add(1);
        self.state = State::Text { is_name };
        let plain = match byte {
            b'u' => {
                self.state = State::Unicode { is_name, digits: 0, unit: 0 };
                return;
            }
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            other => other,
        };
        self.push(&[plain], is_name);
    }

    fn unicode_byte(&mut self, byte: u8, at: (bool, u8, u16), sink: &mut impl Sink) {
        let (is_name, digits, unit) = at;
        let Some(digit) = char::from(byte).to_digit(16) else {
            // No JSON; a quote still ends the text.
            self.state = State::Text { is_name };
            if byte == b'"' {
                self.text_byte(byte, is_name, sink);
            }
            return;
        };
        self.length = self.length.saturating_add(1);
        let unit = (unit << 4) | u16::try_from(digit).unwrap_or(0);
        if digits < 3 {
            self.state = State::Unicode { is_name, digits: digits + 1, unit };
            return;
        }
        let character = char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}');
        let mut utf8 = [0; 4];
        let utf8 = character.encode_utf8(&mut utf8).as_bytes().to_vec();
        self.push(&utf8, is_name);
        self.state = State::Text { is_name };
    }

    fn word_ends(&mut self, sink: &mut impl Sink) {
        self.state = State::Next;
        if !self.is_wanted() {
            return;
        }
        let value = match self.kept.as_slice() {
            long if long.len() >= TEXT_MAX_BYTES => Value::Number(""),
            b"null" => Value::Null,
            b"true" => Value::Bool(true),
            b"false" => Value::Bool(false),
            bytes => match std::str::from_utf8(bytes) {
                Ok(number) => Value::Number(number),
                Err(_) => return,
            },
        };
        sink.position(self.position);
        sink.value(&self.path, value);
    }

    /// Counts bytes of the input, and keeps them.
    fn keep(&mut self, bytes: &[u8], is_name: bool) {
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.push(bytes, is_name);
    }

    /// Keeps what there is room for: of a name one byte more than it may have, so that it is none.
    fn push(&mut self, bytes: &[u8], is_name: bool) {
        if !(is_name || self.is_wanted()) {
            return;
        }
        let most = if is_name { NAME_MAX_BYTES + 1 } else { TEXT_MAX_BYTES };
        let room = most.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend(bytes.iter().take(room));
    }
}

/// Whether a byte belongs to a number or a word, as opposed to what ends one.
fn is_of_word(byte: u8) -> bool {
    !matches!(byte, b'{' | b'}' | b'[' | b']' | b'"' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
