//! Keeps one process per role running: starts it, writes its identity down, carries its log, and
//! starts it again with growing pauses when it ends.
//! Invariant: a role ends when its supervisor does (the kernel sees to it, see `role`), so no two
//! supervisors ever have a role of the same platform at once. Workspaces belong to no role's process.

mod takeover;

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use camino::Utf8Path;
use tokio::{
    process::{Child, Command},
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use takeover::READY_PATIENCE;

use crate::{
    layout::{Install, Layout, Role},
    logs::{BoundedLog, Tail, pump},
    output,
    process::Identity,
    state::{ROLE_PATIENCE, RunningRole, State},
};

/// The first pause before a role is started again; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// The longest pause: an operator who mended what was wrong does not want to wait.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// A role that ran this long was well: the next pause is the first one again.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// What an operator or the kernel, out of memory, ends a process with.
const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

/// What is known of a role.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// How often it ended by itself.
    pub(crate) ended: u32,
    /// How it ended last.
    pub(crate) last_end: String,
}

/// The supervisor's own state file, changed whenever a role starts or ends.
pub(crate) struct Recorder {
    layout: Layout,
    state: Mutex<State>,
}

impl Recorder {
    /// Writes the first state.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn new(layout: &Layout, state: State) -> anyhow::Result<Self> {
        state.write(layout)?;
        Ok(Self { layout: layout.clone(), state: Mutex::new(state) })
    }

    /// Changes the state and writes it. A full disk does not stop the platform: what is not
    /// written down is found by its command line.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if let Err(error) = state.write(&self.layout) {
            output::note(&format!("note: {error:#}"));
        }
    }
}

/// What a role gets besides its configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs<'a> {
    /// What of its log is wanted.
    pub(crate) log_filter: &'a str,
    /// Where its files are that were installed with the platform.
    pub(crate) resources: Vec<(&'static str, String)>,
    /// The socket on which the role serves, as its standard input.
    pub(crate) listener: Option<&'a TcpListener>,
    /// A second one, as its standard output: roles write to standard error alone.
    pub(crate) second: Option<&'a TcpListener>,
    /// The unix socket at which it answers once it serves, where another process may take it over.
    pub(crate) answers_at: Option<&'a Utf8Path>,
}

/// A process of a role, and what carries its log.
struct Process {
    child: Child,
    carried: tokio::task::JoinHandle<()>,
    started: Instant,
}

/// One role to keep running.
pub(crate) struct Keeper<'a> {
    role: Role,
    layout: &'a Layout,
    install: &'a Install,
    recorder: &'a Recorder,
    needs: Needs<'a>,
    health: watch::Sender<Health>,
    tail: Tail,
    succession: Notify,
}

impl<'a> Keeper<'a> {
    /// Of a role that is not started yet.
    pub(crate) fn new(
        role: Role,
        (layout, install): (&'a Layout, &'a Install),
        recorder: &'a Recorder,
        needs: Needs<'a>,
    ) -> Self {
        let (health, _) = watch::channel(Health::default());
        let tail = Tail::default();
        let succession = Notify::new();
        Self { role, layout, install, recorder, needs, health, tail, succession }
    }

    /// How the role is, now and later.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Starts another process of the role at once, and once that serves lets the one that runs end what
    /// it has under way (see `takeover`). For a role that may be there twice.
    pub(crate) fn succeed(&self) {
        self.succession.notify_one();
    }

