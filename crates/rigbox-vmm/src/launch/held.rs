//! Starts the trampoline, holds it, and lets it go.
//! Invariant: dropping a [`Held`] ends the process, because its standard input closes.

use std::{process::Stdio, time::Duration};

use camino::Utf8Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{LaunchSpec, REPORT_MAX_BYTES};
use crate::{ProcessGate, ProcessId, VmmError};

/// A trampoline that waits for its specification.
#[derive(Debug)]
pub(crate) struct Held {
    process: ProcessId,
    input: ChildStdin,
    report: ChildStdout,
    /// Dropped with the rest; tokio then reaps the process when it ends, however late.
    _child: Child,
}

impl Held {
    /// Starts one.
    pub(crate) fn spawn(launcher: &Utf8Path) -> Result<Self, VmmError> {
        let mut child = Command::new(launcher)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(false)
            .spawn()
            .map_err(VmmError::file("start", launcher))?;
        let (Some(pid), Some(input), Some(report)) =
            (child.id(), child.stdin.take(), child.stdout.take())
        else {
            return Err(VmmError::Launch { reason: "the trampoline ended at once".to_owned() });
        };
        let process = ProcessId::of(pid).map_err(VmmError::file("read", format!("/proc/{pid}")))?;
        Ok(Self { process, input, report, _child: child })
    }

    /// Lets the caller record and place the process, then has it become what `spec` says. When
    /// this returns a process, it has executed the program.
    pub(crate) async fn admit_and_release(
        self,
        gate: &dyn ProcessGate,
        spec: &LaunchSpec,
    ) -> Result<ProcessId, VmmError> {
        let process = self.process;
        let released = match gate.admit(&process).await {
            Ok(()) => timeout(RELEASE_TIMEOUT, self.release(spec)).await.unwrap_or(Err(
                VmmError::TimedOut {
                    what: "the start of the VMM process",
                    limit_ms: RELEASE_TIMEOUT_MS,
                },
            )),
            Err(source) => {
                // Closes its standard input, which alone would end it.
                drop(self);
                Err(VmmError::NotAdmitted { source })
            }
        };
        if let Err(error) = released {
            process.kill().await?;
            return Err(error);
        }
        Ok(process)
    }

    async fn release(mut self, spec: &LaunchSpec) -> Result<(), VmmError> {
        let launch = |reason: String| VmmError::Launch { reason };
        let mut line = serde_json::to_vec(spec).map_err(|error| launch(error.to_string()))?;
        line.push(b'\n');
        let sent = self.input.write_all(&line).await;
        drop(self.input);
        // Its end of the report closes when it executes the program. What it wrote before is why
        // it could not, and says more than a broken pipe.
        let mut report = String::new();
        self.report
            .take(REPORT_MAX_BYTES)
            .read_to_string(&mut report)
            .await
            .map_err(|error| launch(error.to_string()))?;
        if !report.is_empty() {
            return Err(launch(report));
        }
        sent.map_err(|error| launch(error.to_string()))
    }
}

/// Opening and binding takes milliseconds; filling the memory from a snapshot runs at the disk's
/// speed, and 120 s is 32 GiB at 270 MB/s.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(RELEASE_TIMEOUT_MS);
const RELEASE_TIMEOUT_MS: u64 = 120_000;
