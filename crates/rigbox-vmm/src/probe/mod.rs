//! Finds out which driver this machine gets. KVM that opens is not KVM that works, so a guest of a
//! few instructions is booted with it, once; the answer is remembered for this kernel, these VMM
//! versions and this processor.
//! Does not judge anything but VMMs (see `rigbox doctor`).

mod choice;
mod kernel;
mod memory;
mod tool;
mod trial;

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::host::DriverName;
use serde::{Deserialize, Serialize};

use crate::{
    DriverChoice, DriverConfig, Vmm, VmmError,
    firecracker::Firecracker,
    machine,
    qemu::{Accelerator, Qemu},
};

/// What this machine can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Whether guests of the VMM that was tried run under KVM.
    pub kvm: Kvm,
    /// QEMU, where it is installed.
    pub qemu: Option<Tool>,
    /// Firecracker, where it is installed.
    pub firecracker: Option<Tool>,
    /// The jailer, where it is installed.
    pub jailer: Option<Tool>,
    /// The driver that the configuration gets here; none if there is none.
    pub driver: Option<DriverName>,
    /// Why that one, for people.
    pub why: String,
}

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Where.
    pub path: Utf8PathBuf,
    /// The first line of its version.
    pub version: String,
}

/// The answer about KVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Kvm {
    /// A guest booted.
    Works,
    /// It opens, but no guest boots.
    Broken {
        /// What was seen.
        reason: String,
    },
    /// It cannot be opened.
    Absent {
        /// Why not.
        reason: String,
    },
    /// Nobody needs to know.
    Untried,
}

/// Looks for the tools, tries KVM with those that the configuration allows, and chooses.
pub async fn probe(config: &DriverConfig) -> ProbeReport {
    let qemu = tool::find(&config.qemu).await;
    let firecracker = tool::find(&config.firecracker).await;
    let jailer = tool::find(&config.jailer).await;
    let may_be_firecracker =
        matches!(config.driver, DriverChoice::Auto | DriverChoice::Firecracker);
    let may_be_qemu_kvm = matches!(config.driver, DriverChoice::Auto | DriverChoice::Qemu);
    let with_firecracker = match (&firecracker, &jailer) {
        (Some(tool), Some(_)) if may_be_firecracker => {
            ask(config, tool, trial::Vmm::Firecracker).await
        }
        _ => Kvm::Untried,
    };
    let with_qemu = match &qemu {
        Some(tool) if may_be_qemu_kvm && with_firecracker != Kvm::Works => {
            ask(config, tool, trial::Vmm::Qemu).await
        }
        _ => Kvm::Untried,
    };
    let found = choice::Found {
        qemu: qemu.is_some(),
        firecracker: firecracker.is_some(),
        jailer: jailer.is_some(),
        with_firecracker: &with_firecracker,
        with_qemu: &with_qemu,
    };
    let (driver, why) = choice::choose(config.driver, &found);
    let kvm = if with_firecracker == Kvm::Untried || with_qemu == Kvm::Works {
        with_qemu
    } else {
        with_firecracker
    };
    ProbeReport { kvm, qemu, firecracker, jailer, driver, why }
}

/// The driver that the report chose.
pub fn driver(config: &DriverConfig, report: &ProbeReport) -> Result<Arc<dyn Vmm>, VmmError> {
    let none = |reason: &str| VmmError::NoDriver { reason: reason.to_owned() };
    let name = report.driver.ok_or_else(|| none(&report.why))?;
    let launcher = config.launcher.clone().map_or_else(beside_this_program, Ok)?;
    let accelerator = match name {
        DriverName::Firecracker => return firecracker(config, report, launcher),
        DriverName::QemuKvm => Accelerator::Kvm,
        DriverName::QemuTcg => Accelerator::Tcg {
            cache_mib: config.tcg_cache_mib,
            tsc_khz: machine::tsc_khz()
                .ok_or_else(|| none("/proc/cpuinfo does not tell the frequency of the TSC"))?,
        },
    };
    let tool = report.qemu.as_ref().ok_or_else(|| none("QEMU is not installed"))?;
    Ok(Arc::new(Qemu {
        program: tool.path.clone(),
        version: tool.version.clone(),
        launcher,
        accelerator,
    }))
}

/// The driver of this name, whatever the configuration chooses: for a VM that it has booted before.
pub async fn driver_named(
    config: &DriverConfig,
    name: DriverName,
) -> Result<Arc<dyn Vmm>, VmmError> {
    let report = ProbeReport {
        kvm: Kvm::Untried,
        qemu: tool::find(&config.qemu).await,
        firecracker: tool::find(&config.firecracker).await,
        jailer: tool::find(&config.jailer).await,
        driver: Some(name),
        why: String::new(),
    };
    driver(config, &report)
}

fn firecracker(
    config: &DriverConfig,
    report: &ProbeReport,
    launcher: Utf8PathBuf,
) -> Result<Arc<dyn Vmm>, VmmError> {
    let (Some(tool), Some(jailer)) = (&report.firecracker, &report.jailer) else {
        let reason = "Firecracker or its jailer is not installed".to_owned();
        return Err(VmmError::NoDriver { reason });
    };
    Ok(Arc::new(Firecracker {
        program: tool.path.canonicalize_utf8().map_err(VmmError::file("find", &tool.path))?,
        version: tool.version.clone(),
        jailer: jailer.path.clone(),
        jail_dir: config.jail_dir.clone(),
        launcher,
    }))
}

/// The remembered answer, or a new one.
async fn ask(config: &DriverConfig, tool: &Tool, vmm: trial::Vmm) -> Kvm {
    if let Err(error) = std::fs::File::options().read(true).write(true).open(KVM_DEVICE) {
        // Not remembered: it costs nothing to ask again, and an operator may just be mending it.
        return Kvm::Absent { reason: format!("{KVM_DEVICE} cannot be opened: {error}") };
    }
    let key = memory::key(tool);
    if let Some(kvm) = memory::recall(&config.probe_file, &key).await {
        return kvm;
    }
    let kvm = match trial::run(tool, vmm, trial::Accelerator::Kvm).await {
        Ok(kvm) => kvm,
        // Not remembered either: a full disk is mended, and then nothing is known yet.
        Err(reason) => return Kvm::Broken { reason },
    };
    if let Err(error) = memory::remember(&config.probe_file, &key, &kvm).await {
        // The next start asks again, which takes a moment.
        tracing::warn!(path = %config.probe_file, %error, "the answer about KVM is not remembered");
    }
    kvm
}

fn beside_this_program() -> Result<Utf8PathBuf, VmmError> {
    let program = std::env::current_exe().map_err(VmmError::file("find", "/proc/self/exe"))?;
    Utf8Path::from_path(&program)
        .and_then(Utf8Path::parent)
        .map(|dir| dir.join(LAUNCHER))
        .ok_or_else(|| VmmError::NoDriver {
            reason: "the path of this program is not UTF-8".to_owned(),
        })
}

const KVM_DEVICE: &str = "/dev/kvm";
const LAUNCHER: &str = "rigbox-launch";

#[cfg(test)]
mod tests;
