//! What the operator chooses about drivers and where their tools are.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// Configuration of probe and drivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverConfig {
    /// Which driver.
    #[serde(default)]
    pub driver: DriverChoice,
    /// QEMU's full system emulator. The `-microvm` binary will not do: it is built without
    /// emulation.
    #[serde(default = "default_qemu")]
    pub qemu: Utf8PathBuf,
    /// Firecracker.
    #[serde(default = "default_firecracker")]
    pub firecracker: Utf8PathBuf,
    /// Firecracker's jailer.
    #[serde(default = "default_jailer")]
    pub jailer: Utf8PathBuf,
    /// The trampoline; none: beside the current executable.
    #[serde(default)]
    pub launcher: Option<Utf8PathBuf>,
    /// Jails are made below it. It must be on the file system of the workspaces' disks, which are
    /// hard-linked into the jail.
    pub jail_dir: Utf8PathBuf,
    /// Where the probe keeps its answer.
    pub probe_file: Utf8PathBuf,
    /// Most memory for translated code under emulation, in MiB.
    #[serde(default = "default_tcg_cache_mib")]
    pub tcg_cache_mib: u32,
}

/// Which driver the host uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverChoice {
    /// Firecracker where it is installed and KVM works, else QEMU with what works.
    #[default]
    Auto,
    /// Firecracker or nothing.
    Firecracker,
    /// QEMU, with KVM where it works.
    Qemu,
    /// QEMU with emulation, even where KVM works.
    QemuTcg,
}

impl DriverConfig {
    /// The defaults, with what has none.
    #[must_use]
    pub fn new(jail_dir: Utf8PathBuf, probe_file: Utf8PathBuf) -> Self {
        Self {
            driver: DriverChoice::default(),
            qemu: default_qemu(),
            firecracker: default_firecracker(),
            jailer: default_jailer(),
            launcher: None,
            jail_dir,
            probe_file,
            tcg_cache_mib: default_tcg_cache_mib(),
        }
    }
}

fn default_qemu() -> Utf8PathBuf {
    "/usr/bin/qemu-system-x86_64".into()
}

fn default_firecracker() -> Utf8PathBuf {
    "/usr/local/bin/firecracker".into()
}

fn default_jailer() -> Utf8PathBuf {
    "/usr/local/bin/jailer".into()
}

/// 64 MiB costs a tenth of boot speed against QEMU's default and bounds an idle VM's memory at a
/// third less (measured on QEMU 7.2).
const fn default_tcg_cache_mib() -> u32 {
    64
}
