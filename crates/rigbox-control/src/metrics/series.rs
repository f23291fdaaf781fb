//! Samples as series and summaries. Pure.
//! Invariant: a counter that went back (a boot) and a gap of minutes give no rate.

use std::{collections::BTreeMap, time::Duration};

use rigbox_store::samples::Sample;
use rigbox_types::{
    Timestamp, WorkspaceId,
    api::metrics::{
        MetricPoint, WorkspaceMetricsRange, WorkspaceMetricsSeries, WorkspaceMetricsSummaryResponse,
    },
};

/// Longest time between two samples that say something about each other: several of them missed.
const GAP_MAX: Duration = Duration::from_secs(300);
/// Oldest sample that says what is now: two missed ones.
const FRESH: Duration = Duration::from_secs(150);

const MIB: f64 = 1024.0 * 1024.0;
const SECOND: i64 = 1_000_000;

/// The first moment of a range that ends now: the beginning of a step, so that the first point is
/// the mean of a whole one.
pub(crate) fn from(range: WorkspaceMetricsRange, now: Timestamp) -> Timestamp {
    let step = range.step_seconds().saturating_mul(SECOND);
    let first = now.as_micros().saturating_sub(range.seconds().saturating_mul(SECOND));
    let begun = first.div_euclid(step).saturating_add(1).saturating_mul(step);
    Timestamp::from_micros(begun)
}

/// The points of samples, which come oldest first.
pub(super) fn series(range: WorkspaceMetricsRange, samples: &[Sample]) -> WorkspaceMetricsSeries {
    let gauge = |value: fn(&Sample) -> f64| {
        let values = samples.iter().map(|sample| (sample.at, value(sample), 1.0));
        points(range, values)
    };
    let rate = |counter: fn(&Sample) -> u64| {
        points(range, moved(samples, counter).map(|part| (part.at, part.bytes, part.seconds)))
    };
    WorkspaceMetricsSeries {
        cpu_percent: gauge(|sample| sample.cpu_percent),
        memory_used_mb: gauge(|sample| mib(sample.memory_used_bytes)),
        memory_limit_mb: gauge(|sample| mib(sample.memory_limit_bytes)),
        disk_used_mb: gauge(|sample| mib(sample.disk_used_bytes)),
        disk_total_mb: gauge(|sample| mib(sample.disk_total_bytes)),
        network_rx_bps: rate(|sample| sample.rx_bytes),
        network_tx_bps: rate(|sample| sample.tx_bytes),
    }
}

/// What samples, which come oldest first, add up to.
pub(super) fn summary(
    workspace_id: WorkspaceId,
    range: WorkspaceMetricsRange,
    samples: &[Sample],
) -> WorkspaceMetricsSummaryResponse {
    let mut cpu: Vec<f64> = samples.iter().map(|sample| sample.cpu_percent).collect();
    cpu.sort_by(f64::total_cmp);
    let last = samples.last();
    let now = |value: fn(&Sample) -> u64| last.map_or(0.0, |sample| mib(value(sample)));
    let sum = |counter: fn(&Sample) -> u64| {
        // Not `sum`, which begins with minus zero.
        moved(samples, counter).fold(0.0, |sum, part| sum + part.bytes)
    };
    WorkspaceMetricsSummaryResponse {
        workspace_id,
        range,
        cpu_avg_percent: mean(&cpu),
        cpu_p95_percent: percentile_95(&cpu),
        memory_used_mb: now(|sample| sample.memory_used_bytes),
        memory_limit_mb: now(|sample| sample.memory_limit_bytes),
        disk_used_mb: now(|sample| sample.disk_used_bytes),
        disk_total_mb: now(|sample| sample.disk_total_bytes),
        network_rx_bytes: sum(|sample| sample.rx_bytes),
        network_tx_bytes: sum(|sample| sample.tx_bytes),
        guest_metrics_fresh: false,
        updated_at: last.map(|sample| sample.at),
    }
}

/// Whether the last sample says what is now.
pub(super) fn is_fresh(samples: &[Sample], now: Timestamp) -> bool {
    let oldest = now.as_micros().saturating_sub(micros(FRESH));
    samples.last().is_some_and(|sample| sample.at.as_micros() >= oldest)
}

/// What moved between two samples.
struct Moved {
    at: Timestamp,
    bytes: f64,
    seconds: f64,
}

