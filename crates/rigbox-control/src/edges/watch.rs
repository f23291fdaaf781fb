//! `GET /internal/v1/edge/events?edge=NAME[&after=REV]`: what an edge has to know, as a stream.
//!
//! ```text
//! after is known:      Settings, changes …, Synced, Forget, changes …, Synced …
//! none, or too old:    Reset, Settings, everything, Synced, Forget, changes …, Synced …
//! ```
//!
//! Invariants: an edge that reads on misses nothing; it may be told a change twice; after a silence of
//! the stream it believes no admission from before, because the end of a key may have fallen into it;
//! while everything is told, revisions are 0, so that an edge that was cut off begins anew.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rigbox_store::{
    StoreError,
    apps::routes::{RouteChange, RouteChanges},
    feed::{Subscription, Wake},
};
use rigbox_types::{AccountId, Revision, edge::EdgeEvent};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    connected::Connection,
    route::{route, settings},
};
use crate::control::Control;

/// A wake-up is a hint: after this long without one the stream is read anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);
/// Events that wait for a slow edge.
pub(super) const QUEUE: usize = 256;

/// Why a watch ended.
enum End {
    /// The edge is gone, or the process ends.
    Left,
    /// The store did not answer: the edge comes again.
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One edge's watch.
pub(super) struct Watch {
    pub(super) control: Arc<Control>,
    pub(super) connection: Connection,
    pub(super) events: mpsc::Sender<EdgeEvent>,
}

impl Watch {
    /// Tells the edge everything from `after` on, until it leaves.
    pub(super) async fn run(self, after: Option<Revision>) {
        let gone = self.events.clone();
        let edge = self.connection.name.as_str();
        tracing::info!(edge, ?after, "edge follows");
        let ended = tokio::select! {
            ended = self.tell(after) => ended,
            () = gone.closed() => Err(End::Left),
            () = self.control.shutdown.cancelled() => Err(End::Left),
        };
        if let Err(End::Store(error)) = ended {
            tracing::warn!(edge, %error, "the stream of an edge ended early");
        }
        tracing::info!(edge, "edge left");
    }

    async fn tell(&self, after: Option<Revision>) -> Result<(), End> {
        // Before anything is read, so that nothing falls in between.
        let mut wakes = self.control.store.feed().subscribe();
        let mut certificates =
            Told { version: self.control.certificates.subscribe(), ids: BTreeSet::new() };
        let mut forgets = self.control.edges.forgets();
        let told = match after {
            Some(after) => self.resume(after, &mut certificates).await?,
            None => None,
        };
        let mut at = match told {
            Some(at) => at,
            None => self.whole(&mut certificates).await?,
        };
        let mark = *forgets.borrow_and_update();
        self.forget(None, mark).await?;
        loop {
            let woken = tokio::select! {
                Ok(()) = forgets.changed() => {
                    let mark = *forgets.borrow_and_update();
                    self.forget(None, mark).await?;
                    continue;
                }
                woken = wait(&mut wakes) => woken?,
                Ok(()) = certificates.version.changed() => Woken::Certificates,
            };
            match woken {
                Woken::Forget(account) => self.forget(account, 0).await?,
                Woken::Certificates => self.certificates(&mut certificates).await?,
                Woken::Look => at = self.look(at, &mut certificates).await?,
                Woken::LookAndForget => {
                    at = self.look(at, &mut certificates).await?;
                    self.forget(None, 0).await?;
                }
            }
        }
    }

    async fn look(&self, at: Revision, certificates: &mut Told) -> Result<Revision, End> {
        match self.changes(at).await? {
            Some((upto, told)) => {
                if told {
                    self.send(EdgeEvent::Synced { revision: upto }).await?;
                }
                Ok(upto)
            }
            None => self.whole(certificates).await,
        }
    }

    /// Goes on from where the edge was; none where that is too long ago.
    async fn resume(
        &self,
        after: Revision,
        certificates: &mut Told,
    ) -> Result<Option<Revision>, End> {
        // A revision that this database never gave must not be gone on from.
        self.send(EdgeEvent::Settings(settings(&self.control.config.edge))).await?;
        let Some((upto, _)) = self.changes(after).await? else { return Ok(None) };
        self.certificates(certificates).await?;
        self.send(EdgeEvent::Synced { revision: upto }).await?;
        Ok(Some(upto))
    }

