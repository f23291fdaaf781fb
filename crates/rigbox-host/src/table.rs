//! The workspaces of this host: one task each, and what others may see of it.
//! Invariants: a workspace has at most one task; nothing waits while the table is locked.
//! Does not decide anything about a workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use camino::Utf8PathBuf;
use rigbox_fabric::task;
use rigbox_types::{Observed, WorkspaceId, host::Assignment};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    host::Host,
    net::enter::Namespace,
    record::{Found, Record},
    salvage,
    task::blocking,
    workspace::Workspace,
};

/// What control wants of a workspace.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// This.
    Assigned(Arc<Assignment>),
    /// Control does not know it.
    Unknown,
}

/// What the rest of the host may see of a workspace.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// What was last observed.
    pub(crate) observed: Observed,
    /// The hybrid-vsock socket of the agent, while the VM runs.
    pub(crate) agent: Option<Utf8PathBuf>,
    /// The namespace, while there is one.
    pub(crate) namespace: Option<Namespace>,
    /// Whether control does not know it.
    pub(crate) is_orphan: bool,
}

/// All workspaces.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Mutex<BTreeMap<WorkspaceId, Entry>>,
    /// One recovery at a time: it ends what runs without a record, and that must not be what another
    /// recovery of the same workspace has just led to.
    recoveries: Semaphore,
}

#[derive(Debug)]
struct Entry {
    wanted: watch::Sender<Wanted>,
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: Mutex::default(), recoveries: Semaphore::new(1) }
    }
}

impl Table {
    /// Starts the task of a workspace that has a record.
    pub(crate) fn start(&self, host: &Arc<Host>, record: Record, shutdown: &CancellationToken) {
        let wanted = match &record.assignment {
            Some(assignment) => Wanted::Assigned(Arc::new(assignment.clone())),
            None => Wanted::Unknown,
        };
        self.with(|entries| {
            let workspace = record.workspace.clone();
            entries.insert(workspace, Entry::start(host, record, wanted, shutdown));
        });
    }

    /// Passes on what control wants; starts the task of a workspace that is new.
    pub(crate) async fn assign(
        &self,
        host: &Arc<Host>,
        assignment: Assignment,
        shutdown: &CancellationToken,
    ) {
        let workspace = assignment.workspace.clone();
        let wanted = Wanted::Assigned(Arc::new(assignment));
        if self.send(&workspace, &wanted) {
            return;
        }
        let Ok(_turn) = self.recoveries.acquire().await else { return };
        // Somebody whose turn was before may have started it.
        if self.send(&workspace, &wanted) {
            return;
        }
        let record = recover(host, &workspace).await;
        self.with(|entries| {
            if !shutdown.is_cancelled() {
                entries.insert(workspace, Entry::start(host, record, wanted, shutdown));
            }
        });
    }

    /// Starts tasks again that ended by a bug, from what is on record. How many there were. Forgets
    /// workspaces that have neither: what is left of one is nobody's then, and the sweeper's.
    pub(crate) async fn revive(&self, host: &Arc<Host>, shutdown: &CancellationToken) -> u64 {
        let ended: Vec<WorkspaceId> = self.with(|entries| {
            entries.retain(|workspace, entry| {
                !entry.task.is_finished() || host.layout.record(workspace).exists()
            });
            let ended = entries.iter().filter(|(_, entry)| entry.task.is_finished());
            ended.map(|(workspace, _)| workspace.clone()).collect()
        });
        let mut revived = 0;
        for workspace in ended {
            if self.revive_one(host, workspace, shutdown).await {
                revived += 1;
            }
        }
        revived
    }

    async fn revive_one(
        &self,
        host: &Arc<Host>,
        workspace: WorkspaceId,
        shutdown: &CancellationToken,
    ) -> bool {
        let Ok(_turn) = self.recoveries.acquire().await else { return false };
        // It may have been started or disowned since, or ended because the agent does.
        let is_ended = |entries: &BTreeMap<WorkspaceId, Entry>| {
            let ended = entries.get(&workspace).is_some_and(|entry| entry.task.is_finished());
            ended && !shutdown.is_cancelled()
        };
        if !self.with(|entries| is_ended(entries)) {
            return false;
        }
        let record = recover(host, &workspace).await;
        self.with(|entries| {
            if !is_ended(entries) {
                return false;
            }
            let Some(entry) = entries.get_mut(&workspace) else { return false };
            let wanted = entry.wanted.borrow().clone();
            *entry = Entry::start(host, record, wanted, shutdown);
            true
        })
    }

