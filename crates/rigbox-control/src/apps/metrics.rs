//! What requests to an app there were, as the edges counted them. Since control's last start: what was
//! counted before is not known.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use rigbox_types::{
    api::{
        app_metrics::{
            AppMetricsRange, AppMetricsResponse, AppMetricsSeries, AppMetricsSummaryResponse,
            AppStatusCodeMetric,
        },
        metrics::MetricPoint,
    },
    edge::Traffic,
};

use crate::{
    control::Control,
    edges::{MinuteOf, route::names, sum, within_ms},
    error::ApiResult,
    http::access::ForApp,
};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// As series.
pub(crate) async fn app_metrics(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<AppMetricsResponse>> {
    let (range, minutes) = counted(&control, &about);
    let step = range.step_seconds();
    let mut steps: BTreeMap<i64, Traffic> = BTreeMap::new();
    for minute in &minutes {
        sum(steps.entry(minute.at.div_euclid(step) * step).or_default(), &minute.traffic);
    }
    let mut series = AppMetricsSeries::default();
    for (t, traffic) in &steps {
        let seconds = float(step.unsigned_abs());
        let all = requests(traffic);
        let point = |v| MetricPoint { t: *t, v };
        series.request_rate.push(point(float(all) / seconds));
        series.error_rate_5xx.push(point(share(errors(traffic), all)));
        series.latency_p50_ms.push(point(within_ms(&traffic.latency, 50)));
        series.latency_p95_ms.push(point(within_ms(&traffic.latency, 95)));
        series.latency_p99_ms.push(point(within_ms(&traffic.latency, 99)));
        series.bandwidth_out_bps.push(point(float(traffic.bytes_out) / seconds));
    }
    let whole = whole(&minutes);
    let all = requests(&whole);
    let classes = CLASSES.iter().zip(whole.answers);
    Ok(Json(AppMetricsResponse {
        hosts: names(&about.row, &control.config.edge),
        range,
        step_seconds: step,
        series,
        status_codes: classes
            .map(|(class, count)| AppStatusCodeMetric {
                class: (*class).to_owned(),
                count: float(count),
                ratio: share(count, all),
            })
            .collect(),
    }))
}

/// Added up.
pub(crate) async fn app_metrics_summary(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<AppMetricsSummaryResponse>> {
    let (range, minutes) = counted(&control, &about);
    let whole = whole(&minutes);
    let all = requests(&whole);
    Ok(Json(AppMetricsSummaryResponse {
        hosts: names(&about.row, &control.config.edge),
        range,
        total_requests: float(all),
        total_errors_5xx: float(errors(&whole)),
        request_rate_avg: float(all) / float(range.seconds().unsigned_abs()),
        error_rate_5xx: share(errors(&whole), all),
        latency_p50_ms: within_ms(&whole.latency, 50),
        latency_p95_ms: within_ms(&whole.latency, 95),
        latency_p99_ms: within_ms(&whole.latency, 99),
        bandwidth_out_bytes: float(whole.bytes_out),
    }))
}

fn counted(control: &Control, about: &ForApp) -> (AppMetricsRange, Vec<MinuteOf>) {
    let word = about.params.text("range").unwrap_or_default();
    let range = AppMetricsRange::of_word(word).unwrap_or_default();
    let now = control.store.now().as_micros().div_euclid(1_000_000);
    (range, control.traffic.of(about.id.target(), now.saturating_sub(range.seconds())))
}

fn whole(minutes: &[MinuteOf]) -> Traffic {
    let mut whole = Traffic::default();
    minutes.iter().for_each(|minute| sum(&mut whole, &minute.traffic));
    whole
}

fn requests(traffic: &Traffic) -> u64 {
    traffic.answers.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

fn errors(traffic: &Traffic) -> u64 {
    let [.., errors] = traffic.answers;
    errors
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { float(part) / float(of) }
}

/// Counts for people, of which 52 bits are enough.
fn float(count: u64) -> f64 {
    count as f64
}
