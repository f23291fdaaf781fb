//! Executes steps. Each is written down before it is made and struck out after it is gone; each may
//! be repeated after a crash or a failure. Decides nothing.

use std::sync::Arc;

use rigbox_types::{failure::FailureCode, host::Assignment};
use rigbox_vmm::{Vmm, VmmError};
use tokio::time::Instant;

use super::{Workspace, live::Attached};
use crate::{
    disk::CloneOrder,
    durable,
    fault::{self, Point},
    net::{NetError, pool::apply_egress, relays::Relays},
    plan::Presence,
    record::{CgroupNote, DiskNote, DiskState, Ending, Promise, Record, VmNote},
    step::{Mishap, Step},
    task::blocking,
    trouble::StepError,
};

impl Workspace {
    pub(super) async fn execute(
        &mut self,
        step: Step,
        assignment: &Assignment,
    ) -> Result<(), StepError> {
        match step {
            Step::ForgetTrouble => self.forget_trouble().await,
            Step::Fail(mishap) => self.note_mishap(mishap, assignment).await,
            Step::Reserve => self.reserve(assignment).await,
            Step::CloneDisk => self.clone_disk(assignment).await,
            Step::GrowDisk => self.grow_disk(assignment).await,
            Step::MakeCgroup => self.make_cgroup().await,
            Step::MakeNetwork => self.make_network(assignment).await,
            Step::Boot => self.boot(assignment).await,
            Step::TellGuest => {
                self.tell_guest(&assignment.guest);
                Ok(())
            }
            Step::ApplyEgress => self.apply_egress(assignment).await,
            Step::AskGuest => self.ask().await,
            Step::PressPower => self.press_power().await,
            Step::Kill | Step::CleanVm => self.end_vm(step, assignment).await,
            Step::RemoveCgroup | Step::ReleaseNetwork | Step::DeleteDisk | Step::RemoveFiles => {
                self.remove(step, assignment).await
            }
            Step::ReleaseCompute => self.release_compute().await,
            Step::Forget => self.forget().await,
        }
    }

    async fn forget_trouble(&mut self) -> Result<(), StepError> {
        self.live.retry_at = None;
        if self.record.revision == 0 {
            self.record.trouble = None;
            return Ok(());
        }
        self.write(|record| record.trouble = None).await
    }

    async fn note_mishap(
        &mut self,
        mishap: Mishap,
        assignment: &Assignment,
    ) -> Result<(), StepError> {
        let (code, message) = mishap.words();
        match mishap {
            Mishap::Exited => {
                self.count_exit();
                self.doom().await?;
            }
            Mishap::BootTimeout | Mishap::Unreachable | Mishap::NetworkGone => self.doom().await?,
            Mishap::DiskGone | Mishap::Unsupported => {}
        }
        self.fail(StepError::new(code, message), assignment).await;
        Ok(())
    }

    /// One write for everything that is about to be made on the way to the boot.
    async fn reserve(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        fault::point(Point::ReserveBefore);
        let reality = self.reality(assignment);
        let workspace = self.record.workspace.clone();
        let before = self.record.clone();
        self.host.ledger.promise(&workspace, reality.wanted)?;
        let uid = self.host.ledger.uid(&workspace);
        let slot = match self.record.slot {
            Some(slot) => Ok(slot),
            None => self.host.pool.reserve(),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(error) => {
                self.host.ledger.set(&before);
                return Err(error.into());
            }
        };
        let memory_mib = reality.wanted.memory_mib;
        let cgroup = CgroupNote { vcpus: assignment.resources.vcpus, memory_mib };
        let making = DiskNote { size_mib: assignment.resources.disk_mib, state: DiskState::Making };
        let noted = assignment.clone();
        let written = self.write(|record| {
            record.assignment = Some(noted);
            record.promise = Some(reality.wanted);
            record.uid = Some(uid);
            record.slot = Some(slot);
            record.cgroup = Some(cgroup);
            record.disk.get_or_insert(making);
        });
        if let Err(error) = written.await {
            self.host.ledger.set(&before);
            if before.slot.is_none() {
                self.host.pool.give_back(slot);
            }
            return Err(error);
        }
        self.live.cgroup = Presence::Missing;
        fault::point(Point::ReserveAfter);
        Ok(())
    }

