//! Events of a message of Anthropic.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CALLS_MAX, Emitter, Step};
use crate::translate::{
    answer::{
        Arguments, Call, Finish, Function, Id,
        anthropic::{Block, Error, finish},
    },
    raw,
};

/// There is one answer.
const ANSWER: u64 = 0;

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    error: Option<Error<'a>>,
}

#[derive(Debug, Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

/// Most of what is said that waits until it is known whether a tool is called.
const TEXT_MAX_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Reader {
    is_by_tool: bool,
    has_role: bool,
    is_finished: bool,
    /// How many calls have begun.
    calls: usize,
    /// Those under way.
    open: Vec<Open>,
    /// Texts that wait, of at most [`TEXT_MAX_BYTES`], and how many bytes have waited.
    texts: Vec<Box<RawValue>>,
    text_bytes: usize,
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    block: u64,
    call: usize,
    /// Whether any of its arguments has come.
    has_arguments: bool,
}

impl Reader {
    pub(super) fn new(is_by_tool: bool) -> Self {
        Self {
            is_by_tool,
            has_role: false,
            is_finished: false,
            calls: 0,
            open: Vec::new(),
            texts: Vec::new(),
            text_bytes: 0,
        }
    }

    /// What an event becomes; none where it can not be read.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        emitter: &mut Emitter,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let event: Event<'_> = serde_json::from_slice(data).ok()?;
        if &*event.kind == "error" {
            return Some(Step::Failed(event.error?.failure()));
        }
        let block = event.index.unwrap_or(0);
        match &*event.kind {
            "message_start" => self.begin(emitter, out),
            "content_block_start" => {
                if let Some(content) = event.content_block {
                    self.block_begins(block, &content, (emitter, out))?;
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(block, &delta, (emitter, out));
                }
            }
            "content_block_stop" => self.block_ends(block, emitter, out),
            "message_delta" => {
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.finish(finish(Some(&reason), self.is_by_tool), emitter, out);
                }
            }
            "message_stop" => {
                self.finish(Finish::Stop, emitter, out);
                return Some(Step::End);
            }
            // Pings, and what is new.
            _ => {}
        }
        Some(Step::On)
    }

    fn begin(&mut self, emitter: &mut Emitter, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_role, true) {
            emitter.role(ANSWER, out);
        }
    }

    fn finish(&mut self, finish: Finish, emitter: &mut Emitter, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_finished, true) {
            self.begin(emitter, out);
            if self.calls == 0 {
                self.tell_texts(emitter, out);
            }
            emitter.finish(ANSWER, finish, out);
        }
    }

    fn block_begins(
        &mut self,
        block: u64,
        content: &Block<'_>,
        (emitter, out): (&mut Emitter, &mut Vec<u8>),
    ) -> Option<()> {
        if self.is_finished {
            return Some(());
        }
        self.begin(emitter, out);
        let text = content.written_text().filter(|text| !raw::is_empty_text(text));
        if let Some(text) = text {
            self.text(text, emitter, out);
        }
        let Some((id, name)) = content.call() else { return Some(()) };
        if self.calls >= CALLS_MAX {
            return None;
        }
        // Who does not stream arguments has all of them here.
        let whole = content.input.filter(|input| !is_empty_object(input));
        let open = Open { block, call: self.calls, has_arguments: whole.is_some() };
        self.calls += 1;
        self.open.push(open);
        if self.is_by_tool {
            if let Some(whole) = whole {
                emitter.text(ANSWER, &written(whole.get())?, out);
            }
            return Some(());
        }
        let call = Call {
            index: Some(open.call),
            id: Some(Id::Written(id)),
            kind: Some("function"),
            function: Function {
                name: Some(name),
                arguments: Arguments::Made(whole.map_or("", RawValue::get)),
            },
            extra_content: None,
        };
        emitter.call(ANSWER, call, out);
        Some(())
    }

    /// Where the answer is what a tool is called with, that alone is told: what is said besides waits until
    /// it is known that none is called, or is too much to wait.
    fn text(&mut self, text: &RawValue, emitter: &mut Emitter, out: &mut Vec<u8>) {
        if !self.is_by_tool {
            return emitter.text(ANSWER, text, out);
        }
        if self.calls == 0 {
            self.text_bytes = self.text_bytes.saturating_add(text.get().len());
            self.texts.push(text.to_owned());
        }
        if self.text_bytes > TEXT_MAX_BYTES {
            self.tell_texts(emitter, out);
        }
    }

    fn tell_texts(&mut self, emitter: &mut Emitter, out: &mut Vec<u8>) {
        for text in std::mem::take(&mut self.texts) {
            emitter.text(ANSWER, &text, out);
        }
    }

    fn delta(
        &mut self,
        block: u64,
        delta: &Delta<'_>,
        (emitter, out): (&mut Emitter, &mut Vec<u8>),
    ) {
        if self.is_finished {
            return;
        }
        self.begin(emitter, out);
        let is_said = |text: &&RawValue| raw::is_text(text) && !raw::is_empty_text(text);
        match delta.kind.as_deref() {
            Some("text_delta") => {
                if let Some(text) = delta.text.filter(is_said) {
                    self.text(text, emitter, out);
                }
            }
            Some("input_json_delta") => {
                if let Some(json) = delta.partial_json.filter(is_said) {
                    self.arguments(block, Arguments::Written(json), (emitter, out));
                }
            }
            // Thoughts, what they are signed with, and sources.
            _ => {}
        }
    }

    fn arguments(
        &mut self,
        block: u64,
        arguments: Arguments<'_>,
        (emitter, out): (&mut Emitter, &mut Vec<u8>),
    ) {
        let Some(open) = self.open.iter_mut().find(|open| open.block == block) else { return };
        open.has_arguments = true;
        match arguments {
            Arguments::Written(json) if self.is_by_tool => emitter.text(ANSWER, json, out),
            Arguments::Made(json) if self.is_by_tool => {
                if let Some(json) = written(json) {
                    emitter.text(ANSWER, &json, out);
                }
            }
            arguments => {
                let function = Function { name: None, arguments };
                let index = Some(open.call);
                let call = Call { index, id: None, kind: None, function, extra_content: None };
                emitter.call(ANSWER, call, out);
            }
        }
    }

    /// Arguments of nothing are an object of nothing, which only the end of the block tells.
    fn block_ends(&mut self, block: u64, emitter: &mut Emitter, out: &mut Vec<u8>) {
        let is_bare = |open: &Open| open.block == block && !open.has_arguments;
        if !self.is_finished && self.open.iter().any(is_bare) {
            self.arguments(block, Arguments::Made("{}"), (emitter, out));
        }
        self.open.retain(|open| open.block != block);
    }
}

fn is_empty_object(raw: &RawValue) -> bool {
    let inner = raw.get().strip_prefix('{').and_then(|raw| raw.strip_suffix('}'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// JSON as a text.
fn written(json: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(json).ok()
}
