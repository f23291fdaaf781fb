//! One command: its process, its output, its input and its end.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use rigbox_types::{
    Timestamp,
    guest::{ExecExit, ExecRequest, ExecSession, ExecStarted, TtySize},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin},
    sync::watch,
    time::Instant,
};
use tracing::debug;

use super::{
    input::Input,
    pty::{END_OF_FILE, Pty},
    replay::{Reader, Replay, Source},
    spawn::{self, Started, Stdin},
};
use crate::agent::{Guest, clock, refusal::Refusal, sys::remaining};

/// Read from a pipe at once.
const READ_BYTES: usize = 16 * 1024;

/// After the process has ended, its terminal is read until it has been quiet for this long, or for
/// that long in all: what it left in the background may hold the terminal open and write for ever.
const QUIET: Duration = Duration::from_millis(100);
const AFTER_END_MAX: Duration = Duration::from_secs(2);

/// From the polite signal to the one that cannot be ignored.
const KILL_AFTER: Duration = Duration::from_secs(3);

/// How a command is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// It is not: its output is the answer.
    Answer,
    /// Frames in both directions.
    Frames,
}

/// A command that runs or has run.
pub(crate) struct Session {
    id: String,
    pid: u32,
    program: String,
    user: String,
    detachable: bool,
    started_at: Timestamp,
    pty: Option<Arc<Pty>>,
    pub(super) output: Replay,
    pub(super) input: Input,
    /// When the process ended. Until then its number is its own, because it is not reaped.
    ended: watch::Sender<Option<Instant>>,
    /// Somebody wants it to end.
    ending: watch::Sender<bool>,
}

/// Starts the command of a request and the task that owns its process.
pub(super) async fn start(
    guest: &Guest,
    request: ExecRequest,
    channel: Channel,
) -> Result<(Arc<Session>, Reader), Refusal> {
    let has_input = channel == Channel::Frames || request.stdin.is_some();
    let stdin = if has_input { Stdin::Pipe } else { Stdin::Null };
    let request = Arc::new(request);
    let Started { child, pty, user } = spawn::spawn(guest, Arc::clone(&request), stdin).await?;
    let session = Arc::new(Session {
        id: new_id()?,
        pid: child.id().unwrap_or_default(),
        program: request.command.first().cloned().unwrap_or_default(),
        user: user.name,
        detachable: request.detach,
        started_at: clock::now(),
        pty: pty.map(Arc::new),
        output: Replay::new(),
        input: request.stdin.as_deref().map(Input::of_text).unwrap_or_default(),
        ended: watch::Sender::new(None),
        ending: watch::Sender::new(false),
    });
    let limit = request.timeout_s.map(|seconds| Duration::from_secs(seconds.into()));
    // Before any output can come, so that none of it is lost.
    let reader = session.output.attach(0);
    tokio::spawn(run(Arc::clone(&session), child, limit));
    Ok((session, reader))
}

impl Session {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn is_detachable(&self) -> bool {
        self.detachable
    }

    pub(super) fn has_tty(&self) -> bool {
        self.pty.is_some()
    }

    pub(super) fn started(&self) -> ExecStarted {
        ExecStarted { id: self.id.clone(), pid: self.pid }
    }

    pub(super) fn describe(&self) -> ExecSession {
        ExecSession {
            id: self.id.clone(),
            pid: self.pid,
            program: self.program.clone(),
            user: self.user.clone(),
            tty: self.has_tty(),
            attached: self.output.is_attached(),
            started_at: self.started_at,
            exit: self.output.exit(),
        }
    }

    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) fn ended_before(&self, moment: Option<Instant>) -> bool {
        moment.is_some_and(|moment| self.ended.borrow().is_some_and(|ended| ended < moment))
    }

    /// Ends the command: politely, then by force.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    pub(super) fn resize(&self, size: TtySize) {
        if let Some(pty) = &self.pty
            && let Err(error) = pty.resize(size)
        {
            debug!(%error, "terminal not resized");
        }
    }

    /// Signals the foreground of the terminal, or the command's process group.
    pub(super) fn signal(&self, number: u8) {
        let Some(signal) = Signal::from_named_raw(i32::from(number)) else { return };
        let reached = self.pty.as_ref().is_some_and(|pty| pty.signal(signal));
        if !reached {
            self.signal_group(signal);
        }
    }

    fn signal_group(&self, signal: Signal) {
        // A process that has ended is reaped, and its number may be another's.
        let ended = self.ended.borrow();
        if ended.is_none()
            && let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(group, signal)
        {
            debug!(%error, "command not signalled");
        }
    }
}

