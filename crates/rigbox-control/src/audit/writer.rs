//! The queue to the record and the one task that writes.

use std::{sync::Arc, time::Duration};

use rigbox_store::{Store, StoreError, api_keys::KeyHasher, audit::NewEntry};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::HeadFile;
use crate::error::{ApiError, ApiResult};

/// Entries that wait for the writer: more than requests may be under way at once.
const QUEUE_LEN: usize = 1_024;
/// Most entries of one transaction.
const BATCH_MAX: usize = 128;
/// Most answers that are kept while the database does not take them.
const PENDING_MAX: usize = 4_096;
/// When to come again where the record cannot be written.
const RETRY_S: u32 = 2;
/// When to come again where the disk is full.
const FULL_RETRY_S: u32 = 60;

struct Order {
    entry: NewEntry,
    told: Option<oneshot::Sender<Written>>,
}

/// How it went with an entry.
#[derive(Debug, Clone, Copy)]
enum Written {
    Yes,
    /// The database's disk is full.
    Full,
    No,
}

/// Hands entries to the writer.
pub(crate) struct Auditor {
    queue: mpsc::Sender<Order>,
    key: Arc<KeyHasher>,
    kept: Duration,
}

/// Writes entries.
pub(crate) struct Writer {
    queue: mpsc::Receiver<Order>,
    key: Arc<KeyHasher>,
    head: HeadFile,
}

impl Auditor {
    /// Entries are kept for as long as `kept`; `head` is where the record's end is noted.
    pub(crate) fn new(key: KeyHasher, kept: Duration, head: HeadFile) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE_LEN);
        let key = Arc::new(key);
        (Self { queue: sender, key: Arc::clone(&key), kept }, Writer { queue, key, head })
    }

    /// Records a request before it is begun; returns when that is on disk.
    pub(crate) async fn received(&self, entry: NewEntry) -> ApiResult<()> {
        let (told, written) = oneshot::channel();
        let failed = || ApiError::unavailable("the audit record cannot be written", RETRY_S);
        self.queue.send(Order { entry, told: Some(told) }).await.map_err(|_| failed())?;
        match written.await.unwrap_or(Written::No) {
            Written::Yes => Ok(()),
            Written::Full => {
                let text = "the disk of the platform's database is full: nothing is changed that \
                            the audit record could not hold";
                Err(ApiError::unavailable(text, FULL_RETRY_S))
            }
            Written::No => Err(failed()),
        }
    }

    /// Cuts off what is older than is kept.
    pub(crate) async fn forget(&self, store: &Store) -> Result<(), StoreError> {
        store.audit().forget(&self.key, self.kept).await
    }

    /// Records an answer, soon.
    pub(crate) fn completed(&self, entry: NewEntry) {
        if let Err(full) = self.queue.try_send(Order { entry, told: None }) {
            lost(&full.into_inner().entry);
        }
    }
}

impl Writer {
    /// Writes until `end`, and then what is left.
    pub(crate) async fn run(mut self, store: Store, end: CancellationToken) {
        let mut pending = Vec::new();
        let mut orders = Vec::with_capacity(BATCH_MAX);
        loop {
            if end.is_cancelled() {
                self.queue.close();
            }
            let received = tokio::select! {
                biased;
                received = self.queue.recv_many(&mut orders, BATCH_MAX) => received,
                () = end.cancelled(), if !self.queue.is_closed() => continue,
            };
            if received == 0 {
                break;
            }
            self.write(&store, &mut pending, &mut orders).await;
        }
        pending.iter().for_each(lost);
    }

    /// Writes a batch. Where that fails, requests are refused, and answers kept for the next one.
    async fn write(&self, store: &Store, pending: &mut Vec<NewEntry>, orders: &mut Vec<Order>) {
        let kept = pending.len();
        pending.extend(orders.iter().map(|order| order.entry.clone()));
        let written = store.audit().append(pending, &self.key).await;
        let outcome = match &written {
            Ok(_) => Written::Yes,
            Err(StoreError::DiskFull(_)) => Written::Full,
            Err(_) => Written::No,
        };
        if let Ok(Some(head)) = &written {
            self.head.write(head);
        }
        if let Err(error) = &written {
            note(error);
            pending.truncate(kept);
            let answers = orders.iter().filter(|order| order.told.is_none());
            pending.extend(answers.map(|order| order.entry.clone()));
            let over = pending.len().saturating_sub(PENDING_MAX);
            pending.drain(..over).for_each(|entry| lost(&entry));
        } else {
            pending.clear();
        }
        for told in orders.drain(..).filter_map(|order| order.told) {
            if told.send(outcome).is_err() {
                tracing::debug!("a client went away before its request was begun");
            }
        }
    }
}

fn note(error: &StoreError) {
    tracing::error!(error = crate::error::chain(error), "the audit record was not written");
}

/// The last place where an entry can still be found.
fn lost(entry: &NewEntry) {
    tracing::error!(?entry, "an entry is missing in the audit record");
}
