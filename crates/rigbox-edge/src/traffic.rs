//! What apps answered, told to control every ten seconds.
//! Invariant: only apps that answered anything cost something; what could not be told is told with the
//! next report, as long as it fits.

use std::{
    collections::btree_map::Entry,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use http::Method;
use rigbox_types::edge::{Traffic, TrafficReport};
use tokio::time::{MissedTickBehavior, interval};

use crate::{edge::Edge, table::App};

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(10);

/// Most apps of one report; others are told next time.
const APPS_MAX: usize = 50_000;

/// Apps with something to tell.
#[derive(Default)]
pub(crate) struct Busy(Mutex<Vec<Arc<App>>>);

impl Busy {
    /// Puts an app on the list, once for each report.
    pub(crate) fn note(&self, app: &Arc<App>) {
        let counters = &app.counters;
        if !counters.reported.load(Ordering::Relaxed)
            && !counters.reported.swap(true, Ordering::AcqRel)
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(app.clone());
        }
    }

    fn take(&self) -> Vec<Arc<App>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells control until the edge ends, and once more then.
pub(crate) async fn report(edge: Arc<Edge>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut untold = TrafficReport::default();
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = edge.ended.cancelled() => true,
        };
        gather(&edge, &mut untold);
        if !untold.apps.is_empty() {
            let path = "/internal/v1/edge/traffic";
            match edge.control.json::<_, ()>(Method::POST, path, &untold).await {
                Ok(()) => untold.apps.clear(),
                Err(error) => tracing::debug!(%error, "traffic not told"),
            }
        }
        if last {
            return;
        }
    }
}

fn gather(edge: &Edge, untold: &mut TrafficReport) {
    for app in edge.traffic.take() {
        // First this: what is counted from here on puts it on the list again.
        app.counters.reported.store(false, Ordering::Release);
        let taken = app.counters.take();
        let room = untold.apps.len() < APPS_MAX;
        match untold.apps.entry(app.route.app.clone()) {
            Entry::Occupied(mut known) => add(known.get_mut(), &taken),
            Entry::Vacant(place) if room => {
                place.insert(taken);
            }
            Entry::Vacant(_) => tracing::warn!("more traffic than one report has room for"),
        }
    }
}

fn add(sum: &mut Traffic, more: &Traffic) {
    sum.bytes_out = sum.bytes_out.saturating_add(more.bytes_out);
    for (sum, more) in sum.answers.iter_mut().zip(more.answers) {
        *sum = sum.saturating_add(more);
    }
    for (sum, more) in sum.latency.iter_mut().zip(more.latency) {
        *sum = sum.saturating_add(more);
    }
}
