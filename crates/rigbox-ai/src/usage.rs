//! What a call has used, read from the provider's answer while its bytes pass unchanged.
//! Invariants: memory is bounded whatever comes; the report does not depend on how the bytes were
//! split; a token is in one class only; numbers that repeat are not added up; a number that is no count
//! is not there.
//! Does not know prices, and does not hold an answer back.

mod anthropic;
mod gemini;
mod openai;
mod strip;

pub use strip::Strip;

use crate::{
    json::{Holder, Path, Scanner, Sink, Value},
    money::Cost,
    prices::{Class, Fee},
    sse::{Events, Lines},
};

/// Most tokens that a count may say. More was not used by any call, and is not believed.
const TOKENS_MAX: u64 = 1_000_000_000;

/// Longest service tier that is kept.
const TIER_MAX_LEN: usize = 32;

/// How a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI, and who copies it: chat, completions, responses, embeddings.
    OpenAi,
    /// Anthropic: messages.
    Anthropic,
    /// Gemini: content.
    Gemini,
    /// Brave: no tokens at all.
    Brave,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// One JSON document.
    Json,
}

impl Framing {
    /// By the answer's `Content-Type`.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("text/event-stream") { Self::Events } else { Self::Json }
    }
}

/// How many tokens of each class, and how much of what is paid by the piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, and none of the next four.
    pub input: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written to a cache for minutes.
    pub cache_write_5m: u64,
    /// Written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Audio that was read.
    pub audio_input: u64,
    /// Written, and none of the next three.
    pub output: u64,
    /// Written and not shown.
    pub reasoning: u64,
    /// Audio that was written.
    pub audio_output: u64,
    /// Images that were written.
    pub image_output: u64,
    /// Searches on the web that the provider made.
    pub web_searches: u64,
    /// Pages that the provider read.
    pub web_fetches: u64,
    /// Searches in files that the provider made.
    pub file_searches: u64,
    /// Containers in which the provider ran code, at most.
    pub code_interpreters: u64,
}

impl Usage {
    /// Tokens of a class.
    #[must_use]
    pub const fn of(&self, class: Class) -> u64 {
        match class {
            Class::Input => self.input,
            Class::CacheRead => self.cache_read,
            Class::CacheWrite5m => self.cache_write_5m,
            Class::CacheWrite1h => self.cache_write_1h,
            Class::AudioInput => self.audio_input,
            Class::Output => self.output,
            Class::Reasoning => self.reasoning,
            Class::AudioOutput => self.audio_output,
            Class::ImageOutput => self.image_output,
        }
    }

    /// Adds tokens of a class.
    pub(crate) const fn add(&mut self, class: Class, tokens: u64) {
        let slot = match class {
            Class::Input => &mut self.input,
            Class::CacheRead => &mut self.cache_read,
            Class::CacheWrite5m => &mut self.cache_write_5m,
            Class::CacheWrite1h => &mut self.cache_write_1h,
            Class::AudioInput => &mut self.audio_input,
            Class::Output => &mut self.output,
            Class::Reasoning => &mut self.reasoning,
            Class::AudioOutput => &mut self.audio_output,
            Class::ImageOutput => &mut self.image_output,
        };
        *slot = slot.saturating_add(tokens);
    }

    /// Pieces of what has a fee.
    #[must_use]
    pub const fn pieces(&self, fee: Fee) -> u64 {
        match fee {
            Fee::Request => 1,
            Fee::WebSearch => self.web_searches,
            Fee::WebFetch => self.web_fetches,
            Fee::FileSearch => self.file_searches,
            Fee::CodeInterpreter => self.code_interpreters,
        }
    }

    /// All that was read, from caches too.
    #[must_use]
    pub const fn input_tokens(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.audio_input)
    }

    /// All that was written.
    #[must_use]
    pub const fn output_tokens(&self) -> u64 {
        self.output
            .saturating_add(self.reasoning)
            .saturating_add(self.audio_output)
            .saturating_add(self.image_output)
    }
}

