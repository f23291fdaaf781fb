//! The state of one line and of its streams.
//!
//! ```text
//!        line_up            Welcome (host) / Hello (guest)
//! Down ──────────> Greeting ─────────────────────────────> Up
//!   ^ line_down        ^        Greeting (host) / Hello (guest): streams are gone
//!   └── any ──         └───────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::{
    Decoder, MAX_STREAMS, Nonce, OUTBOX_HARD_BYTES, OUTBOX_SOFT_BYTES, PAYLOAD_MAX_BYTES, StreamId,
    WINDOW_BYTES,
    outbox::Outbox,
    packet::{self, Message, Tag},
};

/// Which end of the line this is. Only the host opens streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Says hello and opens streams.
    Host,
    /// Greets and takes streams.
    Guest,
}

/// What the owner of a [`Mux`] has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A session has begun. Every stream of a former one is gone.
    Up,
    /// The session is over and with it every stream.
    Down,
    /// Host: a new agent is there; call [`Mux::renew`].
    Greeted,
    /// Guest: a stream to this port wants to be taken: [`Mux::accept`] or [`Mux::reset`].
    Incoming(StreamId, u32),
    /// Host: the stream was taken.
    Opened(StreamId),
    /// Bytes came; say with [`Mux::credit`] when they have been taken out.
    Data(StreamId, Vec<u8>),
    /// The stream may be written to again.
    Writable(StreamId),
    /// The peer sends no more on this stream.
    Finished(StreamId),
    /// The stream is gone.
    Reset(StreamId),
}

/// Why no stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// No session.
    #[error("the agent is not there")]
    NotUp,
    /// Too many at once.
    #[error("too many streams are open")]
    TooMany,
}

/// The stream was reset or its session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream is gone")]
pub struct StreamGone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    /// Host: this hello was sent. Guest: waits for one.
    Greeting(Nonce),
    Up(Nonce),
}

/// Whether a packet had an effect. One without is as good as nonsense: it costs this side work and
/// brings it nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Effect,
    Nothing,
}

#[derive(Debug)]
struct Stream {
    /// What may still be sent.
    send_window: u32,
    /// What the peer may still send.
    receive_window: u32,
    /// Taken out by the owner and not yet given back to the peer.
    consumed: u32,
    /// Host: the peer has said that it took the stream.
    opened: bool,
    finish_sent: bool,
    finish_received: bool,
}

impl Stream {
    fn new() -> Self {
        Self {
            send_window: WINDOW_BYTES,
            receive_window: WINDOW_BYTES,
            consumed: 0,
            opened: false,
            finish_sent: false,
            finish_received: false,
        }
    }
}

/// One end of a line. Feed it with [`Mux::receive`] while [`Mux::wants_input`], write
/// [`Mux::output`] to the line, and act on every [`Mux::next_event`].
#[derive(Debug)]
pub struct Mux {
    role: Role,
    state: State,
    streams: BTreeMap<StreamId, Stream>,
    /// Host: the next id. Guest: ids below it are used up.
    next_id: u32,
    outbox: Outbox,
    decoder: Decoder,
    events: VecDeque<Event>,
}

