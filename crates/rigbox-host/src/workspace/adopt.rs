//! Takes over what a former agent left running, as often as it takes.
//! Invariant: what could not be taken over is left as it is and tried again; a busy machine is no
//! reason to end a VM. Does not decide when a VM that stays out of reach ends (see `plan`).

use rigbox_vmm::{ProcessId, VmmError};
use tokio::time::{Duration, Instant};

use super::{
    Workspace,
    live::{Attached, Live},
};
use crate::{
    layout::netns_path,
    metrics::count,
    net::{NetError, enter::Namespace, pool::adopt_egress, relays::Relays},
    plan::{Presence, VmState},
    record::VmNote,
    trouble::StepError,
};

/// Pause before what could not be taken over is tried again.
const ADOPT_PAUSE: Duration = Duration::from_secs(3);

impl Workspace {
    /// Takes over what a former agent left running.
    pub(super) async fn adopt(&mut self) {
        let Some(vm) = &self.record.vm else { return };
        if vm.process.is_none() {
            return;
        }
        self.live.cgroup = Presence::There;
        // Times that were running begin anew.
        if vm.ending.is_some() {
            self.live.ending_since = Some(Instant::now());
        }
        self.live.unreachable();
        self.adopt_rest().await;
    }

    /// Takes over what is not taken over yet, where it is time to try.
    pub(super) async fn adopt_again(&mut self) {
        if self.live.adopt_at.is_some_and(|at| at <= Instant::now()) {
            self.adopt_rest().await;
        }
    }

    async fn adopt_rest(&mut self) {
        let is_first = self.live.adopt_at.take().is_none();
        let Some(vm) = self.record.vm.clone() else { return };
        let Some(process) = vm.process else { return };
        if self.live.vm_state() == VmState::Unreachable {
            self.adopt_vm(&vm, process, is_first).await;
        }
        if self.live.vm_state() != VmState::Gone && self.live.network.is_none() {
            self.adopt_network(is_first).await;
        }
        if self.live.is_partly_adopted() {
            self.live.adopt_at = Some(Instant::now() + ADOPT_PAUSE);
        }
    }

    async fn adopt_vm(&mut self, vm: &VmNote, process: ProcessId, is_first: bool) {
        let adopted = async {
            let driver = self.host.drivers.of(vm).await?;
            Ok((driver.adopt(&vm.spec, &process).await?, driver))
        };
        match adopted.await {
            Ok((running, driver)) => {
                count(&self.host.metrics.adoptions_total);
                tracing::info!(pid = process.pid, "VM taken over");
                self.attach(running, driver);
                if vm.told.is_some() {
                    self.live.ready_since = Some(Instant::now());
                    self.follow_setup();
                } else {
                    // It may have been ready for long: nobody was there to be told so.
                    self.live.boot_begins();
                }
            }
            Err(VmmError::Gone { .. }) => {
                tracing::info!(pid = process.pid, "VM is gone");
                self.live.gone();
                self.excuse(vm).await;
            }
            // Said once: a VM that stays out of reach is tried again every few seconds.
            Err(error) if is_first => {
                tracing::warn!(pid = process.pid, %error, "VM not taken over yet");
            }
            Err(error) => tracing::debug!(pid = process.pid, %error, "VM not taken over yet"),
        }
    }

    /// A guest that was never ready went with the agent that was booting it. That is no failure of
    /// the workspace: the next one is booted as if this one had been meant to end.
    async fn excuse(&mut self, vm: &VmNote) {
        if vm.told.is_some() {
            return;
        }
        if let Err(error) = self.doom().await {
            // Then it counts, which is wrong only by one attempt.
            tracing::warn!(error = %error.chain(), "end of a boot not written down");
        }
    }

    /// Opens the namespace and starts the relays in it. What fails is tried again; the namespace
    /// stays, with the VM's tap in it.
    async fn adopt_network(&mut self, is_first: bool) {
        let Some(slot) = self.record.slot else { return };
        let known = self.assignment.as_deref().or(self.record.assignment.as_ref());
        let Some(egress) = known.map(|known| known.egress.clone()) else { return };
        let path = netns_path(&self.host.layout.netns(slot));
        let ready = async {
            let namespace = Namespace::open(&path).map_err(NetError::file("open", path.clone()))?;
            adopt_egress(&namespace, &egress).await?;
            let workspace = &self.record.workspace;
            let relays = Relays::start(workspace, &namespace, &egress, &self.host.upstreams)
                .await
                .map_err(NetError::file("start relays in", path.clone()))?;
            let net_bps = self.record.vm.as_ref().and_then(|vm| vm.spec.limits.net_bps);
            Ok::<_, NetError>(Attached { namespace, relays, egress: egress.clone(), net_bps })
        };
        match ready.await.map_err(StepError::from) {
            Ok(network) => self.live.network = Some(network),
            Err(error) if is_first => {
                tracing::warn!(error = %error.chain(), "network of a VM not taken over yet");
            }
            Err(error) => {
                tracing::debug!(error = %error.chain(), "network of a VM not taken over yet");
            }
        }
    }
}

impl Live {
    /// Whether a VM or its network is there but not held.
    fn is_partly_adopted(&self) -> bool {
        match self.vm_state() {
            VmState::Gone => false,
            VmState::Unreachable => true,
            VmState::Runs => self.network.is_none(),
        }
    }
}
