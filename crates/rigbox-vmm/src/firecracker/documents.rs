//! The bodies of Firecracker's API. Only fields that every release since 1.4 knows are sent: an
//! unknown field is refused.

use serde::{Deserialize, Serialize};

use crate::{IoLimits, VmSpec, guest};

/// `PUT /machine-config`.
#[derive(Debug, Serialize)]
pub(super) struct MachineConfig {
    vcpu_count: u8,
    mem_size_mib: u32,
    smt: bool,
}

/// `PUT /boot-source`.
#[derive(Debug, Serialize)]
pub(super) struct BootSource {
    kernel_image_path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd_path: Option<&'static str>,
    boot_args: String,
}

/// `PUT /drives/root`.
#[derive(Debug, Serialize)]
pub(super) struct Drive {
    drive_id: &'static str,
    path_on_host: &'static str,
    is_root_device: bool,
    is_read_only: bool,
    cache_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limiter: Option<RateLimiter>,
}

/// `PUT /network-interfaces/eth0`.
#[derive(Debug, Serialize)]
pub(super) struct NetworkInterface {
    iface_id: &'static str,
    host_dev_name: String,
    guest_mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_rate_limiter: Option<RateLimiter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_rate_limiter: Option<RateLimiter>,
}

/// A limit, refilled every second.
#[derive(Debug, Serialize)]
struct RateLimiter {
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<Bucket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ops: Option<Bucket>,
}

#[derive(Debug, Serialize)]
struct Bucket {
    size: u64,
    refill_time: u64,
}

/// `PUT /vsock`.
#[derive(Debug, Serialize)]
pub(super) struct Vsock {
    guest_cid: u32,
    uds_path: &'static str,
}

/// `PUT /entropy`.
#[derive(Debug, Serialize)]
pub(super) struct Entropy {}

/// `PUT /actions`.
#[derive(Debug, Serialize)]
pub(super) struct Action {
    pub(super) action_type: ActionType,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum ActionType {
    InstanceStart,
    SendCtrlAltDel,
}

/// `PATCH /vm`.
#[derive(Debug, Serialize)]
pub(super) struct VmState {
    pub(super) state: VmChange,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum VmChange {
    Paused,
    Resumed,
}

/// `PUT /snapshot/create`.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotCreate {
    pub(super) snapshot_type: &'static str,
    pub(super) snapshot_path: &'static str,
    pub(super) mem_file_path: &'static str,
}

/// `PUT /snapshot/load`.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotLoad {
    pub(super) snapshot_path: &'static str,
    pub(super) mem_backend: MemoryBackend,
    pub(super) resume_vm: bool,
    /// Sent only when the name differs: releases before 1.12 do not know it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) network_overrides: Vec<NetworkOverride>,
}

#[derive(Debug, Serialize)]
pub(super) struct MemoryBackend {
    pub(super) backend_type: &'static str,
    pub(super) backend_path: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct NetworkOverride {
    pub(super) iface_id: &'static str,
    pub(super) host_dev_name: String,
}

/// Answer to `GET /`.
#[derive(Debug, Deserialize)]
pub(super) struct InstanceInfo {
    pub(super) state: InstanceState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum InstanceState {
    #[serde(rename = "Not started")]
    NotStarted,
    Running,
    Paused,
}

impl MachineConfig {
    pub(super) fn of(spec: &VmSpec) -> Self {
        Self { vcpu_count: spec.vcpus, mem_size_mib: spec.memory_mib, smt: false }
    }
}

impl BootSource {
    /// Arguments are always sent: the default has `nomodule`, which a distribution's kernel cannot
    /// boot with, and no console. `reboot=k panic=1` turn reboot and panic into the end of the
    /// process; `poweroff` never ends it. Firecracker itself appends the root device and, without
    /// PCI, `pci=off` and the addresses of the devices.
    pub(super) fn of(spec: &VmSpec) -> Self {
        Self {
            kernel_image_path: KERNEL,
            initrd_path: spec.kernel.initrd.is_some().then_some(INITRD),
            boot_args: format!("{} reboot=k panic=1", guest::arguments(spec, guest::Clock::Kvm)),
        }
    }
}

impl Drive {
    /// `Writeback` shows the guest a flush that reaches the host's disk; the default hides it.
    pub(super) fn of(spec: &VmSpec) -> Self {
        let IoLimits { disk_bps, disk_iops, net_bps: _ } = spec.limits;
        Self {
            drive_id: ROOT_DRIVE,
            path_on_host: DISK,
            is_root_device: true,
            is_read_only: false,
            cache_type: "Writeback",
            rate_limiter: RateLimiter::of(disk_bps, disk_iops),
        }
    }
}

impl NetworkInterface {
    pub(super) fn of(spec: &VmSpec) -> Self {
        Self {
            iface_id: INTERFACE,
            host_dev_name: spec.tap.clone(),
            guest_mac: spec.guest_mac.to_string(),
            rx_rate_limiter: RateLimiter::of(spec.limits.net_bps, None),
            tx_rate_limiter: RateLimiter::of(spec.limits.net_bps, None),
        }
    }
}

impl Vsock {
    pub(super) fn new() -> Self {
        Self { guest_cid: GUEST_CID, uds_path: AGENT_SOCKET }
    }
}

impl RateLimiter {
    fn of(bytes_per_s: Option<u64>, operations_per_s: Option<u64>) -> Option<Self> {
        let bucket = |size| Bucket { size, refill_time: SECOND_MS };
        let limiter =
            Self { bandwidth: bytes_per_s.map(bucket), ops: operations_per_s.map(bucket) };
        (limiter.bandwidth.is_some() || limiter.ops.is_some()).then_some(limiter)
    }
}

// Ids of resources have letters, digits and underscores only (that of the VM: hyphens, but no
// underscores). Paths are those inside the jail.
pub(super) const ROOT_DRIVE: &str = "root";
pub(super) const INTERFACE: &str = "eth0";
pub(super) const KERNEL: &str = "/kernel";
pub(super) const INITRD: &str = "/initrd";
pub(super) const DISK: &str = "/disk.ext4";
pub(super) const API_SOCKET: &str = "/run/api.sock";
pub(super) const AGENT_SOCKET: &str = "/run/agent.sock";
/// A directory that Firecracker may write to.
pub(super) const SNAPSHOT: &str = "/snapshot";
/// The least that is documented.
const GUEST_CID: u32 = 3;
const SECOND_MS: u64 = 1000;
