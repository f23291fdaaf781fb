//! Talks to the agent in the guest, in tasks of its own: a guest may be slow or hang.
//! Invariant: what a guest says is bounded before it is kept, and is never more than a report.

use std::sync::Arc;

use camino::Utf8PathBuf;
use rigbox_fabric::task;
use rigbox_guest::client::{Agent, AgentError, bridge};
use rigbox_types::{
    Ed25519Key, WorkspaceId,
    guest::{Hello, SetupAnswer, SetupRequest, SetupState, ShutdownKind, setup::SCRIPT_MAX_S},
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

/// What a user runs in a workspace whose agent does not make the file system as large as the disk.
const DISK_HINT: &str = "run `sudo resize2fs /dev/vda` in the workspace if its disk was enlarged";

/// How long a guest may take to take in that it shall shut down.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one wait for the setup scripts lasts.
const SETUP_WAIT: Duration = Duration::from_secs(25);

/// Pause before the next such wait. A guest that answers without having waited gets a longer one
/// each time: what it says costs this host and control work.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);
const HASTY_PAUSE: Duration = Duration::from_secs(3);
const HASTY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a boot may take beyond the time of its scripts before they are followed no longer.
const FOLLOW_MARGIN: Duration = Duration::from_secs(3600);

/// What the tasks around a VM have to say. Each carries the epoch of its VM.
pub(crate) enum Event {
    /// The process is gone.
    Exited(u64),
    /// The guest took what it was told, which had this digest, and may have said what its SSH server
    /// is known by.
    Told(u64, String, Option<Ed25519Key>),
    /// The guest could not be told.
    TellFailed(u64, String),
    /// How far it is.
    Heard(u64, Heard),
}

/// What a guest says while its setup scripts run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// How they went so far.
    setup: Vec<SetupResult>,
    /// What its SSH server is known by: on a new disk, its key is made meanwhile.
    ssh_host_key: Option<Ed25519Key>,
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
        let is_first = self.record.vm.as_ref().is_none_or(|vm| vm.told.is_none());
        let Some(vm) = &mut self.live.vm else { return };
        let agent = Agent::new(vm.agent.clone());
        let guest = setup.clone();
        let patience = follow_limit(setup);
        let tell = async move {
            let told = tell(&agent, workspace.clone(), guest, limit).await;
            // Only the first one of a boot grows a file system, and once is enough to say it.
            if is_first && told.as_ref().is_ok_and(SetupAnswer::is_disk_left) {
                tracing::warn!(
                    %workspace,
                    hint = DISK_HINT,
                    "the file system may be smaller than the disk"
                );
            }
            let event = match &told {
                Ok(answer) => Event::Told(epoch, digest, host_key(&answer.report.hello)),
                Err(error) => Event::TellFailed(epoch, error.to_string()),
            };
            send(&notify, event).await;
            if told.is_ok() {
                follow(&agent, epoch, &notify, patience).await;
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
        let Some(assignment) = &self.record.assignment else { return };
        let patience = follow_limit(&assignment.guest);
        let Some(vm) = &mut self.live.vm else { return };
        let agent = Agent::new(vm.agent.clone());
        let follow = async move { follow(&agent, epoch, &notify, patience).await };
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
            Event::Told(of, digest, key) if of == epoch => self.note_told(digest, key).await,
            Event::TellFailed(of, error) if of == epoch => {
                tracing::warn!(%error, "guest not told what it is");
                self.live.tell_at = Some(Instant::now() + TELL_PAUSE);
                self.stop_telling();
            }
            Event::Heard(of, heard) if of == epoch => {
                self.live.setup = heard.setup;
                self.note_host_key(heard.ssh_host_key).await;
            }
            // Of a VM that is gone.
            Event::Exited(_) | Event::Told(..) | Event::TellFailed(..) | Event::Heard(..) => {}
        }
    }

    async fn note_told(&mut self, digest: String, key: Option<Ed25519Key>) {
        fault::point(Point::TellBefore);
        let before = self.record.vm.as_ref().and_then(|vm| vm.told.as_ref());
        let ready_at = before.map_or_else(clock::now, |told| told.ready_at);
        let ssh_host_key = key.or_else(|| before.and_then(|told| told.ssh_host_key.clone()));
        let told = Told { digest, ready_at, ssh_host_key };
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

    /// Notes a key that was not known when the guest was told. Only the first: a guest that says
    /// another one each time costs the disk nothing.
    async fn note_host_key(&mut self, key: Option<Ed25519Key>) {
        let told = self.record.vm.as_ref().and_then(|vm| vm.told.as_ref());
        if key.is_none() || told.is_none_or(|told| told.ssh_host_key.is_some()) {
            return;
        }
        let noted = self.write(|record| {
            if let Some(told) = record.vm.as_mut().and_then(|vm| vm.told.as_mut()) {
                told.ssh_host_key = key;
            }
        });
        if let Err(error) = noted.await {
            // The guest says it again at its next set-up.
            tracing::warn!(error = %error.chain(), "host key of a guest not written down");
        }
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
) -> Result<SetupAnswer, AgentError> {
    agent.hello_within(limit).await?;
    let request = SetupRequest { workspace, now: clock::now(), guest };
    let answer = agent.setup(&request).await?;
    for problem in answer.report.problems.iter().take(SETUP_MAX_COUNT) {
        let problem = cut(problem.replace(char::is_control, "\u{fffd}"), NAME_MAX_LEN);
        tracing::warn!(%problem, "a part of the setup was not applied");
    }
    Ok(answer)
}

/// How long the scripts of a boot may take together.
fn follow_limit(setup: &GuestSetup) -> Duration {
    let scripts = u32::try_from(setup.setup_scripts.len()).unwrap_or(u32::MAX);
    Duration::from_secs(SCRIPT_MAX_S).saturating_mul(scripts).saturating_add(FOLLOW_MARGIN)
}

/// Reports how the setup scripts go until all have ended, or could have long ago.
async fn follow(agent: &Agent, epoch: u64, notify: &mpsc::Sender<Event>, limit: Duration) {
    if timeout(limit, follow_to_the_end(agent, epoch, notify)).await.is_err() {
        tracing::warn!("the guest does not say that its setup scripts have ended");
    }
}

async fn follow_to_the_end(agent: &Agent, epoch: u64, notify: &mpsc::Sender<Event>) {
    let mut hasty = HASTY_PAUSE;
    let mut said = None;
    loop {
        let asked = Instant::now();
        let pause = match agent.setup_done(SETUP_WAIT).await {
            Ok(hello) => {
                let done = hello.setup_state == SetupState::Done;
                let ssh_host_key = host_key(&hello);
                let heard = Heard { setup: bounded(hello.setup), ssh_host_key };
                // Only what is new is worth an observation.
                if said.as_ref() != Some(&heard) {
                    send(notify, Event::Heard(epoch, heard.clone())).await;
                    said = Some(heard);
                }
                if done {
                    return;
                }
                if asked.elapsed() >= SETUP_WAIT / 2 {
                    hasty = HASTY_PAUSE;
                    FOLLOW_PAUSE
                } else {
                    let pause = hasty;
                    hasty = hasty.saturating_mul(2).min(HASTY_PAUSE_MAX);
                    pause
                }
            }
            Err(error) => {
                tracing::debug!(%error, "state of the setup scripts not known");
                TELL_PAUSE
            }
        };
        sleep(pause).await;
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

/// What a guest says that its SSH server is known by, where that is a key.
fn host_key(hello: &Hello) -> Option<Ed25519Key> {
    hello.ssh_host_key.as_ref()?.parse().ok()
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
    use rigbox_types::SetupScriptId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// An agent that says at once, and each time something else, that its scripts still run.
    fn hasty_agent() -> (tempfile::TempDir, Agent) {
        let folder = tempfile::tempdir().unwrap();
        let uds = Utf8PathBuf::try_from(folder.path().join("uds")).unwrap();
        let listener = tokio::net::UnixListener::bind(&uds).unwrap();
        tokio::spawn(async move {
            for turn in 0_u32.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_exact(&mut [0; 13]).await.unwrap();
                stream.write_all(b"OK 1\n").await.unwrap();
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let hello = serde_json::json!({
                    "version": "0", "boot_id": "x", "uptime_ms": 0, "workspace": null,
                    "ready": true, "setup_state": "running", "system": "unknown",
                    "setup": [{
                        "id": SetupScriptId::from_random([1; 16]), "name": turn.to_string(),
                        "exit_code": null, "output_tail": "", "finished_at": null,
                    }],
                })
                .to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", hello.len());
                stream.write_all((head + &hello).as_bytes()).await.unwrap();
            }
        });
        (folder, Agent::new(uds))
    }

    #[tokio::test]
    async fn a_guest_that_answers_at_once_is_not_asked_at_once_again() {
        let (_folder, agent) = hasty_agent();
        let (notify, mut events) = mpsc::channel(64);
        let limit = HASTY_PAUSE + Duration::from_secs(1);
        let began = Instant::now();
        follow(&agent, 1, &notify, limit).await;
        assert!(began.elapsed() < limit * 2, "it gives up in the end");
        drop(notify);
        let mut count = 0;
        while events.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 2, "at first, and after one pause");
    }

    #[test]
    fn a_host_key_that_is_none_is_as_good_as_nothing() {
        let check = |said: serde_json::Value, expected: Option<&str>| {
            let mut hello = serde_json::json!({
                "version": "0", "boot_id": "x", "uptime_ms": 0, "workspace": null, "ready": true,
                "setup_state": "done", "system": "unknown", "setup": [],
            });
            hello["ssh_host_key"] = said;
            let hello = serde_json::from_value(hello).unwrap();
            assert_eq!(host_key(&hello).as_ref().map(Ed25519Key::as_str), expected);
        };
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";
        check(key.into(), Some(key));
        check(serde_json::Value::Null, None);
        check(format!("{key} root@workspace").into(), None);
        check("a".repeat(1 << 20).into(), None);
    }

    #[test]
    fn what_a_guest_says_is_cut_at_a_character() {
        assert_eq!(cut("aä".to_owned(), 2), "a");
        assert_eq!(cut("aä".to_owned(), 3), "aä");
        assert_eq!(cut(String::new(), 3), "");
    }
}
