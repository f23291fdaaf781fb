//! Set-up: makes the guest the workspace that the host says it is.
//!
//! ```text
//! Waiting ── PUT /setup ──> applied (ready), scripts run ──> services start ──> Done
//! ```
//!
//! Owns what it writes below `/etc/rigbox`, `/run/rigbox` and `/var/lib/rigbox`, its marked parts
//! of other files, and the units with our prefix. Invariant: applying the same set-up again changes
//! nothing; scripts and units belong to the first set-up of a boot.

mod files;
mod identity;
mod scripts;
mod services;
mod state;
mod trust;
mod units;

use std::{io, time::Duration};

use rigbox_types::{
    WorkspaceId,
    guest::{
        AgentFeature, SetupAnswer, SetupReport, SetupRequest, SetupState, setup::DISK_PROBLEM,
    },
};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use self::state::Progress;
use super::{Guest, users::User};

/// How long the files of a set-up may take. The home of a user may be a file system that answers
/// nobody; an emulated guest with a busy disk needs a few seconds.
const FILES_MAX: Duration = Duration::from_secs(60);

/// The set-up of this boot.
pub(crate) struct Setup {
    progress: watch::Sender<Progress>,
    /// One set-up at a time.
    turn: Mutex<()>,
    /// One maker of host keys at a time.
    host_key: Mutex<()>,
    /// Whether this agent has seen to the identity of the disk.
    identity: watch::Sender<Identity>,
}

/// How far the identity of the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Being made where something is missing.
    Making,
    /// There, or not to be had.
    Settled,
}

impl Setup {
    /// Takes up what an agent of the same boot has left.
    pub(crate) fn load(root: &super::root::Root, boot_id: &str) -> Self {
        let progress = Progress::load(root, boot_id);
        Self {
            progress: watch::Sender::new(progress),
            turn: Mutex::new(()),
            host_key: Mutex::new(()),
            identity: watch::Sender::new(Identity::Making),
        }
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until scripts and services are done and the identity is made, or the time is over.
    pub(crate) async fn done_within(&self, limit: Duration) {
        let (mut progress, mut identity) = (self.progress.subscribe(), self.identity.subscribe());
        let done = async {
            // Who says so lives as long as the agent.
            drop(progress.wait_for(|progress| progress.state == SetupState::Done).await);
            drop(identity.wait_for(|identity| *identity == Identity::Settled).await);
        };
        // Out of time is an answer too: the caller shows what there is.
        let _out_of_time = tokio::time::timeout(limit, done).await;
    }

    /// Changes the progress and keeps it for the next agent of this boot.
    fn change(&self, guest: &Guest, act: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(act);
        if let Err(error) = self.progress.borrow().save(&guest.root) {
            warn!(%error, "progress of the set-up not kept");
        }
    }
}

/// What an agent does first: makes the identity of a disk that has none, and goes on with scripts
/// that a former agent of this boot has begun.
pub(crate) async fn begin(guest: &Guest) {
    for problem in identity::ensure(guest).await {
        warn!(problem, "identity is not complete");
    }
    guest.setup.identity.send_replace(Identity::Settled);
    if guest.setup.progress().pending.is_some() {
        scripts::spawn(guest.clone());
    }
}

/// What the guest's SSH server is known by, if it has a key.
pub(crate) fn ssh_host_key(root: &super::root::Root) -> Option<String> {
    identity::public_host_key(root)
}

/// Names of the units that set-up has made.
pub(crate) fn units(guest: &Guest) -> Vec<String> {
    units::ours(guest).into_iter().map(|(unit, _)| unit).collect()
}

/// `PUT /setup`.
pub(crate) async fn apply(guest: &Guest, request: SetupRequest) -> SetupAnswer {
    let _turn = guest.setup.turn.lock().await;
    let mut problems = Problems::default();
    problems.note("the clock", guest.kernel.set_time(request.now));
    problems.all.extend(identity::renew_if_copied(guest, &request.workspace).await);
    problems.note("the host name", guest.kernel.set_hostname(request.guest.name.as_str()));
    let is_first = !guest.setup.progress().ready;
    let workspace = request.workspace.clone();
    let (worker, setup) = (guest.clone(), request.guest.clone());
    let written = tokio::task::spawn_blocking(move || {
        let mut problems = Problems::default();
        if is_first {
            problems.note(DISK_PROBLEM, worker.kernel.grow_root());
        }
        let user = User::default_of(&worker.root);
        problems.all.extend(files::write(&worker.root, &user, &workspace, &setup));
        problems.all
    });
    match tokio::time::timeout(FILES_MAX, written).await {
        Ok(Ok(found)) => problems.all.extend(found),
        Ok(Err(error)) => problems.all.push(format!("files: {error}")),
        // The thread waits on. What it writes then is what it should have written now.
        Err(_) => problems.all.push("files: a file system of the workspace hangs".to_owned()),
    }
    if is_first {
        let (changed, found) = units::install(guest, &request.guest.services);
        problems.all.extend(found);
        start(guest, request, changed);
    }
    for problem in &problems.all {
        warn!(problem, "set-up is not complete");
    }
    let report = SetupReport { hello: super::hello::hello(guest), problems: problems.all };
    SetupAnswer { report, features: vec![AgentFeature::DiskGrow] }
}

fn start(guest: &Guest, request: SetupRequest, units: units::Units) {
    info!(workspace = %request.workspace, "set up");
    let workspace: WorkspaceId = request.workspace;
    let pending = state::Pending {
        scripts: scripts::due(&guest.root, request.guest.setup_scripts),
        services: units::to_start(&request.guest.services),
        reload: units == units::Units::Changed,
    };
    guest.setup.change(guest, |progress| {
        progress.ready = true;
        progress.workspace = Some(workspace);
        progress.state = SetupState::Running;
        progress.pending = Some(pending);
    });
    scripts::spawn(guest.clone());
}

/// Collects what did not work; the rest is done nevertheless.
#[derive(Default)]
struct Problems {
    all: Vec<String>,
}

impl Problems {
    fn note<T>(&mut self, what: &str, result: io::Result<T>) {
        if let Err(error) = result {
            self.all.push(format!("{what}: {error}"));
        }
    }
}
