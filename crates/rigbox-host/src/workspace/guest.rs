//! Talks to the agent in the guest, in tasks of its own: a guest may be slow or hang.
//! Invariant: what a guest says is bounded before it is kept, and is never more than a report.

use std::sync::Arc;

use camino::Utf8PathBuf;
use rigbox_fabric::task;
use rigbox_guest::client::{Agent, AgentError, bridge};
use rigbox_types::{
    WorkspaceId,
    guest::{SetupRequest, SetupState, ShutdownKind},
    host::{GuestSetup, SetupResult},
    limits::SETUP_MAX_COUNT,
};
use rigbox_vmm::{AgentChannel, Running, Vmm};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Workspace, live::LiveVm};
use crate::{clock, fault, fault::Point, metrics::count, record::Told};

/// Longest output of a setup script that is kept, in bytes.
const TAIL_MAX_LEN: usize = 8 * 1024;

/// Longest name of a setup script that is kept, in bytes.
const NAME_MAX_LEN: usize = 256;

/// Pause before a guest that could not be told is told again.
const TELL_PAUSE: Duration = Duration::from_secs(5);

/// Pause before a bridge or a watch that broke is made again.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);

/// How long a guest may take to take in that it shall shut down.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one wait for the setup scripts lasts.
const SETUP_WAIT: Duration = Duration::from_secs(25);

/// What the tasks around a VM have to say. Each carries the epoch of its VM.
pub(crate) enum Event {
    /// The process is gone.
    Exited(u64),
    /// The guest took what it was told, which had this digest.
    Told(u64, String),
    /// The guest could not be told.
    TellFailed(u64, String),
    /// How its setup scripts went so far.
    Setup(u64, Vec<SetupResult>),
}

/// Identifies what a guest is told, so that it is told again when that changes.
pub(super) fn digest(setup: &GuestSetup) -> String {
    // A map that cannot be written as JSON does not exist among its fields.
    let text = serde_json::to_vec(setup).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Workspace {
    /// Holds a VM: watches for its end, and bridges the way to its agent.
    pub(super) fn attach(&mut self, running: Running, driver: Arc<dyn Vmm>) {
        let epoch = self.live.epoch;
        let cancel = CancellationToken::new();
        let exit = watch_exit(running.clone(), epoch, self.notify.clone());
        let mut tasks = vec![spawn("host.vm.exit", &cancel, exit)];
        let agent = match &running.channel {
            AgentChannel::Vsock { uds } => uds.clone(),
            AgentChannel::Serial { socket } => {
                let uds = running.spec().run_dir.join("guest.sock");
                let bridge = keep_bridge(socket.clone(), uds.clone(), cancel.clone());
                tasks.push(task::spawn("host.vm.bridge", bridge));
                uds
            }
        };
        self.live.hold(LiveVm { running, driver, agent, cancel, tasks, telling: None });
    }

    /// Tells the guest what it is, in the background.
    pub(super) fn tell_guest(&mut self, setup: &GuestSetup) {
        let (epoch, digest) = (self.live.epoch, self.live.guest_digest.clone());
        let (workspace, notify) = (self.record.workspace.clone(), self.notify.clone());
        let limit = self.host.config.times.boot();
        let Some(vm) = &mut self.live.vm else { return };
        let agent = Agent::new(vm.agent.clone());
        let guest = setup.clone();
        let tell = async move {
            let told = tell(&agent, workspace, guest, limit).await;
            let event = match &told {
                Ok(()) => Event::Told(epoch, digest),
                Err(error) => Event::TellFailed(epoch, error.to_string()),
            };
            send(&notify, event).await;
            if told.is_ok() {
                follow(&agent, epoch, &notify).await;
            }
        };
        let cancel = vm.cancel.child_token();
        vm.tasks.retain(|task| !task.is_finished());
        vm.tasks.push(spawn("host.vm.tell", &cancel, tell));
        vm.telling = Some(cancel);
    }

    /// Asks how the setup scripts go, after a restart of the agent.
    pub(super) fn follow_setup(&mut self) {
        let (epoch, notify) = (self.live.epoch, self.notify.clone());
        let Some(vm) = &mut self.live.vm else { return };
        let agent = Agent::new(vm.agent.clone());
        let follow = async move { follow(&agent, epoch, &notify).await };
        vm.tasks.push(spawn("host.vm.follow", &vm.cancel.clone(), follow));
    }

    /// Tells the guest the time, in the background.
    pub(super) fn set_guest_time(&mut self) {
        let Some(vm) = &mut self.live.vm else { return };
        let agent = Agent::new(vm.agent.clone());
        let set = async move {
            if let Err(error) = agent.time_set(clock::now()).await {
                tracing::warn!(%error, "time of a guest not set");
            }
        };
        vm.tasks.retain(|task| !task.is_finished());
        vm.tasks.push(spawn("host.vm.time", &vm.cancel.clone(), set));
    }

    /// Asks the guest to shut down. A guest that does not listen is no error: time runs for it.
    pub(super) async fn ask_guest(&self) {
        let Some(agent) = self.live.agent() else { return };
        // A reset ends every VMM of ours; a power-off does not end Firecracker.
        let agent = Agent::new(agent);
        let ask = agent.shutdown(ShutdownKind::Reboot);
        match timeout(ASK_TIMEOUT, ask).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%error, "guest cannot be asked to shut down"),
            Err(_) => tracing::info!("guest does not listen"),
        }
    }

    pub(super) async fn take_event(&mut self, event: Event) {
        let epoch = self.live.epoch;
        match event {
            Event::Exited(of) if of == epoch => {
                let words = self.live.vm.as_ref().map(|vm| vm.running.last_words());
                let words = cut(words.unwrap_or_default(), TAIL_MAX_LEN);
                tracing::info!(words = words.trim(), "VM ended");
                self.live.gone();
            }
            Event::Told(of, digest) if of == epoch => self.note_told(digest).await,
            Event::TellFailed(of, error) if of == epoch => {
                tracing::warn!(%error, "guest not told what it is");
                self.live.tell_at = Some(Instant::now() + TELL_PAUSE);
                self.stop_telling();
            }
            Event::Setup(of, results) if of == epoch => self.live.setup = results,
            // Of a VM that is gone.
            Event::Exited(_) | Event::Told(..) | Event::TellFailed(..) | Event::Setup(..) => {}
        }
    }

    async fn note_told(&mut self, digest: String) {
        fault::point(Point::TellBefore);
        let before = self.record.vm.as_ref().and_then(|vm| vm.told.as_ref());
        let ready_at = before.map_or_else(clock::now, |told| told.ready_at);
        let told = Told { digest, ready_at };
        let noted = self.write(|record| {
            if let Some(vm) = &mut record.vm {
                vm.told = Some(told);
            }
        });
        match noted.await {
            Ok(()) => {
                self.live.ready_since.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                tracing::error!(error = %error.chain(), "readiness not written down");
                self.live.tell_at = Some(Instant::now() + TELL_PAUSE);
            }
        }
        fault::point(Point::TellAfter);
        self.stop_telling();
    }

    fn stop_telling(&mut self) {
        if let Some(vm) = &mut self.live.vm {
            // The task goes on following the setup scripts.
            vm.telling = None;
        }
    }

    /// Counts and forgets nothing else: the record says what was promised to whom.
    pub(super) fn count_exit(&self) {
        count(&self.host.metrics.exits_total);
    }
}

