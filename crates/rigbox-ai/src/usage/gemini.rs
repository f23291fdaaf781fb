//! Gemini's answers: `usageMetadata`, which every event and every item of an array repeats.
//! Invariants: counts are cumulative: the last explicit ones count, nothing is added up; the prompt
//! contains cached tokens, candidates contain no thoughts; what the total has beyond was written too.

use super::{Report, Standing, Usage, count, ending, put, refuses, tier};
use std::collections::BTreeSet;

use crate::json::{Holder, ITEM, Path, Sink, Value};

pub(super) const WORDS: &[&str] = &[
    "blockReason",
    "cacheTokensDetails",
    "cachedContentTokenCount",
    "candidates",
    "candidatesTokenCount",
    "candidatesTokensDetails",
    "code",
    "content",
    "data",
    "error",
    "finishReason",
    "groundingMetadata",
    "index",
    "inlineData",
    "modality",
    "parts",
    "promptFeedback",
    "promptTokenCount",
    "promptTokensDetails",
    "serviceTier",
    "status",
    "text",
    "thoughtsTokenCount",
    "tokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "trafficType",
    "usageMetadata",
    "webSearchQueries",
];

#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    prompt: Option<u64>,
    cached: Option<u64>,
    tools: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    total: Option<u64>,
    prompt_audio: Option<u64>,
    cached_audio: Option<u64>,
    candidates_audio: Option<u64>,
    candidates_image: Option<u64>,
}

/// One line of a count's parts.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    is_audio: bool,
    is_image: bool,
    tokens: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    fields: Fields,
    part: Part,
    has_usage: bool,
    tier: Option<String>,
    shown_bytes: u64,
    media_bytes: u64,
    failed: bool,
    refused: bool,
    finished: bool,
    /// How many candidates come, and those that have ended.
    expected: u64,
    ended: BTreeSet<u8>,
    /// Of the candidate under way.
    index: u8,
    has_ended: bool,
    searches: u64,
    searches_here: u64,
}

impl Reader {
    pub(super) fn event_ended(&mut self) {
        // Each event tells all searches so far, or those that are new: no fewer than the most at once.
        self.searches = self.searches.max(self.searches_here);
        self.searches_here = 0;
    }

    pub(super) const fn shown(&self) -> u64 {
        self.shown_bytes.saturating_add(self.media_bytes)
    }

    /// How many candidates are to come.
    pub(super) const fn expect(&mut self, candidates: u64) {
        self.expected = candidates;
    }

    /// Nothing more comes, as the provider has said.
    pub(super) fn all_ended(&mut self) {
        self.finished |= !self.ended.is_empty();
    }

    pub(super) const fn is_final(&self) -> bool {
        self.has_usage && self.finished
    }

    pub(super) fn report(self, is_whole: bool) -> Report {
        // An array is whole only with what ends the candidates in it.
        let finished = self.finished;
        let standing = match (self.has_usage, finished || is_whole) {
            (false, _) => Standing::Nothing,
            (true, true) => Standing::Final,
            (true, false) => Standing::SoFar,
        };
        Report {
            usage: Usage { web_searches: self.searches, ..self.fields.usage() },
            standing,
            ending: ending(self.failed, finished || is_whole),
            is_refusal: self.refused,
            shown_bytes: self.shown_bytes,
            media_bytes: self.media_bytes,
            audio_bytes: 0,
            found_bytes: 0,
            // What they read is in what each event reports.
            tool_calls: 0,
            tier: self.tier,
            cost: None,
        }
    }

    fn usage_value(&mut self, path: Path<'_>, value: Value<'_>) {
        let counted = count(value);
        match path {
            ["promptTokenCount"] => put(&mut self.fields.prompt, counted),
            ["cachedContentTokenCount"] => put(&mut self.fields.cached, counted),
            ["toolUsePromptTokenCount"] => put(&mut self.fields.tools, counted),
            ["candidatesTokenCount"] => put(&mut self.fields.candidates, counted),
            ["thoughtsTokenCount"] => put(&mut self.fields.thoughts, counted),
            ["totalTokenCount"] => put(&mut self.fields.total, counted),
            ["serviceTier" | "trafficType"] => self.tier = tier(value).or_else(|| self.tier.take()),
            [_, ITEM, "tokenCount"] => self.part.tokens = counted,
            [_, ITEM, "modality"] => {
                self.part.is_audio = value.text() == Some("AUDIO");
                self.part.is_image = value.text() == Some("IMAGE");
            }
            _ => {}
        }
        self.has_usage |= self.fields.prompt.is_some() || self.fields.total.is_some();
    }

