//! Whether an SQLite database is as it was, without asking it: by the header of its WAL index, the file
//! beside it through which its connections tell each other of commits.
//!
//! ```text
//! 0       8        12       48                96
//! │version│ iChange│ isInit │ the same again  │      (SQLite: "WAL-mode File Format", 2.1)
//! ```
//!
//! Invariants: every commit of any process changes the header before it returns; a header that is just being
//! written, or is of a file that is gone, is none. So who finds the header that was there before a read
//! knows that the same read would give the same now.
//! Only reads.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    sync::{Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

const COPY_BYTES: usize = 48;

/// The state of a database at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([u8; COPY_BYTES]);

/// See the module.
#[derive(Debug)]
pub(crate) struct WalIndex {
    path: Utf8PathBuf,
    file: Mutex<Option<File>>,
}

impl WalIndex {
    /// Of the database in this file.
    pub(crate) fn of(database: &Utf8Path) -> Self {
        Self { path: format!("{database}-shm").into(), file: Mutex::default() }
    }

    /// The state now; none where it cannot be told.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_ref()
            && let Ok(Some(stamp)) = read(file)
        {
            return Some(stamp);
        }
        // The last one who has a database open removes the file, and the next one makes it anew.
        *file = File::open(&self.path).ok();
        file.as_ref().and_then(|file| read(file).ok()?)
    }
}

impl Stamp {
    /// Whether `later` is this state and one commit, which is then the one that both were read around.
    pub(crate) fn is_one_before(&self, later: &Self) -> bool {
        self.commits().wrapping_add(1) == later.commits()
    }

    /// Commits so far, modulo 2³².
    fn commits(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.0;
        u32::from_ne_bytes([a, b, c, d])
    }

    fn is_begun(&self) -> bool {
        let [_, _, _, _, _, _, _, _, _, _, _, _, is_begun, ..] = self.0;
        is_begun != 0
    }
}

fn read(file: &File) -> io::Result<Option<Stamp>> {
    let mut both = [0; 2 * COPY_BYTES];
    file.read_exact_at(&mut both, 0)?;
    // After it was read, so that it was not gone then.
    let is_there = file.metadata()?.nlink() > 0;
    let [first, second] = [Stamp(half(&both, 0)), Stamp(half(&both, COPY_BYTES))];
    Ok((is_there && first == second && first.is_begun()).then_some(first))
}

fn half(both: &[u8; 2 * COPY_BYTES], from: usize) -> [u8; COPY_BYTES] {
    let mut copy = [0; COPY_BYTES];
    let bytes = both.iter().skip(from);
    copy.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    copy
}
