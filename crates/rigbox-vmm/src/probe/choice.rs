//! Which driver, from what was found: a pure function.

use rigbox_types::host::DriverName;

use super::Kvm;
use crate::DriverChoice;

/// What was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) qemu: bool,
    pub(super) firecracker: bool,
    pub(super) jailer: bool,
    pub(super) with_firecracker: &'a Kvm,
    pub(super) with_qemu: &'a Kvm,
}

/// The driver, if there is one, and why.
pub(super) fn choose(choice: DriverChoice, found: &Found<'_>) -> (Option<DriverName>, String) {
    match choice {
        DriverChoice::Firecracker => match firecracker(found) {
            Ok(why) => (Some(DriverName::Firecracker), why),
            Err(why) => (None, format!("Firecracker is configured, but {why}")),
        },
        DriverChoice::Auto => match firecracker(found) {
            Ok(why) => (Some(DriverName::Firecracker), why),
            Err(not_firecracker) => {
                let (driver, why) = qemu(found);
                (driver, format!("{not_firecracker}; {why}"))
            }
        },
        DriverChoice::Qemu => qemu(found),
        DriverChoice::QemuTcg if found.qemu => {
            (Some(DriverName::QemuTcg), "emulation is configured".to_owned())
        }
        DriverChoice::QemuTcg => (None, QEMU_MISSING.to_owned()),
    }
}

fn firecracker(found: &Found<'_>) -> Result<String, String> {
    match (found.firecracker, found.jailer, found.with_firecracker) {
        (false, _, _) => Err("Firecracker is not installed".to_owned()),
        (true, false, _) => Err("Firecracker's jailer is not installed".to_owned()),
        (true, true, Kvm::Works) => Ok("Firecracker booted a guest with KVM".to_owned()),
        (true, true, Kvm::Broken { reason }) => {
            Err(format!("Firecracker boots no guest with KVM ({reason})"))
        }
        (true, true, Kvm::Absent { reason }) => Err(reason.clone()),
        (true, true, Kvm::Untried) => Err("Firecracker was not tried".to_owned()),
    }
}

fn qemu(found: &Found<'_>) -> (Option<DriverName>, String) {
    let emulation =
        |why: &str| (Some(DriverName::QemuTcg), format!("QEMU with emulation, because {why}"));
    match (found.qemu, found.with_qemu) {
        (false, _) => (None, QEMU_MISSING.to_owned()),
        (true, Kvm::Works) => {
            (Some(DriverName::QemuKvm), "QEMU booted a guest with KVM".to_owned())
        }
        (true, Kvm::Broken { reason }) => emulation(&format!("KVM boots no guest ({reason})")),
        (true, Kvm::Absent { reason }) => emulation(reason),
        (true, Kvm::Untried) => emulation("KVM was not tried"),
    }
}

const QEMU_MISSING: &str = "QEMU is not installed";
