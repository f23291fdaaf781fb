//! Drives a [`Mux`] over a line and hands out its streams as sockets.
//! Owns the line and the state of its streams; one task runs [`drive`], any task may hold a stream.
//! Invariant: what a stream buffers is at most its window, because credit is given only for bytes
//! that were taken out.
//! Does not know what a stream carries.

mod line;
mod stream;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use rigbox_types::guest::mux::{
    Event, Mux, NONCE_BYTES, Nonce, OUTBOX_SOFT_BYTES, OpenRefused, Role, StreamId,
};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    watch,
};

use self::stream::Slot;
pub(crate) use self::{
    line::{Line, Readiness},
    stream::MuxStream,
};

/// Read from the line at once: as much as the virtio-serial driver has in its queue.
const READ_BYTES: usize = 32 * 1024;

/// Streams that wait to be taken; what does not fit is reset.
#[cfg(feature = "agent")]
const INCOMING_MAX: usize = 64;

/// Bytes of nonsense in one go after which the line is read more slowly. A restart of either side
/// leaves less than one packet.
const GARBAGE_BYTES: u64 = 256 * 1024;

/// How long the line is left alone after that much nonsense: a hostile guest gets at most 5 MiB/s
/// of this side's attention.
const GARBAGE_PAUSE: Duration = Duration::from_millis(50);

/// First and longest wait before a hello that was not answered is said again.
const GREET_FIRST: Duration = Duration::from_secs(1);
const GREET_LONGEST: Duration = Duration::from_secs(30);

/// One end of a multiplexed line. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Output or a change that the driver has to look at.
    changed: Notify,
    up: watch::Sender<bool>,
}

pub(crate) struct State {
    pub(crate) mux: Mux,
    pub(crate) slots: HashMap<StreamId, Slot>,
    /// Counts sessions, so that a stream of a former one is not taken for another of the same id.
    pub(crate) session: u64,
    /// Streams that wait for the outbox to drain.
    blocked: Vec<Waker>,
    incoming: Option<Listener>,
}

/// Where the streams of the one port that is listened on go.
#[derive(Clone)]
struct Listener {
    port: u32,
    streams: mpsc::Sender<MuxStream>,
}

/// Streams that the host opened.
#[cfg(feature = "agent")]
pub(crate) type Incoming = mpsc::Receiver<MuxStream>;

impl Connection {
    /// The host's end.
    pub(crate) fn host() -> Self {
        Self::new(Role::Host, None)
    }

    /// The guest's end, and where the streams to its one port arrive; others are reset.
    #[cfg(feature = "agent")]
    pub(crate) fn guest(port: u32) -> (Self, Incoming) {
        let (streams, receiver) = mpsc::channel(INCOMING_MAX);
        (Self::new(Role::Guest, Some(Listener { port, streams })), receiver)
    }

    fn new(role: Role, incoming: Option<Listener>) -> Self {
        let state = State {
            mux: Mux::new(role),
            slots: HashMap::new(),
            session: 0,
            blocked: Vec::new(),
            incoming,
        };
        let shared = Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
            up: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells whether a session is up.
    pub(crate) fn watch_up(&self) -> watch::Receiver<bool> {
        self.shared.up.subscribe()
    }

    /// Opens a stream. It can be written to at once; [`MuxStream::opened`] waits for the answer.
    pub(crate) fn open(&self, port: u32) -> Result<MuxStream, OpenRefused> {
        let mut state = self.shared.lock();
        let id = state.mux.open(port)?;
        let stream = state.new_stream(id, &self.shared);
        drop(state);
        self.shared.changed.notify_one();
        Ok(stream)
    }

    /// Announces this end on a line that has just come up.
    pub(crate) fn line_up(&self) -> io::Result<()> {
        let nonce = nonce()?;
        self.shared.lock().mux.line_up(nonce);
        self.dispatch()
    }

    /// Ends every stream: the line is gone.
    pub(crate) fn line_down(&self) {
        let mut state = self.shared.lock();
        state.mux.line_down();
        while state.mux.next_event().is_some() {}
        state.end_session();
        drop(state);
        self.shared.up.send_replace(false);
    }

    /// Moves bytes until the line ends (`Ok`) or fails. Call [`Connection::line_down`] afterwards.
    pub(crate) async fn drive(&self, line: &impl Line) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut garbage = self.shared.lock().mux.garbage_bytes();
        let mut greet_wait = GREET_FIRST;
        loop {
            let wanted = self.flush(line)?;
            tokio::select! {
                ready = line.ready(wanted) => {
                    if ready?.readable && self.fill(line, &mut buffer)? == LineState::Ended {
                        return Ok(());
                    }
                }
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep(greet_wait), if !*self.shared.up.borrow() => {
                    greet_wait = greet_wait.saturating_mul(2).min(GREET_LONGEST);
                    self.shared.lock().mux.greet_again();
                }
            }
            if *self.shared.up.borrow() {
                greet_wait = GREET_FIRST;
            }
            let seen = self.shared.lock().mux.garbage_bytes();
            if seen.saturating_sub(garbage) > GARBAGE_BYTES {
                garbage = seen;
                tokio::time::sleep(GARBAGE_PAUSE).await;
            }
        }
    }