/// How far what was reported goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was reported.
    #[default]
    Nothing,
    /// Something was, and more may have been used: the answer did not come to its end.
    SoFar,
    /// All was.
    Final,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// In the middle.
    #[default]
    Cut,
    /// With an error of the provider, also where its status was 200.
    Failed,
    /// As it should.
    Whole,
}

/// What an answer has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was used.
    pub usage: Usage,
    /// Whether that is all.
    pub standing: Standing,
    /// How the answer ended.
    pub ending: Ending,
    /// Whether the error that it ended with is about the request or too many of them: it says nothing
    /// against the provider.
    pub is_refusal: bool,
    /// Bytes of texts of a model that were seen, as JSON has them.
    pub shown_bytes: u64,
    /// The same of images, and of what may be one.
    pub media_bytes: u64,
    /// The same of audio.
    pub audio_bytes: u64,
    /// How many calls of its tools the provider is known to have made, where the usage so far need not have
    /// what the model has read again after each of them.
    pub tool_calls: u64,
    /// Bytes of pages that they have brought.
    pub found_bytes: u64,
    /// The service tier that the answer had.
    pub tier: Option<String>,
    /// What the provider says that it has cost.
    pub cost: Option<Cost>,
}

/// Reads an answer. See the module.
#[derive(Debug, Clone)]
pub struct Meter {
    framing: Framing,
    lines: Lines,
    reading: Reading,
}

#[derive(Debug, Clone)]
struct Reading {
    scanner: Scanner,
    reader: Reader,
    /// Whether an event has ended after which all was reported.
    is_final: bool,
}

/// What is kept of an answer, by who speaks.
#[derive(Debug, Clone)]
enum Reader {
    OpenAi(openai::Reader),
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
    Brave,
}

impl Meter {
    /// One for an answer that begins.
    #[must_use]
    pub fn new(dialect: Dialect, framing: Framing) -> Self {
        let (words, reader) = match dialect {
            Dialect::OpenAi => (openai::WORDS, Reader::OpenAi(openai::Reader::default())),
            Dialect::Anthropic => {
                (anthropic::WORDS, Reader::Anthropic(anthropic::Reader::default()))
            }
            Dialect::Gemini => (gemini::WORDS, Reader::Gemini(gemini::Reader::default())),
            Dialect::Brave => ([].as_slice(), Reader::Brave),
        };
        let reading = Reading { scanner: Scanner::new(words), reader, is_final: false };
        Self { framing, lines: Lines::new(), reading }
    }

    /// The same where so many answers are asked for at once: it is not over when the first of them is.
    #[must_use]
    pub fn of_answers(mut self, answers: u64) -> Self {
        if let Reader::Gemini(reader) = &mut self.reading.reader {
            reader.expect(answers);
        }
        self
    }

    /// The provider has ended the answer: no more of them come.
    pub fn ended(&mut self) {
        if let Reader::Gemini(reader) = &mut self.reading.reader {
            reader.all_ended();
        }
    }

    /// Sees more of the answer.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.framing {
            Framing::Events => self.lines.feed(bytes, &mut self.reading),
            Framing::Json => self.reading.data(bytes),
        }
    }

    /// Whether an event has told that all was used that will be. Costs nothing, so that it can be asked
    /// at each piece; an answer that is no stream of events does not tell before its end.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.reading.is_final
    }

    /// How many bytes were seen of what a model has written. Costs nothing, too.
    #[must_use]
    pub const fn shown(&self) -> u64 {
        match &self.reading.reader {
            Reader::OpenAi(reader) => reader.shown(),
            Reader::Anthropic(reader) => reader.shown(),
            Reader::Gemini(reader) => reader.shown(),
            Reader::Brave => 0,
        }
    }

    /// What is known so far, with the events that have ended.
    #[must_use]
    pub fn so_far(&self) -> Report {
        let is_whole = self.framing == Framing::Json && self.reading.scanner.is_whole();
        self.reading.reader.clone().report(is_whole)
    }

    /// The answer is over, for whatever reason.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let is_whole = match self.framing {
            Framing::Events => {
                self.lines.finish(&mut self.reading);
                false
            }
            Framing::Json => {
                let Reading { scanner, reader, .. } = &mut self.reading;
                scanner.finish(reader);
                reader.event_ended();
                scanner.is_whole()
            }
        };
        self.reading.reader.report(is_whole)
    }
}

