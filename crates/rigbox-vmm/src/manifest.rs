//! What made a snapshot. Memory and state are bytes of one VMM version on one kind of processor: an
//! unequal one would load them and fail later, in the guest.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::{KernelKind, MacAddr, VmSpec, VmmError, machine};

/// Everything that must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    vmm: String,
    cpu: String,
    kernel_kind: KernelKind,
    memory_mib: u32,
    vcpus: u8,
    guest_mac: MacAddr,
    /// The tap's name at that time, which may differ from today's.
    pub(crate) tap: String,
}

impl Manifest {
    /// The manifest of a snapshot of `spec`.
    pub(crate) fn of(vmm: String, spec: &VmSpec) -> Self {
        Self {
            format: FORMAT,
            vmm,
            cpu: machine::cpu_model(),
            kernel_kind: spec.kernel.kind,
            memory_mib: spec.memory_mib,
            vcpus: spec.vcpus,
            guest_mac: spec.guest_mac,
            tap: spec.tap.clone(),
        }
    }

    /// Writes it durably. It is the last part of a snapshot: without it there is none.
    pub(crate) async fn write(&self, path: &Utf8Path) -> Result<(), VmmError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| VmmError::file("write", path)(error.into()))?;
        let path = path.to_owned();
        blocking(move || {
            let file = std::fs::File::create(&path).map_err(VmmError::file("create", &path))?;
            std::io::Write::write_all(&mut &file, &text)
                .and_then(|()| file.sync_all())
                .and_then(|()| sync_parent(&path))
                .map_err(VmmError::file("write", &path))
        })
        .await
    }

    /// Reads a manifest and says what does not fit this one.
    pub(crate) async fn check(&self, path: &Utf8Path) -> Result<Self, VmmError> {
        let mismatch = |reason: String| VmmError::SnapshotMismatch { reason };
        let text = tokio::fs::read(path).await.map_err(VmmError::file("read", path))?;
        let found: Self =
            serde_json::from_slice(&text).map_err(|error| mismatch(error.to_string()))?;
        let differs = |what: &str, there: &dyn std::fmt::Debug, here: &dyn std::fmt::Debug| {
            Err(mismatch(format!("its {what} is {there:?}, here it is {here:?}")))
        };
        let Self { format, vmm, cpu, kernel_kind, memory_mib, vcpus, guest_mac, tap: _ } = &found;
        if *format != self.format {
            differs("format", format, &self.format)
        } else if *vmm != self.vmm {
            differs("VMM", vmm, &self.vmm)
        } else if *cpu != self.cpu {
            differs("processor", cpu, &self.cpu)
        } else if *kernel_kind != self.kernel_kind {
            differs("kernel", kernel_kind, &self.kernel_kind)
        } else if *memory_mib != self.memory_mib {
            differs("memory in MiB", memory_mib, &self.memory_mib)
        } else if *vcpus != self.vcpus {
            differs("number of vCPUs", vcpus, &self.vcpus)
        } else if *guest_mac != self.guest_mac {
            differs("MAC address", guest_mac, &self.guest_mac)
        } else {
            Ok(found)
        }
    }
}

/// Runs file operations that may take long off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VmmError> + Send + 'static,
) -> Result<T, VmmError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(VmmError::Launch { reason: format!("a file operation was cut off: {error}") })
    })
}

/// Makes the directory entry of `path` durable.
pub(crate) fn sync_parent(path: &Utf8Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Changes with the meaning of any file of a snapshot.
const FORMAT: u32 = 1;
