//! Named, tracked tasks. Every task of a process is started here, so that shutting down can wait
//! for all of them and say which one does not end.
//! Owns the process-wide set of running tasks. Invariant: a task that panics is logged with its
//! name; its handle still yields the panic.
//! Does not cancel anything: a task ends because its own cancellation token says so.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

static TRACKER: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);
static RUNNING: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());

/// Tasks that did not end in the time that shutting down allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tasks still run: {}", names.join(", "))]
pub struct StillRunning {
    /// Their names, each once.
    pub names: Vec<&'static str>,
}

/// Starts a task under a name such as `host.workspace`.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let entry = Entry::enter(name);
    TRACKER.spawn(async move {
        let _entry = entry;
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                tracing::error!(task = name, "task panicked");
                std::panic::resume_unwind(panic)
            }
        }
    })
}

/// Waits until every task has ended, at most `limit`.
///
/// # Errors
/// Names the tasks that still run.
pub async fn drain(limit: Duration) -> Result<(), StillRunning> {
    TRACKER.close();
    let ended = tokio::time::timeout(limit, TRACKER.wait()).await;
    ended.map_err(|_| StillRunning { names: running() })
}

/// Names of the tasks that run, each once.
#[must_use]
pub fn running() -> Vec<&'static str> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
}

/// Counts a task for as long as it lives, whether it ends, panics or is aborted.
struct Entry(&'static str);

impl Entry {
    fn enter(name: &'static str) -> Self {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self(name)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.0) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(self.0);
            }
        }
    }
}
