//! `rig app metrics`: what requests to an app there were.

use std::collections::BTreeMap;

use rigbox_types::{
    Timestamp,
    api::{
        app_metrics::{AppMetricsResponse, AppMetricsSummaryResponse},
        metrics::MetricPoint,
    },
};

use super::{find, path};
use crate::{
    cli::AppMetricsArgs,
    client::Document,
    clock,
    error::CommandResult,
    output::{Fields, Table, ago},
    session::Session,
    size,
};

/// Sums, or how it went over time.
pub(super) async fn run(session: &Session, args: &AppMetricsArgs) -> CommandResult {
    let app = find(session, &args.target.app).await?.value;
    session.output.progress(format!("reading the metrics of {}", app.name));
    let path = path(&app.id).then("/metrics");
    if args.series {
        let answer: Document<AppMetricsResponse> =
            session.client.get(path.query("range", &args.range)).await?;
        if !session.output.is_human() {
            return session.output.document(&answer.raw);
        }
        let none = format!("no requests within {}", args.range);
        return session.output.table(&series(&answer.value, clock::now()), &none);
    }
    let answer: Document<AppMetricsSummaryResponse> =
        session.client.get(path.then("/summary").query("range", &args.range)).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.fields(&summary(&answer.value, &args.range))
}

fn summary(of: &AppMetricsSummaryResponse, range: &str) -> Fields {
    let mut fields = Fields::default();
    fields
        .add("range", range)
        .add("requests", format!("{:.0}", of.total_requests))
        .add("a second", rate(of.request_rate_avg))
        .add("failed", format!("{:.0} ({})", of.total_errors_5xx, share(of.error_rate_5xx)))
        .add("p50", latency(of.latency_p50_ms))
        .add("p95", latency(of.latency_p95_ms))
        .add("p99", latency(of.latency_p99_ms))
        .add("sent", bytes(of.bandwidth_out_bytes));
    fields
}

fn series(of: &AppMetricsResponse, now: Timestamp) -> Table {
    let series = &of.series;
    let by_time = |points: &[MetricPoint]| -> BTreeMap<i64, f64> {
        points.iter().map(|point| (point.t, point.v)).collect()
    };
    let (failed, sent) = (by_time(&series.error_rate_5xx), by_time(&series.bandwidth_out_bps));
    let latencies = [&series.latency_p50_ms, &series.latency_p95_ms, &series.latency_p99_ms]
        .map(|it| by_time(it));
    let mut table =
        Table::new(["TIME", "A SECOND", "FAILED", "P50", "P95", "P99", "SENT A SECOND"]);
    for point in &series.request_rate {
        let at = |values: &BTreeMap<i64, f64>, show: fn(f64) -> String| {
            values.get(&point.t).map(|value| show(*value)).unwrap_or_default()
        };
        let [p50, p95, p99] = latencies.each_ref().map(|values| at(values, latency));
        table.row([
            ago(now, Timestamp::from_micros(point.t.saturating_mul(1_000_000))).into(),
            rate(point.v).into(),
            at(&failed, share).into(),
            p50.into(),
            p95.into(),
            p99.into(),
            at(&sent, bytes).into(),
        ]);
    }
    table
}

fn rate(value: f64) -> String {
    format!("{value:.2}")
}

fn share(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

fn latency(ms: f64) -> String {
    format!("{ms:.1} ms")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates where it becomes an integer, and this one is shown with one digit"
)]
fn bytes(value: f64) -> String {
    size::show_bytes(value as u64)
}