    async fn clone_disk(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        let uid = self.record.uid.ok_or_else(|| internal("a disk needs an owner"))?;
        fault::point(Point::DiskCloneBefore);
        let order = CloneOrder {
            workspace: self.record.workspace.clone(),
            image: assignment.image.clone(),
            size_mib: assignment.resources.disk_mib,
            uid,
        };
        let size_mib = self.host.disks.clone_image(order).await?;
        fault::point(Point::DiskCloneAfter);
        self.write(|record| record.disk = Some(DiskNote { size_mib, state: DiskState::Made })).await
    }

    async fn grow_disk(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        let size_mib = assignment.resources.disk_mib;
        fault::point(Point::DiskGrowBefore);
        self.host.disks.grow(&self.record.workspace, size_mib).await?;
        fault::point(Point::DiskGrowAfter);
        // Growing it again is harmless, so that the larger size is noted when it is there.
        self.write(|record| record.disk = Some(DiskNote { size_mib, state: DiskState::Made })).await
    }

    async fn make_cgroup(&mut self) -> Result<(), StepError> {
        let limits = self.record.cgroup.ok_or_else(|| internal("a cgroup needs limits"))?;
        fault::point(Point::CgroupMakeBefore);
        let (cgroups, workspace) = (self.host.cgroups.clone(), self.record.workspace.clone());
        blocking(move || cgroups.make(&workspace, limits)).await?;
        fault::point(Point::CgroupMakeAfter);
        self.live.cgroup = Presence::There;
        Ok(())
    }

    async fn make_network(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        let known = self.record.slot.zip(self.record.uid);
        let (slot, uid) = known.ok_or_else(|| internal("a network needs a slot"))?;
        fault::point(Point::NetworkMakeBefore);
        let egress = assignment.egress.clone();
        let namespace = self.host.pool.make(slot, uid, &egress).await?;
        let workspace = &self.record.workspace;
        let relays = Relays::start(workspace, &namespace, &egress, &self.host.upstreams)
            .await
            .map_err(NetError::file("start relays of", workspace.as_str()))?;
        fault::point(Point::NetworkMakeAfter);
        self.live.network = Some(Attached { namespace, relays, egress, net_bps: None });
        Ok(())
    }

    async fn apply_egress(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        let Some(network) = &mut self.live.network else { return Ok(()) };
        fault::point(Point::EgressBefore);
        apply_egress(&network.namespace, &assignment.egress).await?;
        network.relays.set_policy(&assignment.egress);
        network.egress = assignment.egress.clone();
        fault::point(Point::EgressAfter);
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), StepError> {
        fault::point(Point::AskBefore);
        self.set_ending(Ending::Asked).await?;
        self.ask_guest().await;
        fault::point(Point::AskAfter);
        Ok(())
    }

    async fn press_power(&mut self) -> Result<(), StepError> {
        fault::point(Point::PressBefore);
        self.set_ending(Ending::Pressed).await?;
        if let Some(vm) = &self.live.vm
            && let Err(error) = vm.driver.request_shutdown(&vm.running).await
        {
            // Time runs for it all the same.
            tracing::info!(%error, "power button not pressed");
        }
        fault::point(Point::PressAfter);
        Ok(())
    }

    async fn set_ending(&mut self, ending: Ending) -> Result<(), StepError> {
        self.write(|record| {
            if let Some(vm) = &mut record.vm {
                vm.ending = Some(ending);
            }
        })
        .await?;
        self.live.ending_since = Some(Instant::now());
        Ok(())
    }

    async fn end_vm(&mut self, step: Step, assignment: &Assignment) -> Result<(), StepError> {
        if step == Step::Kill {
            fault::point(Point::KillBefore);
            let killed = self.kill().await;
            self.past(killed.map_err(vmm_error), assignment)?;
            self.live.gone();
            fault::point(Point::KillAfter);
            return Ok(());
        }
        fault::point(Point::CleanBefore);
        self.live.release_vm().await;
        self.live.gone();
        if let Some(vm) = &self.record.vm {
            let cleaned = self.driver_of(vm).await.clean(&vm.spec).await;
            self.past(cleaned.map_err(vmm_error), assignment)?;
        }
        fault::point(Point::CleanAfter);
        self.write(|record| record.vm = None).await
    }

