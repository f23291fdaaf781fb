//! One app as the edge serves it: its route, what is derived from it, and what is counted of it.
//! Invariant: an `App` never changes; a change of its route makes another one, which takes over the
//! counters and, where it leads to the same place, the connections.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
};

use rigbox_fabric::{
    Address,
    dial::{DialClient, Port},
};
use rigbox_types::{
    access::Role,
    authz::Resource,
    edge::{LATENCY_BUCKETS, Route, Traffic},
};

use tokio::sync::Semaphore;

use crate::{seen::Listing, upstream::Upstream, visit::ASKING_PER_APP_MAX};

/// An app as it is now.
pub(crate) struct App {
    pub(crate) route: Route,
    /// Where requests go; none where the route leads to no host or to one that cannot be reached.
    pub(crate) upstream: Option<Arc<Upstream>>,
    pub(crate) counters: Arc<Counters>,
    /// Another one for each change: what was decided about an earlier one is void.
    pub(crate) stamp: u64,
}

impl App {
    /// What the authorisation function has to know of it.
    pub(crate) fn resource(&self, granted: Option<Role>, listed: bool) -> Resource {
        Resource::App {
            id: self.route.app.clone(),
            workspace: self.route.workspace.clone(),
            owner: self.route.owner,
            granted,
            visibility: self.route.visibility,
            listed,
        }
    }
}

/// Where a route leads: equal for routes that may share connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) workspace: rigbox_types::WorkspaceId,
    pub(crate) generation: rigbox_types::Generation,
    pub(crate) port: Port,
}

/// How to get there.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) place: Place,
    pub(crate) client: DialClient,
}

/// What is counted of an app, from its first route to its last.
pub(crate) struct Counters {
    /// Requests under way.
    pub(crate) in_flight: AtomicU32,
    /// When its bucket of requests is full again, in microseconds since 1970.
    pub(crate) full_at: AtomicI64,
    /// Whether it is on the list of those that have something to report.
    pub(crate) reported: AtomicBool,
    /// How many of its requests are told one by one.
    pub(crate) listing: Listing,
    /// Turns of its visitors to have control asked.
    pub(crate) asking: Semaphore,
    answers: [AtomicU64; 5],
    bytes_out: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::default(),
            full_at: AtomicI64::default(),
            reported: AtomicBool::default(),
            listing: Listing::default(),
            asking: Semaphore::new(ASKING_PER_APP_MAX),
            answers: Default::default(),
            bytes_out: AtomicU64::default(),
            latency: Default::default(),
        }
    }
}

impl Counters {
    /// Counts an answer that began after so many microseconds.
    pub(crate) fn answered(&self, status: http::StatusCode, micros: u64) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.answers.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(count) = self.latency.get(bucket(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes of a body that were sent.
    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted since the last time this was asked.
    pub(crate) fn take(&self) -> Traffic {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Traffic {
            answers: self.answers.each_ref().map(take),
            bytes_out: take(&self.bytes_out),
            latency: self.latency.each_ref().map(take),
        }
    }
}

/// Bucket `i` has what took less than `2^i` times 250 µs and is in no bucket before it.
fn bucket(micros: u64) -> usize {
    let units = micros / 250;
    let bits = u64::BITS - units.leading_zeros();
    usize::try_from(bits).unwrap_or(LATENCY_BUCKETS).min(LATENCY_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_first_bucket_that_is_longer() {
        for (micros, expected) in
            [(0, 0), (249, 0), (250, 1), (499, 1), (500, 2), (999, 2), (1_000, 3), (u64::MAX, 19)]
        {
            assert_eq!(bucket(micros), expected, "{micros}");
        }
    }
}
