//! Which requests apps had, one by one, told to control every two seconds.
//! Owns what is not told yet. Invariants: bounded for each app within a moment and for all apps
//! together, so that a busy app costs a counter for most of its requests; only a request that is listed
//! is copied, and nothing of it that may be secret: no query, no header. What could not be told is lost.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode};
use rigbox_types::{
    Timestamp,
    api::app_requests::{AppRequest, REQUEST_METHOD_MAX_LEN, REQUEST_PATH_MAX_LEN, VisitorKind},
    edge::{REQUESTS_OF_REPORT_MAX, RequestOf, RequestReport},
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{edge::Edge, table::App};

/// How often they are told.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a moment is, in microseconds.
const MOMENT_MICROS: i64 = 2_000_000;

/// Most requests of one app within a moment that are listed.
const OF_MOMENT_MAX: u32 = 100;

/// How many requests of an app are listed.
#[derive(Default)]
pub(crate) struct Listing {
    /// The moment, in the upper half, and how many were listed in it.
    moment: AtomicU64,
    /// Those that were not, since the last that was.
    left_out: AtomicU32,
}

impl Listing {
    /// Whether one more is listed, and how many before it were not.
    fn admit(&self, now_micros: i64) -> Option<u32> {
        // The lower half is enough to tell moments apart.
        let moment = u64::from_ne_bytes((now_micros / MOMENT_MICROS).to_ne_bytes()) << 32;
        let one_more = |before: u64| {
            let is_same = before >> 32 == moment >> 32;
            let count = if is_same { before & u64::from(u32::MAX) } else { 0 };
            (count < u64::from(OF_MOMENT_MAX)).then(|| moment | count.saturating_add(1))
        };
        if self.moment.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.leave_out(1);
        None
    }

    fn leave_out(&self, count: u32) {
        self.left_out.fetch_add(count, Ordering::Relaxed);
    }
}

/// A request that is listed once it has ended.
pub(crate) struct Sight(AppRequest);

impl Sight {
    /// Begins one, unless the app has had too many.
    pub(crate) fn begin<B>(
        app: &App,
        request: &Request<B>,
        (from, id): (IpAddr, &HeaderValue),
        now_micros: i64,
    ) -> Option<Box<Self>> {
        let left_out = app.counters.listing.admit(now_micros)?;
        Some(Box::new(Self(AppRequest {
            at: Timestamp::from_micros(now_micros),
            request_id: id.to_str().unwrap_or_default().to_owned(),
            method: short(request.method().as_str(), REQUEST_METHOD_MAX_LEN),
            path: short(request.uri().path(), REQUEST_PATH_MAX_LEN),
            status: 0,
            began_us: 0,
            duration_us: 0,
            bytes_out: 0,
            client: from,
            visitor: VisitorKind::Refused,
            left_out,
        })))
    }

    /// The visitor was let in.
    pub(crate) fn let_in(&mut self, visitor: VisitorKind) {
        self.0.visitor = visitor;
    }

    pub(crate) fn answered(&mut self, status: StatusCode, micros: u64) {
        (self.0.status, self.0.began_us) = (status.as_u16(), micros);
    }

    /// It has ended.
    pub(crate) fn end(mut self, app: &App, edge: &Edge, (bytes, took): (u64, Duration)) {
        self.0.bytes_out = bytes;
        self.0.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let left_out = self.0.left_out.saturating_add(1);
        if !edge.seen.add(RequestOf { app: app.route.app.clone(), request: self.0 }) {
            app.counters.listing.leave_out(left_out);
        }
    }
}

fn short(text: &str, max_len: usize) -> String {
    text.get(..text.floor_char_boundary(max_len)).unwrap_or_default().to_owned()
}

/// What is not told yet.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<RequestOf>>);

impl Seen {
    /// False where there is no room.
    fn add(&self, request: RequestOf) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = seen.len() < REQUESTS_OF_REPORT_MAX;
        if is_room {
            seen.push(request);
        }
        is_room
    }

    fn take(&self) -> Vec<RequestOf> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells control until the edge ends, and once more then.
pub(crate) async fn report(edge: Arc<Edge>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = edge.ended.cancelled() => true,
        };
        let requests = edge.seen.take();
        if !requests.is_empty() {
            let (path, report) = ("/internal/v1/edge/requests", RequestReport { requests });
            if let Err(error) = edge.control.json::<_, ()>(Method::POST, path, &report).await {
                tracing::debug!(%error, "requests not told");
            }
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_lists_so_many_requests_of_a_moment_and_says_how_many_it_left_out() {
        let (listing, now) = (Listing::default(), 1_800_000_000_000_000);
        for _ in 0..OF_MOMENT_MAX {
            assert_eq!(listing.admit(now), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(listing.admit(now + MOMENT_MICROS - 1), None);
        }
        assert_eq!(listing.admit(now + MOMENT_MICROS), Some(7));
        assert_eq!(listing.admit(now + MOMENT_MICROS), Some(0));
    }

    #[test]
    fn what_waits_to_be_told_is_bounded() {
        let seen = Seen::default();
        let app = rigbox_types::AppId::from_random([1; 8]);
        let request = AppRequest {
            at: Timestamp::from_micros(0),
            request_id: String::new(),
            method: String::new(),
            path: String::new(),
            status: 200,
            began_us: 0,
            duration_us: 0,
            bytes_out: 0,
            client: [192, 0, 2, 1].into(),
            visitor: VisitorKind::Anyone,
            left_out: 0,
        };
        let of = || RequestOf { app: app.clone(), request: request.clone() };
        assert!((0..REQUESTS_OF_REPORT_MAX).all(|_| seen.add(of())));
        assert!(!seen.add(of()));
        assert_eq!(seen.take().len(), REQUESTS_OF_REPORT_MAX);
        assert!(seen.add(of()));
    }
}
