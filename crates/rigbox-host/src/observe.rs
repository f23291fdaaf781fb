//! What the host says of one workspace: a pure function of record, assignment and reality.
//! Invariant: an answer to an assignment never shows what an older one brought (a restart that has
//! not happened yet is not `running`), and whoever waits for its generation finds what it wants in the
//! guest. Does not derive what users read (see `types::state`).

use rigbox_types::{Desired, Failure, Generation, Observed, host::Assignment};

use crate::{
    plan::{Guest, Reality, VmState},
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

/// The generation that is reported with it; `told` is the last one that the guest knew. What a guest that
/// runs was not told yet is not done; what was asked about the life of the workspace is, or it would not
/// be seen to run.
#[must_use]
pub fn acted_on(
    assignment: &Assignment,
    observed: Observed,
    (guest, told): (Guest, Generation),
) -> Generation {
    match (observed, guest) {
        (Observed::Running, Guest::Untold | Guest::Telling) => told
            .max(assignment.restart_generation)
            .max(assignment.retry_generation)
            .min(assignment.generation),
        (Observed::Running, Guest::Told)
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
