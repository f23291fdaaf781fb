//! Asks the guests that run: all of them every minute, and each one as soon as it runs.
//! Invariants: at most [`ASKED_AT_ONCE`] are asked at a time and each has [`PATIENCE`]; those that
//! were silent are asked after the others. A sample that is missed is missed.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rigbox_fabric::task;
use rigbox_store::{
    PageRequest, StoreError,
    feed::Wake,
    samples::Sample,
    workspaces::{Owner, WorkspaceRow},
};
use rigbox_types::{
    Principal, Right, Status, WorkspaceId,
    authz::{Resource, authorise},
    guest::GuestMetrics,
    limits::PAGE_MAX,
};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    control::Control,
    error::ApiResult,
    guest::{agent::Agent, live::cpu_percent},
    source::now,
};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// Most guests that are asked at a time.
const ASKED_AT_ONCE: usize = 16;
/// How long a guest may take. An emulated one that is busy was seen to take 2 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known between rounds; only a matter of order, so nothing is lost with it.
#[derive(Default)]
struct Known {
    /// Those that run and have been asked since they do.
    asked: HashSet<WorkspaceId>,
    /// Those that did not answer the last time.
    silent: HashSet<WorkspaceId>,
}

struct Collector {
    control: Arc<Control>,
    known: Mutex<Known>,
    /// For those that have just begun to run: not held up by a round.
    places: Arc<Semaphore>,
}

/// Runs until the process ends.
pub(crate) async fn run(control: Arc<Control>) {
    let shutdown = control.shutdown.clone();
    let places = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let collector = Arc::new(Collector { control, known: Mutex::default(), places });
    let both = async { tokio::join!(rounds(&collector), firsts(&collector)) };
    shutdown.run_until_cancelled(both).await;
}

async fn rounds(collector: &Arc<Collector>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = collector.round().await {
            tracing::warn!(%error, "guests were not measured");
        }
    }
}

/// Asks a guest that has begun to run. A wake-up that is missed is made good by the next round.
async fn firsts(collector: &Arc<Collector>) {
    let mut wakes = collector.control.store.feed().subscribe();
    while let Some(wake) = wakes.next().await {
        let Wake::Workspace { workspace, .. } = wake else { continue };
        let row = match collector.control.store.workspaces().get(&workspace).await {
            Ok(row) if row.status() == Status::Running => row,
            // Gone, or not running: asked anew when it does.
            _ => {
                collector.with_known(|known| known.asked.remove(&workspace));
                continue;
            }
        };
        if !collector.with_known(|known| known.asked.insert(workspace)) {
            continue;
        }
        let Ok(place) = collector.places.clone().acquire_owned().await else { return };
        let collector = collector.clone();
        task::spawn("control.sample", async move {
            let sample = collector.measure(&row).await;
            drop(place);
            collector.keep(sample.as_slice()).await;
        });
    }
}

impl Collector {
    async fn round(self: &Arc<Self>) -> Result<(), StoreError> {
        let rows = self.running().await?;
        let (silent, lively) = self.with_known(|known| {
            known.asked = rows.iter().map(|row| row.id.clone()).collect();
            known.silent.retain(|id| known.asked.contains(id));
            rows.into_iter().partition::<Vec<_>, _>(|row| known.silent.contains(&row.id))
        });
        for rows in [lively, silent] {
            let samples = self.measure_all(rows).await;
            self.keep(&samples).await;
        }
        Ok(())
    }

    async fn measure_all(self: &Arc<Self>, rows: Vec<WorkspaceRow>) -> Vec<Sample> {
        let places = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        let mut asked = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let collector = self.clone();
            asked.push(task::spawn("control.sample", async move {
                let sample = collector.measure(&row).await;
                drop(place);
                sample
            }));
        }
        let mut samples = Vec::with_capacity(asked.len());
        for task in asked {
            samples.extend(task.await.ok().flatten());
        }
        samples
    }

    /// Everything that runs.
    async fn running(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        let mut page = PageRequest { limit: PAGE_MAX, cursor: None };
        let mut running = Vec::new();
        loop {
            let found = self.control.store.workspaces().list(Owner::EveryoneRunning, &page).await?;
            let rows = found.items.into_iter();
            running.extend(rows.filter(|row| row.status() == Status::Running));
            page.cursor = found.next_cursor;
            if page.cursor.is_none() {
                return Ok(running);
            }
        }
    }

    /// One sample, if the guest answers in time.
    async fn measure(&self, row: &WorkspaceRow) -> Option<Sample> {
        let measured = timeout(PATIENCE, self.ask(row)).await.ok().and_then(Result::ok);
        self.with_known(|known| match measured {
            Some(_) => known.silent.remove(&row.id),
            None => known.silent.insert(row.id.clone()),
        });
        let guest = measured?;
        Some(Sample {
            workspace: row.id.clone(),
            // Our clock: the guest's may be anywhere.
            at: now(),
            cpu_percent: cpu_percent(&guest),
            memory_used_bytes: guest.memory_used_bytes,
            memory_limit_bytes: guest.memory_total_bytes,
            disk_used_bytes: guest.disk_used_bytes,
            disk_total_bytes: guest.disk_total_bytes,
            rx_bytes: guest.network_rx_bytes,
            tx_bytes: guest.network_tx_bytes,
        })
    }

    async fn ask(&self, row: &WorkspaceRow) -> ApiResult<GuestMetrics> {
        // A workspace may know what it uses itself, and nobody else is told by this.
        let who = Principal::Guest { workspace: row.id.clone(), account: row.account };
        let resource =
            Resource::Workspace { id: row.id.clone(), owner: row.account, granted: None };
        let id = authorise(&who, Right::GuestRead, &resource, row.id.clone())?;
        Agent::new(self.control.host_client(row).await?, &id).get("/metrics").await
    }

    async fn keep(&self, samples: &[Sample]) {
        if let Err(error) = self.control.store.samples().insert(samples).await {
            tracing::warn!(%error, "samples were not kept");
        }
    }

    fn with_known<T>(&self, what: impl FnOnce(&mut Known) -> T) -> T {
        what(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
