//! What this process holds of a workspace: handles, tasks and times that do not outlive it.
//! Invariant: nothing here is needed to clean up; the record is enough for that.

use std::sync::Arc;

use camino::Utf8PathBuf;
use rigbox_types::{
    Desired, Generation,
    host::{Assignment, Egress as Policy, SetupResult},
};
use rigbox_vmm::{Running, Vmm};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use super::Workspace;
use crate::{
    clock, config,
    layout::netns_path,
    net::{enter::Namespace, relays::Relays},
    plan::{Egress, Guest, Network, Patience, Presence, Reality, VmState},
    record::{Promise, Record, VmNote},
};

/// What is held.
pub(super) struct Live {
    pub(super) vm: Option<LiveVm>,
    vm_state: VmState,
    pub(super) network: Option<Attached>,
    pub(super) cgroup: Presence,
    /// Of what the guest should be told.
    pub(super) guest_digest: String,
    /// The last generation of which all was done while it ran, as far as this process has seen.
    pub(super) done_generation: Generation,
    /// How the setup scripts went.
    pub(super) setup: Vec<SetupResult>,
    pub(super) ready_since: Option<Instant>,
    pub(super) ending_since: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    /// When what is not taken over yet is tried again.
    pub(super) adopt_at: Option<Instant>,
    /// Since when the VM cannot be taken over.
    unreachable_since: Option<Instant>,
    /// When reality was looked at for the last plan, or just before.
    pub(super) looked_at: Instant,
    /// When the guest is told again after it could not be told.
    pub(super) tell_at: Option<Instant>,
    /// Tells events of this VM from those of a former one.
    pub(super) epoch: u64,
    /// From when on the guest has time to become ready: the start of the process, or its adoption.
    booted_at: Option<Instant>,
}

/// A VM whose process runs.
pub(super) struct LiveVm {
    pub(super) running: Running,
    /// The one that booted it.
    pub(super) driver: Arc<dyn Vmm>,
    pub(super) agent: Utf8PathBuf,
    /// Ends the tasks below.
    pub(super) cancel: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// The task that tells the guest, while it runs.
    pub(super) telling: Option<CancellationToken>,
}

/// A namespace with its relays.
pub(super) struct Attached {
    pub(super) namespace: Namespace,
    pub(super) relays: Relays,
    /// The policy whose rules are set.
    pub(super) egress: Policy,
    /// How fast it may be, in bytes a second each way.
    pub(super) net_bps: Option<u64>,
}

impl Live {
    pub(super) fn new(_record: &Record) -> Self {
        Self {
            vm: None,
            vm_state: VmState::Gone,
            network: None,
            cgroup: Presence::Missing,
            guest_digest: String::new(),
            done_generation: Generation(0),
            setup: Vec::new(),
            ready_since: None,
            ending_since: None,
            retry_at: None,
            adopt_at: None,
            unreachable_since: None,
            looked_at: Instant::now(),
            tell_at: None,
            epoch: 0,
            booted_at: None,
        }
    }

    /// Holds a VM from now on.
    pub(super) fn hold(&mut self, vm: LiveVm) {
        let age = clock::age(&vm.running.process);
        self.booted_at = Instant::now().checked_sub(age).or_else(|| Some(Instant::now()));
        self.vm_state = VmState::Runs;
        self.unreachable_since = None;
        self.vm = Some(vm);
    }

    /// The time that the guest has to become ready begins now.
    pub(super) fn boot_begins(&mut self) {
        self.booted_at = Some(Instant::now());
    }

    /// The process is not held yet.
    pub(super) fn unreachable(&mut self) {
        self.vm_state = VmState::Unreachable;
        self.unreachable_since = Some(Instant::now());
    }

    /// The process is gone.
    pub(super) fn gone(&mut self) {
        self.vm_state = VmState::Gone;
        self.unreachable_since = None;
    }

    /// How much of the process is there.
    pub(super) fn vm_state(&self) -> VmState {
        self.vm_state
    }

    /// The agent's socket.
    pub(super) fn agent(&self) -> Option<Utf8PathBuf> {
        self.vm.as_ref().map(|vm| vm.agent.clone())
    }

    /// Ends the tasks around a VM and lets go of it. The VM itself is not touched.
    pub(super) async fn release_vm(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.setup.clear();
        self.ready_since = None;
        self.ending_since = None;
        self.tell_at = None;
        self.booted_at = None;
        let Some(vm) = self.vm.take() else { return };
        vm.cancel.cancel();
        for task in vm.tasks {
            // A panic was logged where it happened.
            drop(task.await);
        }
    }

    /// When the next time is over, if only now. One that was over when the plan was made has done
    /// what it does; the next try of an adoption stands outside of plans.
    pub(super) fn deadline(
        &self,
        times: Times<'_>,
        assignment: Option<&Assignment>,
    ) -> Option<Instant> {
        let adoption = assignment.and_then(|assignment| times.adoption(self, assignment));
        let all = [times.boot(self), times.ending(self), adoption, times.settle(self)];
        let all = all.into_iter().chain([self.retry_at, self.tell_at]).flatten();
        all.filter(|at| *at > self.looked_at).chain(self.adopt_at).min()
    }
}

/// The times of a workspace, with what they depend on.
#[derive(Clone, Copy)]
pub(super) struct Times<'a> {
    config: &'a config::Times,
    record: &'a Record,
}

