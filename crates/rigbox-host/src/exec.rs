//! Runs a tool of the system: the only place of this crate that starts a process which is no VMM.
//! Invariant: every run is bounded in time and output, and is gone when it is over.
//! Does not interpret what a tool says.

use std::{io, os::fd::OwnedFd, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

/// Most output of a tool that is kept, each of standard output and error.
const OUTPUT_MAX_BYTES: u64 = 1024 * 1024;

/// Most of an error text that is passed on.
const REASON_MAX_LEN: usize = 400;

/// For tools that only talk to the kernel. Nothing of ours holds the locks that they wait for.
pub(crate) const QUICK: Duration = Duration::from_secs(20);

/// One run of a tool.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    program: &'static str,
    arguments: Vec<&'a str>,
    input: Option<&'a str>,
    namespace: Option<Arc<OwnedFd>>,
    limit: Duration,
}

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error("start {program}")]
    Start {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} took longer than {} s", limit.as_secs())]
    TimedOut { program: &'static str, limit: Duration },
    #[error("{program} ended with {status}: {reason}")]
    Failed { program: &'static str, status: String, code: Option<i32>, reason: String },
}

impl<'a> Run<'a> {
    pub(crate) fn new(program: &'static str, arguments: &[&'a str]) -> Self {
        let arguments = arguments.to_vec();
        Self { program, arguments, input: None, namespace: None, limit: QUICK }
    }

    /// What the tool reads from its standard input.
    pub(crate) fn input(mut self, text: &'a str) -> Self {
        self.input = Some(text);
        self
    }

    /// The network namespace that the tool runs in.
    pub(crate) fn within(mut self, namespace: Arc<OwnedFd>) -> Self {
        self.namespace = Some(namespace);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and gives back what it wrote to its standard output.
    pub(crate) async fn output(self) -> Result<String, ExecError> {
        let (program, limit) = (self.program, self.limit);
        match timeout(limit, self.run()).await {
            Ok(ended) => ended,
            // The child is killed when it is dropped.
            Err(_) => Err(ExecError::TimedOut { program, limit }),
        }
    }

    async fn run(self) -> Result<String, ExecError> {
        let program = self.program;
        let start = |source| ExecError::Start { program, source };
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(namespace) = self.namespace {
            enter_before_exec(&mut command, namespace);
        }
        let mut child = command.spawn().map_err(start)?;
        let stdin = child.stdin.take();
        let write = async {
            match (stdin, self.input) {
                // A tool that ends before it has read all says why on its standard error.
                (Some(mut stdin), Some(text)) => stdin.write_all(text.as_bytes()).await.err(),
                (Some(_) | None, _) => None,
            }
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (_, output, errors) = tokio::join!(write, read(stdout), read(stderr));
        let status = child.wait().await.map_err(start)?;
        if status.success() {
            return Ok(output);
        }
        let reason = errors.trim().chars().take(REASON_MAX_LEN).collect();
        let code = status.code();
        Err(ExecError::Failed { program, status: status.to_string(), code, reason })
    }
}

/// Reads to the end, keeps the beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let read = (&mut stream).take(OUTPUT_MAX_BYTES).read_to_end(&mut kept).await;
    if read.is_ok() {
        // The rest is read too, or the tool would wait for somebody to read it.
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[expect(unsafe_code, reason = "nothing safe runs between fork and exec")]
fn enter_before_exec(command: &mut Command, namespace: Arc<OwnedFd>) {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd as _;

    let enter = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(io::Error::from)
    };
    // SAFETY: the closure makes one system call on a descriptor that it owns; it neither allocates
    // nor takes a lock, so it is safe between fork and exec of a process with several threads.
    unsafe {
        command.pre_exec(enter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_is_bounded_in_time() {
        let limit = Duration::from_millis(50);
        let ended = Run::new("sleep", &["60"]).limit(limit).output().await;
        assert!(matches!(ended, Err(ExecError::TimedOut { .. })), "{ended:?}");
    }

    #[tokio::test]
    async fn output_and_error_are_bounded() {
        let flood = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 3";
        let ended = Run::new("sh", &["-c", flood]).output().await;
        let Err(ExecError::Failed { code, reason, .. }) = ended else { panic!("{ended:?}") };
        assert_eq!((code, reason.len()), (Some(3), REASON_MAX_LEN));
    }

    #[tokio::test]
    async fn a_tool_reads_its_input() {
        let read = Run::new("cat", &[]).input("a\nb\n").output().await.unwrap();
        assert_eq!(read, "a\nb\n");
    }
}
