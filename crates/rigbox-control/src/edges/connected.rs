//! Which edges follow the stream now, and what each has put into effect.
//! Invariants: an edge counts from before its first event is read until its stream ends; a change waits
//! for all that count, for a bounded time, and says which did not come. Where edges are expected and none
//! counts (control has just started, or the only one is just starting), it waits for one to come.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rigbox_types::{Revision, edge::EdgeAck};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{
    certificates,
    config::Patience,
    error::{ApiError, ApiResult},
};

/// Most edges at once.
const EDGES_MAX: usize = 256;

/// When an edge too many may come again.
const BUSY_RETRY_S: u32 = 5;

/// See the module.
#[derive(Clone)]
pub(crate) struct Edges(Arc<Shared>);

struct Shared {
    /// Whether there is to be one at any time.
    expected: bool,
    patience: Patience,
    edges: Mutex<BTreeMap<String, Edge>>,
    /// Somebody acknowledged something, or left.
    moved: Notify,
    /// Counts what edges are to forget and somebody waits for.
    forgets: watch::Sender<u64>,
}

#[derive(Default)]
struct Edge {
    /// Streams that it has open: for a moment there are two, when it begins anew.
    streams: u32,
    acknowledged: Option<Revision>,
    /// The last mark of its stream.
    mark: u64,
    /// The last that it forgot.
    forgotten: u64,
}

/// Who has not done something in time.
enum Late {
    None,
    /// Names of edges.
    Some(Vec<String>),
    /// One was expected, and none came.
    NobodyThere,
}

/// One stream of an edge; it counts as long as this is there.
pub(super) struct Connection {
    edges: Edges,
    pub(super) name: String,
}

impl Edges {
    /// None follows yet; `expected` says whether one is to at any time.
    pub(crate) fn new(expected: bool, patience: Patience) -> Self {
        let (forgets, _) = watch::channel(0);
        let (edges, moved) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { expected, patience, edges, moved, forgets }))
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
            edge.forgotten = ack.forgotten;
        }
        self.0.moved.notify_waiters();
    }

    /// Waits until all edges that follow now have put `revision` into effect, and where none does that
    /// should, until one has come and has; else says, in words for people, that it was in vain.
    pub(crate) async fn effective(&self, revision: Revision) -> Option<String> {
        let Patience { edges, any_edge, .. } = self.0.patience;
        self.effective_within(revision, (edges, any_edge)).await
    }

    async fn effective_within(
        &self,
        revision: Revision,
        patience: (Duration, Duration),
    ) -> Option<String> {
        let is_behind = |edge: &Edge| edge.acknowledged < Some(revision);
        let (late, limit) = match self.late(is_behind, patience).await {
            Late::None => return None,
            Late::Some(late) => (late, patience.0),
            Late::NobodyThere => {
                tracing::warn!(%revision, "no edge follows that could put a change into effect");
                return Some(format!(
                    "the change is kept, but no edge that serves apps was connected within {} s: \
                     until one is, edges may still do as before",
                    patience.1.as_secs()
                ));
            }
        };
        tracing::warn!(edges = late.join(" "), %revision, "edges are late with a change");
        let count = late.len();
        Some(format!(
            "the change is kept, but {count} of the edges that serve apps did not confirm it within \
             {} s: until then they may still do as before",
            limit.as_secs()
        ))
    }

    /// Has all edges that follow now ask again about every visitor, and waits for that; else says, in
    /// words for people, that some have not in time. To be called when a credential has ended.
    pub(crate) async fn forgotten(&self) -> Option<String> {
        let mut mark = 0;
        self.0.forgets.send_modify(|last| {
            *last += 1;
            mark = *last;
        });
        let patience = self.0.patience.edges;
        // One that comes later believes nothing from before.
        let late = self.late(|edge| edge.forgotten < mark, (patience, Duration::ZERO)).await;
        let Late::Some(late) = late else { return None };
        tracing::warn!(edges = late.join(" "), "edges are late to forget");
        Some(format!(
            "{} of the edges that serve apps did not confirm it within {} s: until then they may \
             still let visitors in with it",
            late.len(),
            patience.as_secs()
        ))
    }

    /// What edges are to forget, from now on.
    pub(super) fn forgets(&self) -> watch::Receiver<u64> {
        self.0.forgets.subscribe()
    }

    /// Waits until none of the edges that follow now is behind, at most for the first time, and where none
    /// follows, for one to come that is not, at most for the second. Says who still is.
    async fn late(
        &self,
        is_behind: impl Fn(&Edge) -> bool,
        (patience, for_any): (Duration, Duration),
    ) -> Late {
        let is_empty = self.0.expected && self.lock().is_empty();
        if is_empty && !self.moves(for_any, || self.has_one_that(|edge| !is_behind(edge))).await {
            let late = self.behind(&is_behind, None);
            return if late.is_empty() { Late::NobodyThere } else { Late::Some(late) };
        }
        let waiting = self.behind(&is_behind, None);
        if self.moves(patience, || self.behind(&is_behind, Some(&waiting)).is_empty()).await {
            return Late::None;
        }
        Late::Some(self.behind(&is_behind, Some(&waiting)))
    }

    /// Waits until something is so that edges change; false where it takes too long.
    async fn moves(&self, patience: Duration, so: impl Fn() -> bool) -> bool {
        let all = async {
            loop {
                let moved = self.0.moved.notified();
                tokio::pin!(moved);
                // Registered before the look, so that nothing falls in between.
                moved.as_mut().enable();
                if so() {
                    return;
                }
                moved.await;
            }
        };
        timeout(patience, all).await.is_ok()
    }

    fn has_one_that(&self, is_so: impl Fn(&Edge) -> bool) -> bool {
        self.lock().values().any(is_so)
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
        matches!(self.late(|edge| edge.mark < version, (limit, limit)).await, Late::None)
    }
}

