//! What all workspaces of a host share. Built once at start, read by every task.

use rigbox_types::host::DriverName;
use tokio::sync::watch;

use crate::{
    Config, Layout,
    admission::Ledger,
    cgroup::Cgroups,
    disk::Disks,
    drivers::Drivers,
    metrics::Metrics,
    net::{pool::Pool, relays::Upstreams},
    reports::Reports,
    table::Table,
};

/// The parts of a host.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) drivers: Drivers,
    pub(crate) disks: Disks,
    pub(crate) cgroups: Cgroups,
    pub(crate) pool: Pool,
    pub(crate) ledger: Ledger,
    pub(crate) upstreams: Upstreams,
    pub(crate) reports: Reports,
    pub(crate) metrics: Metrics,
    pub(crate) table: Table,
    /// Moves when guests are to be told the time.
    pub(crate) clock_told: watch::Sender<u64>,
}

impl Host {
    /// Memory of a VMM beyond its guest's, in MiB.
    ///
    /// Under emulation the translated code is 64 MiB (see `vmm`'s configuration) and the rest at
    /// most 19 MiB private and 42 MiB of shared files (measured on QEMU 7.2); the kernel charges
    /// buffers and page tables too. Below 96 MiB beyond the translated code guests were killed.
    pub(crate) fn overhead_mib(&self) -> u64 {
        match self.drivers.current().name() {
            DriverName::Firecracker => 64,
            DriverName::QemuKvm => 160,
            DriverName::QemuTcg => 256,
        }
    }
}