fn spawn(
    name: &'static str,
    cancel: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let cancel = cancel.clone();
    task::spawn(name, async move {
        cancel.run_until_cancelled(work).await;
    })
}

async fn tell(
    agent: &Agent,
    workspace: WorkspaceId,
    guest: GuestSetup,
    limit: Duration,
) -> Result<(), AgentError> {
    agent.hello_within(limit).await?;
    let request = SetupRequest { workspace, now: clock::now(), guest };
    let report = agent.setup(&request).await?;
    for problem in report.problems.iter().take(SETUP_MAX_COUNT) {
        let problem = cut(problem.replace(char::is_control, "\u{fffd}"), NAME_MAX_LEN);
        tracing::warn!(%problem, "a part of the setup was not applied");
    }
    Ok(())
}

/// Reports how the setup scripts go until all have ended.
async fn follow(agent: &Agent, epoch: u64, notify: &mpsc::Sender<Event>) {
    loop {
        match agent.setup_done(SETUP_WAIT).await {
            Ok(hello) => {
                let done = hello.setup_state == SetupState::Done;
                send(notify, Event::Setup(epoch, bounded(hello.setup))).await;
                if done {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "state of the setup scripts not known");
                sleep(TELL_PAUSE).await;
            }
        }
    }
}

async fn send(notify: &mpsc::Sender<Event>, event: Event) {
    // Nobody is left to tell when the workspace's task has ended.
    drop(notify.send(event).await);
}

async fn watch_exit(running: Running, epoch: u64, notify: mpsc::Sender<Event>) {
    while let Err(error) = running.wait_exit().await {
        tracing::warn!(%error, "end of a VM cannot be watched");
        sleep(REPAIR_PAUSE).await;
    }
    send(&notify, Event::Exited(epoch)).await;
}

/// Bridges the serial line for as long as the VM is held.
async fn keep_bridge(socket: Utf8PathBuf, uds: Utf8PathBuf, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(error) = bridge(&socket, &uds, cancel.clone()).await {
            tracing::warn!(%error, "way to the guest not bridged");
        }
        cancel.run_until_cancelled(sleep(REPAIR_PAUSE)).await;
    }
}

fn bounded(mut results: Vec<SetupResult>) -> Vec<SetupResult> {
    results.truncate(SETUP_MAX_COUNT);
    for result in &mut results {
        result.name = cut(std::mem::take(&mut result.name), NAME_MAX_LEN);
        result.output_tail = cut(std::mem::take(&mut result.output_tail), TAIL_MAX_LEN);
    }
    results
}

fn cut(mut text: String, limit: usize) -> String {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_is_cut_at_a_character() {
        assert_eq!(cut("aä".to_owned(), 2), "a");
        assert_eq!(cut("aä".to_owned(), 3), "aä");
        assert_eq!(cut(String::new(), 3), "");
    }
}
