//! Whether an SQLite database is as it was, without asking it: by the header of its WAL index, the file
//! beside it through which its connections tell each other of commits.
//!
//! ```text
//! 0       8        12       48                96
//! │version│ iChange│ isInit │ the same again  │      (SQLite: "WAL-mode File Format", 2.1)
//! ```
//!
//! Invariants: every commit that writes anything changes the header before it returns; a header that is just
//! being written, is of a file that is gone, or of one that nothing was written to yet, is none. So who finds
//! the header that was there before a read knows that the same read would give the same now.
//! A descriptor of this file is never closed while the file is there: a process that closes any descriptor of a
//! file loses all of its locks on it (`fcntl`, since POSIX), and those of SQLite in this process with them.
//! Only reads.

use std::{
    fs::File,
    mem::ManuallyDrop,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    sync::{Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

const COPY_BYTES: usize = 48;

/// Where a copy has what a WAL that begins anew changes.
const SALTS: Range<usize> = 32..40;

/// How often a header that is just being written is read again.
const ATTEMPTS: usize = 4;

/// The state of a database at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    header: [u8; COPY_BYTES],
    /// Of the file.
    inode: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WalIndex {
    path: Utf8PathBuf,
    file: Mutex<Option<ManuallyDrop<File>>>,
}

/// What a file says.
enum Said {
    Header(Stamp),
    /// Nothing at the moment.
    Nothing,
    /// It is no longer the database's.
    Gone,
}

impl WalIndex {
    /// Of the database in this file.
    pub(crate) fn of(database: &Utf8Path) -> Self {
        Self { path: format!("{database}-shm").into(), file: Mutex::default() }
    }

    /// The state now; none where it cannot be told.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            *file = Some(ManuallyDrop::new(File::open(&self.path).ok()?));
        }
        let said = read(file.as_ref()?);
        match said {
            Said::Header(stamp) => Some(stamp),
            Said::Nothing => None,
            Said::Gone => {
                // Nobody has it open any more but us, so there are no locks to lose. The next one who asks
                // opens the new one.
                drop(file.take().map(ManuallyDrop::into_inner));
                None
            }
        }
    }
}

impl Stamp {
    /// Whether `later` is this state and one commit, which is then the one that both were read around.
    pub(crate) fn is_one_before(&self, later: &Self) -> bool {
        self.commits().wrapping_add(1) == later.commits()
    }

    /// Commits so far, modulo 2³².
    fn commits(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_ne_bytes([a, b, c, d])
    }

    /// Whether it says anything: one that was made anew says the same each time, until the first write.
    fn is_telling(&self) -> bool {
        let [_, _, _, _, _, _, _, _, _, _, _, _, is_begun, ..] = self.header;
        let salts = self.header.get(SALTS).unwrap_or_default();
        is_begun != 0 && salts.iter().any(|byte| *byte != 0)
    }
}

fn read(file: &File) -> Said {
    for _ in 0..ATTEMPTS {
        let mut both = [0; 2 * COPY_BYTES];
        if file.read_exact_at(&mut both, 0).is_err() {
            return Said::Nothing;
        }
        // After it was read, so that it was not gone then.
        let Ok(metadata) = file.metadata() else { return Said::Nothing };
        if metadata.nlink() == 0 {
            return Said::Gone;
        }
        let inode = metadata.ino();
        let [first, second] = [0, COPY_BYTES].map(|at| Stamp { header: half(&both, at), inode });
        if first == second {
            return if first.is_telling() { Said::Header(first) } else { Said::Nothing };
        }
    }
    Said::Nothing
}

fn half(both: &[u8; 2 * COPY_BYTES], from: usize) -> [u8; COPY_BYTES] {
    let mut copy = [0; COPY_BYTES];
    copy.iter_mut().zip(both.iter().skip(from)).for_each(|(to, from)| *to = *from);
    copy
}
