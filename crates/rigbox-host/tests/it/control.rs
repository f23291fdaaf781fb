//! A control that says what a test tells it, over the real fabric, and remembers what it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::{get, post, put},
};
use futures_util::{StreamExt as _, stream};
use rigbox_fabric::{Address, Listener, ServerAuth, task};
use rigbox_types::{
    Generation, Observed, Revision, WorkspaceId,
    host::{Assignment, HostAnnouncement, HostReport, Observation, WatchEvent},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything: a machine that compiles beside the tests is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// What control knows. A new revision wakes the streams.
#[derive(Debug, Clone, Default)]
struct Known {
    revision: u64,
    assignments: BTreeMap<WorkspaceId, Assignment>,
}

/// What control was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) registration: Option<HostAnnouncement>,
    pub(crate) observations: BTreeMap<WorkspaceId, Observation>,
    pub(crate) last: Option<HostReport>,
    pub(crate) most_drift: u32,
    pub(crate) reports: u64,
}

pub(crate) struct Control {
    state: Shared,
    shutdown: CancellationToken,
    serving: Option<tokio::task::JoinHandle<()>>,
    address: Address,
}

#[derive(Clone)]
struct Shared {
    known: Arc<watch::Sender<Known>>,
    told: Arc<watch::Sender<Told>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Control {
    pub(crate) async fn start(address: Address) -> Self {
        let state = Shared {
            known: Arc::new(watch::Sender::default()),
            told: Arc::new(watch::Sender::default()),
            asked: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let mut control = Self { state, shutdown, serving: None, address };
        control.open().await;
        control
    }

    /// Answers from now on.
    pub(crate) async fn open(&mut self) {
        let auth = ServerAuth::Local { peer_uid: None };
        let listener = Listener::bind(self.address.clone(), &auth).await.unwrap();
        let router = Router::new()
            .route("/internal/v1/hosts/{id}", put(register))
            .route("/internal/v1/hosts/{id}/assignments", get(assignments))
            .route("/internal/v1/hosts/{id}/reports", post(report))
            .route("/internal/v1/hosts/{id}/guest-api/{workspace}/{*path}", get(guest_api))
            .with_state((self.state.clone(), self.shutdown.clone()));
        let serve = rigbox_fabric::serve(listener, router, self.shutdown.clone());
        self.serving = Some(task::spawn("test.control", serve));
    }

    /// Answers no more, as if it had been killed.
    pub(crate) async fn close(&mut self) {
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap();
        self.shutdown = CancellationToken::new();
    }

    /// Wants something else of a workspace, as a new generation.
    pub(crate) fn assign(&self, mut assignment: Assignment) -> Generation {
        let mut generation = Generation(0);
        self.state.known.send_modify(|known| {
            known.revision += 1;
            let before = known.assignments.get(&assignment.workspace);
            generation = before.map_or(Generation(1), |before| before.generation.next());
            assignment.generation = generation;
            known.assignments.insert(assignment.workspace.clone(), assignment.clone());
        });
        generation
    }

    /// Says something that was wanted before once more.
    pub(crate) fn assign_again(&self, assignment: Assignment) {
        self.state.known.send_modify(|known| {
            known.revision += 1;
            known.assignments.insert(assignment.workspace.clone(), assignment);
        });
    }

    /// Forgets a workspace.
    pub(crate) fn forget(&self, workspace: &WorkspaceId) {
        self.state.known.send_modify(|known| {
            known.revision += 1;
            known.assignments.remove(workspace);
        });
    }

    pub(crate) fn told(&self) -> Told {
        self.state.told.borrow().clone()
    }

    /// Paths that guests asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Waits for a value of what was told.
    pub(crate) async fn wait<T>(&self, what: &str, mut pick: impl FnMut(&Told) -> Option<T>) -> T {
        let mut told = self.state.told.subscribe();
        let mut found = None;
        let waited = timeout(
            PATIENCE,
            told.wait_for(|told| {
                found = pick(told);
                found.is_some()
            }),
        );
        if waited.await.is_err() {
            panic!("waited for {what}; was told {:#?}", self.told());
        }
        found.unwrap()
    }

    /// Waits until a workspace is seen in a state, for a generation.
    pub(crate) async fn wait_for(
        &self,
        workspace: &WorkspaceId,
        generation: Generation,
        observed: Observed,
    ) -> Observation {
        self.wait(&format!("{observed:?} of {generation}"), |told| {
            let seen = told.observations.get(workspace)?;
            (seen.generation == generation && seen.observed == observed).then(|| seen.clone())
        })
        .await
    }

    /// Waits for a number of further reports.
    pub(crate) async fn wait_for_reports(&self, count: u64) {
        let until = self.told().reports + count;
        self.wait("reports", |told| (told.reports >= until).then_some(())).await;
    }
}

type Parts = (Shared, CancellationToken);

async fn register(
    State((shared, _)): State<Parts>,
    Json(registration): Json<HostAnnouncement>,
) -> Json<()> {
    shared.told.send_modify(|told| told.registration = Some(registration));
    Json(())
}

/// The whole set at each change: the simplest stream that keeps the promises.
async fn assignments(State((shared, shutdown)): State<Parts>) -> Response<Body> {
    let mut known = shared.known.subscribe();
    known.mark_changed();
    let sets = stream::unfold((known, shutdown), |(mut known, shutdown)| async {
        tokio::select! {
            changed = known.changed() => changed.ok()?,
            () = shutdown.cancelled() => return None,
        }
        let set = known.borrow_and_update().clone();
        let revision = Revision(set.revision);
        let assigned = set.assignments.into_values().map(move |assignment| WatchEvent::Assigned {
            revision,
            assignment: Box::new(assignment),
        });
        let events = std::iter::once(WatchEvent::Reset)
            .chain(assigned)
            .chain([WatchEvent::Synced { revision }]);
        Some((stream::iter(events.collect::<Vec<_>>()), (known, shutdown)))
    });
    rigbox_fabric::watch::response(sets.flatten(), WatchEvent::Heartbeat)
}

async fn report(State((shared, _)): State<Parts>, Json(report): Json<HostReport>) -> Json<()> {
    shared.told.send_modify(|told| {
        for observation in report.observations.clone() {
            let known = told.observations.get(&observation.workspace);
            if known.is_none_or(|known| known.sequence < observation.sequence) {
                told.observations.insert(observation.workspace.clone(), observation);
            }
        }
        told.most_drift = told.most_drift.max(report.drift);
        told.last = Some(report);
        told.reports += 1;
    });
    Json(())
}

async fn guest_api(
    State((shared, _)): State<Parts>,
    Path((_, workspace, path)): Path<(String, String, String)>,
) -> Json<serde_json::Value> {
    shared.asked.lock().unwrap().push(format!("{workspace} {path}"));
    Json(serde_json::json!({ "workspace": workspace }))
}
