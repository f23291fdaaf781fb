//! Boots the VM of a workspace, and admits its process before it may run.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rigbox_types::{failure::FailureCode, host::Assignment};
use rigbox_vmm::{GateError, KernelSpec, ProcessGate, ProcessId, VmSpec, VmmError};

use super::Workspace;
use crate::{
    Layout,
    cgroup::CgroupError,
    durable,
    fault::{self, Point},
    host::Host,
    image::{self, ImageError},
    layout::netns_path,
    metrics::count,
    net::{self, GUEST_MAC, TAP},
    record::{Record, VmNote},
    task::blocking,
    trouble::StepError,
};

impl Workspace {
    pub(super) async fn boot(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        fault::point(Point::BootBefore);
        let spec = self.spec(assignment).await?;
        let run_dir = spec.run_dir.clone();
        let driver = self.host.drivers.current().clone();
        self.write(|record| {
            record.vm = Some(VmNote {
                driver: Some(driver.name()),
                spec: spec.clone(),
                generation: assignment.generation,
                process: None,
                ending: None,
                told: None,
            });
        })
        .await?;
        fault::point(Point::BootRecorded);
        make_run_dir(&run_dir).map_err(|error| {
            StepError::caused(FailureCode::HostError, "the workspace could not be started", error)
        })?;
        let (cgroups, workspace) = (self.host.cgroups.clone(), spec.workspace.clone());
        let limits = spec.limits;
        blocking(move || {
            cgroups.clear(&workspace)?;
            cgroups.limit_io(&workspace, &limits);
            Ok::<_, CgroupError>(())
        })
        .await?;
        if let Some(network) = &mut self.live.network
            && network.net_bps != limits.net_bps
        {
            net::shape::limit(&network.namespace, limits.net_bps).await?;
            network.net_bps = limits.net_bps;
        }
        let gate = Gate::new(self.host.clone(), self.record.clone());
        let booted = driver.boot(&spec, &gate).await;
        self.record = gate.into_record();
        match booted {
            Ok(running) => {
                count(&self.host.metrics.boots_total);
                self.attach(running, driver);
                fault::point(Point::BootAfter);
                Ok(())
            }
            Err(error) => {
                // No process is left; what it wrote is.
                self.live.gone();
                self.doom().await?;
                Err(boot_error(error))
            }
        }
    }

    async fn spec(&self, assignment: &Assignment) -> Result<VmSpec, StepError> {
        let missing =
            || StepError::new(FailureCode::HostError, "the workspace is not ready to boot");
        let (layout, workspace) = (&self.host.layout, &self.record.workspace);
        let (uid, slot) = self.record.uid.zip(self.record.slot).ok_or_else(missing)?;
        Ok(VmSpec {
            workspace: workspace.clone(),
            run_dir: layout.vm_run_dir(workspace),
            kernel: kernel(layout).await?,
            root_disk: self.host.disks.path(workspace),
            vcpus: assignment.resources.vcpus,
            memory_mib: assignment.resources.memory_mib,
            netns: netns_path(&layout.netns(slot)),
            tap: TAP.to_owned(),
            guest_mac: GUEST_MAC,
            uid,
            gid: uid,
            console: layout.console(workspace),
            hostname: assignment.guest.name.clone(),
            limits: self.host.config.limits.with(assignment.speed),
        })
    }
}

/// The kernel that guests boot.
async fn kernel(layout: &Layout) -> Result<KernelSpec, StepError> {
    let store = image::Store::below(layout.data());
    match image::kernel_resolve(&store, None).await {
        Ok(kernel) => Ok(kernel.spec),
        Err(error @ ImageError::Missing { .. }) => {
            let message = "the host has no guest kernel: build an image, then try again";
            Err(StepError::caused(FailureCode::ImageMissing, message, error))
        }
        Err(error @ ImageError::Corrupt { .. }) => {
            let message = "the host's guest kernel is damaged: build it again, then try again";
            Err(StepError::caused(FailureCode::ImageCorrupt, message, error))
        }
        Err(error) => {
            let message = "the host's guest kernel cannot be used";
            Err(StepError::caused(FailureCode::HostError, message, error))
        }
    }
}

/// An empty directory for the sockets: what a former VM left in it is gone by now.
fn make_run_dir(path: &camino::Utf8Path) -> std::io::Result<()> {
    durable::remove_dir(path)?;
    fs::create_dir(path)
}

fn boot_error(error: VmmError) -> StepError {
    match &error {
        VmmError::Unsupported { .. } => {
            let message = format!("this host cannot do it: {error}");
            StepError::caused(FailureCode::Unsupported, message, error)
        }
        _ => StepError::caused(FailureCode::VmmStart, "the workspace could not be started", error),
    }
}

/// Writes a process down and limits it before it may run.
struct Gate {
    host: Arc<Host>,
    record: Mutex<Record>,
}

impl Gate {
    fn new(host: Arc<Host>, record: Record) -> Self {
        Self { host, record: Mutex::new(record) }
    }

    fn into_record(self) -> Record {
        self.record.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ProcessGate for Gate {
    async fn admit(&self, process: &ProcessId) -> Result<(), GateError> {
        fault::point(Point::AdmitBefore);
        let mut next = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(vm) = &mut next.vm {
            vm.process = Some(*process);
        }
        let (layout, cgroups) = (self.host.layout.clone(), self.host.cgroups.clone());
        let pid = process.pid;
        let next = blocking(move || {
            next.save(&layout).map_err(GateError::new)?;
            fault::point(Point::AdmitRecorded);
            cgroups.enter(&next.workspace, pid).map_err(GateError::new)?;
            Ok::<_, GateError>(next)
        })
        .await?;
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = next;
        fault::point(Point::AdmitAfter);
        Ok(())
    }
}