    /// Writes what fits and says what to wait for.
    fn flush(&self, line: &impl Line) -> io::Result<Readiness> {
        let mut state = self.shared.lock();
        let writable = loop {
            if state.mux.output().is_empty() {
                break false;
            }
            match line.try_write(state.mux.output()) {
                Ok(count) => state.mux.output_taken(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if state.mux.output().len() < OUTBOX_SOFT_BYTES {
            state.blocked.drain(..).for_each(Waker::wake);
        }
        Ok(Readiness { readable: state.mux.wants_input(), writable })
    }

    /// Reads once and acts on it.
    fn fill(&self, line: &impl Line, buffer: &mut [u8]) -> io::Result<LineState> {
        match line.try_read(buffer) {
            Ok(0) => Ok(LineState::Ended),
            Ok(count) => {
                self.shared.lock().mux.receive(buffer.get(..count).unwrap_or_default());
                self.dispatch()?;
                Ok(LineState::Open)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(LineState::Open)
            }
            Err(error) => Err(error),
        }
    }

    fn dispatch(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        while let Some(event) = state.mux.next_event() {
            match event {
                Event::Up => {
                    self.shared.up.send_replace(true);
                }
                Event::Down => {
                    self.shared.up.send_replace(false);
                    state.end_session();
                }
                Event::Greeted => {
                    let nonce = nonce()?;
                    state.mux.renew(nonce);
                }
                Event::Incoming(id, port) => state.incoming(id, port, &self.shared),
                Event::Opened(id) => state.slot(id, |slot| slot.open()),
                Event::Data(id, bytes) => state.slot(id, |slot| slot.receive(bytes)),
                Event::Writable(id) => state.slot(id, Slot::wake_writer),
                Event::Finished(id) => state.slot(id, |slot| slot.finish()),
                Event::Reset(id) => state.slot(id, Slot::reset),
            }
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum LineState {
    Open,
    Ended,
}

impl Shared {
    /// A panic while the lock was held cannot leave the state half changed in a way that matters
    /// more than the line, so the poison is ignored.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }
}

impl State {
    fn new_stream(&mut self, id: StreamId, shared: &Arc<Shared>) -> MuxStream {
        self.slots.insert(id, Slot::default());
        MuxStream::new(id, self.session, Arc::clone(shared))
    }

    fn incoming(&mut self, id: StreamId, port: u32, shared: &Arc<Shared>) {
        let listener = self.incoming.clone().filter(|listener| listener.port == port);
        let Some(listener) = listener else { return self.mux.reset(id) };
        let stream = self.new_stream(id, shared);
        match listener.streams.try_send(stream) {
            Ok(()) => self.mux.accept(id),
            Err(TrySendError::Full(stream) | TrySendError::Closed(stream)) => {
                // The stream's drop would take the lock that is held here.
                stream.defuse();
                self.slots.remove(&id);
                self.mux.reset(id);
            }
        }
    }

    /// Wakes this task when the outbox has drained.
    pub(crate) fn block(&mut self, waker: &Waker) {
        if !self.blocked.iter().any(|blocked| blocked.will_wake(waker)) {
            self.blocked.push(waker.clone());
        }
    }

    fn slot(&mut self, id: StreamId, act: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(&id) {
            act(slot);
        }
    }

    fn end_session(&mut self) {
        self.session = self.session.wrapping_add(1);
        for (_, mut slot) in self.slots.drain() {
            slot.wake();
        }
        self.blocked.drain(..).for_each(Waker::wake);
    }
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
