//! The body of an answer on its way: pieces, pauses, writes of a chosen size, and what breaks it off.
//! Invariants: a request is charged once, when its body ends or is dropped; bytes are handed over one
//! write at a time where their size was chosen, each flushed before the next.
//! Does not know what events mean.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use crate::{
    behaviour::Behaviour,
    gzip::Gzip,
    ledger::{Billed, Counts, End, Ended},
    plan::{Beat, Block, Plan, Progress},
    server::Shared,
    speak::{self, Event, Events},
};

/// How long a client is kept waiting that was not to be answered.
pub(crate) const HANG: Duration = Duration::from_secs(24 * 60 * 60);

/// A request under way. What it is charged is settled when it ends, and that is when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    pub(crate) status: u16,
    pub(crate) ended: Ended,
    pub(crate) bill: Option<Billed>,
    sent: u64,
}

impl Ticket {
    pub(crate) const fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, number, status: 0, ended: Ended::Left, bill: None, sent: 0 }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let how = End {
            status: self.status,
            sent_bytes: self.sent,
            ended: self.ended,
            at_ms: self.shared.at_ms(),
        };
        self.shared.end(self.number, how, self.bill.take());
    }
}

/// What comes next.
#[derive(Debug)]
enum Source {
    /// These bytes, and nothing after them.
    Whole(Bytes),
    Stream(Box<Stream>),
    Over,
}

#[derive(Debug)]
struct Stream {
    plan: Plan,
    beat: Beat,
    is_over: bool,
    progress: Progress,
    events: Events,
    told: u32,
    has_paused: bool,
    has_failed: bool,
    is_array: bool,
}

/// How bytes are written.
#[derive(Debug, Clone, Default)]
struct Manner {
    split_at: Option<usize>,
    drip: Duration,
    cut_after: Option<u64>,
}

/// The body.
#[derive(Debug)]
pub(crate) struct Answer {
    source: Source,
    ready: BytesMut,
    gzip: Option<Gzip>,
    manner: Manner,
    pause: Option<Pin<Box<Sleep>>>,
    has_to_flush: bool,
    is_refusal: bool,
    ticket: Ticket,
}

impl Answer {
    /// A whole document.
    pub(crate) fn whole(bytes: Bytes, behaviour: &Behaviour, ticket: Ticket) -> Self {
        Self::new(Source::Whole(bytes), behaviour, ticket)
    }

    /// A document that is no answer to what was asked.
    pub(crate) fn refusal(bytes: Bytes, behaviour: &Behaviour, ticket: Ticket) -> Self {
        let mut answer = Self::new(Source::Whole(bytes), behaviour, ticket);
        answer.is_refusal = true;
        answer
    }

    /// A stream of events, or of items of one array.
    pub(crate) fn stream(plan: Plan, is_array: bool, ticket: Ticket) -> Self {
        let behaviour = plan.behaviour.clone();
        let stream = Stream {
            plan,
            beat: Beat::Start,
            is_over: false,
            progress: Progress::default(),
            events: Events::default(),
            told: 0,
            has_paused: false,
            has_failed: false,
            is_array,
        };
        Self::new(Source::Stream(Box::new(stream)), &behaviour, ticket)
    }

    fn new(source: Source, behaviour: &Behaviour, ticket: Ticket) -> Self {
        let manner = Manner {
            split_at: behaviour.split_at.map(|bytes| bytes.max(1)),
            drip: Duration::from_millis(behaviour.drip_ms),
            cut_after: behaviour.cut_after,
        };
        Self {
            source,
            ready: BytesMut::new(),
            gzip: behaviour.gzip.then(Gzip::new),
            manner,
            pause: None,
            has_to_flush: false,
            is_refusal: false,
            ticket,
        }
    }

    /// What is charged if it ends here, where it does not come to its end.
    fn charge_so_far(&mut self) {
        let Source::Stream(stream) = &self.source else { return };
        let charged = stream.plan.charged(stream.progress);
        match (charged, &mut self.ticket.bill) {
            (Some(counts), Some(bill)) => bill.counts = counts,
            (None, bill) => *bill = None,
            (Some(_), None) => {}
        }
    }

    fn end(&mut self, ended: Ended) {
        match (&self.source, ended) {
            (Source::Stream(stream), Ended::Whole) => {
                self.ticket.bill = Some(bill(&stream.plan, stream.plan.counts));
            }
            (_, Ended::Whole) => {}
            _ => self.charge_so_far(),
        }
        if let Some(bill) = &mut self.ticket.bill {
            bill.is_whole = ended == Ended::Whole;
        }
        self.ticket.ended = ended;
        self.source = Source::Over;
    }

