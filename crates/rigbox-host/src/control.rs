//! The host's side of its conversation with control: announces the host, follows its assignments,
//! reports what it sees. Invariants: a gap in the stream ends in the whole set, never in a guess;
//! a control that is down costs nothing but waiting.
//! Does not act on an assignment (see `workspace`).

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Method, StatusCode};
use rigbox_fabric::{FabricError, Refusal, watch::Watch};
use rigbox_types::{
    ImageName, Revision, WorkspaceId,
    host::{HostAnnouncement, HostRegistration, HostReport, Observation, WatchEvent},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    host::Host,
    image::{self, Store},
};

/// Pause before control is tried again; each further one doubles it.
const PAUSE_FIRST: Duration = Duration::from_millis(200);

/// Longest pause: how long a host may not notice that control is back.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long observations are gathered before they are sent, so that a burst is one report.
const GATHER: Duration = Duration::from_millis(5);

/// Most images that control is told of: as many as it takes.
const IMAGES_MAX: usize = 256;

/// How long an observation that control refuses is held back before it is said again.
const REPEAT_HELD: Duration = Duration::from_secs(60);

/// Refusals that have nothing to do with the observations.
const OTHER_REFUSALS: [StatusCode; 5] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_MANY_REQUESTS,
];

/// Follows the assignments until `shutdown`.
pub(crate) async fn follow(host: Arc<Host>, address: String, shutdown: CancellationToken) {
    let own = shutdown.clone();
    let mut link = Link { host, address, position: None, images: None, shutdown: own };
    let mut pauses = Pauses::default();
    while !shutdown.is_cancelled() {
        match shutdown.run_until_cancelled(link.follow_once(&mut pauses)).await {
            Some(Ok(())) => tracing::info!("control ended the stream of assignments"),
            Some(Err(error)) => pauses.log(&error, "assignments not followed"),
            None => return,
        }
        shutdown.run_until_cancelled(sleep(pauses.next())).await;
    }
}

/// Sends reports until `shutdown`.
pub(crate) async fn report(host: Arc<Host>, shutdown: CancellationToken) {
    let path = format!("/internal/v1/hosts/{}/reports", host.config.id);
    let mut pauses = Pauses::default();
    let mut repeated = Instant::now();
    while !shutdown.is_cancelled() {
        if repeated.elapsed() > REPEAT_HELD {
            host.reports.repeat_held();
            repeated = Instant::now();
        }
        // A report without news says that the host lives.
        let news = timeout(host.config.times.report(), host.reports.wait());
        if shutdown.run_until_cancelled(news).await.is_none() {
            return;
        }
        sleep(GATHER).await;
        let observations = host.reports.take();
        match send(&host, &path, observations.clone()).await {
            Ok(()) => {
                host.reports.taken();
                pauses = Pauses::default();
            }
            Err(FabricError::Refused(refusal)) if blames(&refusal) => {
                pauses.log(&FabricError::Refused(refusal), "report refused");
                host.reports.refused(observations);
                shutdown.run_until_cancelled(sleep(PAUSE_FIRST)).await;
            }
            Err(error) => {
                host.reports.give_back(observations);
                pauses.log(&error, "report not sent");
                shutdown.run_until_cancelled(sleep(pauses.next())).await;
            }
        }
    }
}

/// Whether a refusal may be about what was said, and is not about who says it, or about a control
/// that is busy or not ready.
fn blames(refusal: &Refusal) -> bool {
    let status = refusal.status;
    // What a database does not take is answered like this.
    status == StatusCode::INTERNAL_SERVER_ERROR
        || status.is_client_error() && !OTHER_REFUSALS.contains(&status)
}

/// Sends what is left to say once more.
pub(crate) async fn report_last(host: &Host) {
    let path = format!("/internal/v1/hosts/{}/reports", host.config.id);
    if let Err(error) = send(host, &path, host.reports.take()).await {
        tracing::info!(%error, "last report not sent");
    }
}