impl Events for Reading {
    fn data(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes, &mut self.reader);
    }

    fn ended(&mut self) {
        self.scanner.finish(&mut self.reader);
        self.scanner.reset();
        self.reader.event_ended();
        self.is_final = self.reader.is_final();
    }
}

impl Reader {
    fn event_ended(&mut self) {
        match self {
            Self::OpenAi(reader) => reader.event_ended(),
            Self::Anthropic(reader) => reader.event_ended(),
            Self::Gemini(reader) => reader.event_ended(),
            Self::Brave => {}
        }
    }

    fn is_final(&self) -> bool {
        match self {
            Self::OpenAi(reader) => reader.is_final(),
            Self::Anthropic(reader) => reader.is_final(),
            Self::Gemini(reader) => reader.is_final(),
            Self::Brave => false,
        }
    }

    fn report(self, is_whole: bool) -> Report {
        match self {
            Self::OpenAi(reader) => reader.report(is_whole),
            Self::Anthropic(reader) => reader.report(is_whole),
            Self::Gemini(reader) => reader.report(is_whole),
            // What has no tokens is priced by the call, which was made.
            Self::Brave => {
                let ending = if is_whole { Ending::Whole } else { Ending::Cut };
                Report { standing: Standing::Final, ending, ..Report::default() }
            }
        }
    }
}

impl Sink for Reader {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        match self {
            Self::OpenAi(reader) => reader.value(path, value),
            Self::Anthropic(reader) => reader.value(path, value),
            Self::Gemini(reader) => reader.value(path, value),
            Self::Brave => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        match self {
            Self::OpenAi(reader) => reader.opened(path, holder),
            Self::Anthropic(reader) => reader.opened(path, holder),
            Self::Gemini(reader) => reader.opened(path, holder),
            Self::Brave => {}
        }
    }

    fn closed(&mut self, path: Path<'_>, holder: Holder) {
        match self {
            Self::OpenAi(reader) => reader.closed(path, holder),
            Self::Anthropic(reader) => reader.closed(path, holder),
            Self::Gemini(reader) => reader.closed(path, holder),
            Self::Brave => {}
        }
    }
}

/// A count that may be believed.
fn count(value: Value<'_>) -> Option<u64> {
    value.count().filter(|count| *count <= TOKENS_MAX)
}

/// A service tier, where it is one.
fn tier(value: Value<'_>) -> Option<String> {
    value.text().filter(|text| (1..=TIER_MAX_LEN).contains(&text.len())).map(str::to_owned)
}

/// Sets what is explicitly there; what is not stays.
fn put(slot: &mut Option<u64>, value: Option<u64>) {
    *slot = value.or(*slot);
}

/// How an answer ended, from whether an error and the end were seen.
/// Whether a word or number of an error is what a status from 400 to 499 is elsewhere.
fn refuses(value: Value<'_>) -> bool {
    const BEGINNINGS: [&str; 17] = [
        "authentication",
        "billing",
        "content",
        "context",
        "invalid",
        "insufficient",
        "not_found",
        "permission",
        "rate_limit",
        "request_too_large",
        "unsupported",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
    ];
    match value {
        Value::Text(text, _) => BEGINNINGS.iter().any(|begin| text.starts_with(begin)),
        Value::Number(_) => value.count().is_some_and(|code| (400..500).contains(&code)),
        Value::Bool(_) | Value::Null => false,
    }
}

fn ending(failed: bool, finished: bool) -> Ending {
    match (failed, finished) {
        (true, _) => Ending::Failed,
        (false, true) => Ending::Whole,
        (false, false) => Ending::Cut,
    }
}

#[cfg(test)]
pub(crate) mod tests;
