//! The journal of calls: a file that says of each call that it began and, later, what it has cost, so
//! that a process which dies at any moment leaves nobody a free call and nobody a second charge.
//!
//! ```text
//! begin ──> sent ──> [on disk] ──> first byte of the answer ──> end ──> last byte ──> posted
//! ```
//!
//! Owns the directory. Invariants: a beginning is handed to the kernel before anything is sent, and is on
//! disk before any byte of an answer is passed on (the provider works meanwhile, so nobody waits for it);
//! an end is handed to the kernel before the last byte is passed on, where it is not known before its
//! stream ends before that is told, and the last of several counts; what was not posted is in some
//! segment; a segment goes only when all of its calls were posted. So what a killed process leaves is
//! whole, and what a power cut takes is at most the ends of the last moment: their calls are known to
//! have begun, and are charged by what was held.
//! Does not know the database, and does not decide what a call costs.

mod record;
mod recover;
mod segment;

use std::{
    collections::HashMap,
    fs, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use record::Record;
pub(crate) use record::{Beginning, End, request_id};
pub(crate) use recover::{Left, read_all};
use segment::Segment;

/// Bytes of a segment after which a new one begins: some ten thousand calls; in tests a few.
const SEGMENT_BYTES: u64 = if cfg!(test) { 16 * 1024 } else { 8 * 1024 * 1024 };

/// How long what nobody waits for may not be on disk: shorter than providers take for the head of an answer,
/// and long enough for many calls to be brought there at once.
const SYNC_AFTER: Duration = Duration::from_millis(15);

/// What a call is known by.
pub(crate) type CallId = uuid::Uuid;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The file could not be written.
    #[error("write {path}")]
    Write {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another AI proxy")]
    InUse(Utf8PathBuf),
    /// A record that is no record, with others behind it.
    #[error("{path} is damaged at byte {at}: it was put aside as {aside}")]
    Damaged {
        /// Which file.
        path: Utf8PathBuf,
        /// Where.
        at: usize,
        /// Where it is now.
        aside: Utf8PathBuf,
    },
}

/// See the module. Cheap to clone; clones share the file.
#[derive(Clone)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Utf8PathBuf,
    /// The same, to be synced.
    opened: Arc<fs::File>,
    holder: String,
    state: Mutex<State>,
    /// How many bytes of all segments are on disk.
    synced: watch::Sender<u64>,
    written: Notify,
    /// Somebody waits for what was written to be on disk.
    wanted: Notify,
    _lock: fs::File,
}

struct State {
    current: Segment,
    /// Segments that are full and have calls that were not posted.
    full: Vec<Segment>,
    /// In which segment a call began.
    calls: HashMap<CallId, u64>,
    /// Bytes of all segments so far.
    bytes: u64,
    /// Whether a segment was made that the directory may not have on disk.
    is_new: bool,
}

/// What is not on disk.
struct Unsynced {
    /// How far everything is on disk once these files are.
    bytes: u64,
    /// Numbers of those that nothing is written to any more.
    full: Vec<u64>,
    files: Vec<Arc<fs::File>>,
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64);