async fn send(host: &Host, path: &str, observations: Vec<Observation>) -> Result<(), FabricError> {
    let drift = u32::try_from(host.metrics.drift.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    let report = HostReport { promised: host.ledger.promised(), drift, observations };
    let _answer: serde_json::Value =
        host.upstreams.ways.control.json(Method::POST, path, &report).await?;
    Ok(())
}

/// The stream of assignments and where it is.
struct Link {
    host: Arc<Host>,
    address: String,
    /// The newest revision that is whole; none before the first set.
    position: Option<Revision>,
    /// Images that control was told of; none where they could not be listed.
    images: Option<Vec<ImageName>>,
    shutdown: CancellationToken,
}

impl Link {
    async fn follow_once(&mut self, pauses: &mut Pauses) -> Result<(), FabricError> {
        self.images = self.images_now();
        self.announce().await?;
        let control = &self.host.upstreams.ways.control;
        let base = self.base();
        let path = match self.position {
            Some(revision) => format!("{base}/assignments?after={revision}"),
            None => format!("{base}/assignments"),
        };
        let mut watch = control.watch::<WatchEvent>(&path).await?;
        tracing::info!(%path, "following assignments");
        *pauses = Pauses::default();
        // Control may have been restarted with an older database.
        self.host.reports.repeat_all();
        self.read(&mut watch).await
    }

    async fn read(&mut self, watch: &mut Watch<WatchEvent>) -> Result<(), FabricError> {
        // The workspaces of a set that is not whole yet.
        let mut set: Option<BTreeSet<WorkspaceId>> = None;
        while let Some(event) = watch.next().await? {
            match event {
                WatchEvent::Reset => {
                    self.position = None;
                    set = Some(BTreeSet::new());
                }
                WatchEvent::Assigned { revision, assignment } => {
                    match &mut set {
                        Some(set) => {
                            set.insert(assignment.workspace.clone());
                        }
                        None => self.position = Some(revision),
                    }
                    self.host.table.assign(&self.host, *assignment, &self.shutdown).await;
                }
                WatchEvent::Removed { revision, workspace } => {
                    if set.is_none() {
                        self.position = Some(revision);
                    }
                    self.host.table.disown(&workspace);
                }
                WatchEvent::Synced { revision } => {
                    if let Some(set) = set.take() {
                        self.host.table.disown_others(&set);
                    }
                    self.position = Some(revision);
                }
                WatchEvent::Heartbeat => self.announce_images().await?,
            }
        }
        Ok(())
    }

    /// Says who this host is and what it has.
    async fn announce(&self) -> Result<(), FabricError> {
        let announcement =
            HostAnnouncement { registration: self.registration(), images: self.images.clone() };
        let control = &self.host.upstreams.ways.control;
        let _answer: serde_json::Value =
            control.json(Method::PUT, &self.base(), &announcement).await?;
        Ok(())
    }

    /// Says it again where somebody has built or removed an image.
    async fn announce_images(&mut self) -> Result<(), FabricError> {
        let images = self.images_now();
        if images == self.images {
            return Ok(());
        }
        self.images = images;
        self.announce().await
    }

    fn images_now(&self) -> Option<Vec<ImageName>> {
        let list = image::list(&Store::below(&self.host.config.data));
        let list = list.inspect_err(|error| tracing::warn!(%error, "images not listed")).ok()?;
        Some(list.into_iter().map(|manifest| manifest.name).take(IMAGES_MAX).collect())
    }

    fn base(&self) -> String {
        format!("/internal/v1/hosts/{}", self.host.config.id)
    }

    fn registration(&self) -> HostRegistration {
        HostRegistration {
            id: self.host.config.id.clone(),
            region: self.host.config.region.clone(),
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            driver: self.host.drivers.current().name(),
            capacity: self.host.ledger.capacity(),
        }
    }
}

/// Growing pauses between tries.
#[derive(Debug, Default)]
struct Pauses {
    tries: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = PAUSE_FIRST.saturating_mul(1 << self.tries.min(10)).min(PAUSE_MAX);
        self.tries = self.tries.saturating_add(1);
        // Hosts that lost control together do not come back together.
        pause / 2 + pause * u32::from(clock::jitter()) / 512
    }

    /// The first of a row is worth a line; a control that is down is not worth one each second.
    fn log(&self, error: &FabricError, what: &'static str) {
        if self.tries == 0 {
            tracing::warn!(%error, "{what}; trying again");
        } else {
            tracing::debug!(%error, tries = self.tries, "{what}");
        }
    }
}
