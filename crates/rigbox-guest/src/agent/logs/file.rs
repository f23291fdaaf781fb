//! A log that is a file of lines: what a guest without journald has. A cursor is the position of a
//! line's first byte.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt as _,
    time::Duration,
};

use rigbox_types::{
    Timestamp,
    guest::{GetWorkspaceLogsResponse, LogDirection, LogLine},
};

use super::{Selection, cut, paged};
use crate::agent::{journal::LOG_FILE, refusal::Refusal, root::Root};

/// Where busybox's and other system loggers write.
const SYSTEM_LOG: &str = "/var/log/messages";

/// How far back a page of the newest lines looks.
const BACK_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Longest line.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// Between looks for new lines.
const FOLLOW_PAUSE: Duration = Duration::from_millis(250);

pub(super) fn page(
    root: &Root,
    selection: &Selection,
) -> Result<GetWorkspaceLogsResponse, Refusal> {
    let cursor = position(selection)?;
    let lines = match selection.direction {
        LogDirection::Oldest => forward(root, cursor, selection.lines.saturating_add(1)),
        LogDirection::Newest => backward(root, cursor, selection.lines.saturating_add(1)),
    };
    match lines {
        Ok(lines) => Ok(paged(lines, selection)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(paged(Vec::new(), selection)),
        Err(error) => Err(Refusal::internal("log", &error)),
    }
}

fn position(selection: &Selection) -> Result<Option<u64>, Refusal> {
    let parsed = selection.cursor.as_deref().map(str::parse).transpose();
    parsed.map_err(|_| Refusal::field("cursor", "is not one of this log"))
}

fn open(root: &Root) -> io::Result<File> {
    File::open(root.path(SYSTEM_LOG)).or_else(|_| File::open(root.path(LOG_FILE)))
}

/// Lines after the one at the cursor.
fn forward(root: &Root, cursor: Option<u64>, count: usize) -> io::Result<Vec<LogLine>> {
    let mut lines = Lines::at(open(root)?, cursor.unwrap_or_default())?;
    if cursor.is_some() {
        lines.next()?;
    }
    let mut found = Vec::new();
    while found.len() < count
        && let Some(line) = lines.next()?
    {
        found.push(line);
    }
    Ok(found)
}

/// Lines before the one at the cursor, the newest first.
fn backward(root: &Root, cursor: Option<u64>, count: usize) -> io::Result<Vec<LogLine>> {
    let file = open(root)?;
    let end = cursor.unwrap_or(u64::MAX).min(file.metadata()?.len());
    let begin = end.saturating_sub(BACK_MAX_BYTES);
    let mut lines = Lines::at(file, begin)?;
    if begin > 0 {
        // It began before.
        lines.next()?;
    }
    let mut found = std::collections::VecDeque::new();
    while lines.position < end
        && let Some(line) = lines.next()?
    {
        found.push_front(line);
        found.truncate(count);
    }
    Ok(found.into())
}

struct Lines {
    reader: BufReader<File>,
    position: u64,
}

impl Lines {
    fn at(mut file: File, position: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(position))?;
        Ok(Self { reader: BufReader::new(file), position })
    }

    /// The next whole line.
    fn next(&mut self) -> io::Result<Option<LogLine>> {
        let mut bytes = Vec::new();
        let count = self.reader.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut bytes)?;
        let is_whole = bytes.last() == Some(&b'\n')
            || u64::try_from(count).is_ok_and(|count| count == LINE_MAX_BYTES);
        if !is_whole {
            return Ok(None);
        }
        let cursor = self.position;
        self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(Some(parse(&String::from_utf8_lossy(&bytes), cursor)))
    }
}

/// Our own lines begin with a time.
fn parse(line: &str, cursor: u64) -> LogLine {
    let line = line.trim_end_matches(['\n', '\r']);
    let timed = line.split_once(' ').and_then(|(time, rest)| {
        time.parse::<Timestamp>().ok().map(|time| (Some(time.to_string()), rest))
    });
    let (timestamp, message) = timed.unwrap_or((None, line));
    LogLine {
        line_number: 0,
        message: cut(message.to_owned()),
        timestamp,
        cursor: Some(cursor.to_string()),
        unit: None,
        priority: None,
    }
}