    /// Puts more bytes into `ready`, or a pause before them. False when there are no more.
    fn more(&mut self) -> bool {
        match &mut self.source {
            Source::Over => return false,
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.put(&bytes);
                self.finish(if self.is_refusal { Ended::Refused } else { Ended::Whole });
            }
            Source::Stream(stream) => match stream.next() {
                Next::Say(bytes) => self.put(&bytes),
                Next::Pause(length) => self.pause = Some(Box::pin(sleep(length))),
                Next::End(ended) => self.finish(ended),
            },
        }
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        match &mut self.gzip {
            Some(gzip) => gzip.write(bytes, &mut self.ready),
            None => self.ready.extend_from_slice(bytes),
        }
    }

    fn finish(&mut self, ended: Ended) {
        if let Some(gzip) = &mut self.gzip {
            gzip.finish(&mut self.ready);
        }
        self.end(ended);
    }

    /// The next write.
    fn write(&mut self) -> Bytes {
        let length = self.manner.split_at.unwrap_or(usize::MAX).min(self.ready.len());
        let left = self.manner.cut_after.map(|most| most.saturating_sub(self.ticket.sent));
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let bytes = self.ready.split_to(length.min(left)).freeze();
        self.ticket.sent += u64::try_from(bytes.len()).unwrap_or_default();
        self.has_to_flush = self.manner.split_at.is_some() || self.manner.cut_after.is_some();
        if !self.manner.drip.is_zero() {
            self.pause = Some(Box::pin(sleep(self.manner.drip)));
        }
        bytes
    }

    fn is_cut(&self) -> bool {
        self.manner.cut_after.is_some_and(|most| self.ticket.sent >= most)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let answer = &mut *self;
        // What was handed over goes out before hyper asks for more.
        if std::mem::take(&mut answer.has_to_flush) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(pause) = &mut answer.pause {
                ready!(pause.as_mut().poll(context));
                answer.pause = None;
            }
            if answer.is_cut() {
                answer.end(Ended::Cut);
                return Poll::Ready(Some(Err(io::Error::other("cut, as told"))));
            }
            if !answer.ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(answer.write()))));
            }
            if !answer.more() {
                return Poll::Ready(None);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Over) && self.ready.is_empty() && !self.is_cut()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !matches!(self.source, Source::Over) {
            self.charge_so_far();
        }
    }
}

/// What a stream does next.
enum Next {
    Say(Bytes),
    Pause(Duration),
    End(Ended),
}

impl Stream {
    fn next(&mut self) -> Next {
        let behaviour = &self.plan.behaviour;
        let is_at = |events: Option<u32>| events.is_some_and(|events| self.told >= events);
        if is_at(behaviour.hang_after) {
            return Next::Pause(HANG);
        }
        if !self.has_failed && is_at(behaviour.error_after) {
            (self.has_failed, self.is_over) = (true, true);
            self.events.queue.clear();
            speak::render_failure(&self.plan, &mut self.events);
        }
        if let Some(event) = self.events.queue.pop_front() {
            let bytes = self.framed(&event);
            self.told = self.told.saturating_add(1);
            return Next::Say(bytes);
        }
        match (self.is_over, self.has_failed) {
            (true, true) => Next::End(Ended::Refused),
            (true, false) => Next::End(Ended::Whole),
            (false, _) => self.step(),
        }
    }

    /// Goes on by one beat. A piece counts as written from when it is told of, so the pause is before.
    fn step(&mut self) -> Next {
        let beat = self.beat;
        if let Beat::Piece(index, _) = beat {
            let gap = Duration::from_millis(self.plan.behaviour.gap_ms);
            if !gap.is_zero() && !std::mem::replace(&mut self.has_paused, true) {
                return Next::Pause(gap);
            }
            self.has_paused = false;
            let progress = &mut self.progress;
            let (thought, shown) = (&mut progress.thought, &mut progress.shown);
            let is_thought = matches!(self.plan.blocks.get(index), Some(Block::Thinking(_)));
            *(if is_thought { thought } else { shown }) += 1;
        }
        self.is_over = !speak::render(&self.plan, (beat, self.progress), &mut self.events);
        self.beat = self.plan.next(beat);
        Next::Say(self.closing())
    }

    /// What closes an array, and nothing elsewhere.
    fn closing(&self) -> Bytes {
        let is_last = self.is_over && self.events.queue.is_empty();
        if self.is_array && is_last { Bytes::from_static(b"]") } else { Bytes::new() }
    }

    fn framed(&self, event: &Event) -> Bytes {
        let behaviour = &self.plan.behaviour;
        let mut out = BytesMut::new();
        if self.is_array {
            out.extend_from_slice(if self.told == 0 { b"[" } else { b",\r\n" });
            out.extend_from_slice(event.data.as_bytes());
            if self.is_over && self.events.queue.is_empty() {
                out.extend_from_slice(b"]");
            }
            return out.freeze();
        }
        let end: &[u8] = if behaviour.crlf { b"\r\n" } else { b"\n" };
        let is_router = self.plan.call.provider == speak::Provider::OpenRouter;
        let comment: &[u8] = if is_router { b": OPENROUTER PROCESSING" } else { b": keep-alive" };
        // OpenRouter's streams begin with one.
        let least = u32::from(is_router && self.told == 0);
        for _ in 0..behaviour.comments.max(least) {
            out.extend_from_slice(comment);
            out.extend_from_slice(end);
            out.extend_from_slice(end);
        }
        if let Some(name) = event.name {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(end);
        }
        out.extend_from_slice(if behaviour.no_space { b"data:" } else { b"data: " });
        match behaviour.huge.filter(|_| self.told == 0) {
            Some(bytes) => {
                // In a field that OpenAI has for padding, and others ignore.
                let head = event.data.strip_suffix('}').unwrap_or(&event.data);
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(b",\"obfuscation\":\"");
                out.put_bytes(b'x', bytes);
                out.extend_from_slice(b"\"}");
            }
            None => out.extend_from_slice(event.data.as_bytes()),
        }
        out.extend_from_slice(end);
        out.extend_from_slice(end);
        out.freeze()
    }
}

/// What a request is charged for, if all of it is.
pub(crate) fn bill(plan: &Plan, counts: Counts) -> Billed {
    Billed {
        request: plan.number,
        id: plan.answer_id(),
        provider: Some(plan.call.provider),
        model: plan.call.model.clone(),
        counts,
        cost: plan.behaviour.cost,
        tier: plan.tier.clone(),
        is_whole: false,
    }
}