fn moved(samples: &[Sample], counter: fn(&Sample) -> u64) -> impl Iterator<Item = Moved> {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    pairs.filter_map(move |(before, after)| {
        let micros_between = after.at.as_micros().saturating_sub(before.at.as_micros());
        let bytes = counter(after).checked_sub(counter(before))?;
        let known = micros_between > 0 && micros_between <= micros(GAP_MAX);
        known.then(|| Moved {
            at: after.at,
            bytes: bytes as f64,
            seconds: Duration::from_micros(micros_between.unsigned_abs()).as_secs_f64(),
        })
    })
}

/// The sum of the values of each step by the sum of their weights.
fn points(
    range: WorkspaceMetricsRange,
    values: impl Iterator<Item = (Timestamp, f64, f64)>,
) -> Vec<MetricPoint> {
    let step = range.step_seconds();
    let mut steps: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (at, value, weight) in values {
        let begun = at.as_micros().div_euclid(step.saturating_mul(SECOND)).saturating_mul(step);
        let (sum, weights) = steps.entry(begun).or_default();
        *sum += value;
        *weights += weight;
    }
    steps.into_iter().map(|(t, (sum, weights))| MetricPoint { t, v: sum / weights }).collect()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// By the nearest rank; `sorted` is.
fn percentile_95(sorted: &[f64]) -> f64 {
    let rank = sorted.len().saturating_mul(95).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: i64, cpu_percent: f64, rx_bytes: u64) -> Sample {
        Sample {
            workspace: WorkspaceId::from_random([1; 8]),
            at: Timestamp::from_micros(seconds * SECOND),
            cpu_percent,
            memory_used_bytes: 3 << 20,
            memory_limit_bytes: 4 << 20,
            disk_used_bytes: 1 << 19,
            disk_total_bytes: 2 << 20,
            rx_bytes,
            tx_bytes: 0,
        }
    }

    fn pairs(points: &[MetricPoint]) -> Vec<(i64, f64)> {
        points.iter().map(|point| (point.t, point.v)).collect()
    }

    #[test]
    fn points_are_means_of_their_steps() {
        let samples = [sample(600, 10.0, 0), sample(659, 20.0, 0), sample(725, 5.0, 0)];
        let hour = series(WorkspaceMetricsRange::Hour, &samples);
        assert_eq!(pairs(&hour.cpu_percent), [(600, 15.0), (720, 5.0)]);
        assert_eq!(pairs(&hour.disk_used_mb), [(600, 0.5), (720, 0.5)]);
        let six = series(WorkspaceMetricsRange::SixHours, &samples);
        assert_eq!(pairs(&six.memory_used_mb), [(600, 3.0)]);
        assert_eq!(series(WorkspaceMetricsRange::Week, &[]), WorkspaceMetricsSeries::default());
    }

    #[test]
    fn a_boot_and_a_gap_give_no_rate() {
        let samples = [
            sample(0, 0.0, 100),
            sample(60, 0.0, 700),
            sample(120, 0.0, 50),
            sample(180, 0.0, 110),
            sample(1000, 0.0, 999),
        ];
        let series = series(WorkspaceMetricsRange::Hour, &samples);
        assert_eq!(pairs(&series.network_rx_bps), [(60, 10.0), (180, 1.0)]);
        let id = WorkspaceId::from_random([1; 8]);
        let summary = summary(id, WorkspaceMetricsRange::Hour, &samples);
        assert_eq!(summary.network_rx_bytes, 660.0);
        assert_eq!(summary.updated_at, Some(Timestamp::from_micros(1000 * SECOND)));
    }

    #[test]
    fn the_percentile_is_what_95_of_100_do_not_exceed() {
        let id = || WorkspaceId::from_random([1; 8]);
        let samples: Vec<_> = (1..=100).map(|n| sample(n, n as f64, 0)).collect();
        let all = summary(id(), WorkspaceMetricsRange::Hour, &samples);
        assert_eq!((all.cpu_p95_percent, all.cpu_avg_percent), (95.0, 50.5));
        let one = summary(id(), WorkspaceMetricsRange::Hour, &samples[..1]);
        assert_eq!((one.cpu_p95_percent, one.memory_limit_mb), (1.0, 4.0));
        let none = summary(id(), WorkspaceMetricsRange::Hour, &[]);
        assert_eq!((none.cpu_p95_percent, none.cpu_avg_percent, none.updated_at), (0.0, 0.0, None));
    }

    #[test]
    fn a_range_begins_with_a_whole_step() {
        let now = Timestamp::from_micros(10_000 * SECOND + 1);
        assert_eq!(from(WorkspaceMetricsRange::Hour, now).as_micros(), 6_420 * SECOND);
        assert!(is_fresh(&[sample(9_900, 0.0, 0)], now));
        assert!(!is_fresh(&[sample(9_800, 0.0, 0)], now));
    }
}
