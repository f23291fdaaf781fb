//! An answer as events of the Responses API.
//!
//! ```text
//! created ── in_progress ──> items: added ── deltas ── done ──> completed, incomplete
//!                    └── failed ── error (which SDKs raise)
//! ```
//!
//! Invariants: one item is open at a time, and is done before the next one is added; the numbers of
//! events have no gaps; what was said is kept for the last event, and is at most [`KEPT_MAX_BYTES`].

use serde::Serialize;
use serde_json::value::RawValue;

use super::emitter::chunk;
use crate::{
    translate::{
        Answering, Stamp,
        answer::{Call, Failure, FailureInner, Finish},
        raw::Json,
        response::{
            Said,
            document::{Document, Frame, Item, Part, State, Status, Usage, text_of},
        },
    },
    usage::Report,
};

/// Most bytes of an answer that are kept, as JSON has them. What models write has a megabyte at most.
const KEPT_MAX_BYTES: usize = 2 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Events {
    frame: Frame,
    stem: String,
    /// Of the next event.
    number: u64,
    /// Those that are done, and then the one that is open.
    output: Vec<Item>,
    open: Open,
    kept_bytes: usize,
    finish: Option<Finish>,
    failure: Option<&'static str>,
}

/// What the last item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Done, if there is one.
    Nothing,
    Message,
    /// The call with this number.
    Call(Option<usize>),
}

#[derive(Debug, Default, Serialize)]
struct Event<'e> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'e Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'e Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'e Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'e Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'e Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'e Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Document<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<Option<()>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'e FailureInner>,
}

impl Events {
    pub(super) fn new(answering: &Answering, said: &Said, stamp: Stamp<'_>) -> Self {
        Self {
            frame: Frame::new(answering, said, stamp),
            stem: stamp.stem().to_owned(),
            number: 0,
            output: Vec::new(),
            open: Open::Nothing,
            kept_bytes: 0,
            finish: None,
            failure: None,
        }
    }

