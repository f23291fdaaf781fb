//! What control told, on disk: an edge starts and serves with control away.
//! A file of events, one a line, written behind as they take effect and rewritten as a whole when most
//! of it is history. Invariants: mode 0600 (it has private keys); what was acknowledged was written
//! before; a line that was cut off by a crash is the last one and is left out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::edge::EdgeEvent;

use crate::table::Snapshot;

const NAME: &str = "table.jsonl";

/// History that is not worth a rewrite.
const HISTORY_MIN_BYTES: u64 = 4 * 1024 * 1024;

/// The file, open to be written behind.
pub(crate) struct Journal {
    folder: Utf8PathBuf,
    file: Option<File>,
    /// Bytes of the last rewrite, and written since.
    whole: u64,
    since: u64,
}

/// What was read from disk.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) events: Vec<EdgeEvent>,
    /// Some of it could not be read: control has to tell everything anew.
    pub(crate) is_partial: bool,
}

impl Journal {
    /// Opens the folder, and reads what is there.
    pub(crate) fn open(folder: &Utf8Path) -> io::Result<(Self, Stored)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        remove_unfinished(folder)?;
        let stored = match File::open(folder.join(NAME)) {
            Ok(file) => read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(error),
        };
        // The next write is a rewrite, so nothing is ever put behind half a line.
        let journal = Self { folder: folder.to_owned(), file: None, whole: 0, since: 0 };
        Ok((journal, stored))
    }

    /// Whether the next write has to be a rewrite.
    pub(crate) fn wants_rewrite(&self) -> bool {
        self.file.is_none() || self.since > self.whole.max(HISTORY_MIN_BYTES)
    }

    /// Writes events behind those that are there.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        // What is acknowledged is kept, also where the power fails.
        if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
            self.file = None;
            return Err(error);
        }
        self.since += u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }

    /// Writes everything anew. The old file stays until the new one is whole and on disk.
    pub(crate) fn rewrite(&mut self, table: &Snapshot) -> io::Result<()> {
        self.file = None;
        // Of this process: another edge may be about to follow this one, or this one another.
        let new = self.folder.join(format!("{NAME}.{}", std::process::id()));
        let name = self.folder.join(NAME);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&new)?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        for event in table.events() {
            serde_json::to_writer(&mut out, &event)?;
            out.write_all(b"\n")?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&new, &name)?;
        File::open(&self.folder)?.sync_all()?;
        (self.whole, self.since) = (file.metadata()?.len(), 0);
        self.file = Some(file);
        Ok(())
    }
}

/// Puts an event behind others, unless it is of no use after a restart.
pub(crate) fn line(event: &EdgeEvent, lines: &mut Vec<u8>) {
    match event {
        EdgeEvent::Heartbeat
        | EdgeEvent::Mark { .. }
        | EdgeEvent::Forget { .. }
        | EdgeEvent::Challenges { .. }
        | EdgeEvent::Reset => return,
        EdgeEvent::Settings(_)
        | EdgeEvent::Route { .. }
        | EdgeEvent::Gone { .. }
        | EdgeEvent::Certificate(_)
        | EdgeEvent::CertificateGone { .. }
        | EdgeEvent::TicketKeys { .. }
        | EdgeEvent::Synced { .. } => {}
    }
    if serde_json::to_writer(&mut *lines, event).is_ok() {
        lines.push(b'\n');
    }
}

/// Rewrites that a crash cut off: they have private keys, too.
fn remove_unfinished(folder: &Utf8Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_of_us = name.to_str().and_then(|name| name.strip_prefix(NAME));
        if is_of_us.is_some_and(|rest| rest.starts_with('.')) {
            // Another edge, which this one follows, may just have put it in its place.
            fs::remove_file(entry.path()).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    Ok(())
}

fn read(file: File) -> io::Result<Stored> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut stored, mut line) = (Stored::default(), Vec::new());
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(stored);
        }
        match serde_json::from_slice(&line) {
            Ok(event) => stored.events.push(event),
            Err(error) => {
                // Damaged, or written by another version.
                stored.is_partial = true;
                tracing::warn!(%error, "a line of the stored table is of no use");
            }
        }
    }
}