    /// Tells what changed since `at`, and whether that was anything; none where it is too long ago.
    async fn changes(&self, mut at: Revision) -> Result<Option<(Revision, bool)>, End> {
        let mut told = false;
        loop {
            let RouteChanges::Since { changes, upto, more } =
                self.control.store.routes().changes_since(at).await?
            else {
                return Ok(None);
            };
            for change in changes {
                told = true;
                self.send(self.event(change)).await?;
            }
            at = upto;
            if !more {
                return Ok(Some((at, told)));
            }
        }
    }

    fn event(&self, change: RouteChange) -> EdgeEvent {
        match change {
            RouteChange::Removed { revision, app } => EdgeEvent::Gone { revision, app },
            RouteChange::Changed(row) => match route(&row, &self.control.config.edge) {
                Some(route) => EdgeEvent::Route { revision: row.revision, route: Box::new(route) },
                None => EdgeEvent::Gone { revision: row.revision, app: row.id },
            },
        }
    }

    /// Tells everything.
    async fn whole(&self, certificates: &mut Told) -> Result<Revision, End> {
        let store = &self.control.store;
        let revision = store.routes().revision().await?;
        self.connection.begins_anew();
        self.send(EdgeEvent::Reset).await?;
        self.send(EdgeEvent::Settings(settings(&self.control.config.edge))).await?;
        self.certificates(certificates).await?;
        let mut after = None;
        loop {
            let part = store.routes().whole_set(after.as_ref()).await?;
            let Some(last) = part.last() else { break };
            after = Some(last.id.clone());
            for row in part {
                if let Some(route) = route(&row, &self.control.config.edge) {
                    let route = Box::new(route);
                    self.send(EdgeEvent::Route { revision: Revision(0), route }).await?;
                }
            }
        }
        self.send(EdgeEvent::Synced { revision }).await?;
        Ok(revision)
    }

    /// Tells what is served by TLS, whole.
    async fn certificates(&self, told: &mut Told) -> Result<(), End> {
        // Before the events, which may then be newer than it says, never older.
        let mark = *told.version.borrow_and_update();
        let mut ids = BTreeSet::new();
        for event in self.control.certificates.events() {
            if let EdgeEvent::Certificate(certificate) = &event {
                ids.insert(certificate.id.clone());
            }
            self.send(event).await?;
        }
        for gone in told.ids.difference(&ids) {
            self.send(EdgeEvent::CertificateGone { id: gone.clone() }).await?;
        }
        told.ids = ids;
        self.send(EdgeEvent::Mark { mark }).await
    }

    async fn forget(&self, account: Option<AccountId>, mark: u64) -> Result<(), End> {
        self.send(EdgeEvent::Forget { account, mark }).await
    }

    async fn send(&self, event: EdgeEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Left)
    }
}

/// Which certificates an edge was told of.
struct Told {
    version: watch::Receiver<u64>,
    ids: BTreeSet<String>,
}

/// What a wake-up asks for.
enum Woken {
    /// Certificates, challenges or ticket keys are others.
    Certificates,
    /// Something of an app may have changed.
    Look,
    /// An admission counts no longer.
    Forget(Option<AccountId>),
    /// Both may be.
    LookAndForget,
}

async fn wait(wakes: &mut Subscription) -> Result<Woken, End> {
    loop {
        return Ok(match timeout(LOOK_ANYWAY, wakes.next()).await {
            Err(_) | Ok(Some(Wake::App(_))) => Woken::Look,
            Ok(Some(Wake::Everything)) => Woken::LookAndForget,
            // Whose it was is not known any more.
            Ok(Some(Wake::ApiKey(_) | Wake::Session(_))) => Woken::Forget(None),
            Ok(Some(Wake::Access(account))) => Woken::Forget(Some(account)),
            Ok(Some(Wake::Workspace { .. } | Wake::Throttle(_) | Wake::Certificates)) => continue,
            Ok(None) => return Err(End::Left),
        });
    }
}
