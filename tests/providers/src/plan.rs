//! An answer before it is written: its parts, its counts, why it ends; and in which order a stream
//! tells of them, whatever the provider's events look like.
//! Invariants: counts are known before the first byte; a stream's beats are made one by one, so that a
//! long answer takes no more memory than its text.

use serde_json::Value;

use crate::{
    behaviour::{Behaviour, Bill, Reporting},
    call::{Call, Endpoint},
    example,
    ledger::Counts,
    speak::Provider,
};

/// What an image counts as, in tokens.
const IMAGE_TOKENS: u64 = 258;

/// Bytes of text that count as one token.
const TOKEN_BYTES: u64 = 4;

/// Most pieces of an answer.
const PIECES_MAX: u32 = 1_000_000;

/// Most uses of each of the provider's own tools that an answer shows.
const SERVED_MAX: u64 = 64;

const TEXT: &str = "Hello from the simulator.";
const THINKING: &str = "Let me think about it.";

/// What an answer has, one after the other.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Thinking(Pieces),
    Text(Pieces),
    /// Spoken words, of which the text is the transcript.
    Audio(Pieces),
    Tool {
        name: String,
        arguments: Pieces,
    },
    /// What the provider does itself.
    Served(Served),
}

/// A tool of the provider's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    Web,
    File,
    Code,
}

impl Block {
    pub(crate) fn pieces(&self) -> u32 {
        match self {
            Self::Thinking(pieces) | Self::Text(pieces) | Self::Audio(pieces) => pieces.count,
            Self::Tool { arguments, .. } => arguments.count,
            Self::Served(_) => 0,
        }
    }
}

/// A text in so many pieces.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    pub(crate) text: String,
    count: u32,
}

impl Pieces {
    fn new(text: String, count: Option<u32>) -> Self {
        let count = count.unwrap_or(3).clamp(1, PIECES_MAX);
        Self { text, count }
    }

    /// One of them. Cut between characters, so that some are empty where there are few.
    pub(crate) fn piece(&self, index: u32) -> &str {
        let bound = |index: u32| {
            let share = u128::try_from(self.text.len()).unwrap_or_default() * u128::from(index);
            let at = usize::try_from(share / u128::from(self.count)).unwrap_or(self.text.len());
            self.text.floor_char_boundary(at)
        };
        self.text.get(bound(index)..bound(index.saturating_add(1))).unwrap_or_default()
    }
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    End,
    Limit,
    Tool,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The request's number, which ids are made of.
    pub(crate) number: u64,
    pub(crate) created: u64,
    pub(crate) call: Call,
    pub(crate) behaviour: Behaviour,
    pub(crate) counts: Counts,
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop: Stop,
    pub(crate) tier: Option<String>,
}

/// A step of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    Start,
    Open(usize),
    Piece(usize, u32),
    Close(usize),
    /// What comes after all blocks, until nothing more does.
    End(u32),
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) thought: u32,
    pub(crate) shown: u32,
}

/// Where in a stream counts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    First,
    Middle,
    Last,
}

impl Plan {
    pub(crate) fn new(number: u64, created: u64, call: Call, behaviour: Behaviour) -> Self {
        let calls_tool = behaviour.tool && !call.has_tool_result && call.tool.is_some();
        let blocks = blocks(&call, &behaviour, calls_tool);
        let text: usize = blocks.iter().map(text_len).sum();
        let mut counts = counts(&call, &behaviour, u64::try_from(text).unwrap_or(u64::MAX));
        let limit = call.limit.filter(|_| !behaviour.ignores_limit).unwrap_or(u64::MAX);
        let is_over = counts.output.saturating_add(counts.reasoning) > limit;
        if is_over {
            counts.reasoning = counts.reasoning.min(limit);
            counts.output = limit.saturating_sub(counts.reasoning);
        }
        let stop = match (is_over, calls_tool) {
            (true, _) => Stop::Limit,
            (false, true) => Stop::Tool,
            (false, false) => Stop::End,
        };
        // OpenAI serves in the tier that it is asked for; `auto` leads to the default one.
        let asked = matches!(call.provider, Provider::OpenAi | Provider::OpenRouter)
            .then(|| call.tier.clone().filter(|tier| tier != "auto"));
        let tier = behaviour.service_tier.clone().or_else(|| asked.flatten());
        Self { number, created, call, behaviour, counts, blocks, stop, tier }
    }

