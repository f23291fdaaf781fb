//! Reads journald through `journalctl`: its file format is its own.

use std::process::Stdio;

use rigbox_types::guest::{GetWorkspaceLogsResponse, LogDirection, LogLine};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use super::{Selection, entry, paged};
use crate::agent::{Guest, refusal::Refusal};

/// Longest line of output. A message has at most 48 KiB unless its program asks for more, and each
/// byte that is no text takes four.
const LINE_MAX_BYTES: u64 = 1024 * 1024;

/// Most of a complaint that is kept.
const COMPLAINT_MAX_BYTES: u64 = 4096;

pub(super) fn is_there(guest: &Guest) -> bool {
    guest.root.is_real() && guest.root.exists("/run/systemd/journal/socket")
}

pub(super) async fn page(selection: &Selection) -> Result<GetWorkspaceLogsResponse, Refusal> {
    let mut command = journalctl(selection);
    if selection.direction == LogDirection::Newest {
        command.arg("--reverse");
    }
    let mut reader = Reader::start(command)?;
    let mut lines = Vec::new();
    // One more than is asked for tells whether there is more.
    while lines.len() <= selection.lines {
        match reader.next().await {
            Some(line) => lines.push(line),
            None => {
                reader.check().await?;
                break;
            }
        }
    }
    Ok(paged(lines, selection))
}

/// Follows the journal from a cursor, or from now on.
pub(super) struct Follower {
    reader: Reader,
}

impl Follower {
    pub(super) fn start(selection: &Selection) -> Result<Self, Refusal> {
        let mut command = journalctl(selection);
        command.arg("--follow");
        command.arg(if selection.cursor.is_some() { "--no-tail" } else { "--lines=0" });
        Reader::start(command).map(|reader| Self { reader })
    }

    pub(super) async fn next(&mut self) -> Option<LogLine> {
        self.reader.next().await
    }
}

fn journalctl(selection: &Selection) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--quiet", "--no-pager"]);
    command.arg("--output-fields=MESSAGE,PRIORITY,UNIT,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER");
    if let Some(cursor) = &selection.cursor {
        command.arg(format!("--after-cursor={cursor}"));
    }
    if let Some(unit) = &selection.unit {
        command.arg(format!("--unit={unit}"));
    }
    command
}

/// Reads the lines of a `journalctl`, which ends when this is dropped.
struct Reader {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Reader {
    fn start(mut command: Command) -> Result<Self, Refusal> {
        let failed =
            |error| Refusal::unavailable(format!("the journal cannot be read now: {error}"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, lines: BufReader::new(stdout) })
    }

    async fn next(&mut self) -> Option<LogLine> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await;
            if read.unwrap_or_default() == 0 {
                return None;
            }
            // A line that is over the limit comes in pieces, of which none is an entry.
            if let Some(line) = entry::parse(&line) {
                return Some(line);
            }
        }
    }

    /// After the end of the output: whether it ended well.
    async fn check(&mut self) -> Result<(), Refusal> {
        let mut complaint = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let mut stderr = stderr.take(COMPLAINT_MAX_BYTES);
            // What cannot be read is not a complaint.
            let _unread = stderr.read_to_string(&mut complaint).await;
        }
        match self.child.wait().await {
            Ok(status) if status.success() => Ok(()),
            // The only thing of ours that it can dislike.
            _ if complaint.contains("cursor") => {
                Err(Refusal::field("cursor", "is not one of this log (any more)"))
            }
            // No entries of a unit is exit code 1 without a word.
            _ if complaint.trim().is_empty() => Ok(()),
            _ => Err(Refusal::unavailable(format!("the journal: {}", complaint.trim()))),
        }
    }
}
