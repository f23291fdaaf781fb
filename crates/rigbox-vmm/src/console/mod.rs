//! Keeps the last part of a guest's console.
//!
//! A guest can write to its console without end, and the VMM outlives the host agent, so nothing
//! that the VMM writes by itself may be a file. Instead:
//! - QEMU offers the console on a socket and drops what nobody is connected to hear;
//! - Firecracker writes to a named pipe that never blocks: the kernel keeps 64 KiB and drops the
//!   rest while nobody reads (see `launch::Output::Pipe`).
//!
//! While the host agent lives, a task reads either into two segments of [`SEGMENT_BYTES`], the
//! older of which is replaced, at no more than [`RATE_BYTES_PER_S`]. So a guest that floods its
//! console costs 1 MiB of disk and waits for itself.
//! What was written while no host agent lived is lost (QEMU) or cut off after 64 KiB
//! (Firecracker).

use std::{
    io,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

/// Size at which a segment is put aside, in bytes. There are two.
pub const SEGMENT_BYTES: u64 = 512 * 1024;
/// Most bytes a second that are taken from a console. A boot of Debian that is not quiet writes
/// 60 KiB in all.
pub const RATE_BYTES_PER_S: u64 = 1024 * 1024;

/// What is kept of the console at `path`, oldest first: at most two segments. Empty if there is
/// none.
pub async fn read(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for segment in [previous(path), path.to_owned()] {
        match File::open(&segment).await {
            Ok(file) => {
                // A segment may be over its size by one read.
                file.take(2 * SEGMENT_BYTES).read_to_end(&mut text).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(text)
}

/// Removes what is kept.
pub async fn remove(path: &Utf8Path) -> io::Result<()> {
    for segment in [previous(path), path.to_owned()] {
        match tokio::fs::remove_file(&segment).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The task that empties a console. Ends with the console, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Drain(JoinHandle<()>);

impl Drain {
    /// Starts to read `source` into the log at `path`.
    pub(crate) async fn start(
        source: impl AsyncRead + Send + Unpin + 'static,
        path: &Utf8Path,
    ) -> io::Result<Self> {
        let log = Log::open(path.to_owned()).await?;
        Ok(Self(tokio::spawn(drain(source, log))))
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn drain(mut source: impl AsyncRead + Unpin, mut log: Log) {
    let mut buffer = vec![0; READ_BYTES];
    let mut budget = Budget::new();
    loop {
        let count = match source.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(path = %log.path, %error, "console ended");
                return;
            }
        };
        if let Err(error) = log.append(buffer.get(..count).unwrap_or_default()).await {
            // The console goes on: a full disk must not stop the guest's output, nor the log once
            // there is room again.
            tracing::warn!(path = %log.path, %error, "console output lost");
        }
        budget.spend(count as u64).await;
    }
}

/// The two segments on disk.
#[derive(Debug)]
struct Log {
    path: Utf8PathBuf,
    file: File,
    written_bytes: u64,
}

impl Log {
    /// Goes on where a former process stopped.
    async fn open(path: Utf8PathBuf) -> io::Result<Self> {
        let file = open_segment(&path).await?;
        let written_bytes = file.metadata().await?.len();
        Ok(Self { path, file, written_bytes })
    }

    async fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written_bytes >= SEGMENT_BYTES {
            tokio::fs::rename(&self.path, previous(&self.path)).await?;
            self.file = open_segment(&self.path).await?;
            self.written_bytes = 0;
        }
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }
}

async fn open_segment(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).await
}

fn previous(path: &Utf8Path) -> Utf8PathBuf {
    format!("{path}.1").into()
}

/// How much may still be read in this second.
#[derive(Debug)]
struct Budget {
    since: Instant,
    spent_bytes: u64,
}

impl Budget {
    fn new() -> Self {
        Self { since: Instant::now(), spent_bytes: 0 }
    }

    /// Returns when there is something left to spend.
    async fn spend(&mut self, bytes: u64) {
        self.spent_bytes += bytes;
        let elapsed = self.since.elapsed();
        if elapsed >= SECOND {
            *self = Self::new();
        } else if self.spent_bytes >= RATE_BYTES_PER_S {
            tokio::time::sleep(SECOND - elapsed).await;
            *self = Self::new();
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// The size of a pipe's page; consoles write lines.
const READ_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
