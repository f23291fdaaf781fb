//! Finds out by booting whether KVM works here, and which driver this machine gets.

use std::sync::Arc;

use camino::Utf8PathBuf;
use rigbox_types::host::DriverName;
use serde::{Deserialize, Serialize};

use crate::{DriverConfig, Vmm, VmmError};

/// What this machine can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Whether guests run under KVM.
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
}

/// Looks for the tools, tries KVM, and chooses.
pub async fn probe(_config: &DriverConfig) -> ProbeReport {
    ProbeReport {
        kvm: Kvm::Absent { reason: "not tried".to_owned() },
        qemu: None,
        firecracker: None,
        jailer: None,
        driver: None,
        why: "not tried".to_owned(),
    }
}

/// The driver that the report chose.
pub fn driver(_config: &DriverConfig, report: &ProbeReport) -> Result<Arc<dyn Vmm>, VmmError> {
    Err(VmmError::InvalidSpec { reason: report.why.clone() })
}