/// Follows the file from a cursor, or from now on.
pub(super) struct Follower {
    root: Root,
    /// Which file it was when it was last looked at.
    inode: Option<u64>,
    /// The last line that was told.
    last: Option<u64>,
    waiting: std::collections::VecDeque<LogLine>,
}

/// Read at once while following.
const FOLLOW_LINES: usize = 256;

impl Follower {
    pub(super) fn start(root: Root, selection: &Selection) -> Self {
        let given = position(selection).ok().flatten();
        let newest = || backward(&root, None, 1).ok()?.first()?.cursor.as_deref()?.parse().ok();
        let last = given.or_else(newest);
        let inode = open(&root).and_then(|file| file.metadata()).map(|file| file.ino()).ok();
        Self { root, inode, last, waiting: std::collections::VecDeque::new() }
    }

    pub(super) async fn next(&mut self) -> LogLine {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return line;
            }
            self.look();
            if self.waiting.is_empty() {
                tokio::time::sleep(FOLLOW_PAUSE).await;
            }
        }
    }

    fn look(&mut self) {
        let Ok(file) = open(&self.root).and_then(|file| file.metadata()) else { return };
        let is_another = self.inode.is_some_and(|inode| inode != file.ino());
        // Put aside and begun anew, or emptied.
        if is_another || self.last.is_some_and(|last| file.len() <= last) {
            self.last = None;
        }
        self.inode = Some(file.ino());
        self.waiting.extend(forward(&self.root, self.last, FOLLOW_LINES).unwrap_or_default());
        let newest = self.waiting.back().and_then(|line| line.cursor.as_deref()?.parse().ok());
        self.last = newest.or(self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(
        root: &Root,
        lines: usize,
        direction: LogDirection,
        cursor: Option<String>,
    ) -> GetWorkspaceLogsResponse {
        page(root, &Selection { lines, direction, cursor, unit: None }).unwrap()
    }

    fn texts(page: &GetWorkspaceLogsResponse) -> Vec<&str> {
        page.lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn pages_meet_without_a_gap_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        let none = page_of(&root, 2, LogDirection::Newest, None);
        assert_eq!((none.lines.len(), none.has_more), (0, false));
        let text = "2025-12-01T09:30:00Z a\nb\nc\nd\ne\nnot whole";
        root.write(LOG_FILE, text.as_bytes(), 0o644).unwrap();

        let first = page_of(&root, 2, LogDirection::Oldest, None);
        assert_eq!((texts(&first), first.has_more), (vec!["a", "b"], true));
        let time = first.lines.first().unwrap().timestamp.as_deref();
        assert_eq!(time, Some("2025-12-01T09:30:00Z"));
        let second = page_of(&root, 9, LogDirection::Oldest, first.cursor);
        assert_eq!((texts(&second), second.has_more), (vec!["c", "d", "e"], false));

        let last = page_of(&root, 2, LogDirection::Newest, None);
        assert_eq!((texts(&last), last.has_more), (vec!["d", "e"], true));
        let before = page_of(&root, 9, LogDirection::Newest, last.cursor);
        assert_eq!((texts(&before), before.has_more), (vec!["a", "b", "c"], false));
    }

    #[tokio::test]
    async fn a_follower_tells_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        root.write(LOG_FILE, b"old\n", 0o644).unwrap();
        let selection =
            Selection { lines: 1, direction: LogDirection::Oldest, cursor: None, unit: None };
        let mut follower = Follower::start(root.clone(), &selection);
        crate::agent::journal::write(&root, "test", "new");
        assert_eq!(follower.next().await.message, "test: new");
        // Put aside and begun anew.
        root.write(LOG_FILE, b"begun\n", 0o644).unwrap();
        assert_eq!(follower.next().await.message, "begun");
    }
}