    /// The step after this one.
    pub(crate) fn next(&self, beat: Beat) -> Beat {
        let open = |index: usize| match self.blocks.get(index) {
            Some(_) => Beat::Open(index),
            None => Beat::End(0),
        };
        let piece = |index: usize, piece: u32| {
            let count = self.blocks.get(index).map_or(0, Block::pieces);
            if piece < count { Beat::Piece(index, piece) } else { Beat::Close(index) }
        };
        match beat {
            Beat::Start => open(0),
            Beat::Open(index) => piece(index, 0),
            Beat::Piece(index, at) => piece(index, at.saturating_add(1)),
            Beat::Close(index) => open(index.saturating_add(1)),
            Beat::End(number) => Beat::End(number.saturating_add(1)),
        }
    }

    /// What is to be charged at this point of a stream, if nothing more is written.
    pub(crate) fn so_far(&self, progress: Progress) -> Counts {
        let (mut thought, mut shown) = (0_u64, 0_u64);
        for block in &self.blocks {
            match block {
                Block::Thinking(_) => thought += u64::from(block.pieces()),
                _ => shown += u64::from(block.pieces()),
            }
        }
        let share = |whole: u64, part: u32, of: u64| {
            let sum = u128::from(whole) * u128::from(part);
            u64::try_from(sum / u128::from(of.max(1))).unwrap_or(whole).min(whole)
        };
        let made = |whole: u64| share(whole, progress.shown, shown);
        Counts {
            // What is not shown is over when the first is.
            reasoning: match (thought, progress.shown) {
                (0, 1..) => self.counts.reasoning,
                _ => share(self.counts.reasoning, progress.thought, thought),
            },
            output: made(self.counts.output),
            audio_output: made(self.counts.audio_output),
            image_output: made(self.counts.image_output),
            ..self.counts
        }
    }

    /// What the real provider charges for an answer that ended here.
    pub(crate) fn charged(&self, progress: Progress) -> Option<Counts> {
        match self.behaviour.bill {
            Bill::SoFar => Some(self.so_far(progress)),
            Bill::All => Some(self.counts),
            Bill::Nothing => None,
        }
    }

    /// The counts that a stream has at a moment, of a provider that usually has them so.
    pub(crate) fn reported(&self, usual: Reporting, at: (Moment, Progress)) -> Option<Counts> {
        let mode = match self.behaviour.usage {
            Reporting::Usual | Reporting::InclusiveFirst => usual,
            mode => mode,
        };
        match (mode, at.0) {
            (Reporting::Repeated, _)
            | (Reporting::Early, Moment::First)
            | (Reporting::Late | Reporting::Cumulative, Moment::Last) => Some(self.counts),
            (Reporting::Cumulative, Moment::First | Moment::Middle) => Some(self.so_far(at.1)),
            _ => None,
        }
    }

    /// The text of the answer.
    pub(crate) fn text(&self) -> &str {
        let mut texts = self.blocks.iter().filter_map(|block| match block {
            Block::Text(pieces) | Block::Audio(pieces) => Some(pieces.text.as_str()),
            Block::Thinking(_) | Block::Tool { .. } | Block::Served(_) => None,
        });
        texts.next().unwrap_or_default()
    }

