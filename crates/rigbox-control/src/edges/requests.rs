//! The last requests to each app, as edges tell them.
//! Owns them. They are in memory: whoever restarts control begins anew. Invariants: a bounded number of
//! an app and of all apps; what does not fit pushes out those of the apps that were visited the longest
//! ago; what an edge says is bounded again.
//! Does not know an app from an id, and not who may see what is kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rigbox_types::{
    AppId, Timestamp,
    api::app_requests::AppRequest,
    edge::{REQUESTS_OF_REPORT_MAX, RequestReport},
    limits::APP_REQUESTS_MAX,
};

/// Most requests of all apps together. One takes at most about 600 bytes, mostly 250: 15 MB, and 36 MB
/// where every path is long.
const REQUESTS_MAX: usize = 60_000;

/// See the module.
pub(crate) struct RequestsKept(Mutex<Kept>);

struct Kept {
    apps: HashMap<AppId, VecDeque<(u64, AppRequest)>>,
    /// Requests of all apps.
    count: usize,
    /// The number of the last one. It begins with the time, so that a cursor of before a restart is
    /// less than whatever comes after it.
    last: u64,
}

impl RequestsKept {
    pub(crate) fn new(now: Timestamp) -> Self {
        let last = u64::try_from(now.as_micros()).unwrap_or_default();
        Self(Mutex::new(Kept { apps: HashMap::new(), count: 0, last }))
    }

    /// Adds what an edge tells.
    pub(super) fn add(&self, report: RequestReport) {
        let per_app = usize::try_from(APP_REQUESTS_MAX).unwrap_or(usize::MAX);
        let mut kept = self.lock();
        for told in report.requests.into_iter().take(REQUESTS_OF_REPORT_MAX) {
            kept.make_room();
            kept.last = kept.last.saturating_add(1);
            let last = kept.last;
            let requests = kept.apps.entry(told.app).or_default();
            let is_full = requests.len() >= per_app;
            if is_full {
                requests.pop_front();
            }
            requests.push_back((last, told.request.bounded()));
            kept.count = kept.count.saturating_add(usize::from(!is_full));
        }
    }

    /// The newest `limit` of an app's requests that came after `after`, oldest first, and the cursor
    /// behind them.
    pub(crate) fn of(&self, app: &AppId, after: u64, limit: usize) -> (Vec<AppRequest>, u64) {
        let kept = self.lock();
        let Some(requests) = kept.apps.get(app) else { return (Vec::new(), after) };
        let from = requests.partition_point(|(number, _)| *number <= after);
        let from = from.max(requests.len().saturating_sub(limit));
        let found = requests.range(from..).map(|(_, request)| request.clone()).collect();
        (found, requests.back().map_or(after, |(number, _)| (*number).max(after)))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets the half of the apps that were visited the longest ago, where there is no room.
    fn make_room(&mut self) {
        if self.count < REQUESTS_MAX {
            return;
        }
        let newest = |requests: &VecDeque<(u64, AppRequest)>| requests.back().map(|(at, _)| *at);
        let mut all: Vec<_> = self.apps.values().map(newest).collect();
        all.sort_unstable();
        let middle = all.get(all.len() / 2).copied().flatten();
        self.apps.retain(|_, requests| newest(requests) > middle);
        self.count = self.apps.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use rigbox_types::{api::app_requests::VisitorKind, edge::RequestOf};

    use super::*;

    fn app(number: u64) -> AppId {
        // An id takes five bits of a byte.
        let digit = |at: u32| u8::try_from(number / 32_u64.pow(at) % 32).unwrap();
        AppId::from_random(std::array::from_fn(|at| digit(u32::try_from(at).unwrap())))
    }

    fn told(app: &AppId, path: &str) -> RequestOf {
        let request = AppRequest {
            at: Timestamp::from_micros(1),
            request_id: "id".to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            status: 200,
            began_us: 1,
            duration_us: 2,
            bytes_out: 3,
            client: [192, 0, 2, 1].into(),
            visitor: VisitorKind::Anyone,
            left_out: 0,
        };
        RequestOf { app: app.clone(), request }
    }

    fn report(app: &AppId, paths: impl IntoIterator<Item = String>) -> RequestReport {
        RequestReport { requests: paths.into_iter().map(|path| told(app, &path)).collect() }
    }

    fn kept() -> RequestsKept {
        RequestsKept::new(Timestamp::from_micros(1_000))
    }

    #[track_caller]
    fn check(found: &[AppRequest], expected: &[&str]) {
        let paths: Vec<_> = found.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn the_newest_are_given_oldest_first_and_a_cursor_gives_what_came_after() {
        let (kept, one) = (kept(), app(1));
        assert_eq!(kept.of(&one, 7, 10), (Vec::new(), 7), "nothing moves a cursor by itself");
        kept.add(report(&one, ["/1", "/2", "/3"].map(str::to_owned)));
        kept.add(report(&app(2), ["/other".to_owned()]));
        let (found, cursor) = kept.of(&one, 0, 2);
        check(&found, &["/2", "/3"]);
        check(&kept.of(&one, cursor, 10).0, &[]);
        kept.add(report(&one, ["/4".to_owned()]));
        let (found, later) = kept.of(&one, cursor, 10);
        check(&found, &["/4"]);
        assert!(later > cursor);
        // Of a control that has started since, whatever it had counted.
        let next = RequestsKept::new(Timestamp::from_micros(2_000_000));
        next.add(report(&one, ["/5".to_owned()]));
        check(&next.of(&one, later, 10).0, &["/5"]);
    }

    #[test]
    fn an_app_has_so_many_and_all_apps_have_so_many() {
        let (kept, busy) = (kept(), app(0));
        let many = usize::try_from(APP_REQUESTS_MAX).unwrap() + 10;
        kept.add(report(&busy, (0..many).map(|number| number.to_string())));
        assert_eq!(kept.lock().count, many - 10);
        let (found, _) = kept.of(&busy, 0, usize::MAX);
        assert_eq!(found.first().unwrap().path, "10", "the oldest are gone");
        for number in 1..=150 {
            kept.add(report(&app(number), (0..500).map(|number| number.to_string())));
            assert!(kept.lock().count <= REQUESTS_MAX, "{}", kept.lock().count);
        }
        let counted: usize = kept.lock().apps.values().map(VecDeque::len).sum();
        assert_eq!(kept.lock().count, counted);
        check(&kept.of(&busy, 0, 10).0, &[]);
        assert_eq!(kept.of(&app(150), 0, 500).0.len(), 500, "the newest are there");
    }

    #[test]
    fn what_an_edge_says_too_much_of_is_cut() {
        let (kept, one) = (kept(), app(1));
        kept.add(report(&one, ["x".repeat(100_000)]));
        assert!(kept.of(&one, 0, 1).0[0].path.len() <= 256);
    }
}
