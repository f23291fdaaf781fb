//! What a VMM says on its standard error: kept by the kernel, in a named pipe, bounded by its size.

use std::{
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use rustix::fs::{FileType, Mode, OFlags};

use crate::VmmError;

/// The reading end of the pipe.
#[derive(Debug)]
pub(crate) struct Words(File);

impl Words {
    /// Makes the pipe, which must not exist, and opens it.
    pub(crate) fn make(path: &Utf8Path) -> Result<Self, VmmError> {
        make_pipe(path)?;
        Self::open(path)
    }

    /// Opens a pipe that exists. Neither waits for a writer.
    pub(crate) fn open(path: &Utf8Path) -> Result<Self, VmmError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(path.as_std_path(), flags, Mode::empty())
            .map_err(|error| VmmError::file("open", path)(error.into()))?;
        Ok(Self(File::from(fd)))
    }

    /// The last part of what was said since the last call.
    pub(crate) fn take(&self) -> String {
        let mut bytes = Vec::new();
        match (&self.0).take(PIPE_MAX_BYTES).read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return format!("its words cannot be read: {error}"),
        }
        let start = bytes.len().saturating_sub(WORDS_MAX_BYTES);
        printable(&String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()))
    }

    /// Puts the words into an error that has room for them.
    pub(crate) fn explain(&self, error: VmmError) -> VmmError {
        match error {
            VmmError::Ended { .. } => VmmError::Ended { output: self.take() },
            // A VMM that ends while it starts shows first as a broken connection.
            VmmError::Control { path, source } => {
                let output = self.take();
                if output.is_empty() {
                    VmmError::Control { path, source }
                } else {
                    VmmError::Ended { output }
                }
            }
            other => other,
        }
    }
}

/// Makes a named pipe for root alone.
pub(crate) fn make_pipe(path: &Utf8Path) -> Result<(), VmmError> {
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path.as_std_path(), FileType::Fifo, mode, 0)
        .map_err(|error| VmmError::file("make", path)(error.into()))
}

/// The text goes into logs and failures: one line, no control characters.
fn printable(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|character| !character.is_control()).collect()
}

/// What a pipe holds.
const PIPE_MAX_BYTES: u64 = 64 * 1024;
/// Enough for QEMU's last sentences.
const WORDS_MAX_BYTES: usize = 2 * 1024;
