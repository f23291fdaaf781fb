//! The record's last entry, kept beside the chain's key: whoever can only write to the database cannot
//! take the newest entries away unseen.
//! Invariant: never newer than the record. Older it may be, after a crash.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_store::audit::Head;

/// File within the directory of secrets. Not part of a backup: the record goes on after one.
const FILE: &str = "audit.head";

/// The file.
pub(crate) struct HeadFile {
    path: Utf8PathBuf,
}

impl HeadFile {
    pub(crate) fn new(secrets: &Utf8Path) -> Self {
        Self { path: secrets.join(FILE) }
    }

    /// Writes it. That it is lost is no reason to refuse a request: the chain itself is there.
    pub(super) fn write(&self, head: &Head) {
        let new = self.path.with_extension("head.new");
        let written = fs::write(&new, format!("{}:{}\n", head.seq, head.hash))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path, "the end of the audit record was not noted");
        }
    }

    /// Reads it; none where there is none yet.
    pub(super) fn read(&self) -> io::Result<Option<Head>> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let head = text
            .trim()
            .split_once(':')
            .and_then(|(seq, hash)| Some(Head { seq: seq.parse().ok()?, hash: hash.to_owned() }));
        let damaged = || {
            let text = format!("{} is damaged: it should be <number>:<hash>", self.path);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        head.map(Some).ok_or_else(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = HeadFile::new(Utf8Path::from_path(dir.path()).unwrap());
        assert_eq!(file.read().unwrap(), None);
        let head = Head { seq: 7, hash: "0a".to_owned() };
        file.write(&head);
        assert_eq!(file.read().unwrap(), Some(head));
        fs::write(&file.path, "7").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("audit.head"));
    }
}
