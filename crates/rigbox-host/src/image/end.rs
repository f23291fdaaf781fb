//! Ends the builds of a data directory that are under way, and removes what they were making.
//! A build has the builder's lock open, and every tool of it has it as standard input (see `tool`):
//! that is how they are known, whoever started them and whatever became of him.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, time::Duration};

use camino::Utf8Path;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::{Instant, sleep};

use super::{error::ImageError, store};
use crate::{image::Store, task::blocking};

/// How long tools may take to clean up: mmdebstrap unmounts what it has mounted.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(100);

/// The program that builds.
const BUILDER: &str = "rigbox-host";

/// Ends every build in the store, politely and then by force.
///
/// # Errors
/// Where what they were making cannot be removed.
pub async fn end_builds(store: &Store) -> Result<(), ImageError> {
    let cache = store.cache();
    let Ok(lock) = fs::metadata(cache.join("lock")) else { return Ok(()) };
    let lock = (lock.dev(), lock.ino());
    signal_all(&holders(lock), Signal::TERM);
    let end = Instant::now() + PATIENCE;
    while !holders(lock).is_empty() && Instant::now() < end {
        sleep(LOOK).await;
    }
    signal_all(&holders(lock), Signal::KILL);
    blocking(move || store::sweep(&cache.join("work"))).await
}

/// Asks the tools that this process has started, and theirs, to end; says whether there are any.
#[must_use]
pub fn end_own_tools() -> bool {
    let parents: BTreeMap<u32, u32> =
        pids().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let own = std::process::id();
    // A tree of processes is not deeper than there are processes.
    let is_ours = |pid: &u32| {
        let above = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        above.skip(1).take(parents.len()).any(|above| above == own)
    };
    let tools: Vec<u32> = parents.keys().copied().filter(is_ours).collect();
    signal_all(&tools, Signal::TERM);
    !tools.is_empty()
}

/// Processes of builds that hold this file.
fn holders(lock: (u64, u64)) -> Vec<u32> {
    let is_lock =
        |fd: &Utf8Path| fs::metadata(fd).is_ok_and(|file| (file.dev(), file.ino()) == lock);
    let holds = |pid: &u32| {
        let proc = Utf8Path::new("/proc").join(pid.to_string());
        if is_lock(&proc.join("fd/0")) {
            return true;
        }
        let program = proc.join("exe").read_link_utf8();
        program.is_ok_and(|program| program.file_name() == Some(BUILDER))
            && proc
                .join("fd")
                .read_dir_utf8()
                .is_ok_and(|mut open| open.any(|fd| fd.is_ok_and(|fd| is_lock(fd.path()))))
    };
    let own = std::process::id();
    pids().into_iter().filter(|pid| *pid != own).filter(holds).collect()
}

fn pids() -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; after it come the state and the parent.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// One that has ended meanwhile is as good as signalled.
fn signal_all(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty())
            && let Err(error) = pidfd_send_signal(&fd, signal)
        {
            tracing::debug!(pid = pid.as_raw_nonzero().get(), %error, "build not signalled");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn the_tools_of_a_build_are_ended_and_a_reader_of_the_lock_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::below(Utf8Path::from_path(folder.path()).unwrap());
        fs::create_dir_all(store.cache().join("work/half")).unwrap();
        let lock = store.cache().join("lock");
        fs::write(&lock, "").unwrap();
        let open = || Stdio::from(fs::File::open(&lock).unwrap());
        let mut tool = Command::new("sleep").arg("1000").stdin(open()).spawn().unwrap();
        let mut reader =
            Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(open()).spawn().unwrap();
        // Ended and not reaped, it holds nothing any more.
        end_builds(&store).await.unwrap();
        assert!(!tool.wait().unwrap().success());
        assert!(!store.cache().join("work").exists());
        assert!(reader.try_wait().unwrap().is_none(), "it only reads");
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