    /// Tells a workspace that control does not know it.
    pub(crate) fn disown(&self, workspace: &WorkspaceId) {
        self.with(|entries| {
            let gone = |entry: &Entry| entry.wanted.send(Wanted::Unknown).is_err();
            if entries.get(workspace).is_some_and(gone) {
                entries.remove(workspace);
            }
        });
    }

    /// Tells all but these that control does not know them.
    pub(crate) fn disown_others(&self, known: &BTreeSet<WorkspaceId>) {
        for workspace in self.ids() {
            if !known.contains(&workspace) {
                self.disown(&workspace);
            }
        }
    }

    /// What may be seen of a workspace.
    pub(crate) fn view(&self, workspace: &WorkspaceId) -> Option<View> {
        self.with(|entries| entries.get(workspace).map(|entry| entry.view.borrow().clone()))
    }

    /// What may be seen of all.
    pub(crate) fn views(&self) -> Vec<(WorkspaceId, View)> {
        self.with(|entries| {
            let view =
                |(id, entry): (&WorkspaceId, &Entry)| (id.clone(), entry.view.borrow().clone());
            entries.iter().map(view).collect()
        })
    }

    /// How many are seen like this.
    pub(crate) fn count(&self, observed: Observed) -> usize {
        self.with(|entries| {
            entries.values().filter(|entry| entry.view.borrow().observed == observed).count()
        })
    }

    /// Watches what is seen of all, for whoever waits for all of them.
    pub(crate) fn watch(&self) -> Vec<watch::Receiver<View>> {
        self.with(|entries| entries.values().map(|entry| entry.view.clone()).collect())
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn wait(&self) {
        for entry in self.with(std::mem::take).into_values() {
            // A panic was logged where it happened.
            drop(entry.task.await);
        }
    }

    /// Whether there was a task to pass it on to: one that has ended has dropped its end.
    fn send(&self, workspace: &WorkspaceId, wanted: &Wanted) -> bool {
        let send = |entry: &Entry| entry.wanted.send(wanted.clone()).is_ok();
        self.with(|entries| entries.get(workspace).is_some_and(send))
    }

    fn ids(&self) -> Vec<WorkspaceId> {
        self.with(|entries| entries.keys().cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<WorkspaceId, Entry>) -> T) -> T {
        work(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is on record of a workspace that has no task. Ending what is left of its VM may take seconds
/// (see `salvage`), in which others must see the table; an entry that is in it stays there meanwhile,
/// so that nobody takes what is the workspace's for nobody's.
async fn recover(host: &Arc<Host>, workspace: &WorkspaceId) -> Record {
    let (host, workspace) = (host.clone(), workspace.clone());
    blocking(move || on_record(&host, &workspace)).await
}

/// Blocks. An empty record where there is nothing.
fn on_record(host: &Host, workspace: &WorkspaceId) -> Record {
    match Record::load(&host.layout, workspace.clone()) {
        Ok(Found::Record(record)) => record,
        Ok(Found::Nothing { .. }) => Record::new(workspace.clone()),
        Ok(Found::SetAside { path, reason, .. }) => {
            tracing::error!(%workspace, %path, %reason, "corrupt record set aside");
            let made_up = salvage::make_up(&host.layout, &host.disks, &host.cgroups, workspace);
            made_up.unwrap_or_else(|| Record::new(workspace.clone()))
        }
        Err(error) => {
            tracing::error!(%workspace, %error, "record not read");
            Record::new(workspace.clone())
        }
    }
}

impl Entry {
    fn start(
        host: &Arc<Host>,
        record: Record,
        wanted: Wanted,
        shutdown: &CancellationToken,
    ) -> Self {
        let (wanted, inbox) = watch::channel(wanted);
        // Until the task has looked.
        let observed = if record.is_empty() { Observed::Absent } else { Observed::Preparing };
        let view = View { observed, agent: None, namespace: None, is_orphan: false };
        let (publish, view) = watch::channel(view);
        let workspace = Workspace::new(host.clone(), record, inbox, publish);
        let task = task::spawn("host.workspace", workspace.run(shutdown.clone()));
        Self { wanted, view, task }
    }
}
