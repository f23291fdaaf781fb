//! What the tasks of one edge share. Owns nothing that survives the process (see `journal`).
//! Invariant: the table is replaced as a whole, by the one task that follows control.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use rigbox_fabric::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    access_log::Log, config::Limits, headers, listen::clients::Clients, metrics::Metrics,
    seen::Seen, table::Snapshot, tls::Tickets, traffic::Busy, upstream::Upstream,
    visit::Admissions,
};

/// One edge.
pub(crate) struct Edge {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    pub(crate) table: Arc<ArcSwap<Snapshot>>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) control: Client,
    pub(crate) dashboard: Option<Arc<Upstream>>,
    pub(crate) admissions: Admissions,
    pub(crate) clients: Clients,
    pub(crate) metrics: Metrics,
    pub(crate) traffic: Busy,
    pub(crate) seen: Seen,
    pub(crate) log: Option<Log>,
    /// No connection is taken any more; those that are open come to their end.
    pub(crate) shutdown: CancellationToken,
    /// All connections have ended, or the time for it has.
    pub(crate) ended: CancellationToken,
    pub(crate) connected: AtomicBool,
    pub(crate) next_id: AtomicU64,
}

impl Edge {
    /// Whether changes are told.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
        self.metrics.control_connected.set(u64::from(connected));
    }

    /// An id for a request: none of this edge's has it twice, and it says nothing of how many there
    /// were.
    pub(crate) fn request_id(&self) -> HeaderValue {
        let mut mixed = self.next_id.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        // SplitMix64: one to one, so that different counts give different ids.
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        headers::hex_value(mixed ^ (mixed >> 31))
    }
}