    /// An id that begins as the provider's do.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}sim{:020x}", self.number)
    }

    /// The answer's own id.
    pub(crate) fn answer_id(&self) -> String {
        let prefix = match (self.call.endpoint, self.call.provider) {
            (Endpoint::Chat | Endpoint::Completions, Provider::OpenRouter) => "gen-",
            (Endpoint::Chat, _) => "chatcmpl-",
            (Endpoint::Completions, _) => "cmpl-",
            (Endpoint::Responses, _) => "resp_",
            (Endpoint::Messages, _) => "msg_",
            _ => "",
        };
        self.id(prefix)
    }
}

fn text_len(block: &Block) -> usize {
    match block {
        Block::Text(pieces) | Block::Audio(pieces) => pieces.text.len(),
        Block::Tool { arguments, .. } => arguments.text.len(),
        Block::Thinking(_) | Block::Served(_) => 0,
    }
}

fn blocks(call: &Call, behaviour: &Behaviour, calls_tool: bool) -> Vec<Block> {
    let pieces = |text: String| Pieces::new(text, behaviour.pieces);
    let mut blocks = Vec::new();
    if behaviour.reasoning > 0 || behaviour.thinking.is_some() {
        blocks.push(Block::Thinking(pieces(
            behaviour.thinking.clone().unwrap_or_else(|| THINKING.to_owned()),
        )));
    }
    for (served, times) in [
        (Served::Web, behaviour.web_searches),
        (Served::File, behaviour.file_searches),
        (Served::Code, behaviour.code_interpreters),
    ] {
        blocks.extend((0..times.min(SERVED_MAX)).map(|_| Block::Served(served)));
    }
    if let Some((name, schema)) = call.tool.as_ref().filter(|_| calls_tool) {
        let given = behaviour.arguments.clone();
        let arguments = given.unwrap_or_else(|| match example::of(schema) {
            Value::Object(fields) => Value::Object(fields),
            _ => Value::Object(serde_json::Map::new()),
        });
        let arguments = pieces(arguments.to_string());
        blocks.push(Block::Tool { name: name.clone(), arguments });
        return blocks;
    }
    let text = behaviour.text.clone().unwrap_or_else(|| match (&call.schema, behaviour.pieces) {
        (Some(schema), _) => example::of(schema).to_string(),
        (None, Some(count @ 5..)) => {
            "word ".repeat(usize::try_from(count.min(PIECES_MAX)).unwrap_or(5))
        }
        (None, _) => TEXT.to_owned(),
    });
    blocks.push(match behaviour.audio_output {
        0 => Block::Text(pieces(text)),
        _ => Block::Audio(pieces(text)),
    });
    blocks
}

fn counts(call: &Call, behaviour: &Behaviour, text_bytes: u64) -> Counts {
    let guess = || call.text_bytes / TOKEN_BYTES + call.images * IMAGE_TOKENS;
    let has_output = !matches!(
        call.endpoint,
        Endpoint::Embeddings | Endpoint::Embed | Endpoint::BatchEmbed | Endpoint::Search
    );
    let output = match behaviour.audio_output {
        0 => (text_bytes / TOKEN_BYTES).max(1).saturating_mul(call.choices),
        _ => 0,
    };
    let has_input = call.endpoint != Endpoint::Search;
    Counts {
        input: behaviour.input.unwrap_or_else(|| if has_input { guess().max(1) } else { 0 }),
        cached: behaviour.cached,
        cache_write_5m: behaviour.cache_write_5m,
        cache_write_1h: behaviour.cache_write_1h,
        audio_input: behaviour.audio_input,
        tool_input: behaviour.tool_input,
        output: if has_output { behaviour.output.unwrap_or(output) } else { 0 },
        reasoning: behaviour.reasoning,
        audio_output: behaviour.audio_output,
        image_output: behaviour.image_output,
        web_searches: behaviour.web_searches,
        web_fetches: behaviour.web_fetches,
        file_searches: behaviour.file_searches,
        code_interpreters: behaviour.code_interpreters,
    }
}