/// Owns the process from its start to its end.
async fn run(session: Arc<Session>, mut child: Child, limit: Option<Duration>) {
    let stdin = child.stdin.take();
    let feeding = tokio::spawn(feed(Arc::clone(&session), stdin));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = async {
        match &session.pty {
            Some(pty) => read_pty(&session, pty).await,
            None => {
                tokio::join!(
                    read_pipe(&session, stdout, Source::Stdout),
                    read_pipe(&session, stderr, Source::Stderr),
                );
            }
        }
    };
    let waiting = wait(&session, &mut child, limit);
    let (exit, ()) = tokio::join!(waiting, reading);
    feeding.abort();
    session.output.end(exit);
}

/// Waits for the end of the process, and brings it about when its time is over or it is not wanted.
async fn wait(session: &Session, child: &mut Child, limit: Option<Duration>) -> ExecExit {
    let mut exit = ExecExit::default();
    let mut ending = session.ending.subscribe();
    let out_of_time = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let status = tokio::select! {
        status = child.wait() => Some(status),
        () = out_of_time => {
            exit.timed_out = true;
            None
        }
        _ = ending.wait_for(|ending| *ending) => None,
    };
    let status = match status {
        Some(status) => status,
        None => kill(session, child).await,
    };
    session.ended.send_replace(Some(Instant::now()));
    if let Ok(status) = status {
        exit.exit_code = status.code();
        exit.signal = std::os::unix::process::ExitStatusExt::signal(&status);
    }
    exit
}

async fn kill(session: &Session, child: &mut Child) -> std::io::Result<std::process::ExitStatus> {
    // A shell on a terminal ignores TERM and goes when its terminal does.
    let has_tty = session.has_tty();
    session.signal_group(if has_tty { Signal::HUP } else { Signal::TERM });
    let ended = tokio::time::timeout(KILL_AFTER, child.wait()).await;
    if ended.is_err() || !has_tty {
        // Also when the leader is gone: the rest of its group may not be. As long as one is left,
        // the group's number is not given to another.
        session.signal_group(Signal::KILL);
    }
    let status = match ended {
        Ok(status) => status,
        Err(_) => child.wait().await,
    };
    if has_tty {
        // The jobs of a shell are groups of their own. What was started to outlive its terminal
        // (`nohup`) does.
        remaining::hang_up(session.pid);
    }
    status
}

/// Reads a pipe to its end, or, when the process has ended and left somebody behind who holds the
/// pipe open, as far as it was filled by then.
async fn read_pipe<P>(session: &Session, pipe: Option<P>, source: Source)
where
    P: AsyncRead + AsFd + Unpin,
{
    let Some(mut pipe) = pipe else { return };
    let mut ended = session.ended.subscribe();
    let mut left: Option<u64> = None;
    let mut buffer = vec![0; READ_BYTES];
    while left != Some(0) {
        let count = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or_default(),
            _ = ended.wait_for(Option::is_some), if left.is_none() => {
                left = Some(rustix::io::ioctl_fionread(&pipe).unwrap_or_default());
                continue;
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        session.output.write(source, bytes).await;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        left = left.map(|left| left.saturating_sub(count));
    }
}

async fn read_pty(session: &Session, pty: &Pty) {
    let mut ended = session.ended.subscribe();
    loop {
        let quiet = async {
            if ended.wait_for(Option::is_some).await.is_ok() {
                tokio::time::sleep(QUIET).await;
            }
        };
        let bytes = tokio::select! {
            biased;
            read = pty.read() => read.unwrap_or_default(),
            () = quiet => Vec::new(),
        };
        let is_late = session.ended.borrow().is_some_and(|ended| ended.elapsed() > AFTER_END_MAX);
        if bytes.is_empty() || is_late {
            return;
        }
        session.output.write(Source::Stdout, &bytes).await;
    }
}

/// Gives the command its input and tells how much it has taken. A command that takes no more
/// input swallows it, so that whoever sends it can go on.
async fn feed(session: Arc<Session>, mut stdin: Option<ChildStdin>) {
    while let Some(bytes) = session.input.next().await {
        let taken = match (&session.pty, &mut stdin) {
            (Some(pty), _) => pty.write_all(&bytes).await,
            (None, Some(pipe)) => pipe.write_all(&bytes).await,
            (None, None) => Ok(()),
        };
        if taken.is_err() {
            stdin = None;
        }
        session.input.taken();
        session.output.input_taken();
    }
    if let Some(pty) = &session.pty
        && let Err(error) = pty.write_all(&END_OF_FILE).await
    {
        debug!(%error, "end of input not told");
    }
}

fn new_id() -> Result<String, Refusal> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::internal("random", &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
