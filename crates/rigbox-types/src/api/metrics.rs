//! What a workspace uses right now, and what it used over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HostId, Timestamp, WorkspaceId};

/// `GET /workspaces/{id}/metrics`, as the guest measures it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceMetrics {
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// Share of all its virtual CPUs, 0 to 100.
    pub cpu_percent: f64,
    /// Memory in use, without caches, in MiB.
    pub ram_used_mb: u64,
    /// Memory in all, in MiB.
    pub ram_total_mb: u64,
    /// Root disk in use, in MiB.
    pub disk_used_mb: u64,
    /// Root disk in all, in MiB.
    pub disk_total_mb: u64,
    /// Bytes received since boot.
    pub network_rx_bytes: u64,
    /// Bytes sent since boot.
    pub network_tx_bytes: u64,
    /// When it was measured.
    pub updated_at: Timestamp,
}

/// How far back a series or a summary goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkspaceMetricsRange {
    /// One hour, in steps of a minute.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// Six hours, in steps of five minutes.
    #[serde(rename = "6h")]
    SixHours,
    /// A day, in steps of 15 minutes.
    #[serde(rename = "24h")]
    Day,
    /// A week, in steps of an hour.
    #[serde(rename = "7d")]
    Week,
}

impl WorkspaceMetricsRange {
    /// The words of the query, the default first.
    pub const WORDS: &[&str] = &["1h", "6h", "24h", "7d"];

    /// The range with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "1h" => Some(Self::Hour),
            "6h" => Some(Self::SixHours),
            "24h" => Some(Self::Day),
            "7d" => Some(Self::Week),
            _ => None,
        }
    }

    /// How far back it goes.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::SixHours => 6 * 3_600,
            Self::Day => 24 * 3_600,
            Self::Week => 7 * 24 * 3_600,
        }
    }

    /// Time between two points.
    #[must_use]
    pub fn step_seconds(self) -> i64 {
        match self {
            Self::Hour => 60,
            Self::SixHours => 300,
            Self::Day => 900,
            Self::Week => 3_600,
        }
    }
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricPoint {
    /// When the step begins, in seconds since 1970.
    pub t: i64,
    /// The mean of the step.
    pub v: f64,
}

/// `GET /workspaces/{id}/metrics/series`. A step in which nothing was measured has no point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceMetricsSeriesResponse {
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// The host that has it.
    pub node_id: Option<HostId>,
    /// How far back it goes.
    pub range: WorkspaceMetricsRange,
    /// Time between two points.
    pub step_seconds: i64,
    /// Who measured.
    pub source: WorkspaceMetricsSource,
    /// The points, oldest first.
    pub series: WorkspaceMetricsSeries,
}

/// Who measured what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceMetricsSource {
    /// `guest`.
    pub cpu: String,
    /// `guest`.
    pub memory: String,
    /// `guest`.
    pub disk: String,
    /// `guest`.
    pub network: String,
}

/// The series of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceMetricsSeries {
    /// Share of all its virtual CPUs, 0 to 100.
    pub cpu_percent: Vec<MetricPoint>,
    /// Memory in use, without caches, in MiB.
    pub memory_used_mb: Vec<MetricPoint>,
    /// Memory in all, in MiB.
    pub memory_limit_mb: Vec<MetricPoint>,
    /// Root disk in use, in MiB.
    pub disk_used_mb: Vec<MetricPoint>,
    /// Root disk in all, in MiB.
    pub disk_total_mb: Vec<MetricPoint>,
    /// Bytes received in a second.
    pub network_rx_bps: Vec<MetricPoint>,
    /// Bytes sent in a second.
    pub network_tx_bps: Vec<MetricPoint>,
}

/// `GET /workspaces/{id}/metrics/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceMetricsSummaryResponse {
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// How far back it goes.
    pub range: WorkspaceMetricsRange,
    /// Mean share of all its virtual CPUs, 0 to 100.
    pub cpu_avg_percent: f64,
    /// What 95 of 100 samples did not exceed.
    pub cpu_p95_percent: f64,
    /// Memory in use at the last sample, in MiB.
    pub memory_used_mb: f64,
    /// Memory in all, in MiB.
    pub memory_limit_mb: f64,
    /// Root disk in use at the last sample, in MiB.
    pub disk_used_mb: f64,
    /// Root disk in all, in MiB.
    pub disk_total_mb: f64,
    /// Bytes received within the range.
    pub network_rx_bytes: f64,
    /// Bytes sent within the range.
    pub network_tx_bytes: f64,
    /// Whether the guest runs and its last sample is of the last minutes.
    pub guest_metrics_fresh: bool,
    /// When the last sample was taken.
    pub updated_at: Option<Timestamp>,
}