    fn part_ended(&mut self, of: &str) {
        let part = std::mem::take(&mut self.part);
        let slot = match (of, part.is_audio, part.is_image) {
            ("promptTokensDetails", true, _) => &mut self.fields.prompt_audio,
            ("cacheTokensDetails", true, _) => &mut self.fields.cached_audio,
            ("candidatesTokensDetails", true, _) => &mut self.fields.candidates_audio,
            ("candidatesTokensDetails", _, true) => &mut self.fields.candidates_image,
            _ => return,
        };
        put(slot, part.tokens);
    }
}

impl Fields {
    fn usage(&self) -> Usage {
        let [prompt, cached, tools] =
            [self.prompt, self.cached, self.tools].map(Option::unwrap_or_default);
        let [candidates, thoughts, total] =
            [self.candidates, self.thoughts, self.total].map(Option::unwrap_or_default);
        let [audio_input, cached_audio] =
            [self.prompt_audio, self.cached_audio].map(Option::unwrap_or_default);
        let [audio_output, image_output] =
            [self.candidates_audio, self.candidates_image].map(Option::unwrap_or_default);
        let audio_input = audio_input.saturating_sub(cached_audio);
        let known = [prompt, tools, candidates, thoughts].into_iter().fold(0, u64::saturating_add);
        let beyond = total.saturating_sub(known);
        Usage {
            input: prompt.saturating_sub(cached).saturating_sub(audio_input).saturating_add(tools),
            cache_read: cached,
            audio_input,
            output: candidates
                .saturating_sub(audio_output)
                .saturating_sub(image_output)
                .saturating_add(beyond),
            reasoning: thoughts,
            audio_output,
            image_output,
            ..Usage::default()
        }
    }
}

/// The same path in a document and in an array of them.
fn inner<'p>(path: Path<'p>) -> Path<'p> {
    match path {
        [ITEM, rest @ ..] => rest,
        path => path,
    }
}

impl Sink for Reader {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        match inner(path) {
            ["usageMetadata", rest @ ..] if !rest.is_empty() => self.usage_value(rest, value),
            ["candidates", ITEM, "content", "parts", ITEM, "text"] => {
                self.shown_bytes = self.shown_bytes.saturating_add(value.text_bytes());
            }
            ["candidates", ITEM, "content", "parts", ITEM, "inlineData", "data"] => {
                self.media_bytes = self.media_bytes.saturating_add(value.text_bytes());
            }
            ["candidates", ITEM, "finishReason"] => self.has_ended = value.text().is_some(),
            // There are no more of them than a byte counts.
            ["candidates", ITEM, "index"] => {
                self.index = value.count().and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
            }
            ["promptFeedback", "blockReason"] => self.finished |= value.text().is_some(),
            ["candidates", ITEM, "groundingMetadata", "webSearchQueries", ITEM] => {
                self.searches_here = self.searches_here.saturating_add(1);
            }
            ["error"] if value != Value::Null => self.failed = true,
            ["error", "code" | "status"] => self.refused |= refuses(value),
            _ => {}
        }
    }

    fn opened(&mut self, path: Path<'_>, _: Holder) {
        match inner(path) {
            ["error"] => self.failed = true,
            ["usageMetadata", _, ITEM] => self.part = Part::default(),
            ["candidates", ITEM] => (self.index, self.has_ended) = (0, false),
            _ => {}
        }
    }

    fn closed(&mut self, path: Path<'_>, _: Holder) {
        match path {
            // An item of the outermost array is an event.
            [ITEM] => self.event_ended(),
            path => match inner(path) {
                ["usageMetadata", of, ITEM] => self.part_ended(of),
                ["candidates", ITEM] if self.has_ended => {
                    self.ended.insert(self.index);
                    let ended = u64::try_from(self.ended.len()).unwrap_or(u64::MAX);
                    self.finished |= ended >= self.expected;
                }
                _ => {}
            },
        }
    }
}
