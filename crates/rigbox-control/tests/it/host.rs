//! A host at the wire: it registers, watches, reports, and stands between control and the agents of
//! its workspaces. It makes no VM: a test says how far each workspace comes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use camino::Utf8Path;
use http::Method;
use rigbox_fabric::{Address, Client, ClientAuth, FabricError, Listener, ServerAuth, serve, task};
use rigbox_types::{
    Desired, Failure, Generation, HostId, Observed, Revision, Timestamp, WorkspaceId,
    host::{
        Assignment, Capacity, DriverName, HostRegistration, HostReport, Observation, Sequence,
        WatchEvent,
    },
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{Agent, router},
    client::PATIENCE,
};

/// What the host knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) assignments: BTreeMap<WorkspaceId, Assignment>,
    pub(crate) removed: Vec<WorkspaceId>,
    pub(crate) revision: Option<Revision>,
    pub(crate) synced: u32,
    pub(crate) resets: u32,
    pub(crate) heartbeats: u32,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) agent: Agent,
    pub(crate) known: watch::Receiver<Known>,
    pub(crate) control: Client,
    pub(crate) registration: HostRegistration,
    sender: Arc<watch::Sender<Known>>,
    count: Arc<AtomicU64>,
}

impl Host {
    /// Starts a host that listens beside control and has not registered yet.
    pub(crate) async fn start(
        dir: &Utf8Path,
        control: Address,
        number: u8,
        shutdown: &CancellationToken,
    ) -> Self {
        let id = HostId::from_random([number; 8]);
        let address = Address::Unix(dir.join(format!("h{number}.sock")));
        let agent = Agent::default();
        let auth = ServerAuth::Local { peer_uid: None };
        let listener = Listener::bind(address.clone(), &auth).await.unwrap();
        task::spawn("test.host", serve(listener, router(agent.clone()), shutdown.clone()));
        let (sender, known) = watch::channel(Known::default());
        Self {
            registration: HostRegistration {
                id: id.clone(),
                region: "here".parse().unwrap(),
                address: address.to_string(),
                version: "0".to_owned(),
                driver: DriverName::QemuTcg,
                capacity: Capacity { vcpus: 64, memory_mib: 4_096, disk_mib: 40_960 },
            },
            id,
            agent,
            known,
            control: Client::new(control, &ClientAuth::Local).unwrap(),
            sender: Arc::new(sender),
            count: Arc::new(AtomicU64::new(0)),
        }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/internal/v1/hosts/{}{rest}", self.id)
    }

    /// Registers as `self.registration` says.
    pub(crate) async fn register(&self) {
        let path = self.path("");
        self.control.json::<_, ()>(Method::PUT, &path, &self.registration).await.unwrap();
    }

    /// Watches from `after` on, until shutdown.
    pub(crate) fn watch(&self, after: Option<Revision>, shutdown: &CancellationToken) {
        let (host, shutdown) = (self.clone(), shutdown.clone());
        task::spawn("test.watch", async move {
            shutdown.run_until_cancelled(host.follow(after)).await;
        });
    }

