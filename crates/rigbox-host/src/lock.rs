//! One agent on one data directory, and a number that grows with each start of it.
//! Invariant: whoever holds a [`DataLock`] is the only one that changes what is below the directory.
//! The kernel gives the lock back when the process ends, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
};

use camino::Utf8PathBuf;
use rustix::fs::{FlockOperation, flock};

use crate::{Layout, durable};

/// Longest note of a holder that is read.
const NOTE_MAX_BYTES: u64 = 256;

/// Held for as long as the data directory is ours.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why the data directory is not ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another agent has it.
    #[error("{path} is held by another host agent ({holder})")]
    Held {
        /// The lock's file.
        path: Utf8PathBuf,
        /// What the other one says of itself.
        holder: String,
    },
    /// The lock could not be used.
    #[error("lock {path}")]
    Io {
        /// The lock's file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DataLock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// As [`LockError`].
    pub fn take(layout: &Layout) -> Result<Self, LockError> {
        let path = layout.lock();
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.take(NOTE_MAX_BYTES).read_to_string(&mut holder).map_err(io)?;
                let holder = match holder.trim() {
                    "" => "which does not say who it is".to_owned(),
                    named => named.to_owned(),
                };
                return Err(LockError::Held { path, holder });
            }
            Err(error) => return Err(io(error.into())),
        }
        let note = format!("pid {}\n", std::process::id());
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()));
        if let Err(error) = noted {
            // The lock holds without it. On a full file system the agent must start, or nothing
            // could be deleted.
            tracing::warn!(%path, %error, "holder of the lock not noted");
        }
        Ok(Self { _file: file })
    }

    /// The number of this start: one more than the last, and at least the microseconds since 1970,
    /// so that a lost file does not turn it back.
    ///
    /// # Errors
    /// Where the counter cannot be read. One that cannot be written does not keep the agent from
    /// starting: on a full file system it has to delete something, and the time goes on.
    pub fn next_incarnation(&self, layout: &Layout, now_micros: u64) -> Result<u64, LockError> {
        let path = layout.incarnation();
        let io = |source| LockError::Io { path: path.clone(), source };
        let last = durable::read(&path).map_err(io)?;
        let last = last.and_then(|text| String::from_utf8_lossy(&text).trim().parse::<u64>().ok());
        let next = last.unwrap_or(0).saturating_add(1).max(now_micros);
        if let Err(error) = durable::write(&path, next.to_string().as_bytes()) {
            tracing::warn!(%path, %error, "number of this start not noted");
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[test]
    fn a_second_agent_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        let first = DataLock::take(&layout).unwrap();
        let refused = DataLock::take(&layout).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        DataLock::take(&layout).unwrap();
    }

    #[test]
    fn a_full_file_system_keeps_no_agent_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        // A file to which nothing can be written, and a name that cannot be made a file.
        std::os::unix::fs::symlink("/dev/full", layout.lock()).unwrap();
        std::fs::create_dir(layout.incarnation().with_extension("tmp")).unwrap();
        let lock = DataLock::take(&layout).unwrap();
        assert_eq!(lock.next_incarnation(&layout, 500).unwrap(), 500);
    }

    #[test]
    fn the_incarnation_grows_although_the_clock_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        let lock = DataLock::take(&layout).unwrap();
        assert_eq!(lock.next_incarnation(&layout, 500).unwrap(), 500);
        assert_eq!(lock.next_incarnation(&layout, 7).unwrap(), 501);
    }
}