impl Connection {
    /// The edge begins anew: what it had put into effect before counts for nothing.
    pub(super) fn begins_anew(&self) {
        if let Some(edge) = self.edges.lock().get_mut(&self.name) {
            edge.acknowledged = None;
            (edge.mark, edge.forgotten) = (0, 0);
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

    const LONG: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(600));
    const NOT_AT_ALL: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

    fn ack(edge: &str, revision: u64) -> EdgeAck {
        EdgeAck { edge: edge.to_owned(), revision: Revision(revision), mark: 0, forgotten: 0 }
    }

    #[tokio::test]
    async fn a_change_waits_for_all_that_follow_and_says_who_did_not_come() {
        let edges = Edges::new(false, Patience::default());
        assert_eq!(edges.effective(Revision(1)).await, None, "nobody follows");
        let one = edges.connect("one".to_owned()).unwrap();
        let _two = edges.connect("two".to_owned()).unwrap();
        edges.acknowledged(&ack("one", 7));
        edges.acknowledged(&ack("nobody", 9));
        let said = edges.effective_within(Revision(7), NOT_AT_ALL).await.unwrap();
        assert!(said.contains("1 of the edges"), "{said}");
        let (late, waited) = (edges.clone(), edges.effective_within(Revision(7), LONG));
        let acks = async move { late.acknowledged(&ack("two", 8)) };
        assert_eq!(tokio::join!(waited, acks).0, None);
        // Whoever leaves is waited for no longer.
        let waited = edges.effective_within(Revision(8), LONG);
        let leaves = async move { drop(one) };
        assert_eq!(tokio::join!(waited, leaves).0, None);
    }

    #[tokio::test]
    async fn where_an_edge_is_expected_a_change_waits_for_one_to_come() {
        let edges = Edges::new(true, Patience::default());
        let said = edges.effective_within(Revision(7), NOT_AT_ALL).await.unwrap();
        assert!(said.contains("no edge that serves apps was connected"), "{said}");
        let comes = async {
            let one = edges.connect("one".to_owned()).unwrap();
            // What it says of before does not count.
            edges.acknowledged(&ack("one", 6));
            tokio::task::yield_now().await;
            edges.acknowledged(&ack("one", 7));
            one
        };
        let (waited, _one) = tokio::join!(edges.effective_within(Revision(7), LONG), comes);
        assert_eq!(waited, None);
        let said = edges.effective_within(Revision(8), NOT_AT_ALL).await.unwrap();
        assert!(said.contains("1 of the edges"), "{said}");
    }

    #[tokio::test]
    async fn an_edge_that_begins_anew_has_put_nothing_into_effect() {
        let edges = Edges::new(false, Patience::default());
        let one = edges.connect("one".to_owned()).unwrap();
        edges.acknowledged(&ack("one", 7));
        one.begins_anew();
        let late = edges.late(|edge| edge.acknowledged < Some(Revision(1)), NOT_AT_ALL).await;
        assert!(matches!(late, Late::Some(late) if late == ["one"]));
    }

    #[tokio::test]
    async fn what_has_no_revision_is_taken_when_all_have_its_mark() {
        use crate::certificates::Edges as _;
        let edges = Edges::new(false, Patience::default());
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
        let edges = Edges::new(false, Patience::default());
        let all: Vec<_> = (0..EDGES_MAX).map(|n| edges.connect(n.to_string()).unwrap()).collect();
        assert!(edges.connect("one more".to_owned()).is_err());
        assert!(edges.connect("0".to_owned()).is_ok(), "it is there already");
        drop(all);
        assert!(edges.connect("one more".to_owned()).is_ok());
    }
}