impl Journal {
    /// Begins a new segment for this process, beside those that earlier ones have left.
    pub(crate) fn open(directory: &Utf8Path, holder: &str) -> Result<Self, JournalError> {
        let failed = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| JournalError::Write { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let lock = lock(directory)?;
        let number = segment::newest(directory)
            .map_err(failed(directory))?
            .map_or(1, |it| it.saturating_add(1));
        let current = Segment::begin(directory, number, holder)?;
        // Before anything is held in its name.
        current.sync()?;
        let opened = fs::File::open(directory).map_err(failed(directory))?;
        opened.sync_all().map_err(failed(directory))?;
        let bytes = current.bytes();
        let state =
            State { current, full: Vec::new(), calls: HashMap::new(), bytes, is_new: false };
        let (synced, _) = watch::channel(bytes);
        Ok(Self {
            shared: Arc::new(Shared {
                directory: directory.to_owned(),
                opened: Arc::new(opened),
                holder: holder.to_owned(),
                state: Mutex::new(state),
                synced,
                written: Notify::new(),
                wanted: Notify::new(),
                _lock: lock,
            }),
        })
    }

    /// Hands the beginning of a call to the kernel, and says what to wait for ([`Journal::on_disk`]).
    pub(crate) fn begin(
        &self,
        id: CallId,
        beginning: &Beginning,
    ) -> Result<Position, JournalError> {
        let line = Record::Begin { id, beginning: beginning.clone() }.line();
        let mut state = self.state();
        // Before the call is written down: one that is must not be refused any more.
        if state.current.bytes() >= SEGMENT_BYTES
            && let Err(error) = self.next_segment(&mut state)
        {
            tracing::warn!(%error, "the journal of calls goes on in a segment that is full");
        }
        let position = self.append(&mut state, &line)?;
        let number = state.current.number();
        state.calls.insert(id, number);
        state.current.open_call();
        Ok(position)
    }

    /// Hands the end of a call to the kernel.
    pub(crate) fn end(&self, id: CallId, end: &End) -> Result<(), JournalError> {
        let line = Record::End { id, end: end.clone() }.line();
        self.append(&mut self.state(), &line).map(drop)
    }

    /// The database has these calls now, or they have cost nothing and were nothing.
    pub(crate) fn posted(&self, ids: impl IntoIterator<Item = CallId>) {
        let mut state = self.state();
        for id in ids {
            let Some(number) = state.calls.remove(&id) else { continue };
            if state.current.number() == number {
                state.current.close_call();
            } else if let Some(segment) = state.full.iter_mut().find(|it| it.number() == number) {
                segment.close_call();
            }
        }
        // In order: what ends a call of an older segment may be in a newer one, never the other way.
        while state.full.first().is_some_and(Segment::is_done) {
            state.full.remove(0).delete();
        }
    }

    /// Waits until everything up to `position` is on disk.
    pub(crate) async fn on_disk(&self, position: Position) {
        let mut synced = self.shared.synced.subscribe();
        if *synced.borrow() < position.0 {
            self.shared.wanted.notify_one();
        }
        // The sender lives as long as `self`.
        synced.wait_for(|bytes| *bytes >= position.0).await.ok();
    }

    /// Brings what was written to disk, at once where somebody waits for it, else with what comes within
    /// [`SYNC_AFTER`]; to be run once. It ends where that fails: what
    /// the kernel could not write it may have let go of, so that a later success would say nothing of it.
    pub(crate) async fn keep_synced(self) -> JournalError {
        let failed = |source| JournalError::Write { path: self.shared.directory.clone(), source };
        loop {
            self.shared.written.notified().await;
            timeout(SYNC_AFTER, self.shared.wanted.notified()).await.ok();
            let Unsynced { bytes, full, files } = self.unsynced();
            let syncing = tokio::task::spawn_blocking(move || {
                files.iter().try_for_each(|file| file.sync_data())
            });
            match syncing.await {
                Ok(Ok(())) => {
                    let mut state = self.state();
                    let synced = state.full.iter_mut().filter(|it| full.contains(&it.number()));
                    synced.for_each(Segment::was_synced);
                    drop(state);
                    self.shared.synced.send_replace(bytes);
                }
                Ok(Err(source)) => return failed(source),
                Err(ended) => return failed(io::Error::other(ended)),
            }
        }
    }

    /// What has to be brought to disk, for all that was written until now to be there.
    fn unsynced(&self) -> Unsynced {
        let mut state = self.state();
        let full: Vec<_> = state.full.iter().filter(|segment| !segment.is_synced()).collect();
        let mut files: Vec<_> =
            full.iter().copied().chain([&state.current]).map(Segment::file).collect();
        let (bytes, full) = (state.bytes, full.iter().map(|segment| segment.number()).collect());
        if std::mem::take(&mut state.is_new) {
            files.push(Arc::clone(&self.shared.opened));
        }
        Unsynced { bytes, full, files }
    }

    /// By whom it is written.
    pub(crate) fn holder(&self) -> &str {
        &self.shared.holder
    }

    /// The number of this process's first segment: those below are what earlier ones have left.
    pub(crate) fn first(&self) -> u64 {
        let state = self.state();
        state.full.first().map_or_else(|| state.current.number(), Segment::number)
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Utf8Path {
        &self.shared.directory
    }

    fn append(&self, state: &mut State, line: &[u8]) -> Result<Position, JournalError> {
        state.current.append(line)?;
        state.bytes = state.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(0));
        self.shared.written.notify_one();
        Ok(Position(state.bytes))
    }

    fn next_segment(&self, state: &mut State) -> Result<(), JournalError> {
        let number = state.current.number().saturating_add(1);
        let next = Segment::begin(&self.shared.directory, number, &self.shared.holder)?;
        state.bytes = state.bytes.saturating_add(next.bytes());
        state.is_new = true;
        let full = std::mem::replace(&mut state.current, next);
        state.full.push(full);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process at a time.
fn lock(directory: &Utf8Path) -> Result<fs::File, JournalError> {
    let path = directory.join("lock");
    let failed = |source| JournalError::Write { path: path.clone(), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse(directory.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests;
