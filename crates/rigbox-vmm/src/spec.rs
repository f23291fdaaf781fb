//! What to boot: plain data that the caller keeps in its record, so that a later process can adopt
//! or clean what it describes.

use camino::Utf8PathBuf;
use rigbox_types::{WorkspaceId, WorkspaceName};
use serde::{Deserialize, Serialize};

use crate::MacAddr;

/// One micro-VM. The caller has made the run directory, the disk, the namespace and the tap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Whose it is; also the id of its jail.
    pub workspace: WorkspaceId,
    /// Directory of its sockets. The driver makes and removes files in it, not the directory.
    /// Keep it short: a socket's path holds 107 bytes.
    pub run_dir: Utf8PathBuf,
    /// What it boots.
    pub kernel: KernelSpec,
    /// Raw ext4 image, readable and writable for `uid`.
    pub root_disk: Utf8PathBuf,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The network namespace, such as `/run/netns/rb-ab12-3`.
    pub netns: Utf8PathBuf,
    /// Name of the tap in that namespace. Its owner is `uid`, or it has none.
    pub tap: String,
    /// Address of the guest's network card.
    pub guest_mac: MacAddr,
    /// The VMM runs as this user, which no other workspace of the host has.
    pub uid: u32,
    /// And as this group.
    pub gid: u32,
    /// Where the last part of the guest's console is kept; bounded (see `console`).
    pub console: Utf8PathBuf,
    /// The guest's host name.
    pub hostname: WorkspaceName,
    /// How fast the disk and the network may be.
    pub limits: IoLimits,
}

/// A kernel and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSpec {
    /// Which command line it needs.
    pub kind: KernelKind,
    /// Uncompressed ELF, readable for all.
    pub image: Utf8PathBuf,
    /// Initial RAM file system, readable for all.
    pub initrd: Option<Utf8PathBuf>,
}

/// The two kinds of guest kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// Debian's cloud kernel: devices through ACPI, virtio as modules in an initramfs, which also
    /// sets the address.
    DebianCloud,
    /// Ours: everything built in, devices and address on the command line.
    Own,
}

/// Limits that the VMM itself enforces. None is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoLimits {
    /// Bytes a second to and from the disk.
    pub disk_bps: Option<u64>,
    /// Operations a second on the disk.
    pub disk_iops: Option<u64>,
    /// Bytes a second, each way, on the network. QEMU has no such limit: its driver ignores it and
    /// leaves shaping to the network (see [`crate::Capability::LimitNetwork`]).
    pub net_bps: Option<u64>,
}

/// Where a snapshot of the memory is. The disk is the caller's: it clones it while the VM is
/// paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPaths {
    /// Directory that the caller made for this snapshot alone.
    pub dir: Utf8PathBuf,
}

impl SnapshotPaths {
    /// The state of the devices and vCPUs.
    #[must_use]
    pub fn state(&self) -> Utf8PathBuf {
        self.dir.join("state")
    }

    /// The guest's memory, sparse.
    #[must_use]
    pub fn memory(&self) -> Utf8PathBuf {
        self.dir.join("memory")
    }

    /// What made it, so that only an equal VMM loads it.
    #[must_use]
    pub fn manifest(&self) -> Utf8PathBuf {
        self.dir.join("vmm.json")
    }
}
