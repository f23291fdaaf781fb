//! What requests to an app there were, as the edges counted them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::metrics::MetricPoint;
pub use crate::api::metrics::WorkspaceMetricsRange as AppMetricsRange;

/// `GET /apps/{id}/metrics`. A step without requests has no point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppMetricsResponse {
    /// The host names that lead to the app.
    pub hosts: Vec<String>,
    /// How far back it goes.
    pub range: AppMetricsRange,
    /// Time between two points.
    pub step_seconds: i64,
    /// The points, oldest first.
    pub series: AppMetricsSeries,
    /// Answers by class of status, of the whole range.
    pub status_codes: Vec<AppStatusCodeMetric>,
}

/// The series of an app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppMetricsSeries {
    /// Requests in a second.
    pub request_rate: Vec<MetricPoint>,
    /// Share of the answers that were 5xx, 0 to 1.
    pub error_rate_5xx: Vec<MetricPoint>,
    /// Half of the answers began within this, in milliseconds.
    pub latency_p50_ms: Vec<MetricPoint>,
    /// 95 of 100 answers began within this, in milliseconds.
    pub latency_p95_ms: Vec<MetricPoint>,
    /// 99 of 100 answers began within this, in milliseconds.
    pub latency_p99_ms: Vec<MetricPoint>,
    /// Bytes of bodies sent to visitors in a second.
    pub bandwidth_out_bps: Vec<MetricPoint>,
}

/// Answers of one class of status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppStatusCodeMetric {
    /// `1xx` to `5xx`.
    pub class: String,
    /// How many.
    pub count: f64,
    /// Their share of all, 0 to 1.
    pub ratio: f64,
}

/// `GET /apps/{id}/metrics/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppMetricsSummaryResponse {
    /// The host names that lead to the app.
    pub hosts: Vec<String>,
    /// How far back it goes.
    pub range: AppMetricsRange,
    /// Requests of the range.
    pub total_requests: f64,
    /// Those that were answered 5xx.
    pub total_errors_5xx: f64,
    /// Requests in a second, on average.
    pub request_rate_avg: f64,
    /// Share of the answers that were 5xx, 0 to 1.
    pub error_rate_5xx: f64,
    /// Half of the answers began within this, in milliseconds.
    pub latency_p50_ms: f64,
    /// 95 of 100 answers began within this, in milliseconds.
    pub latency_p95_ms: f64,
    /// 99 of 100 answers began within this, in milliseconds.
    pub latency_p99_ms: f64,
    /// Bytes of bodies sent to visitors.
    pub bandwidth_out_bytes: f64,
}