    /// Bytes of the answer that are kept.
    pub(super) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Why what it was told can not be written.
    pub(super) const fn failure(&self) -> Option<&'static str> {
        self.failure
    }

    /// The response begins, if it has not.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.number == 0 {
            for kind in ["response.created", "response.in_progress"] {
                self.respond(kind, (Status::InProgress, None, None), out);
            }
        }
    }

    /// Some of its text. There is one answer: what others would say is not asked for.
    pub(super) fn text(&mut self, answer: u64, text: &RawValue, out: &mut Vec<u8>) {
        if answer != 0 || !self.has_room(text.get().len()) {
            return;
        }
        if self.open != Open::Message {
            self.open_message(out);
        }
        let delta = Json::of(text);
        if let Some(Item::Message { content, .. }) = self.output.last_mut()
            && let Some(part) = content.last_mut()
        {
            part.text.push(&delta);
        }
        let event = Event {
            content_index: Some(0),
            delta: Some(&delta),
            logprobs: Some([]),
            ..Event::default()
        };
        self.tell("response.output_text.delta", event, out);
    }

    /// A call, or more of its arguments.
    pub(super) fn call(&mut self, answer: u64, call: &Call<'_>, out: &mut Vec<u8>) {
        let more = text_of(&call.function.arguments);
        if answer != 0 || !self.has_room(more.len()) {
            return;
        }
        if call.id.is_some() {
            self.open_call(call, out);
        } else if self.open != Open::Call(call.index) {
            // Its item is done: no provider goes back to a call.
            self.failure = Some("a call of the provider goes on after its end");
        }
        if self.failure.is_some() || more.is_empty_text() {
            return;
        }
        if let Some(Item::FunctionCall { arguments, .. }) = self.output.last_mut() {
            arguments.push(&more);
        }
        let event = Event { delta: Some(&more), ..Event::default() };
        self.tell("response.function_call_arguments.delta", event, out);
    }

    /// The answer has ended, which what was used may come behind.
    pub(super) fn finish(&mut self, answer: u64, finish: Finish, out: &mut Vec<u8>) {
        if answer == 0 {
            self.finish = Some(finish);
            self.close(Status::of(finish), out);
        }
    }

    /// All is told.
    pub(super) fn end(&mut self, report: &Report, out: &mut Vec<u8>) {
        self.begin(out);
        let status = Status::of(self.finish.unwrap_or(Finish::Stop));
        self.close(status, out);
        let kind = match status {
            Status::Incomplete => "response.incomplete",
            Status::InProgress | Status::Completed | Status::Failed => "response.completed",
        };
        self.respond(kind, (status, None, Usage::of(report)), out);
    }

    /// It has failed. Programs that read events find that in the response, and SDKs raise the error.
    pub(super) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        self.begin(out);
        if let Some(open) = self.output.last_mut().filter(|_| self.open != Open::Nothing) {
            open.is(Status::Incomplete);
        }
        self.open = Open::Nothing;
        self.respond("response.failed", (Status::Failed, Some(failure), None), out);
        // As OpenAI documents it, and as it sends it.
        let event = Event {
            code: Some(failure.code()),
            message: Some(failure.message()),
            param: Some(None),
            error: Some(failure.error()),
            ..Event::default()
        };
        write(&mut self.number, "error", event, out);
    }

    /// Whether so much more can be kept.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > KEPT_MAX_BYTES {
            self.failure = Some("the answer of the provider is too long");
        }
        self.failure.is_none()
    }

    fn open_message(&mut self, out: &mut Vec<u8>) {
        let number = self.output.len();
        let message = Item::message(&self.stem, number, Status::InProgress);
        self.add(message, Open::Message, out);
        let part = Part::new(Json::text(""));
        let event = Event { content_index: Some(0), part: Some(&part), ..Event::default() };
        self.tell("response.content_part.added", event, out);
        if let Some(Item::Message { content, .. }) = self.output.last_mut() {
            content.push(part);
        }
    }

    fn open_call(&mut self, call: &Call<'_>, out: &mut Vec<u8>) {
        let number = self.output.len();
        match Item::call(&self.stem, number, Status::InProgress, call) {
            Ok(item) if self.has_room(item.len()) => self.add(item, Open::Call(call.index), out),
            Ok(_) => {}
            Err(_) => self.failure = Some("a call of the provider can not be read"),
        }
    }

    fn add(&mut self, item: Item, open: Open, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(Status::Completed, out);
        let output_index = Some(self.output.len());
        let event = Event { output_index, item: Some(&item), ..Event::default() };
        write(&mut self.number, "response.output_item.added", event, out);
        self.output.push(item);
        self.open = open;
    }

    /// What is open is done.
    fn close(&mut self, status: Status, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.open, Open::Nothing) == Open::Nothing {
            return;
        }
        let Some(mut item) = self.output.pop() else { return };
        item.is(status);
        let (item_id, output_index) = (Some(item.id()), Some(self.output.len()));
        let of = || Event { item_id, output_index, ..Event::default() };
        let number = &mut self.number;
        match &item {
            Item::Message { content, .. } => {
                for (index, part) in content.iter().enumerate() {
                    let (content_index, text) = (Some(index), Some(&part.text));
                    let event = Event { content_index, text, logprobs: Some([]), ..of() };
                    write(number, "response.output_text.done", event, out);
                    let event = Event { content_index, part: Some(part), ..of() };
                    write(number, "response.content_part.done", event, out);
                }
            }
            Item::FunctionCall { name, arguments, .. } => {
                let event = Event { name: Some(name), arguments: Some(arguments), ..of() };
                write(number, "response.function_call_arguments.done", event, out);
            }
        }
        let event = Event { output_index, item: Some(&item), ..Event::default() };
        write(number, "response.output_item.done", event, out);
        self.output.push(item);
    }

    /// Tells of the item that is open.
    fn tell(&mut self, kind: &'static str, event: Event<'_>, out: &mut Vec<u8>) {
        let Some((item, done)) = self.output.split_last() else { return };
        let event = Event { item_id: Some(item.id()), output_index: Some(done.len()), ..event };
        write(&mut self.number, kind, event, out);
    }

    /// Tells of all of it.
    fn respond(
        &mut self,
        kind: &'static str,
        (status, failure, usage): (Status, Option<&Failure>, Option<Usage>),
        out: &mut Vec<u8>,
    ) {
        let state = State { status, finish: self.finish, failure, output: &self.output, usage };
        let response = Some(self.frame.document(state));
        write(&mut self.number, kind, Event { response, ..Event::default() }, out);
    }
}

fn write(number: &mut u64, kind: &'static str, event: Event<'_>, out: &mut Vec<u8>) {
    for part in ["event: ", kind, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    chunk(&Event { kind, sequence_number: *number, ..event }, out);
    *number = number.saturating_add(1);
}

#[cfg(test)]
mod tests;
