//! What a workspace uses right now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Timestamp, WorkspaceId};

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
