//! Servers in processes of their own: this executable again, with another subcommand. A server says
//! its address on standard output when it serves, and ends when its standard input does.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tokio_util::sync::CancellationToken;

/// A server's process.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Process {
    /// Starts this executable with these words and waits until it serves.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("find this executable")?);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start a server")?;
        let output = child.stdout.take().context("the server's output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address).context("read the server's address")?;
        ensure!(!address.is_empty(), "the server {words:?} has ended");
        Ok(Self { child, address: address.trim().to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it politely.
    pub(crate) fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("wait for a server")?;
        ensure!(status.success(), "a server ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Cancels when standard input ends, so that a server never outlives the run.
pub(crate) fn until_input_ends(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
        shutdown.cancel();
    });
}
