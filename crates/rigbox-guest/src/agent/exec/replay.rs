//! The output of one command on its way to its reader, and the part of it that a later reader
//! gets again. Invariant: at most [`REPLAY_MAX_BYTES`] are kept. With a reader nothing is lost: the
//! command waits. Without one, the oldest is dropped.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rigbox_types::guest::{ExecExit, exec::REPLAY_MAX_BYTES};
use tokio::sync::Notify;

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stdout,
    Stderr,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Bytes that were dropped before this reader came.
    Lost(u64),
    Output(Source, Vec<u8>),
    /// The command has taken standard input, so that there may be room for more.
    InputTaken,
    /// The command ended and all its output has been read.
    Exit(ExecExit),
    /// Another reader has taken its place.
    Replaced,
}

/// Output, kept in order.
pub(super) struct Replay {
    state: Mutex<State>,
    /// Something to read.
    readable: Notify,
    /// Room to write, or nobody who needs it.
    writable: Notify,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<(Source, Vec<u8>)>,
    /// Position of the first chunk, counted from the command's first byte.
    start: u64,
    kept_bytes: usize,
    input_taken: bool,
    exit: Option<ExecExit>,
    /// Which reader is the current one.
    reader: u64,
    attached: bool,
    /// Position of the current reader.
    read: u64,
}

/// The current reader, until another attaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    number: u64,
}

impl Replay {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            readable: Notify::new(),
            writable: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of whoever reads now, from a position on (0: from the oldest kept byte).
    pub(super) fn attach(&self, after: u64) -> Reader {
        let mut state = self.lock();
        state.reader = state.reader.wrapping_add(1);
        state.attached = true;
        state.read = after;
        let number = state.reader;
        drop(state);
        self.readable.notify_waiters();
        self.writable.notify_waiters();
        Reader { number }
    }

    /// Ends the reading, if this is still the current reader. Says whether it was.
    pub(super) fn detach(&self, reader: Reader) -> bool {
        let mut state = self.lock();
        let was_current = state.attached && state.reader == reader.number;
        if was_current {
            state.attached = false;
            drop(state);
            self.writable.notify_waiters();
        }
        was_current
    }

    /// Whether nobody has attached since this reader went.
    pub(super) fn was_left_by(&self, reader: Reader) -> bool {
        let state = self.lock();
        !state.attached && state.reader == reader.number
    }

    pub(super) fn is_attached(&self) -> bool {
        self.lock().attached
    }

    pub(super) fn exit(&self) -> Option<ExecExit> {
        self.lock().exit
    }

    /// Adds output. Waits while the reader has not read what would have to be dropped.
    pub(super) async fn write(&self, source: Source, bytes: &[u8]) {
        loop {
            let room = self.writable.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.try_write(source, bytes) {
                break;
            }
            room.await;
        }
        self.readable.notify_waiters();
    }

    fn try_write(&self, source: Source, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let fits = |state: &State| state.kept_bytes.saturating_add(bytes.len()) <= REPLAY_MAX_BYTES;
        while !fits(&state) {
            let Some((_, oldest)) = state.chunks.front() else { break };
            let (length, end) = (oldest.len(), state.start.saturating_add(as_u64(oldest.len())));
            if state.attached && state.read < end {
                return false;
            }
            state.chunks.pop_front();
            state.start = end;
            state.kept_bytes = state.kept_bytes.saturating_sub(length);
        }
        state.kept_bytes = state.kept_bytes.saturating_add(bytes.len());
        state.chunks.push_back((source, bytes.to_vec()));
        true
    }

    /// The command has taken standard input.
    pub(super) fn input_taken(&self) {
        self.lock().input_taken = true;
        self.readable.notify_waiters();
    }

    /// The command has ended; no output follows.
    pub(super) fn end(&self, exit: ExecExit) {
        self.lock().exit = Some(exit);
        self.readable.notify_waiters();
    }

    /// What comes next for this reader.
    pub(super) async fn next(&self, reader: Reader) -> Item {
        loop {
            let more = self.readable.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(item) = self.try_next(reader) {
                self.writable.notify_waiters();
                return item;
            }
            more.await;
        }
    }

    fn try_next(&self, reader: Reader) -> Option<Item> {
        let mut state = self.lock();
        if state.reader != reader.number {
            return Some(Item::Replaced);
        }
        if std::mem::take(&mut state.input_taken) {
            return Some(Item::InputTaken);
        }
        if state.read < state.start {
            let lost = state.start.saturating_sub(state.read);
            state.read = state.start;
            return Some(Item::Lost(lost));
        }
        let mut position = state.start;
        for (source, bytes) in &state.chunks {
            let end = position.saturating_add(as_u64(bytes.len()));
            if state.read < end {
                let skip = usize::try_from(state.read.saturating_sub(position)).unwrap_or_default();
                let item = Item::Output(*source, bytes.get(skip..).unwrap_or_default().to_vec());
                state.read = end;
                return Some(item);
            }
            position = end;
        }
        state.exit.map(Item::Exit)
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn without_a_reader_the_oldest_is_dropped_and_counted() {
        let replay = Replay::new();
        for _ in 0..5 {
            replay.write(Source::Stdout, &[1; REPLAY_MAX_BYTES / 4]).await;
        }
        let reader = replay.attach(0);
        let quarter = REPLAY_MAX_BYTES / 4;
        assert_eq!(replay.next(reader).await, Item::Lost(as_u64(quarter)));
        for _ in 0..4 {
            assert_eq!(replay.next(reader).await, Item::Output(Source::Stdout, vec![1; quarter]));
        }
    }

    #[tokio::test]
    async fn with_a_reader_the_command_waits() {
        let replay = Replay::new();
        let reader = replay.attach(0);
        replay.write(Source::Stdout, &[1; REPLAY_MAX_BYTES]).await;
        let more = replay.write(Source::Stderr, &[2]);
        tokio::pin!(more);
        let waited = tokio::time::timeout(Duration::from_millis(20), more.as_mut()).await;
        assert!(waited.is_err(), "there was no room");
        replay.next(reader).await;
        more.await;
        assert_eq!(replay.next(reader).await, Item::Output(Source::Stderr, vec![2]));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_lets_the_command_go_on() {
        let replay = Replay::new();
        let reader = replay.attach(0);
        replay.write(Source::Stdout, &[1; REPLAY_MAX_BYTES]).await;
        let more = replay.write(Source::Stdout, &[2; 10]);
        let leave = async { replay.detach(reader) };
        let ((), was_current) = tokio::join!(more, leave);
        assert!(was_current);
    }

    #[tokio::test]
    async fn a_second_reader_replaces_the_first_and_goes_on_where_it_says() {
        let replay = Replay::new();
        replay.write(Source::Stdout, b"0123456789").await;
        let first = replay.attach(0);
        replay.next(first).await;
        let second = replay.attach(4);
        assert_eq!(replay.next(first).await, Item::Replaced);
        assert!(!replay.detach(first));
        assert_eq!(replay.next(second).await, Item::Output(Source::Stdout, b"456789".to_vec()));
        replay.end(ExecExit { exit_code: Some(3), ..ExecExit::default() });
        let Item::Exit(exit) = replay.next(second).await else { panic!("no exit") };
        assert_eq!(exit.exit_code, Some(3));
    }
}
