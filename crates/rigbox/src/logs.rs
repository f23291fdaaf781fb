//! Log files of roles: what a role writes to stderr, in a file of bounded size and the one before
//! it, with the last lines kept in memory for whoever must explain its end.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Size at which a log moves to `.1`: both together stay under 32 MiB a role.
const LOG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Longest line that is kept; a longer one is cut into several.
const LINE_MAX_BYTES: u64 = 16 * 1024;

/// Lines kept in memory.
const TAIL_LINES: usize = 20;

/// The last lines of a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// What was kept, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A log file that never grows beyond its limit.
#[derive(Debug)]
pub(crate) struct BoundedLog {
    path: Utf8PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl BoundedLog {
    /// Opens the file at its end.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Self> {
        Self::with_limit(path, LOG_MAX_BYTES)
    }

    fn with_limit(path: &Utf8Path, limit: u64) -> io::Result<Self> {
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Where it cannot be written, as on a full disk.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size >= self.limit {
            fs::rename(&self.path, format!("{}.1", self.path))?;
            self.file = append_to(&self.path)?;
            self.size = 0;
        }
        let mut whole = line.to_vec();
        whole.push(b'\n');
        self.file.write_all(&whole)?;
        self.size = self.size.saturating_add(u64::try_from(whole.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

fn append_to(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Carries what a role writes into its log until the role closes it. A log that cannot be written
/// is no reason to stop the role: the lines are lost, the last ones still kept in memory.
pub(crate) async fn pump(from: impl AsyncRead + Unpin, mut log: Option<BoundedLog>, tail: Tail) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut from).take(LINE_MAX_BYTES);
        let Ok(length) = limited.read_until(b'\n', &mut line).await else { return };
        if length == 0 {
            return;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        tail.push(&String::from_utf8_lossy(text));
        if let Some(Err(error)) = log.as_mut().map(|log| log.line(text)) {
            tail.push(&format!("(not in the log: {error})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(folder: &tempfile::TempDir) -> Utf8PathBuf {
        Utf8PathBuf::from(folder.path().join("a.log").to_str().unwrap())
    }

    #[test]
    fn a_log_never_holds_more_than_two_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let mut log = BoundedLog::with_limit(&path, 100).unwrap();
        for n in 0..50 {
            log.line(format!("line {n:04}").as_bytes()).unwrap();
        }
        drop(log);
        let size = |path: &str| fs::metadata(path).unwrap().len();
        assert!(size(path.as_str()) <= 110);
        assert!(size(&format!("{path}.1")) <= 110);
        assert!(fs::read_to_string(&path).unwrap().ends_with("line 0049\n"));
        let again = BoundedLog::with_limit(&path, 100).unwrap();
        assert!(again.size > 0, "an existing log is continued");
    }

    #[tokio::test]
    async fn lines_are_carried_and_the_last_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let tail = Tail::default();
        let limit = usize::try_from(LINE_MAX_BYTES).unwrap();
        let long = "x".repeat(limit + 5);
        let text = format!("one\ntwo\n{long}\nlast");
        let log = BoundedLog::open(&path).ok();
        pump(text.as_bytes(), log, tail.clone()).await;
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.starts_with("one\ntwo\nxxx"), "{written}");
        assert!(written.lines().all(|line| line.len() <= limit));
        assert_eq!(tail.lines().last().map(String::as_str), Some("last"));
        assert!(tail.lines().len() <= TAIL_LINES);
    }
}
