//! The drivers of this host: the one that boots, and those that booted what still runs.
//! Invariant: a VM is taken over, ended and cleaned up after by the driver that booted it. Another one
//! would look for sockets of its own, find none, and take a healthy VM for one that never ran.
//! Does not choose the driver (see `rigbox_vmm::probe`).

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rigbox_types::host::DriverName;
use rigbox_vmm::{DriverConfig, Vmm, VmmError};

use crate::{
    process::{self, Kind},
    record::VmNote,
};

/// Where drivers come from that this host does not boot with.
#[async_trait]
pub trait DriverSource: Send + Sync {
    /// The driver of this name. An error where it cannot be had now; it is asked for again.
    async fn driver(&self, name: DriverName) -> Result<Arc<dyn Vmm>, VmmError>;
}

#[async_trait]
impl DriverSource for DriverConfig {
    async fn driver(&self, name: DriverName) -> Result<Arc<dyn Vmm>, VmmError> {
        rigbox_vmm::driver_named(self, name).await
    }
}

/// The drivers of one host.
pub struct Drivers {
    current: Arc<dyn Vmm>,
    source: Arc<dyn DriverSource>,
    others: Mutex<Vec<Arc<dyn Vmm>>>,
}

impl Drivers {
    /// Boots with `current`; what another driver booted is taken over with one from `source`.
    #[must_use]
    pub fn new(current: Arc<dyn Vmm>, source: Arc<dyn DriverSource>) -> Self {
        Self { current, source, others: Mutex::default() }
    }

    /// The one that boots.
    pub(crate) fn current(&self) -> &Arc<dyn Vmm> {
        &self.current
    }

    /// The one that booted a VM.
    pub(crate) async fn of(&self, vm: &VmNote) -> Result<Arc<dyn Vmm>, VmmError> {
        let name = vm.driver.unwrap_or_else(|| self.guess(vm));
        let known = {
            let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            let mut all = others.iter().chain([&self.current]);
            all.find(|driver| driver.name() == name).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let made = self.source.driver(name).await?;
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(made.clone());
        Ok(made)
    }

    /// Records of an agent that had one driver do not name it. The process itself does.
    fn guess(&self, vm: &VmNote) -> DriverName {
        let kind = vm.process.and_then(|process| process::vmm(process.pid));
        let current = self.current.name();
        match (kind.map(|vmm| vmm.kind), current) {
            (Some(Kind::Firecracker), _) => DriverName::Firecracker,
            // The two differ in how they boot, not in how they are taken over.
            (Some(Kind::Qemu), DriverName::Firecracker) => DriverName::QemuKvm,
            (Some(Kind::Qemu) | None, _) => current,
        }
    }
}
