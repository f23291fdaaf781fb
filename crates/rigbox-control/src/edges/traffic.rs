//! What edges count of the requests to apps, by minute, for a week.
//! Owns the counts. They are in memory: whoever restarts control begins anew, and says nothing of the
//! time before. Invariants: a bounded number of minutes of a bounded number of apps; what does not fit
//! pushes out what is oldest, of all apps.
//! Does not know an app from an id.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rigbox_types::{
    AppId, Timestamp,
    edge::{LATENCY_BUCKETS, Traffic, TrafficReport},
};

/// Minutes of a week.
const KEPT_MINUTES: i64 = 7 * 24 * 60;

/// Most minutes of all apps together. One takes about 300 bytes: 75 MB at most.
const MINUTES_MAX: usize = 250_000;

const MINUTE_MICROS: i64 = 60_000_000;

/// The counts of one app within one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MinuteOf {
    /// When it begins, in seconds since 1970.
    pub(crate) at: i64,
    /// What was counted.
    pub(crate) traffic: Traffic,
}

/// See the module.
pub(crate) struct TrafficKept(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    apps: HashMap<AppId, BTreeMap<i64, Traffic>>,
    /// Minutes of all apps.
    count: usize,
}

impl TrafficKept {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Adds a report to the minute that is now.
    pub(super) fn add(&self, report: TrafficReport, now: Timestamp) {
        let minute = now.as_micros().div_euclid(MINUTE_MICROS);
        let mut kept = self.lock();
        for (app, traffic) in report.apps {
            kept.make_room(minute);
            let minutes = kept.apps.entry(app).or_default();
            let had = minutes.len();
            sum(minutes.entry(minute).or_default(), &traffic);
            let more = minutes.len().saturating_sub(had);
            kept.count = kept.count.saturating_add(more);
        }
    }

    /// The minutes of an app that begin at `from` or later, in seconds since 1970, oldest first.
    pub(crate) fn of(&self, app: &AppId, from: i64) -> Vec<MinuteOf> {
        let kept = self.lock();
        let Some(minutes) = kept.apps.get(app) else { return Vec::new() };
        let from = from.div_euclid(60) + i64::from(from.rem_euclid(60) > 0);
        let view = |(minute, traffic): (&i64, &Traffic)| MinuteOf {
            at: minute.saturating_mul(60),
            traffic: traffic.clone(),
        };
        minutes.range(from..).map(view).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets what is too old, and where that is not enough the older half of the rest.
    fn make_room(&mut self, now: i64) {
        if self.count < MINUTES_MAX {
            return;
        }
        self.forget_before(now.saturating_sub(KEPT_MINUTES));
        if self.count >= MINUTES_MAX {
            let mut all: Vec<i64> =
                self.apps.values().flat_map(|minutes| minutes.keys().copied()).collect();
            all.sort_unstable();
            let middle = all.get(all.len() / 2).copied().unwrap_or(now);
            // What is of this very minute goes last.
            self.forget_before(middle.saturating_add(1).min(now));
        }
        if self.count >= MINUTES_MAX {
            self.apps.clear();
            self.count = 0;
        }
    }

    fn forget_before(&mut self, minute: i64) {
        self.apps.retain(|_, minutes| {
            *minutes = minutes.split_off(&minute);
            !minutes.is_empty()
        });
        self.count = self.apps.values().map(BTreeMap::len).sum();
    }
}

/// Adds counts; an edge may say anything, so they do not run over.
pub(crate) fn sum(to: &mut Traffic, more: &Traffic) {
    let add = |to: &mut [u64], more: &[u64]| {
        for (to, more) in to.iter_mut().zip(more) {
            *to = to.saturating_add(*more);
        }
    };
    add(&mut to.answers, &more.answers);
    add(&mut to.latency, &more.latency);
    to.bytes_out = to.bytes_out.saturating_add(more.bytes_out);
}

/// Within how many milliseconds so many of 100 answers began: the upper end of their bucket, which is
/// at most twice too much. 0 without answers.
pub(crate) fn within_ms(latency: &[u64; LATENCY_BUCKETS], of_100: u64) -> f64 {
    let all = latency.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    if all == 0 {
        return 0.0;
    }
    let wanted = u128::from(all) * u128::from(of_100);
    let (mut seen, mut end) = (0_u128, 0.25);
    for count in latency {
        seen += u128::from(*count) * 100;
        if seen >= wanted {
            return end;
        }
        end *= 2.0;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(app: &AppId, requests: u64) -> TrafficReport {
        let mut traffic = Traffic::default();
        traffic.answers[1] = requests;
        traffic.latency[2] = requests;
        TrafficReport { apps: BTreeMap::from([(app.clone(), traffic)]) }
    }

    #[test]
    fn reports_of_one_minute_are_added_up() {
        let (kept, app) = (TrafficKept::new(), AppId::from_random([1; 8]));
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        for (seconds, requests) in [(60, 1), (119, u64::MAX), (120, 3)] {
            kept.add(report(&app, requests), at(seconds));
        }
        let found: Vec<_> =
            kept.of(&app, 0).iter().map(|minute| (minute.at, minute.traffic.answers[1])).collect();
        assert_eq!(found, [(60, u64::MAX), (120, 3)]);
        assert_eq!(kept.of(&app, 61).len(), 1);
        assert_eq!(kept.of(&AppId::from_random([2; 8]), 0), []);
    }

    #[test]
    fn what_does_not_fit_pushes_out_what_is_oldest() {
        let mut kept = Kept::default();
        let app = AppId::from_random([1; 8]);
        let minutes = (0..10).map(|minute| (minute, Traffic::default())).collect();
        kept.apps.insert(app.clone(), minutes);
        kept.count = MINUTES_MAX;
        kept.make_room(9);
        assert_eq!(kept.count, 10, "it was counted again");
        kept.forget_before(KEPT_MINUTES);
        assert_eq!((kept.count, kept.apps.len()), (0, 0));
    }

    #[test]
    fn a_percentile_is_the_upper_end_of_its_bucket() {
        let mut latency = [0; LATENCY_BUCKETS];
        assert!(within_ms(&latency, 50).abs() < f64::EPSILON);
        latency[2] = 98;
        latency[5] = 2;
        assert!((within_ms(&latency, 50) - 1.0).abs() < f64::EPSILON);
        assert!((within_ms(&latency, 99) - 8.0).abs() < f64::EPSILON);
    }
}
