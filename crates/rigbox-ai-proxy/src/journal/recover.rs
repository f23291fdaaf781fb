//! What earlier processes have left in the journal.
//! Invariant: a torn last line was never relied on; anything else that is no record is put aside and said,
//! and what can be read of its file counts.

use std::{collections::BTreeMap, fs};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_store::ai_calls::Call;
use rigbox_types::Timestamp;

use super::{
    CallId, JournalError,
    record::{Beginning, End, Record},
    segment,
};

/// Who has made the calls of a segment whose head is damaged.
const UNKNOWN: &str = "ai-unknown";

/// What is left of earlier processes.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Calls that are over or were interrupted, in the order of their ends, each with whose holder it was.
    pub(crate) calls: Vec<(String, Call)>,
    files: Vec<Utf8PathBuf>,
}

struct Found {
    holder: String,
    beginning: Beginning,
    /// The last one: one that comes before the answer's last byte may be followed by another.
    end: Option<End>,
}

impl Left {
    /// Forgets all of it, once it was posted.
    pub(crate) fn delete(self) {
        self.files.iter().for_each(|path| segment::delete(path));
    }

    /// Keeps all of it where nobody reads it, because some of it cannot be posted here.
    pub(crate) fn put_aside(self) {
        for path in &self.files {
            let aside = path.with_extension("unposted");
            match fs::rename(path, &aside) {
                Ok(()) => tracing::error!(%path, %aside, "calls that are not in the ledger"),
                Err(error) => {
                    tracing::error!(%error, %path, "a part of the journal cannot be put aside");
                }
            }
        }
    }
}

/// Reads all segments before `first`.
pub(crate) fn read_all(
    directory: &Utf8Path,
    first: u64,
    now: Timestamp,
) -> Result<Left, JournalError> {
    let failed = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| JournalError::Write { path, source }
    };
    let mut left = Left::default();
    let mut calls: BTreeMap<CallId, Found> = BTreeMap::new();
    let numbers = segment::list(directory).map_err(failed(directory))?;
    for number in numbers.into_iter().filter(|number| *number < first) {
        let path = segment::path_of(directory, number);
        let bytes = fs::read(&path).map_err(failed(&path))?;
        let mut holder = UNKNOWN.to_owned();
        for record in records(&path, &bytes) {
            match record {
                Record::Holder { holder: name } => holder = name,
                Record::Begin { id, beginning } => {
                    calls.insert(id, Found { holder: holder.clone(), beginning, end: None });
                }
                Record::End { id, end } if end.released => drop(calls.remove(&id)),
                Record::End { id, end } => {
                    if let Some(call) = calls.get_mut(&id) {
                        call.end = Some(end);
                    }
                }
            }
        }
        left.files.push(path);
    }
    let calls = calls.into_iter().map(|(id, Found { holder, beginning, end })| {
        let end = end.unwrap_or_else(|| beginning.interrupted(now));
        (holder, beginning.call(id, &end))
    });
    left.calls = calls.collect();
    left.calls.sort_by_key(|(_, call)| call.ended_at);
    Ok(left)
}

/// The records of a file. One that is damaged in the middle is copied for who wants to look at it.
fn records(path: &Utf8Path, bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0;
    let mut damaged = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        match whole.and_then(Record::read) {
            Some(record) => records.push(record),
            // Torn: the process, or the machine, ended here.
            None if whole.is_none() => {}
            None => {
                damaged.get_or_insert(at);
            }
        }
        at += line.len();
    }
    if let Some(at) = damaged {
        let aside = path.with_extension("damaged");
        if let Err(error) = fs::copy(path, &aside) {
            tracing::error!(%error, %path, "a damaged part of the journal cannot be put aside");
        }
        let error = JournalError::Damaged { path: path.to_owned(), at, aside };
        tracing::error!(%error, "calls may be missing from the ledger");
    }
    records
}
