//! Holds the root file system still while the host copies its disk.
//! Invariant: a thread that needs nothing of the disk lets go when its time is over, whoever has gone
//! away meanwhile; an agent that begins lets go of what a former one held.
//! While it is held nothing here writes a file: it would wait for itself.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rigbox_types::{
    api::error::ErrorCode,
    guest::{FREEZE_MAX_MS, ThawAnswer},
};
use tokio::sync::oneshot;
use tracing::error;

use super::{Guest, kernel::Kernel, refusal::Refusal};

/// The thread's stack: it holds a few words.
const STACK_BYTES: usize = 64 * 1024;

/// What holds the file system, if something does.
#[derive(Debug, Default)]
pub(crate) struct Freezer(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    release: SyncSender<()>,
    /// Whether it was released before its time was over.
    thread: JoinHandle<bool>,
}

impl Freezer {
    fn with<T>(&self, act: impl FnOnce(&mut Option<Held>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers when the file system is still.
pub(crate) async fn freeze(guest: &Guest, limit_ms: u64) -> Result<(), Refusal> {
    let limit = Duration::from_millis(limit_ms.clamp(1, FREEZE_MAX_MS));
    let (told, still) = oneshot::channel();
    let holder = guest.clone();
    guest.freezer.with(|held| {
        if held.as_ref().is_some_and(|held| !held.thread.is_finished()) {
            let message = "the file system is held already";
            return Err(Refusal::new(ErrorCode::Conflict, message));
        }
        let (release, released) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("freeze".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || hold(&holder.kernel, limit, told, &released))
            .map_err(|error| Refusal::internal("the file system", &error))?;
        *held = Some(Held { release, thread });
        Ok(())
    })?;
    match still.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Refusal::internal("the file system", &error)),
        Err(_) => Err(Refusal::unavailable("the file system is not held")),
    }
}

/// Lets go, and says whether it was held until now.
pub(crate) async fn thaw(guest: &Guest) -> Result<ThawAnswer, Refusal> {
    let Some(held) = guest.freezer.with(Option::take) else {
        return Ok(ThawAnswer { held: false });
    };
    // A thread whose time is over listens no more, and says so itself.
    held.release.try_send(()).ok();
    let ended = tokio::task::spawn_blocking(move || held.thread.join()).await;
    match ended {
        Ok(Ok(held)) => Ok(ThawAnswer { held }),
        Ok(Err(_)) | Err(_) => Err(Refusal::unavailable("the file system")),
    }
}

fn hold(
    kernel: &Kernel,
    limit: Duration,
    told: oneshot::Sender<io::Result<()>>,
    released: &Receiver<()>,
) -> bool {
    let mount = match kernel.freeze_root() {
        Ok(mount) => mount,
        Err(error) => {
            // Whoever asked has gone away, and nothing is held.
            drop(told.send(Err(error)));
            return false;
        }
    };
    let is_heard = told.send(Ok(())).is_ok();
    let in_time = is_heard && released.recv_timeout(limit).is_ok();
    match kernel.thaw_root(&mount) {
        Ok(()) => in_time,
        Err(error) => {
            error!(%error, "the file system was not let go by the agent");
            false
        }
    }
}
