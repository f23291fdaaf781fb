//! Which edges follow the stream now, and what each has put into effect.
//! Invariants: an edge counts from before its first event is read until its stream ends; a change waits
//! for all that count, for a bounded time, and says which did not come.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rigbox_types::{Revision, edge::EdgeAck};
use tokio::{sync::Notify, time::timeout};

use crate::{
    certificates,
    error::{ApiError, ApiResult},
};

/// How long an answer waits for edges.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most edges at once.
const EDGES_MAX: usize = 256;

/// When an edge too many may come again.
const BUSY_RETRY_S: u32 = 5;

/// See the module.
#[derive(Clone)]
pub(crate) struct Edges(Arc<Shared>);

struct Shared {
    edges: Mutex<BTreeMap<String, Edge>>,
    /// Somebody acknowledged something, or left.
    moved: Notify,
}

#[derive(Default)]
struct Edge {
    /// Streams that it has open: for a moment there are two, when it begins anew.
    streams: u32,
    acknowledged: Option<Revision>,
    /// The last mark of its stream.
    mark: u64,
}

/// One stream of an edge; it counts as long as this is there.
pub(super) struct Connection {
    edges: Edges,
    pub(super) name: String,
}

impl Edges {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { edges: Mutex::default(), moved: Notify::new() }))
    }

    /// Counts an edge from now on.
    pub(super) fn connect(&self, name: String) -> ApiResult<Connection> {
        let mut edges = self.lock();
        if edges.len() >= EDGES_MAX && !edges.contains_key(&name) {
            return Err(ApiError::unavailable("too many edges follow at once", BUSY_RETRY_S));
        }
        let edge = edges.entry(name.clone()).or_default();
        edge.streams = edge.streams.saturating_add(1);
        Ok(Connection { edges: self.clone(), name })
    }

    /// Notes what an edge has put into effect; the word of one that does not follow counts for nothing.
    pub(super) fn acknowledged(&self, ack: &EdgeAck) {
        if let Some(edge) = self.lock().get_mut(&ack.edge) {
            edge.acknowledged = edge.acknowledged.max(Some(ack.revision));
            edge.mark = ack.mark;
        }
        self.0.moved.notify_waiters();
    }

    /// Waits until all edges that follow now have put `revision` into effect; else says, in words for
    /// people, that some have not in time.
    pub(crate) async fn effective(&self, revision: Revision) -> Option<String> {
        self.effective_within(revision, PATIENCE).await
    }

    async fn effective_within(&self, revision: Revision, patience: Duration) -> Option<String> {
        let is_behind = |edge: &Edge| edge.acknowledged < Some(revision);
        let late = self.late(is_behind, patience).await;
        if late.is_empty() {
            return None;
        }
        tracing::warn!(edges = late.join(" "), %revision, "edges are late with a change");
        let count = late.len();
        Some(format!(
            "the change is kept, but {count} of the edges that serve apps did not confirm it within \
             {} s: until then they may still do as before",
            patience.as_secs()
        ))
    }

    /// Waits until none of the edges that follow now is behind, and gives those that still are.
    async fn late(&self, is_behind: impl Fn(&Edge) -> bool, patience: Duration) -> Vec<String> {
        let waiting = self.behind(&is_behind, None);
        if waiting.is_empty() {
            return waiting;
        }
        let all = async {
            loop {
                let moved = self.0.moved.notified();
                tokio::pin!(moved);
                // Registered before the look, so that nothing falls in between.
                moved.as_mut().enable();
                if self.behind(&is_behind, Some(&waiting)).is_empty() {
                    return;
                }
                moved.await;
            }
        };
        match timeout(patience, all).await {
            Ok(()) => Vec::new(),
            Err(_) => self.behind(&is_behind, Some(&waiting)),
        }
    }

    /// Those, among some or all, that are behind.
    fn behind(&self, is_behind: &impl Fn(&Edge) -> bool, among: Option<&[String]>) -> Vec<String> {
        let edges = self.lock();
        let behind = edges.iter().filter(|(name, edge)| {
            among.is_none_or(|among| among.contains(name)) && is_behind(edge)
        });
        behind.map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Edge>> {
        self.0.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl certificates::Edges for Edges {
    async fn taken(&self, version: u64, limit: Duration) -> bool {
        self.late(|edge| edge.mark < version, limit).await.is_empty()
    }
}

impl Connection {
    /// The edge begins anew: what it had put into effect before counts for nothing.
    pub(super) fn begins_anew(&self) {
        if let Some(edge) = self.edges.lock().get_mut(&self.name) {
            edge.acknowledged = None;
            edge.mark = 0;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut edges = self.edges.lock();
        if let Some(edge) = edges.get_mut(&self.name) {
            edge.streams = edge.streams.saturating_sub(1);
            if edge.streams == 0 {
                edges.remove(&self.name);
            }
        }
        drop(edges);
        self.edges.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(edge: &str, revision: u64) -> EdgeAck {
        EdgeAck { edge: edge.to_owned(), revision: Revision(revision), mark: 0 }
    }

    #[tokio::test]
    async fn a_change_waits_for_all_that_follow_and_says_who_did_not_come() {
        let edges = Edges::new();
        assert_eq!(edges.effective(Revision(1)).await, None, "nobody follows");
        let one = edges.connect("one".to_owned()).unwrap();
        let _two = edges.connect("two".to_owned()).unwrap();
        edges.acknowledged(&ack("one", 7));
        edges.acknowledged(&ack("nobody", 9));
        let said = edges.effective_within(Revision(7), Duration::ZERO).await.unwrap();
        assert!(said.contains("1 of the edges"), "{said}");
        let long = Duration::from_secs(600);
        let (late, waited) = (edges.clone(), edges.effective_within(Revision(7), long));
        let acks = async move { late.acknowledged(&ack("two", 8)) };
        assert_eq!(tokio::join!(waited, acks).0, None);
        // Whoever leaves is waited for no longer.
        let waited = edges.effective_within(Revision(8), long);
        let leaves = async move { drop(one) };
        assert_eq!(tokio::join!(waited, leaves).0, None);
    }

    #[tokio::test]
    async fn an_edge_that_begins_anew_has_put_nothing_into_effect() {
        let edges = Edges::new();
        let one = edges.connect("one".to_owned()).unwrap();
        edges.acknowledged(&ack("one", 7));
        one.begins_anew();
        let late = edges.late(|edge| edge.acknowledged < Some(Revision(1)), Duration::ZERO).await;
        assert_eq!(late, ["one"]);
    }

    #[tokio::test]
    async fn what_has_no_revision_is_taken_when_all_have_its_mark() {
        use crate::certificates::Edges as _;
        let edges = Edges::new();
        let long = Duration::from_secs(30);
        assert!(edges.taken(3, long).await, "there are none");
        let _one = edges.connect("one".to_owned()).unwrap();
        assert!(!edges.taken(3, Duration::ZERO).await);
        let marked = |mark| EdgeAck { mark, ..ack("one", 1) };
        let acks = async {
            edges.acknowledged(&marked(2));
            edges.acknowledged(&marked(3));
        };
        assert!(tokio::join!(edges.taken(3, long), acks).0);
    }

    #[tokio::test]
    async fn edges_are_bounded() {
        let edges = Edges::new();
        let all: Vec<_> = (0..EDGES_MAX).map(|n| edges.connect(n.to_string()).unwrap()).collect();
        assert!(edges.connect("one more".to_owned()).is_err());
        assert!(edges.connect("0".to_owned()).is_ok(), "it is there already");
        drop(all);
        assert!(edges.connect("one more".to_owned()).is_ok());
    }
}
