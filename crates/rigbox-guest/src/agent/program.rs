//! Runs a program of the guest for the agent itself (`systemctl`, `ssh-keygen`), with a limit of
//! time and of output. Commands of users are in `exec`.

use std::{io, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command};

/// Longest that one may run. `ssh-keygen` takes a second under emulation.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Most output that is kept, of each kind.
const OUTPUT_MAX_BYTES: u64 = 1024 * 1024;

/// A program that is about to run.
pub(crate) struct Program {
    command: Command,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Output {
    success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self { command }
    }

    pub(crate) fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<std::ffi::OsStr>,
    {
        self.command.args(args);
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(mut self) -> io::Result<Output> {
        let mut child = self.command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let running = async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let reading_out = async {
                match stdout {
                    Some(pipe) => pipe.take(OUTPUT_MAX_BYTES).read_to_end(&mut out).await,
                    None => Ok(0),
                }
            };
            let reading_err = async {
                match stderr {
                    Some(pipe) => pipe.take(OUTPUT_MAX_BYTES).read_to_end(&mut err).await,
                    None => Ok(0),
                }
            };
            tokio::try_join!(reading_out, reading_err)?;
            let status = child.wait().await?;
            Ok(Output { success: status.success(), stdout: out, stderr: err })
        };
        tokio::time::timeout(TIME_MAX, running).await?
    }
}

impl Output {
    pub(crate) fn is_success(&self) -> bool {
        self.success
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}
