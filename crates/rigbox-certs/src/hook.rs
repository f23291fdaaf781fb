//! A TXT record put up by the operator's own command, for DNS that is not ours.
//! Invariants: the command is executed directly, without a shell; it sees none of our environment
//! but where programs are; it ends within [`LIMIT`] or is killed with what it started; no more than
//! [`SAID_MAX_BYTES`] of what it says are kept.
//! Does not give it any secret: what a record says, everybody may read.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::timeout,
};

/// How long the command may take: it may wait until its DNS has the record everywhere.
const LIMIT: Duration = Duration::from_secs(300);

/// Most of what it says on standard error that is kept for the message.
const SAID_MAX_BYTES: usize = 2048;

/// How long what it has written is still read after its end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where programs are, where nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command, with arguments before ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    argv: Vec<String>,
    limit: Duration,
}

/// Why the record may not be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// There is no command, or it has no absolute path.
    #[error("the command must begin with the absolute path of a program")]
    Form,
    /// It could not be started.
    #[error("start {program}")]
    Start {
        /// What.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} did not end within {} s", limit.as_secs())]
    Slow {
        /// What.
        program: String,
        /// How long it may take.
        limit: Duration,
    },
    /// It said no.
    #[error("{program} {action} ended with {status}: {said}")]
    Failed {
        /// What.
        program: String,
        /// `present` or `cleanup`.
        action: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The begin of what it wrote to standard error.
        said: String,
    },
}

impl DnsHook {
    /// A hook of these words.
    ///
    /// # Errors
    /// Where the first is no absolute path.
    pub fn new(argv: Vec<String>) -> Result<Self, HookError> {
        match argv.first() {
            Some(program) if program.starts_with('/') => Ok(Self { argv, limit: LIMIT }),
            _ => Err(HookError::Form),
        }
    }

    /// The same, which may take only this long.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Has a TXT record put up beside those that are.
    ///
    /// # Errors
    /// As [`HookError`].
    pub async fn present(&self, name: &str, value: &str) -> Result<(), HookError> {
        self.run("present", name, value).await
    }

    /// Has it taken down.
    ///
    /// # Errors
    /// As [`HookError`].
    pub async fn cleanup(&self, name: &str, value: &str) -> Result<(), HookError> {
        self.run("cleanup", name, value).await
    }

    async fn run(&self, action: &'static str, name: &str, value: &str) -> Result<(), HookError> {
        let (program, arguments) = self.argv.split_first().ok_or(HookError::Form)?;
        let start = |source| HookError::Start { program: program.clone(), source };
        let child = Command::new(program)
            .args(arguments)
            .args([action, name, value])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What it starts is in its group, and ends with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let mut running = Running { group: group_of(&child), child };
        match timeout(self.limit, running.end()).await {
            Ok(ended) => {
                let (status, said) = ended.map_err(start)?;
                if status.success() {
                    return Ok(());
                }
                Err(HookError::Failed { program: program.clone(), action, status, said })
            }
            Err(_) => Err(HookError::Slow { program: program.clone(), limit: self.limit }),
        }
    }
}

/// A command under way. Dropped, it is killed with what it started.
struct Running {
    group: Option<Pid>,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group's number is not given away while the command is not waited for; when it was,
        // whoever it left behind still has it.
        if let Some(group) = self.group
            && let Err(error) = kill_process_group(group, Signal::KILL)
            && error != Errno::SRCH
        {
            tracing::warn!(%error, "what a command has started was not killed");
        }
    }
}

impl Running {
    /// How it ended, and the begin of what it said until then.
    async fn end(&mut self) -> io::Result<(ExitStatus, String)> {
        let mut stderr = self.child.stderr.take();
        let (mut said, mut buffer) = (Vec::new(), [0_u8; 1024]);
        let status = loop {
            let Some(stream) = &mut stderr else { break self.child.wait().await? };
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(length) if length > 0 => keep(&mut said, &buffer, length),
                    _ => stderr = None,
                },
                status = self.child.wait() => break status?,
            }
        };
        // What it wrote before it ended may still be in the pipe, which others may hold open.
        if let Some(stream) = &mut stderr {
            let rest = async {
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    keep(&mut said, &buffer, length);
                }
            };
            // Over either way: what is read by now is what there is.
            timeout(LAST_WORDS, rest).await.unwrap_or_default();
        }
        let text = String::from_utf8_lossy(&said);
        let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok((status, plain.trim().to_owned()))
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn keep(said: &mut Vec<u8>, buffer: &[u8], length: usize) {
    let room = SAID_MAX_BYTES.saturating_sub(said.len());
    said.extend(buffer.iter().take(length.min(room)));
}
