//! Follows what control tells, puts it into effect, and says how far it has come.
//! Invariants: only this task changes the table; an acknowledgement is sent after the table that it is
//! about is served and written down; a table that is told anew replaces the old one only when all of it
//! is there. Does not know what events mean (see `table`).

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::Method;
use rigbox_dns::Records;
use rigbox_fabric::{FabricError, watch::Watch};
use rigbox_types::{
    Revision,
    edge::{EdgeAck, EdgeEvent},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    edge::Edge,
    journal::{self, Journal, Stored},
    table::{Applied, Builder},
};

/// First and longest pause before control is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Most events that take effect at once.
const BATCH_MAX: usize = 1_024;

/// The follower.
pub(crate) struct Feed {
    pub(crate) edge: Arc<Edge>,
    pub(crate) builder: Builder,
    pub(crate) journal: Option<Journal>,
    pub(crate) acks: watch::Sender<Acked>,
    /// What is to be acknowledged once it is written.
    pub(crate) unwritten: Unwritten,
    /// What is answered by DNS.
    pub(crate) records: Records,
    /// Cancelled once control has told everything, or cannot be asked, for the first time.
    pub(crate) asked: CancellationToken,
}

/// What control is told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    revision: Option<Revision>,
    mark: u64,
    forgotten: u64,
}

/// What is in effect and not on disk yet.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// Some table could not be written: the next write is of all of it, whatever is told next.
    table: bool,
    synced: bool,
    mark: Option<u64>,
    forgotten: Option<u64>,
}

/// What a batch asks for.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    forget: Vec<Option<rigbox_types::AccountId>>,
    tickets: bool,
    synced: bool,
    /// A table was told anew.
    anew: bool,
    mark: Option<u64>,
    forgotten: Option<u64>,
}

impl Feed {
    /// Puts what was read from disk into effect.
    pub(crate) fn restore(&mut self, stored: Stored) {
        for event in stored.events {
            if let Applied::Refused(why) = self.builder.apply(event) {
                tracing::warn!(%why, "stored event refused");
            }
        }
        if stored.is_partial {
            // Nothing is missing from what is told since no revision.
            self.builder.snapshot.revision = None;
        }
        self.edge.tickets.replace(&self.builder.snapshot.ticket_keys);
        self.publish();
    }

    /// Follows until the edge ends: changes take effect while connections come to their end, too.
    pub(crate) async fn run(mut self) {
        let ended = self.edge.ended.clone();
        ended.run_until_cancelled(Box::pin(self.follow())).await;
    }

