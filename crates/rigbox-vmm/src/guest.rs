//! The part of the guest kernel's command line that does not depend on the VMM.

use crate::{KernelKind, VmSpec};

/// How the guest tells time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// By kvm-clock; nothing to say.
    Kvm,
    /// By the time-stamp counter under emulation, which is the host's. Debian's kernel hangs when it
    /// has to calibrate it on a microvm, which has no reference, so it is told.
    Tsc {
        /// The host's frequency.
        khz: u64,
    },
}

/// The arguments. The addresses are the same in every workspace: its namespace is its identity.
pub(crate) fn arguments(spec: &VmSpec, clock: Clock) -> String {
    let hostname = &spec.hostname;
    let mut text = format!("console=ttyS0 8250.nr_uarts=1 quiet systemd.hostname={hostname}");
    match spec.kernel.kind {
        // Without CONFIG_IP_PNP: its initramfs sets the address.
        KernelKind::DebianCloud => {}
        KernelKind::Own => {
            text.push_str(&format!(" ip={ADDRESS}::{GATEWAY}:{NETMASK}:{hostname}:eth0:off"));
        }
    }
    match clock {
        Clock::Kvm => {}
        // The last two: QEMU 7.2 translates again for every address layout (38 ms an exec against
        // 9), and mitigations guard nothing here, since guest and emulator are one process.
        Clock::Tsc { khz } => {
            text.push_str(&format!(" tsc_early_khz={khz} tsc=reliable norandmaps mitigations=off"));
        }
    }
    text
}

const ADDRESS: &str = "172.16.0.2";
const GATEWAY: &str = "172.16.0.1";
const NETMASK: &str = "255.255.255.252";