impl Mux {
    /// An end whose line is down.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            state: State::Down,
            streams: BTreeMap::new(),
            next_id: 1,
            outbox: Outbox::default(),
            decoder: Decoder::default(),
            events: VecDeque::new(),
        }
    }

    /// The line is there. The host says hello with the nonce, the guest announces itself.
    pub fn line_up(&mut self, nonce: Nonce) {
        self.end_session();
        self.decoder = Decoder::default();
        self.greet(nonce);
    }

    /// The line is gone.
    pub fn line_down(&mut self) {
        self.end_session();
        self.state = State::Down;
        self.outbox.clear();
    }

    /// Host: begins a new session on the same line. The nonce must be new.
    pub fn renew(&mut self, nonce: Nonce) {
        if self.role == Role::Host && self.state != State::Down {
            self.end_session();
            self.greet(nonce);
        }
    }

    /// Host: says the same hello once more, if it was not answered and has left the outbox. For a
    /// timer: a hello may be lost with the agent that had read it.
    pub fn greet_again(&mut self) {
        if let (Role::Host, State::Greeting(nonce)) = (self.role, self.state)
            && self.outbox.len() == 0
        {
            self.greet(nonce);
        }
    }

    /// Whether a session is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Bytes for the line.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.outbox.as_slice()
    }

    /// The line has taken the first `count` bytes of [`Mux::output`].
    pub fn output_taken(&mut self, count: usize) {
        self.outbox.take(count);
    }

    /// Whether the line should be read. Not while the peer does not take what it asked for.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.outbox.len() < OUTBOX_HARD_BYTES
    }

    /// Bytes that made no sense or came for nothing, so far. A few are normal after a restart of
    /// either side, and after the end of a stream.
    #[must_use]
    pub fn garbage_bytes(&self) -> u64 {
        self.decoder.garbage_bytes()
    }

    /// The next thing to act on.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes in bytes from the line. Take out all events before the next call.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while let Some(packet) = self.decoder.next_packet(&mut bytes) {
            let use_of_it = packet::decode(&packet).map(|(tag, message)| self.handle(tag, message));
            if use_of_it != Some(Use::Effect) {
                self.decoder.count_garbage(packet.len());
            }
        }
    }

    /// Host: opens a stream to a port of the guest. It may be written to at once.
    ///
    /// # Errors
    /// When no session is up or too many streams are open.
    pub fn open(&mut self, port: u32) -> Result<StreamId, OpenRefused> {
        if self.role != Role::Host || !self.is_up() {
            return Err(OpenRefused::NotUp);
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(OpenRefused::TooMany);
        }
        let id = StreamId(self.next_id);
        // At a million streams a second the ids of one session last over an hour; then a new
        // session is needed, which a restart of the bridge makes.
        self.next_id = self.next_id.checked_add(1).ok_or(OpenRefused::TooMany)?;
        self.streams.insert(id, Stream::new());
        self.push(Message::Open(id, port));
        Ok(id)
    }

    /// Guest: takes a stream that came with [`Event::Incoming`].
    pub fn accept(&mut self, id: StreamId) {
        if self.streams.contains_key(&id) {
            self.push(Message::Opened(id));
        }
    }

    /// Sends as much of `bytes` as window and outbox permit, at most one packet; the answer says
    /// how much. After 0, wait for [`Event::Writable`] or for the outbox to drain.
    ///
    /// # Errors
    /// When the stream is gone or finished on this side.
    pub fn send(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, StreamGone> {
        let room = OUTBOX_SOFT_BYTES.saturating_sub(self.outbox.len());
        let stream = self.streams.get_mut(&id).filter(|stream| !stream.finish_sent);
        let stream = stream.ok_or(StreamGone)?;
        let window = usize::try_from(stream.send_window).unwrap_or(usize::MAX);
        let count = bytes.len().min(window).min(room).min(PAYLOAD_MAX_BYTES);
        let Some(part) = bytes.get(..count).filter(|part| !part.is_empty()) else { return Ok(0) };
        let sent = u32::try_from(count).unwrap_or(u32::MAX);
        stream.send_window = stream.send_window.saturating_sub(sent);
        self.push(Message::Data(id, part));
        Ok(count)
    }

    /// The owner has taken `count` bytes of this stream out of its buffer.
    pub fn credit(&mut self, id: StreamId, count: usize) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        stream.consumed = stream.consumed.saturating_add(count);
        // Half a window at a time: one packet for many reads, and the sender never runs dry.
        if stream.consumed >= WINDOW_BYTES / 2 && !stream.finish_received {
            let grant = std::mem::take(&mut stream.consumed);
            stream.receive_window = stream.receive_window.saturating_add(grant);
            self.push(Message::Window(id, grant));
        }
    }

    /// This side sends no more on the stream.
    pub fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.finish_sent {
            stream.finish_sent = true;
            self.push(Message::Finish(id));
            self.forget_if_over(id);
        }
    }

    /// Ends the stream in both directions, at once.
    pub fn reset(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            self.push(Message::Reset(id));
        }
    }

    fn greet(&mut self, nonce: Nonce) {
        self.outbox.restart();
        self.state = State::Greeting(nonce);
        let greeting = match self.role {
            Role::Host => Message::Hello(nonce),
            Role::Guest => Message::Greeting,
        };
        self.outbox.push(Tag::NONE, greeting);
    }

    fn end_session(&mut self) {
        if self.is_up() {
            self.events.push_back(Event::Down);
        }
        self.streams.clear();
        self.next_id = 1;
    }

    fn tag(&self) -> Tag {
        match &self.state {
            State::Up(nonce) => Tag::of(nonce),
            State::Down | State::Greeting(_) => Tag::NONE,
        }
    }

    fn push(&mut self, message: Message<'_>) {
        let tag = self.tag();
        self.outbox.push(tag, message);
    }

    fn handle(&mut self, tag: Tag, message: Message<'_>) -> Use {
        match (self.role, message) {
            (Role::Guest, Message::Hello(nonce)) => {
                self.welcome(nonce);
                Use::Effect
            }
            (Role::Host, Message::Welcome(nonce)) if self.state == State::Greeting(nonce) => {
                self.state = State::Up(nonce);
                self.events.push_back(Event::Up);
                Use::Effect
            }
            (Role::Host, Message::Greeting) => self.greeted(),
            // Bytes of a former session, or a second welcome for a hello that was said twice.
            _ if !self.is_up() || tag != self.tag() => Use::Nothing,
            (Role::Guest, Message::Open(id, port)) => {
                self.incoming(id, port);
                Use::Effect
            }
            (Role::Host, Message::Opened(id)) => self.opened(id),
            (_, Message::Data(id, bytes)) => self.data(id, bytes),
            (_, Message::Window(id, grant)) => self.window(id, grant),
            (_, Message::Finish(id)) => self.finished(id),
            (_, Message::Reset(id)) => {
                if self.streams.remove(&id).is_none() {
                    return Use::Nothing;
                }
                self.events.push_back(Event::Reset(id));
                Use::Effect
            }
            // Not for this side to receive; whoever sends it only wastes its own line.
            (Role::Host, Message::Hello(_) | Message::Open(..))
            | (Role::Host, Message::Welcome(_))
            | (Role::Guest, Message::Greeting | Message::Welcome(_) | Message::Opened(_)) => {
                Use::Nothing
            }
        }
    }

    fn welcome(&mut self, nonce: Nonce) {
        // The same hello again, because its answer was late: nothing has happened in between.
        if self.state != State::Up(nonce) {
            self.end_session();
            self.outbox.restart();
            self.state = State::Up(nonce);
            self.events.push_back(Event::Up);
        }
        self.outbox.push(Tag::NONE, Message::Welcome(nonce));
    }

    fn greeted(&mut self) -> Use {
        match self.state {
            State::Up(nonce) => {
                self.end_session();
                // No further greeting is an event until the owner has begun a new session.
                self.state = State::Greeting(nonce);
                self.outbox.restart();
                self.events.push_back(Event::Greeted);
                Use::Effect
            }
            // The hello that was said is, or will be, read by the agent that greets.
            State::Greeting(_) => {
                self.greet_again();
                Use::Nothing
            }
            State::Down => Use::Nothing,
        }
    }

    fn incoming(&mut self, id: StreamId, port: u32) {
        let is_new = id.0 >= self.next_id;
        if is_new && self.streams.len() < MAX_STREAMS {
            self.next_id = id.0.saturating_add(1);
            self.streams.insert(id, Stream::new());
            self.events.push_back(Event::Incoming(id, port));
        } else {
            self.push(Message::Reset(id));
        }
    }

    fn opened(&mut self, id: StreamId) -> Use {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.opened) else {
            return Use::Nothing;
        };
        stream.opened = true;
        self.events.push_back(Event::Opened(id));
        Use::Effect
    }

    fn data(&mut self, id: StreamId, bytes: &[u8]) -> Use {
        // A stream that was reset here may have bytes under way.
        let Some(stream) = self.streams.get_mut(&id) else { return Use::Nothing };
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match stream.receive_window.checked_sub(count) {
            Some(left) if !stream.finish_received => {
                stream.receive_window = left;
                if bytes.is_empty() {
                    return Use::Nothing;
                }
                self.events.push_back(Event::Data(id, bytes.to_vec()));
            }
            _ => self.violated(id),
        }
        Use::Effect
    }

    fn window(&mut self, id: StreamId, grant: u32) -> Use {
        let stream = self.streams.get_mut(&id).filter(|_| grant > 0);
        let Some(stream) = stream else { return Use::Nothing };
        let window = stream.send_window.saturating_add(grant);
        if window > WINDOW_BYTES {
            self.violated(id);
        } else {
            stream.send_window = window;
            self.events.push_back(Event::Writable(id));
        }
        Use::Effect
    }

    fn finished(&mut self, id: StreamId) -> Use {
        let Some(stream) = self.streams.get_mut(&id) else { return Use::Nothing };
        if stream.finish_received {
            self.violated(id);
        } else {
            stream.finish_received = true;
            self.events.push_back(Event::Finished(id));
            self.forget_if_over(id);
        }
        Use::Effect
    }

    /// The peer broke a rule on this stream.
    fn violated(&mut self, id: StreamId) {
        self.reset(id);
        self.events.push_back(Event::Reset(id));
    }

    fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|stream| stream.finish_sent && stream.finish_received)
        {
            self.streams.remove(&id);
        }
    }
}