    /// Keeps it running until `stop`, then ends it.
    ///
    /// # Errors
    /// Where it cannot be started at all, or does not end.
    pub(crate) async fn keep(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut pause = PAUSE_FIRST;
        let mut successor = None;
        while !stop.is_cancelled() {
            let mut process = match successor.take() {
                Some(successor) => successor,
                None => self.begin()?,
            };
            let ended = loop {
                tokio::select! {
                    status = process.child.wait() => break Some(status),
                    () = stop.cancelled() => break None,
                    () = self.succession.notified() => {
                        process = self.take_over(process, stop).await?;
                    }
                }
            };
            let Some(status) = ended else {
                let ended = self.end(&mut process.child).await;
                // Ends with the role; whatever else holds the pipe is not waited for.
                drop(timeout(PAUSE_FIRST, process.carried).await);
                self.recorder.change(|state| state.roles.retain(|role| role.role != self.role));
                return ended;
            };
            let status = status.with_context(|| format!("wait for the role {}", self.name()))?;
            // Killed by somebody, not ended by what is wrong with it: waiting would mend nothing.
            if process.started.elapsed() >= WELL_AFTER || status.signal() == Some(SIGKILL) {
                pause = PAUSE_FIRST;
            }
            self.note_end(&status.to_string(), pause);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(pause) => {}
                // Whoever asks has mended what was wrong and does not want to wait.
                () = self.succession.notified() => successor = self.take_up(stop).await,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Starts a process and has it be the role's.
    fn begin(&self) -> anyhow::Result<Process> {
        let process = self.start()?;
        self.recorder.change(|state| self.note(state, &process));
        Ok(process)
    }

    /// Writes a process down as the role's.
    fn note(&self, state: &mut State, process: &Process) {
        let identity = process.child.id().and_then(|pid| Identity::of(pid).ok());
        if let Some(process) = identity {
            state.roles.retain(|role| role.role != self.role);
            state.roles.push(RunningRole { role: self.role, process });
        }
    }

    fn start(&self) -> anyhow::Result<Process> {
        let config = self.layout.role_config(self.role);
        let mut command = Command::new(self.install.own());
        command
            .args([self.name(), "--config", config.as_str()])
            .args(["--parent", &std::process::id().to_string()])
            .env_clear()
            .envs(environment())
            .envs(self.needs.resources.iter().map(|(name, value)| (name, value)))
            .env("RIGBOX_LOG", self.needs.log_filter)
            // It goes into a file.
            .env("NO_COLOR", "1")
            .stdin(hand_over(self.needs.listener)?)
            .stdout(hand_over(self.needs.second)?)
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for the supervisor, which ends its roles in order.
            .process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("start the role {}", self.name()))?;
        let carried = self.carry_log(&mut child)?;
        Ok(Process { child, carried, started: Instant::now() })
    }

    fn carry_log(&self, child: &mut Child) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let from = child.stderr.take().context("the log of a role that was just started")?;
        let path = self.layout.log(self.name());
        let log = BoundedLog::open(&path);
        let log =
            log.inspect_err(|error| output::note(&format!("note: open {path}: {error}"))).ok();
        Ok(tokio::spawn(pump(from, log, self.tail.clone())))
    }

    /// Politely first. A role answers to SIGTERM by letting what is under way end.
    async fn end(&self, child: &mut Child) -> anyhow::Result<()> {
        terminate(child)?;
        if timeout(ROLE_PATIENCE, child.wait()).await.is_err() {
            output::note(&format!("{} did not end by itself and was killed", self.name()));
            child.kill().await.with_context(|| format!("kill the role {}", self.name()))?;
        }
        Ok(())
    }

    fn note_end(&self, status: &str, pause: Duration) {
        let log = self.layout.log(self.name());
        output::note(&format!(
            "{} ended ({status}) and is started again in {:.1} s; its log is {log}",
            self.name(),
            pause.as_secs_f32(),
        ));
        self.health.send_modify(|health| {
            health.ended = health.ended.saturating_add(1);
            status.clone_into(&mut health.last_end);
        });
    }

    /// The end of its log and where the rest is, for an error.
    pub(crate) fn explain(&self) -> String {
        let mut lines: Vec<String> =
            self.tail.lines().iter().map(|line| format!("  {line}")).collect();
        let log = self.layout.log(self.name());
        lines.push(format!("hint: its whole log is {log}; rigbox doctor checks the machine"));
        lines.join("\n")
    }

    /// Its role's name.
    pub(crate) fn name(&self) -> &'static str {
        self.role.as_str()
    }
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { return Ok(()) };
    // The child was not waited for yet, so its pid is still its own.
    match rustix::process::kill_process(pid, rustix::process::Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("signal a role"),
    }
}

fn hand_over(listener: Option<&TcpListener>) -> anyhow::Result<Stdio> {
    let Some(listener) = listener else { return Ok(Stdio::null()) };
    let copy = listener.try_clone().context("hand a socket over")?;
    Ok(Stdio::from(OwnedFd::from(copy)))
}

/// What a role sees of the supervisor's environment: where programs are, and our own variables.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let ours = std::env::vars().filter(|(name, _)| name.starts_with("RIGBOX_"));
    ours.chain([("PATH".to_owned(), PATH.to_owned())])
}
