//! What to do next for one workspace: a pure function of record, assignment and reality.
//!
//! ```text
//!  Reserve ▸ CloneDisk ▸ GrowDisk ▸ MakeCgroup ▸ MakeNetwork ▸ Boot ▸ (ready) TellGuest
//!  AskGuest ▸ (waits) PressPower ▸ (waits) Kill ▸ CleanVm ▸ RemoveCgroup ▸ ReleaseNetwork ▸ …
//! ```
//!
//! Invariant: the same input gives the same steps, whatever woke us; with nothing to do, none.
//! Does no I/O, knows no clock (reality says which time is over) and counts no attempts.

use rigbox_types::{Desired, host::Assignment};

use crate::{
    record::{DiskState, Ending, Promise, Record, VmNote},
    step::{Mishap, Step},
    trouble::Verdict,
};

/// What is there, as far as the host can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reality {
    /// What the assignment would have promised.
    pub wanted: Promise,
    /// The disk's file.
    pub disk: Presence,
    /// The namespace with its tap, and the relays in it.
    pub network: Network,
    /// The cgroup, with the limits of the record.
    pub cgroup: Presence,
    /// The VMM of the record.
    pub vm: VmState,
    /// How far the guest is.
    pub guest: Guest,
    /// Whether the egress rules are those of the assignment.
    pub egress: Egress,
    /// The time that the guest has to become ready.
    pub boot: Patience,
    /// The time that the guest has to shut down, or to react to the power button.
    pub ending: Patience,
    /// The time that a VMM may stay out of reach.
    pub adoption: Patience,
    /// The pause after a failure.
    pub retry: Patience,
    /// The time after which a VM counts as having run well.
    pub settling: Patience,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is, and as it should be.
    There,
    /// It is not, or not as it should be.
    Missing,
}

/// The network of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its namespace is there and the relays answer.
    Ready,
    /// Its namespace is there, but this agent has not come to use it yet.
    Unready,
    /// There is no namespace.
    Missing,
}

/// What is left of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Some.
    Left,
    /// None.
    Over,
}

/// The VMM of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmState {
    /// Its process runs and we hold it.
    Runs,
    /// Its process was not seen to be gone, but the driver has not taken it over yet.
    Unreachable,
    /// Its process is gone or never ran.
    Gone,
}

/// How far the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// It has not been told what it is, or something else than it should be told now.
    Untold,
    /// It is being told.
    Telling,
    /// It knows.
    Told,
}

/// The egress rules of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// Those of the assignment.
    Current,
    /// Older ones.
    Outdated,
}

/// What a former failure means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// There is none, or its pause is over.
    Clear,
    /// Its pause is not over.
    Pausing,
    /// Not before somebody asks.
    GivenUp,
}

/// The steps that lead from what is to what should be; those that can be known now.
#[must_use]
pub fn plan(record: &Record, assignment: &Assignment, reality: &Reality) -> Vec<Step> {
    let mut steps = Vec::new();
    let trouble = record.trouble.as_ref();
    if trouble.is_some_and(|trouble| !trouble.applies(assignment)) {
        steps.push(Step::ForgetTrouble);
    }
    let standing = match trouble.filter(|trouble| trouble.applies(assignment)) {
        None => Standing::Clear,
        Some(trouble) => match (trouble.verdict, reality.retry) {
            (Verdict::GivenUp, Patience::Left | Patience::Over) => Standing::GivenUp,
            (Verdict::TryAgain, Patience::Left) => Standing::Pausing,
            (Verdict::TryAgain, Patience::Over) => Standing::Clear,
        },
    };
    match assignment.desired {
        Desired::Running => running(&mut steps, record, assignment, (reality, standing)),
        Desired::Stopped => at_rest(&mut steps, record, reality, standing),
        Desired::Suspended => suspended(&mut steps, record, reality, standing),
        Desired::Deleted => deleted(&mut steps, record, assignment, (reality, standing)),
    }
    steps
}

