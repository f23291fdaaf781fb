//! What the host says of one workspace: a pure function of record, assignment and reality.
//! Invariant: an answer to an assignment never shows what an older one brought (a restart that has
//! not happened yet is not `running`), and whoever waits for its generation finds what it wants in the
//! guest. Does not derive what users read (see `types::state`).

use rigbox_types::{Desired, Failure, Generation, Observed, host::Assignment};

use crate::{
    plan::{Egress, Guest, Reality, VmState},
    record::{DiskState, Record},
    trouble::Verdict,
};

/// What is seen now.
#[must_use]
pub fn observe(record: &Record, assignment: &Assignment, reality: &Reality) -> Observed {
    let trouble = record.trouble.as_ref().filter(|trouble| trouble.applies(assignment));
    if trouble.is_some_and(|trouble| trouble.verdict == Verdict::GivenUp) {
        return Observed::Failed;
    }
    match assignment.desired {
        Desired::Deleted if record.is_empty() && record.revision == 0 => Observed::Absent,
        Desired::Deleted => Observed::Deleting,
        Desired::Running => towards_running(record, assignment, reality),
        Desired::Stopped | Desired::Suspended => towards_rest(record),
    }
}

/// The generation that is reported with it; `done` is the last one of which all was done while it ran.
/// What a guest that runs was not told yet is not done, nor is it while older rules say what it reaches;
/// what was asked about the life of the workspace is, or it would not be seen to run.
#[must_use]
pub fn acted_on(
    assignment: &Assignment,
    observed: Observed,
    (reality, done): (&Reality, Generation),
) -> Generation {
    match (observed, is_all_done(reality)) {
        (Observed::Running, false) => done
            .max(assignment.restart_generation)
            .max(assignment.retry_generation)
            .min(assignment.generation),
        (Observed::Running, true)
        | (
            Observed::Absent
            | Observed::Preparing
            | Observed::Booting
            | Observed::Stopping
            | Observed::Stopped
            | Observed::Suspended
            | Observed::Deleting
            | Observed::Failed,
            _,
        ) => assignment.generation,
    }
}

/// Whether a workspace that runs is as its assignment wants it.
#[must_use]
pub fn is_all_done(reality: &Reality) -> bool {
    match (reality.guest, reality.egress) {
        (Guest::Told, Egress::Current) => true,
        (Guest::Untold | Guest::Telling, Egress::Current | Egress::Outdated)
        | (Guest::Told, Egress::Outdated) => false,
    }
}

/// What is reported with it: why it failed, or what is being tried again.
#[must_use]
pub fn failure(record: &Record, assignment: &Assignment, observed: Observed) -> Option<Failure> {
    let trouble = record.trouble.as_ref().filter(|trouble| trouble.applies(assignment))?;
    match observed {
        // It runs: whatever failed on the way here is over.
        Observed::Running => None,
        Observed::Absent
        | Observed::Preparing
        | Observed::Booting
        | Observed::Stopping
        | Observed::Stopped
        | Observed::Suspended
        | Observed::Deleting
        | Observed::Failed => Some(trouble.failure.clone()),
    }
}

fn towards_running(record: &Record, assignment: &Assignment, reality: &Reality) -> Observed {
    match &record.vm {
        Some(vm) if vm.ending.is_some() || vm.generation < assignment.restart_generation => {
            Observed::Stopping
        }
        Some(vm) => match (reality.vm, &vm.told) {
            // One that is not taken over yet was ready and was not seen to end.
            (VmState::Runs | VmState::Unreachable, Some(_)) => Observed::Running,
            (VmState::Runs | VmState::Unreachable, None) | (VmState::Gone, Some(_) | None) => {
                Observed::Booting
            }
        },
        None => match record.disk.as_ref().map(|disk| disk.state) {
            Some(DiskState::Made) => Observed::Booting,
            Some(DiskState::Making) | None => Observed::Preparing,
        },
    }
}

fn towards_rest(record: &Record) -> Observed {
    if record.vm.is_some() || record.slot.is_some() || record.cgroup.is_some() {
        return Observed::Stopping;
    }
    match record.disk.as_ref().map(|disk| disk.state) {
        Some(DiskState::Made) => Observed::Stopped,
        Some(DiskState::Making) => Observed::Stopping,
        None => Observed::Absent,
    }
}

#[cfg(test)]
mod tests;