    async fn follow(&mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let came = self.connection().await;
            self.edge.set_connected(false);
            self.asked.cancel();
            self.builder.abandon();
            match came {
                Ok(true) => pause = PAUSE_MIN,
                Ok(false) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "control does not tell of changes");
                }
            }
            // Not all edges at once after control was away.
            let mut random = [0; 1];
            if getrandom::fill(&mut random).is_err() {
                random = [0x80];
            }
            sleep(pause.mul_f64(0.5 + f64::from(random[0]) / 256.0)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Follows one connection to its end. Whether everything was told at least once.
    async fn connection(&mut self) -> Result<bool, FabricError> {
        let edge = self.edge.clone();
        let mut path = format!("/internal/v1/edge/events?edge={}", edge.name);
        if let Some(Revision(after)) = self.builder.snapshot.revision {
            path.push_str(&format!("&after={after}"));
        }
        let mut events: Watch<EdgeEvent> = edge.control.watch(&path).await?;
        // Marks are those of one stream.
        (self.unwritten.mark, self.unwritten.forgotten) = (None, None);
        self.acks.send_if_modified(|acked| {
            (acked.mark, acked.forgotten) = (0, 0);
            false
        });
        self.builder.begin();
        let mut synced = false;
        while let Some(event) = events.next().await? {
            let mut batch = Batch::default();
            self.apply(event, &mut batch);
            for _ in 1..BATCH_MAX {
                match events.next().now_or_never() {
                    Some(Ok(Some(event))) => {
                        if event == EdgeEvent::Reset {
                            // What was told before it stands, whatever becomes of the new table.
                            self.take_effect(std::mem::take(&mut batch)).await;
                        }
                        self.apply(event, &mut batch);
                    }
                    // An end is seen again by the next one who looks.
                    Some(Ok(None) | Err(_)) | None => break,
                }
            }
            if batch.synced {
                synced = true;
                // What was forgotten while nobody told us.
                batch.forget.push(None);
            }
            self.take_effect(batch).await;
            if synced {
                edge.set_connected(true);
                self.asked.cancel();
            }
        }
        Ok(synced)
    }

    fn apply(&mut self, event: EdgeEvent, batch: &mut Batch) {
        self.edge.metrics.events_total.add(1);
        journal::line(&event, &mut batch.lines);
        let is_synced = matches!(event, EdgeEvent::Synced { .. });
        batch.synced |= is_synced;
        // Else what is on disk is added to: rewriting a large table for each change would hold up the
        // next one.
        batch.anew |= is_synced && self.builder.is_partial();
        match event {
            EdgeEvent::Mark { mark } => batch.mark = Some(mark),
            EdgeEvent::Forget { mark, .. } if mark > 0 => batch.forgotten = Some(mark),
            _ => {}
        }
        match self.builder.apply(event) {
            Applied::Table => {}
            Applied::TicketKeys => batch.tickets = true,
            Applied::Forget(account) => batch.forget.push(account),
            Applied::Refused(why) => {
                self.edge.metrics.events_refused_total.add(1);
                tracing::warn!(%why, "event refused");
            }
        }
    }

    async fn take_effect(&mut self, batch: Batch) {
        if self.builder.is_partial() {
            return;
        }
        self.publish();
        for account in batch.forget {
            self.edge.admissions.forget(account);
        }
        if batch.tickets || batch.synced {
            self.edge.tickets.replace(&self.builder.snapshot.ticket_keys);
        }
        let told = &mut self.unwritten;
        told.synced |= batch.synced;
        told.mark = batch.mark.or(told.mark);
        told.forgotten = batch.forgotten.or(told.forgotten);
        let anew = batch.anew || told.table;
        // What is not on disk is in effect, but not for good: nobody is told that it is, also not with
        // what comes next and need not be written itself.
        if anew || !batch.lines.is_empty() {
            self.unwritten.table = !self.write(batch.lines, anew).await;
        }
        if self.unwritten.table {
            return;
        }
        let told = std::mem::take(&mut self.unwritten);
        self.acks.send_if_modified(|acked| {
            let mark = told.mark.unwrap_or(acked.mark);
            let forgotten = told.forgotten.unwrap_or(acked.forgotten);
            let now = Acked { revision: self.builder.snapshot.revision, mark, forgotten };
            std::mem::replace(acked, now) != now || told.synced
        });
    }

    fn publish(&self) {
        let metrics = &self.edge.metrics;
        let table = self.builder.snapshot.clone();
        metrics.apps.set(u64::try_from(table.apps_len()).unwrap_or_default());
        metrics.certificates.set(u64::try_from(table.certificates_len()).unwrap_or_default());
        metrics.revision.set(table.revision.unwrap_or_default().0);
        let left_out = self.records.replace(table.dns_challenges());
        if left_out > 0 {
            tracing::warn!(left_out, "challenges that DNS cannot hold");
        }
        self.edge.table.store(Arc::new(table));
    }

    /// Whether it is written; by an edge that ends, nothing is: the one that follows it writes.
    async fn write(&mut self, lines: Vec<u8>, anew: bool) -> bool {
        if self.edge.shutdown.is_cancelled() {
            return true;
        }
        let Some(mut journal) = self.journal.take() else { return false };
        let table = self.builder.snapshot.clone();
        let write = move || {
            let written = if anew || journal.wants_rewrite() {
                journal.rewrite(&table)
            } else {
                journal.append(&lines)
            };
            (journal, written)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok((journal, written)) => {
                self.journal = Some(journal);
                if let Err(error) = &written {
                    tracing::error!(%error, "table not written to disk");
                }
                written.is_ok()
            }
            Err(error) => {
                tracing::error!(%error, "table not written to disk");
                false
            }
        }
    }
}

/// Tells control how far the table has come; what is overtaken is left out.
pub(crate) async fn acknowledge(edge: Arc<Edge>, mut acks: watch::Receiver<Acked>) {
    let tell = async {
        while acks.changed().await.is_ok() {
            let mut pause = PAUSE_MIN;
            loop {
                let Acked { revision, mark, forgotten } = *acks.borrow_and_update();
                let Some(revision) = revision else { break };
                let ack = EdgeAck { edge: edge.name.clone(), revision, mark, forgotten };
                let path = "/internal/v1/edge/acks";
                match edge.control.json::<_, ()>(Method::POST, path, &ack).await {
                    Ok(()) => break,
                    Err(error) => tracing::debug!(%error, "control was not told"),
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    };
    edge.ended.run_until_cancelled(tell).await;
}
