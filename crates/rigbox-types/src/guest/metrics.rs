//! What the guest uses, as it sees it. `GET /metrics`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Load of the guest at one moment. Counters grow from boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestMetrics {
    /// When this was read, by the guest's clock.
    pub at: Timestamp,
    /// Since boot.
    pub uptime_ms: u64,
    /// Number of CPUs.
    pub cpus: u32,
    /// CPU use of all CPUs together since the last reading (at least one second ago), 0 to 100.
    pub cpu_percent: f64,
    /// CPU time not idle, of all CPUs.
    pub cpu_busy_ms: u64,
    /// Memory that the kernel manages.
    pub memory_total_bytes: u64,
    /// Memory that could not be had without taking it from somebody.
    pub memory_used_bytes: u64,
    /// Size of the root file system.
    pub disk_total_bytes: u64,
    /// What is written of it.
    pub disk_used_bytes: u64,
    /// Received by all interfaces but loopback.
    pub network_rx_bytes: u64,
    /// Sent by all interfaces but loopback.
    pub network_tx_bytes: u64,
    /// Processes that run or want to, averaged over one minute.
    pub load_1m: f64,
}
