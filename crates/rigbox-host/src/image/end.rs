//! Ends the builds of a data directory that are under way, and removes what they were making.
//! A build and every tool of it has the builder's lock open (see `tool`): that is how they are
//! known, whoever started them and whatever became of him.

use std::{fs, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::{Instant, sleep};

use super::{error::ImageError, store};
use crate::{image::Store, task::blocking};

/// How long tools may take to clean up: mmdebstrap unmounts what it has mounted.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(100);

/// Ends every build in the store, politely and then by force.
///
/// # Errors
/// Where what they were making cannot be removed.
pub async fn end_builds(store: &Store) -> Result<(), ImageError> {
    let cache = store.cache();
    let lock = cache.join("lock");
    let Ok(lock) = lock.canonicalize_utf8() else { return Ok(()) };
    signal(&holders(lock.as_std_path()), Signal::TERM);
    let end = Instant::now() + PATIENCE;
    while !holders(lock.as_std_path()).is_empty() && Instant::now() < end {
        sleep(LOOK).await;
    }
    signal(&holders(lock.as_std_path()), Signal::KILL);
    blocking(move || store::sweep(&cache.join("work"))).await
}

/// Processes other than this one that have a file open.
fn holders(file: &std::path::Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        open.is_ok_and(|mut open| {
            open.any(|fd| {
                fd.is_ok_and(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == file))
            })
        })
    };
    let own = std::process::id();
    let others = pids.filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != own));
    others.filter(|pid| holds(*pid)).filter_map(Pid::from_raw).collect()
}

/// One that has ended meanwhile is as good as signalled.
fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        if let Ok(fd) = pidfd_open(*pid, PidfdFlags::empty())
            && let Err(error) = pidfd_send_signal(&fd, signal)
        {
            tracing::debug!(pid = pid.as_raw_nonzero().get(), %error, "build not signalled");
        }
    }
}
