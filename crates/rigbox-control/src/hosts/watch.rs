//! `GET /internal/v1/hosts/{id}/assignments?after=REV`: what a host should make, as a stream.
//!
//! ```text
//! after is known:      changes …, Synced, changes …
//! none, or too old:    Reset, everything, Synced, changes …
//! ```
//!
//! Invariant: a host that reads on misses nothing; it may be told a change twice. Heartbeats are
//! added by the fabric.

use std::{sync::Arc, time::Duration};

use rigbox_store::{
    StoreError,
    feed::{Change, Changes, Subscription, Wake},
};
use rigbox_types::{HostId, Revision, host::WatchEvent};
use tokio::{sync::mpsc, time::timeout};

use super::assignment::assignment;
use crate::control::Control;

/// A wake-up is a hint: after this long without one the feed is read anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
/// Events that wait for a slow host; each holds an assignment.
pub(super) const QUEUE: usize = 8;

/// Why a watch ended.
pub(super) enum End {
    /// The host is gone, or the process ends.
    Left,
    /// The store did not answer: the host comes again.
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One host's watch.
pub(super) struct Watch {
    pub(super) control: Arc<Control>,
    pub(super) host: HostId,
    pub(super) events: mpsc::Sender<WatchEvent>,
}

impl Watch {
    /// Tells the host everything from `after` on, until it leaves.
    pub(super) async fn run(self, after: Option<Revision>) {
        let gone = self.events.clone();
        let ended = tokio::select! {
            ended = self.tell(after) => ended,
            () = gone.closed() => return,
            () = self.control.shutdown.cancelled() => return,
        };
        if let Err(End::Store(error)) = ended {
            tracing::warn!(host = %self.host, %error, "a watch ended early");
        }
    }

    async fn tell(&self, after: Option<Revision>) -> Result<(), End> {
        // Before anything is read, so that nothing falls in between.
        let mut wakes = self.control.store.feed().subscribe();
        let mut at = match after {
            Some(after) => match self.changes(after).await? {
                Some(upto) => {
                    self.send(WatchEvent::Synced { revision: upto }).await?;
                    upto
                }
                None => self.whole().await?,
            },
            None => self.whole().await?,
        };
        loop {
            wait(&mut wakes, &self.host).await?;
            at = match self.changes(at).await? {
                Some(upto) => upto,
                None => self.whole().await?,
            };
        }
    }

    /// Tells what changed since `at`; none where that is too long ago.
    async fn changes(&self, mut at: Revision) -> Result<Option<Revision>, End> {
        loop {
            let Changes::Since { changes, upto, more } =
                self.control.store.feed().changes_since(&self.host, at).await?
            else {
                return Ok(None);
            };
            for change in changes {
                self.send_change(change).await?;
            }
            at = upto;
            if !more {
                return Ok(Some(at));
            }
        }
    }

    /// Tells everything.
    async fn whole(&self) -> Result<Revision, End> {
        let feed = self.control.store.feed();
        let revision = feed.revision().await?;
        self.send(WatchEvent::Reset).await?;
        let mut after = None;
        loop {
            let part = feed.whole_set(&self.host, after.as_ref()).await?;
            for row in part.workspaces {
                self.send_change(Change::Changed(Box::new(row))).await?;
            }
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        self.send(WatchEvent::Synced { revision }).await?;
        Ok(revision)
    }

    async fn send_change(&self, change: Change) -> Result<(), End> {
        let event = match change {
            Change::Removed { revision, workspace } => WatchEvent::Removed { revision, workspace },
            Change::Changed(row) => {
                let revision = row.revision;
                let assignment = Box::new(assignment(&self.control, *row).await?);
                WatchEvent::Assigned { revision, assignment }
            }
        };
        self.send(event).await
    }

    async fn send(&self, event: WatchEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Left)
    }
}

/// Waits until something of this host may have changed.
async fn wait(wakes: &mut Subscription, host: &HostId) -> Result<(), End> {
    loop {
        match timeout(LOOK_ANYWAY, wakes.next()).await {
            Err(_) | Ok(Some(Wake::Everything)) => return Ok(()),
            Ok(Some(Wake::Workspace { host: of, .. })) if of == *host => return Ok(()),
            Ok(Some(
                Wake::Workspace { .. }
                | Wake::App(_)
                | Wake::ApiKey(_)
                | Wake::Session(_)
                | Wake::Access(_)
                | Wake::Throttle(_)
                | Wake::Certificates,
            )) => {}
            Ok(None) => return Err(End::Left),
        }
    }
}