    /// The driver to clean up with. One that is not installed any more leaves its jail to the
    /// sweeper: a workspace that ends needs none of it.
    async fn driver_of(&self, vm: &VmNote) -> Arc<dyn Vmm> {
        match self.host.drivers.of(vm).await {
            Ok(driver) => driver,
            Err(error) => {
                tracing::warn!(%error, "driver of a VM cannot be had");
                self.host.drivers.current().clone()
            }
        }
    }

    async fn kill(&self) -> Result<(), VmmError> {
        if let Some(vm) = &self.live.vm {
            return vm.driver.kill(&vm.running).await;
        }
        match self.record.vm.as_ref().and_then(|vm| vm.process) {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    async fn remove(&mut self, step: Step, assignment: &Assignment) -> Result<(), StepError> {
        let workspace = self.record.workspace.clone();
        match step {
            Step::RemoveCgroup => {
                fault::point(Point::CgroupRemoveBefore);
                let (cgroups, name) = (self.host.cgroups.clone(), workspace);
                let removed = blocking(move || cgroups.remove(name.as_str())).await;
                self.past(removed.map_err(StepError::from), assignment)?;
                fault::point(Point::CgroupRemoveAfter);
                self.live.cgroup = Presence::Missing;
                self.write(|record| record.cgroup = None).await
            }
            Step::ReleaseNetwork => self.release_network(assignment).await,
            Step::DeleteDisk => {
                fault::point(Point::DiskDeleteBefore);
                let deleted = self.host.disks.delete(&workspace).await;
                self.past(deleted.map_err(StepError::from), assignment)?;
                fault::point(Point::DiskDeleteAfter);
                self.write(|record| {
                    record.disk = None;
                    record.promise = record.promise.map(|old| Promise { disk_mib: 0, ..old });
                })
                .await?;
                self.host.ledger.set(&self.record);
                Ok(())
            }
            _ => {
                fault::point(Point::FilesRemoveBefore);
                let run_dir = self.host.layout.vm_run_dir(&workspace);
                let removed = blocking(move || durable::remove_dir(&run_dir)).await;
                let error = |error| internal("files of the workspace were not removed").with(error);
                self.past(removed.map_err(error), assignment)?;
                fault::point(Point::FilesRemoveAfter);
                Ok(())
            }
        }
    }

    async fn release_network(&mut self, assignment: &Assignment) -> Result<(), StepError> {
        fault::point(Point::NetworkReleaseBefore);
        if let Some(network) = self.live.network.take() {
            network.relays.stop().await;
        }
        let Some(slot) = self.record.slot else { return Ok(()) };
        let removed = self.host.pool.remove(slot).await;
        self.past(removed.map_err(StepError::from), assignment)?;
        fault::point(Point::NetworkReleaseAfter);
        self.write(|record| record.slot = None).await?;
        self.host.pool.give_back(slot);
        Ok(())
    }

    async fn release_compute(&mut self) -> Result<(), StepError> {
        let release = |promise: Promise| Promise { vcpus: 0, memory_mib: 0, ..promise };
        self.write(|record| record.promise = record.promise.map(release)).await?;
        self.host.ledger.set(&self.record);
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), StepError> {
        fault::point(Point::ForgetBefore);
        let (layout, workspace) = (self.host.layout.clone(), self.record.workspace.clone());
        blocking(move || Record::forget(&layout, &workspace))
            .await
            .map_err(|error| internal("the record was not removed").with(error))?;
        self.record = Record::new(self.record.workspace.clone());
        self.host.ledger.set(&self.record);
        fault::point(Point::ForgetAfter);
        Ok(())
    }

    /// A removal that the user forces goes on past a failure; the sweeper finds what stays.
    fn past(
        &self,
        result: Result<(), StepError>,
        assignment: &Assignment,
    ) -> Result<(), StepError> {
        match result {
            Err(error) if assignment.force => {
                tracing::warn!(error = %error.chain(), "forced removal goes on past a failure");
                Ok(())
            }
            other => other,
        }
    }
}

fn internal(message: &str) -> StepError {
    StepError::new(FailureCode::HostError, message)
}

fn vmm_error(error: VmmError) -> StepError {
    StepError::caused(FailureCode::HostError, "the workspace could not be ended", error)
}