impl Times<'_> {
    fn boot(self, live: &Live) -> Option<Instant> {
        let waits = self.record.vm.as_ref().is_some_and(|vm| vm.told.is_none());
        live.booted_at.filter(|_| waits).map(|at| at + self.config.boot())
    }

    fn ending(self, live: &Live) -> Option<Instant> {
        use crate::record::Ending;

        let ending = self.record.vm.as_ref()?.ending?;
        let limit = match ending {
            Ending::Asked => self.config.shutdown(),
            Ending::Pressed => self.config.power(),
            Ending::Doomed => Duration::ZERO,
        };
        live.ending_since.map(|at| at + limit)
    }

    /// A VM that should run is given far longer than one that is to end anyway.
    fn adoption(self, live: &Live, assignment: &Assignment) -> Option<Instant> {
        let is_old = |vm: &VmNote| vm.generation < assignment.restart_generation;
        let limit = match assignment.desired {
            Desired::Running if self.record.vm.as_ref().is_some_and(is_old) => {
                self.config.shutdown()
            }
            Desired::Running | Desired::Suspended => self.config.adopt(),
            Desired::Stopped | Desired::Deleted => self.config.shutdown(),
        };
        live.unreachable_since.map(|since| since + limit)
    }

    fn settle(self, live: &Live) -> Option<Instant> {
        self.record.trouble.as_ref()?;
        live.ready_since.map(|at| at + self.config.settle())
    }
}

impl Workspace {
    pub(super) fn times(&self) -> Times<'_> {
        Times { config: &self.host.config.times, record: &self.record }
    }

    /// What is there now.
    pub(super) fn reality(&self, assignment: &Assignment) -> Reality {
        let (live, times) = (&self.live, self.times());
        let is_over = |at: Option<Instant>| match at {
            Some(at) if at <= Instant::now() => Patience::Over,
            Some(_) | None => Patience::Left,
        };
        Reality {
            wanted: self.wanted(assignment),
            disk: self.host.disks.presence(&self.record.workspace),
            network: self.network_state(),
            cgroup: live.cgroup,
            vm: live.vm_state,
            guest: self.guest_state(),
            egress: match &live.network {
                Some(network) if network.egress == assignment.egress => Egress::Current,
                Some(_) | None => Egress::Outdated,
            },
            boot: is_over(times.boot(live)),
            ending: is_over(times.ending(live)),
            adoption: is_over(times.adoption(live, assignment)),
            // A former agent's pause is not waited for.
            retry: match live.retry_at {
                Some(_) => is_over(live.retry_at),
                None => Patience::Over,
            },
            settling: is_over(times.settle(live)),
        }
    }

    fn network_state(&self) -> Network {
        if self.live.network.is_some() {
            return Network::Ready;
        }
        let Some(slot) = self.record.slot else { return Network::Missing };
        match netns_path(&self.host.layout.netns(slot)).try_exists() {
            Ok(false) => Network::Missing,
            Ok(true) | Err(_) => Network::Unready,
        }
    }

    fn wanted(&self, assignment: &Assignment) -> Promise {
        let resources = &assignment.resources;
        Promise {
            vcpus: u32::from(resources.vcpus),
            memory_mib: u64::from(resources.memory_mib).saturating_add(self.host.overhead_mib()),
            disk_mib: u64::from(resources.disk_mib),
        }
    }

    fn guest_state(&self) -> Guest {
        let telling = self.live.vm.as_ref().is_some_and(|vm| vm.telling.is_some());
        let pausing = self.live.tell_at.is_some_and(|at| at > Instant::now());
        let told = self.record.vm.as_ref().and_then(|vm| vm.told.as_ref());
        if telling || pausing {
            Guest::Telling
        } else if told.is_some_and(|told| told.digest == self.live.guest_digest) {
            Guest::Told
        } else {
            Guest::Untold
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::samples;

    #[test]
    fn a_time_that_was_over_before_the_wait_began_is_not_slept_through() {
        let (config, record) = (config::Times::default(), Record::new(samples::workspace()));
        let times = Times { config: &config, record: &record };
        let assignment = samples::assignment(Desired::Running);
        let deadline = |live: &Live| live.deadline(times, Some(&assignment));
        let mut live = Live::new(&record);
        assert_eq!(deadline(&live), None);
        let looked = live.looked_at;
        let early = looked.checked_sub(Duration::from_millis(1)).unwrap();
        // A plan took longer than the pause before the next try.
        live.adopt_at = Some(early);
        assert_eq!(deadline(&live), Some(early));
        live.adopt_at = None;
        // The plan knew that it was over; of the other it could not know.
        live.retry_at = Some(early);
        assert_eq!(deadline(&live), None);
        let late = looked + Duration::from_nanos(1);
        live.retry_at = Some(late);
        assert_eq!(deadline(&live), Some(late));
    }

    #[test]
    fn the_limit_of_an_adoption_is_waited_for() {
        let (config, record) = (config::Times::default(), Record::new(samples::workspace()));
        let times = Times { config: &config, record: &record };
        let mut live = Live::new(&record);
        live.unreachable();
        let since = live.unreachable_since.unwrap();
        live.adopt_at = Some(since + config.adopt() + Duration::from_secs(1));
        let check = |desired, limit| {
            let assignment = samples::assignment(desired);
            assert_eq!(live.deadline(times, Some(&assignment)), Some(since + limit));
        };
        check(Desired::Running, config.adopt());
        check(Desired::Stopped, config.shutdown());
    }
}