fn running(
    steps: &mut Vec<Step>,
    record: &Record,
    assignment: &Assignment,
    (reality, standing): (&Reality, Standing),
) {
    let Some(vm) = &record.vm else {
        return match standing {
            Standing::Clear => start(steps, record, reality),
            Standing::Pausing => {}
            // A workspace that is not tried again holds nothing that another could use.
            Standing::GivenUp => abandon(steps, record),
        };
    };
    match (reality.vm, vm.ending) {
        // It never came to run, or was meant to end: boot the next one.
        (VmState::Gone, Some(Ending::Asked | Ending::Pressed | Ending::Doomed)) => {
            steps.push(Step::CleanVm);
            match standing {
                Standing::Clear => start(steps, record, reality),
                Standing::Pausing => {}
                Standing::GivenUp => abandon(steps, record),
            }
        }
        (VmState::Gone, None) if vm.process.is_none() => steps.push(Step::CleanVm),
        // A reboot, a power-off or a panic in the guest, or a VMM that was killed.
        (VmState::Gone, None) => steps.extend([Step::Fail(Mishap::Exited), Step::CleanVm]),
        (VmState::Runs | VmState::Unreachable, Some(ending)) => end(steps, ending, reality),
        (VmState::Unreachable, None) if vm.generation < assignment.restart_generation => {
            end_unreachable(steps, reality);
        }
        (VmState::Unreachable, None) => match reality.adoption {
            // It may well run: it is tried again.
            Patience::Left => {}
            Patience::Over => {
                steps.extend([Step::Fail(Mishap::Unreachable), Step::Kill, Step::CleanVm]);
            }
        },
        (VmState::Runs, None) if vm.generation < assignment.restart_generation => {
            begin_end(steps, vm);
        }
        (VmState::Runs, None) => keep(steps, record, vm, reality),
    }
}

/// Keeps a running VM as it should be.
fn keep(steps: &mut Vec<Step>, record: &Record, vm: &VmNote, reality: &Reality) {
    // Its tap went with the namespace: nothing brings this VM back to the network.
    if reality.network == Network::Missing {
        steps.extend([Step::Fail(Mishap::NetworkGone), Step::Kill, Step::CleanVm]);
        return;
    }
    if vm.told.is_none() && reality.boot == Patience::Over {
        steps.extend([Step::Fail(Mishap::BootTimeout), Step::Kill, Step::CleanVm]);
        return;
    }
    match (reality.network, reality.egress) {
        (Network::Ready, Egress::Outdated) => steps.push(Step::ApplyEgress),
        // What is not taken over yet gets its rules when it is.
        (Network::Unready | Network::Missing, Egress::Outdated) | (_, Egress::Current) => {}
    }
    match reality.guest {
        Guest::Untold => steps.push(Step::TellGuest),
        Guest::Telling | Guest::Told => {}
    }
    let settled = vm.told.is_some() && reality.settling == Patience::Over;
    if settled && record.trouble.is_some() && !steps.contains(&Step::ForgetTrouble) {
        steps.push(Step::ForgetTrouble);
    }
}

/// Everything up to the boot that is not there yet.
fn start(steps: &mut Vec<Step>, record: &Record, reality: &Reality) {
    let reserved = record.promise == Some(reality.wanted)
        && record.uid.is_some()
        && record.slot.is_some()
        && record.cgroup.is_some_and(|note| {
            u32::from(note.vcpus) == reality.wanted.vcpus
                && note.memory_mib == reality.wanted.memory_mib
        })
        && record.disk.is_some();
    if !reserved {
        steps.push(Step::Reserve);
    }
    match record.disk.as_ref().map(|disk| (disk.state, reality.disk)) {
        None | Some((DiskState::Making, Presence::There | Presence::Missing)) => {
            steps.push(Step::CloneDisk);
        }
        // Never silently replaced by an empty one: it held somebody's work.
        Some((DiskState::Made, Presence::Missing)) => {
            steps.push(Step::Fail(Mishap::DiskGone));
            return;
        }
        Some((DiskState::Made, Presence::There)) => {
            let size = record.disk.as_ref().map_or(0, |disk| u64::from(disk.size_mib));
            // Only ever larger: what is beyond a smaller end may be in use.
            if size < reality.wanted.disk_mib {
                steps.push(Step::GrowDisk);
            }
        }
    }
    if !reserved || reality.cgroup == Presence::Missing {
        steps.push(Step::MakeCgroup);
    }
    match (reality.network, reality.egress) {
        (Network::Missing | Network::Unready, Egress::Current | Egress::Outdated) => {
            steps.push(Step::MakeNetwork);
        }
        (Network::Ready, Egress::Outdated) => steps.push(Step::ApplyEgress),
        (Network::Ready, Egress::Current) => {}
    }
    steps.push(Step::Boot);
}

fn begin_end(steps: &mut Vec<Step>, vm: &VmNote) {
    match &vm.told {
        Some(_) => steps.push(Step::AskGuest),
        // Nothing of the user's runs in a guest that was never ready, and it would not listen.
        None => steps.extend([Step::Kill, Step::CleanVm]),
    }
}

