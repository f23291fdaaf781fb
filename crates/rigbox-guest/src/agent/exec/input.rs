//! Standard input on its way to a command. Invariant: at most one window is held, because a client
//! may send only what it was granted.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rigbox_types::guest::frame::STDIN_WINDOW_BYTES;
use tokio::sync::Notify;

/// Given to the command at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Bytes that the command has not taken yet.
#[derive(Default)]
pub(super) struct Input {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// On its way into the command.
    in_flight: usize,
    /// What the client may still send.
    granted: usize,
    ended: bool,
}

/// The client sent more than it was granted, or after the end.
#[derive(Debug)]
pub(super) struct Overrun;

impl Input {
    /// An input with text of the request in it, after which it ends.
    pub(super) fn of_text(text: &str) -> Self {
        let state = State { bytes: text.bytes().collect(), ended: true, ..State::default() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new client begins with nothing granted.
    pub(super) fn attach(&self) {
        self.lock().granted = 0;
    }

    /// What the client may send on top of what it already may.
    pub(super) fn grant(&self) -> u32 {
        let mut state = self.lock();
        if state.ended {
            return 0;
        }
        let window = usize::try_from(STDIN_WINDOW_BYTES).unwrap_or(usize::MAX);
        let used = state.bytes.len().saturating_add(state.in_flight).saturating_add(state.granted);
        let grant = window.saturating_sub(used);
        state.granted = state.granted.saturating_add(grant);
        u32::try_from(grant).unwrap_or(STDIN_WINDOW_BYTES)
    }

    pub(super) fn push(&self, bytes: &[u8]) -> Result<(), Overrun> {
        let mut state = self.lock();
        if state.ended {
            return Err(Overrun);
        }
        state.granted = state.granted.checked_sub(bytes.len()).ok_or(Overrun)?;
        state.bytes.extend(bytes);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// The next bytes, or none at the end. Asking for more says that the former ones were taken.
    /// For one caller.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.lock();
                state.in_flight = 0;
                let count = state.bytes.len().min(CHUNK_BYTES);
                if count > 0 {
                    state.in_flight = count;
                    return Some(state.bytes.drain(..count).collect());
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The bytes that [`Input::next`] gave were taken.
    pub(super) fn taken(&self) {
        self.lock().in_flight = 0;
    }
}
