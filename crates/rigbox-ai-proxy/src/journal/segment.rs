//! One file of the journal.
//! Invariant: a number is used once; a file that could not be written to the end of a line is cut back to
//! where the line began, so that what follows can be read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{JournalError, record::Record};

const ENDING: &str = "calls";

/// See the module.
pub(super) struct Segment {
    path: Utf8PathBuf,
    file: Arc<File>,
    number: u64,
    bytes: u64,
    /// Calls that began here and were not posted.
    open: usize,
    synced: bool,
}

impl Segment {
    /// A new one, which says by whom it is written; none at all where that cannot be written.
    pub(super) fn begin(
        directory: &Utf8Path,
        number: u64,
        holder: &str,
    ) -> Result<Self, JournalError> {
        let path = path_of(directory, number);
        // Whose calls they are is nobody's business.
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|source| JournalError::Write { path: path.clone(), source })?;
        let file = Arc::new(file);
        let mut segment = Self { path, file, number, bytes: 0, open: 0, synced: false };
        let header = Record::Holder { holder: holder.to_owned() }.line();
        if let Err(error) = segment.append(&header) {
            // Its number can be used again.
            segment.delete();
            return Err(error);
        }
        Ok(segment)
    }

    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        if let Err(source) = (&*self.file).write_all(line) {
            // A full disk may have taken a part of it.
            if let Err(error) = self.file.set_len(self.bytes) {
                tracing::error!(%error, path = %self.path, "a torn line stays in the journal");
            }
            return Err(JournalError::Write { path: self.path.clone(), source });
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(0));
        self.synced = false;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        let failed = |source| JournalError::Write { path: self.path.clone(), source };
        self.file.sync_all().map_err(failed)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same file, to be synced beside who writes it.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Nothing is written to it any more, and all of it is on disk.
    pub(super) fn was_synced(&mut self) {
        self.synced = true;
    }

    pub(super) fn open_call(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    pub(super) fn close_call(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    pub(super) fn is_done(&self) -> bool {
        self.open == 0
    }

    pub(super) fn delete(self) {
        delete(&self.path);
    }
}

/// Deletes a file whose calls were all posted: one that stays is read again and changes nothing.
pub(super) fn delete(path: &Utf8Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, %path, "a part of the journal that is over cannot be removed");
    }
}

pub(super) fn path_of(directory: &Utf8Path, number: u64) -> Utf8PathBuf {
    directory.join(format!("{number:010}.{ENDING}"))
}

/// The segments that are there, oldest first.
pub(super) fn list(directory: &Utf8Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.strip_suffix(ENDING).and_then(|name| name.strip_suffix('.'));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn newest(directory: &Utf8Path) -> io::Result<Option<u64>> {
    Ok(list(directory)?.last().copied())
}