/// A VM that is to end and cannot be asked yet: it is given the time that it would have to shut
/// down, because an orderly end saves what its user wrote last.
fn end_unreachable(steps: &mut Vec<Step>, reality: &Reality) {
    match reality.adoption {
        Patience::Left => {}
        Patience::Over => steps.extend([Step::Kill, Step::CleanVm]),
    }
}

fn end(steps: &mut Vec<Step>, ending: Ending, reality: &Reality) {
    match (ending, reality.ending) {
        (Ending::Asked | Ending::Pressed, Patience::Left) => {}
        (Ending::Asked, Patience::Over) => steps.push(Step::PressPower),
        (Ending::Pressed, Patience::Over) | (Ending::Doomed, Patience::Left | Patience::Over) => {
            steps.extend([Step::Kill, Step::CleanVm]);
        }
    }
}

/// What a workspace needs only while it runs.
fn release(steps: &mut Vec<Step>, record: &Record) {
    if record.cgroup.is_some() {
        steps.push(Step::RemoveCgroup);
    }
    if record.slot.is_some() {
        steps.push(Step::ReleaseNetwork);
    }
    if record.promise.is_some_and(|promise| promise.vcpus > 0 || promise.memory_mib > 0) {
        steps.push(Step::ReleaseCompute);
    }
}

/// What is left of a start that is given up: the disk, if it came to be one.
fn abandon(steps: &mut Vec<Step>, record: &Record) {
    release(steps, record);
    match record.disk.as_ref().map(|disk| disk.state) {
        Some(DiskState::Making) => steps.push(Step::DeleteDisk),
        Some(DiskState::Made) | None => {}
    }
}

fn at_rest(steps: &mut Vec<Step>, record: &Record, reality: &Reality, standing: Standing) {
    match standing {
        Standing::Clear => {}
        Standing::Pausing | Standing::GivenUp => return,
    }
    if let Some(vm) = &record.vm {
        match (reality.vm, vm.ending) {
            (VmState::Gone, _) => steps.push(Step::CleanVm),
            (VmState::Unreachable, None) => end_unreachable(steps, reality),
            (VmState::Runs | VmState::Unreachable, Some(ending)) => end(steps, ending, reality),
            (VmState::Runs, None) => begin_end(steps, vm),
        }
        if !steps.contains(&Step::CleanVm) {
            return;
        }
    }
    release(steps, record);
    match record.disk.as_ref().map(|disk| disk.state) {
        // The disk is kept: a stopped workspace is still the user's.
        Some(DiskState::Made) => {}
        // Cancelled before there was a disk: as if it had never been started.
        Some(DiskState::Making) => {
            steps.extend([Step::DeleteDisk, Step::RemoveFiles, Step::Forget]);
        }
        None => forget(steps, record),
    }
}

fn suspended(steps: &mut Vec<Step>, record: &Record, reality: &Reality, standing: Standing) {
    let runs = record.vm.as_ref().is_some_and(|vm| vm.ending.is_none());
    match (reality.vm, standing) {
        // No driver of this host keeps memory yet: it says so, and the workspace runs on.
        (VmState::Runs, Standing::Clear) if runs => steps.push(Step::Fail(Mishap::Unsupported)),
        (VmState::Runs, Standing::Pausing | Standing::GivenUp) if runs => {}
        (VmState::Unreachable, _) if runs && reality.adoption == Patience::Left => {}
        (VmState::Runs | VmState::Unreachable | VmState::Gone, _) => {
            at_rest(steps, record, reality, standing);
        }
    }
}

fn deleted(
    steps: &mut Vec<Step>,
    record: &Record,
    assignment: &Assignment,
    (reality, standing): (&Reality, Standing),
) {
    match standing {
        Standing::Clear => {}
        Standing::Pausing | Standing::GivenUp if assignment.force => {}
        Standing::Pausing | Standing::GivenUp => return,
    }
    if record.vm.is_some() {
        match reality.vm {
            // Its disk goes too, so there is nothing that an orderly end would save.
            VmState::Runs | VmState::Unreachable => steps.push(Step::Kill),
            VmState::Gone => {}
        }
        steps.push(Step::CleanVm);
    }
    if record.cgroup.is_some() {
        steps.push(Step::RemoveCgroup);
    }
    if record.slot.is_some() {
        steps.push(Step::ReleaseNetwork);
    }
    if record.disk.is_some() {
        steps.push(Step::DeleteDisk);
    }
    forget(steps, record);
}

/// The record goes last: until then a crash finds what is left.
fn forget(steps: &mut Vec<Step>, record: &Record) {
    if record.revision > 0 {
        steps.extend([Step::RemoveFiles, Step::Forget]);
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