    /// Follows one watch to its end; begins again where control is gone for a moment.
    async fn follow(&self, mut after: Option<Revision>) {
        loop {
            let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
            let path = self.path(&format!("/assignments{query}"));
            if let Ok(mut watch) = self.control.watch::<WatchEvent>(&path).await {
                while let Ok(Some(event)) = watch.next().await {
                    self.take(event);
                }
            }
            after = self.known.borrow().revision;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn take(&self, event: WatchEvent) {
        self.sender.send_modify(|known| match event {
            WatchEvent::Reset => {
                known.assignments.clear();
                known.resets += 1;
            }
            WatchEvent::Assigned { revision, assignment } => {
                known.revision = known.revision.max(Some(revision));
                known.assignments.insert(assignment.workspace.clone(), *assignment);
            }
            WatchEvent::Removed { revision, workspace } => {
                known.revision = known.revision.max(Some(revision));
                known.assignments.remove(&workspace);
                known.removed.push(workspace);
            }
            WatchEvent::Synced { revision } => {
                known.revision = Some(revision);
                known.synced += 1;
            }
            WatchEvent::Heartbeat => known.heartbeats += 1,
        });
    }

    /// Waits until what the host knows is as wanted.
    pub(crate) async fn knows(&self, wanted: impl FnMut(&Known) -> bool) -> Known {
        let mut known = self.known.clone();
        let found = timeout(PATIENCE, known.wait_for(wanted)).await.expect("the host is told");
        found.unwrap().clone()
    }

    /// Waits for an assignment of `workspace` that is wanted to be `desired`.
    pub(crate) async fn assigned(&self, workspace: &str, desired: Desired) -> Assignment {
        let id: WorkspaceId = workspace.parse().unwrap();
        let is = |known: &Known| known.assignments.get(&id).is_some_and(|a| a.desired == desired);
        self.knows(is).await.assignments[&id].clone()
    }

    /// Reports what the host sees of `workspace`, as an answer to its newest assignment.
    pub(crate) async fn see(&self, workspace: &str, observed: Observed) {
        let observation = self.observation(workspace, observed);
        self.report(vec![observation]).await.unwrap();
    }

    /// Reports a failure of `workspace`.
    pub(crate) async fn fail(&self, workspace: &str, failure: Failure) {
        let observation =
            Observation { failure: Some(failure), ..self.observation(workspace, Observed::Failed) };
        self.report(vec![observation]).await.unwrap();
    }

    /// An observation that is newer than any before.
    pub(crate) fn observation(&self, workspace: &str, observed: Observed) -> Observation {
        let id: WorkspaceId = workspace.parse().unwrap();
        let generation =
            self.known.borrow().assignments.get(&id).map_or(Generation(1), |a| a.generation);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        Observation {
            workspace: id,
            generation,
            observed,
            sequence: Sequence { incarnation: 1, count },
            failure: None,
            ready_at: None,
            setup: Vec::new(),
            ssh_host_key: None,
            observed_at: Timestamp::from_micros(1_000_000),
        }
    }

    pub(crate) async fn report(&self, observations: Vec<Observation>) -> Result<(), FabricError> {
        let report = HostReport { promised: Capacity::default(), drift: 0, observations };
        self.control.json(Method::POST, &self.path("/reports"), &report).await
    }

    /// Brings a workspace that should run to where it does.
    pub(crate) async fn run(&self, workspace: &str) {
        self.assigned(workspace, Desired::Running).await;
        for observed in [Observed::Preparing, Observed::Booting, Observed::Running] {
            self.see(workspace, observed).await;
        }
    }

    /// Tells the guest of a workspace that runs whatever it is to know, as soon as that is known.
    pub(crate) fn obey(&self, workspace: &str, shutdown: &CancellationToken) {
        let (host, shutdown) = (self.clone(), shutdown.clone());
        let (workspace, mut known) = (workspace.to_owned(), self.known.clone());
        task::spawn("test.obey", async move {
            let obey = async {
                while known.changed().await.is_ok() {
                    host.see(&workspace, Observed::Running).await;
                }
            };
            shutdown.run_until_cancelled(obey).await;
        });
    }

    /// Brings a workspace that should not run to where it does not.
    pub(crate) async fn stop(&self, workspace: &str) {
        self.assigned(workspace, Desired::Stopped).await;
        for observed in [Observed::Stopping, Observed::Stopped] {
            self.see(workspace, observed).await;
        }
    }

    /// Removes a workspace that should be gone.
    pub(crate) async fn remove(&self, workspace: &str) {
        self.assigned(workspace, Desired::Deleted).await;
        for observed in [Observed::Deleting, Observed::Absent] {
            self.see(workspace, observed).await;
        }
    }
}
