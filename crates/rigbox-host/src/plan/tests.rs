//! One row a behaviour: what is, what should be, what is done about it.

use rigbox_types::{Desired, Generation, Timestamp};

use super::{
    Egress, Guest, Mishap, Network, Patience, Presence, Promise, Reality, Step, Verdict, VmState,
    plan, samples::*,
};
use crate::{
    record::{DiskNote, DiskState, Ending, Record},
    trouble::{StepError, Trouble},
};

const RELEASE: [Step; 3] = [Step::RemoveCgroup, Step::ReleaseNetwork, Step::ReleaseCompute];

fn check(record: &Record, desired: Desired, reality: &Reality, expected: &[Step]) {
    assert_eq!(plan(record, &assignment(desired), reality), expected, "{record:?} {reality:?}");
}

/// Reality with nothing made.
fn nothing() -> Reality {
    Reality {
        disk: Presence::Missing,
        network: Network::Missing,
        cgroup: Presence::Missing,
        vm: VmState::Gone,
        guest: Guest::Untold,
        egress: Egress::Outdated,
        ..reality()
    }
}

fn in_trouble(mut record: Record, desired: Desired, verdict: Verdict) -> Record {
    let error = StepError::new(rigbox_types::failure::FailureCode::HostError, "x");
    let now = Timestamp::from_micros(0);
    let trouble = Trouble::after(None, &error, &assignment(desired), now);
    record.trouble = Some(Trouble { verdict, ..trouble });
    record
}

#[test]
fn a_first_start_makes_everything_in_order() {
    let steps = [Step::Reserve, Step::CloneDisk, Step::MakeCgroup, Step::MakeNetwork, Step::Boot];
    check(&blank(), Desired::Running, &nothing(), &steps);
}

#[test]
fn a_start_after_a_stop_keeps_the_disk() {
    let reality = Reality { disk: Presence::There, ..nothing() };
    let steps = [Step::Reserve, Step::MakeCgroup, Step::MakeNetwork, Step::Boot];
    check(&stopped(), Desired::Running, &reality, &steps);
}

#[test]
fn a_start_with_more_disk_grows_it_and_with_less_leaves_it() {
    let larger = Reality { wanted: Promise { disk_mib: 2048, ..WANTED }, ..reality() };
    let steps = [Step::Reserve, Step::GrowDisk, Step::MakeCgroup, Step::Boot];
    check(&prepared(), Desired::Running, &larger, &steps);
    let smaller = Reality { wanted: Promise { disk_mib: 512, ..WANTED }, ..reality() };
    let steps = [Step::Reserve, Step::MakeCgroup, Step::Boot];
    check(&prepared(), Desired::Running, &smaller, &steps);
}

#[test]
fn a_half_made_disk_is_made_again() {
    let mut record = prepared();
    record.disk = Some(DiskNote { size_mib: 1024, state: DiskState::Making });
    for disk in [Presence::There, Presence::Missing] {
        let reality = Reality { disk, ..reality() };
        check(&record, Desired::Running, &reality, &[Step::CloneDisk, Step::Boot]);
    }
}

#[test]
fn a_start_that_is_given_up_holds_nothing() {
    let mut record = in_trouble(prepared(), Desired::Running, Verdict::GivenUp);
    record.disk = Some(DiskNote { size_mib: 1024, state: DiskState::Making });
    let steps = [RELEASE.as_slice(), &[Step::DeleteDisk]].concat();
    check(&record, Desired::Running, &nothing(), &steps);
}

#[test]
fn a_lost_disk_is_not_replaced_by_an_empty_one() {
    let reality = Reality { disk: Presence::Missing, ..reality() };
    check(&prepared(), Desired::Running, &reality, &[Step::Fail(Mishap::DiskGone)]);
}

#[test]
fn a_running_workspace_needs_nothing() {
    check(&running(), Desired::Running, &reality(), &[]);
    check(&stopped(), Desired::Stopped, &reality(), &[]);
    check(&blank(), Desired::Stopped, &nothing(), &[]);
    check(&blank(), Desired::Deleted, &nothing(), &[]);
    check(&blank(), Desired::Suspended, &nothing(), &[]);
}

#[test]
fn a_guest_is_told_once_it_runs_and_again_when_it_changes() {
    let untold = Reality { guest: Guest::Untold, ..reality() };
    check(&booting(), Desired::Running, &untold, &[Step::TellGuest]);
    check(&running(), Desired::Running, &untold, &[Step::TellGuest]);
    let telling = Reality { guest: Guest::Telling, ..reality() };
    check(&booting(), Desired::Running, &telling, &[]);
}

#[test]
fn other_egress_rules_are_applied_to_a_running_workspace() {
    let reality = Reality { egress: Egress::Outdated, ..reality() };
    check(&running(), Desired::Running, &reality, &[Step::ApplyEgress]);
}

#[test]
fn a_vm_that_ends_by_itself_is_counted_and_booted_again() {
    let gone = Reality { vm: VmState::Gone, ..reality() };
    check(&running(), Desired::Running, &gone, &[Step::Fail(Mishap::Exited), Step::CleanVm]);
    let paused = in_trouble(prepared(), Desired::Running, Verdict::TryAgain);
    check(&paused, Desired::Running, &gone, &[]);
    let again = Reality { retry: Patience::Over, ..gone };
    check(&paused, Desired::Running, &again, &[Step::Boot]);
    let given_up = in_trouble(prepared(), Desired::Running, Verdict::GivenUp);
    check(&given_up, Desired::Running, &again, &RELEASE);
}

#[test]
fn a_vm_that_was_never_admitted_is_no_failure() {
    let mut record = booting();
    record.vm.as_mut().unwrap().process = None;
    let gone = Reality { vm: VmState::Gone, ..reality() };
    check(&record, Desired::Running, &gone, &[Step::CleanVm]);
}

#[test]
fn a_boot_that_takes_too_long_is_ended() {
    let late = Reality { boot: Patience::Over, guest: Guest::Telling, ..reality() };
    let steps = [Step::Fail(Mishap::BootTimeout), Step::Kill, Step::CleanVm];
    check(&booting(), Desired::Running, &late, &steps);
    check(&running(), Desired::Running, &Reality { guest: Guest::Told, ..late }, &[]);
}

#[test]
fn a_restart_ends_the_vm_of_an_older_generation_and_boots_another() {
    let mut assignment = assignment(Desired::Running);
    assignment.restart_generation = Generation(5);
    assert_eq!(plan(&running(), &assignment, &reality()), [Step::AskGuest]);
    let gone = Reality { vm: VmState::Gone, ..reality() };
    let asked = ending(Ending::Asked);
    assert_eq!(plan(&asked, &assignment, &gone), [Step::CleanVm, Step::Boot]);
    let mut booted = running();
    booted.vm.as_mut().unwrap().generation = Generation(5);
    assert_eq!(plan(&booted, &assignment, &reality()), []);
}

#[test]
fn a_stop_asks_then_presses_then_kills() {
    check(&running(), Desired::Stopped, &reality(), &[Step::AskGuest]);
    check(&ending(Ending::Asked), Desired::Stopped, &reality(), &[]);
    let over = Reality { ending: Patience::Over, ..reality() };
    check(&ending(Ending::Asked), Desired::Stopped, &over, &[Step::PressPower]);
    check(&ending(Ending::Pressed), Desired::Stopped, &reality(), &[]);
    let kill = [[Step::Kill, Step::CleanVm].as_slice(), &RELEASE].concat();
    check(&ending(Ending::Pressed), Desired::Stopped, &over, &kill);
    let gone = Reality { vm: VmState::Gone, ..reality() };
    let clean = [[Step::CleanVm].as_slice(), &RELEASE].concat();
    check(&ending(Ending::Asked), Desired::Stopped, &gone, &clean);
}

#[test]
fn a_stop_during_the_boot_does_not_wait_for_the_guest() {
    let kill = [[Step::Kill, Step::CleanVm].as_slice(), &RELEASE].concat();
    check(&booting(), Desired::Stopped, &reality(), &kill);
}

#[test]
fn a_start_during_a_stop_lets_the_vm_end_and_boots_another() {
    check(&ending(Ending::Asked), Desired::Running, &reality(), &[]);
    let gone = Reality { vm: VmState::Gone, ..reality() };
    let steps = [Step::CleanVm, Step::Boot];
    check(&ending(Ending::Asked), Desired::Running, &gone, &steps);
}

#[test]
fn a_cancelled_first_start_leaves_nothing() {
    let mut record = prepared();
    record.disk = Some(DiskNote { size_mib: 1024, state: DiskState::Making });
    let forget = [Step::DeleteDisk, Step::RemoveFiles, Step::Forget];
    let steps = [RELEASE.as_slice(), &forget].concat();
    check(&record, Desired::Stopped, &nothing(), &steps);
}

#[test]
fn a_delete_removes_everything_and_the_record_last() {
    let steps = [
        Step::Kill,
        Step::CleanVm,
        Step::RemoveCgroup,
        Step::ReleaseNetwork,
        Step::DeleteDisk,
        Step::RemoveFiles,
        Step::Forget,
    ];
    check(&running(), Desired::Deleted, &reality(), &steps);
    check(&ending(Ending::Asked), Desired::Deleted, &reality(), &steps);
    let gone = Reality { vm: VmState::Gone, ..reality() };
    check(&running(), Desired::Deleted, &gone, &steps[1..]);
    let disk = [Step::DeleteDisk, Step::RemoveFiles, Step::Forget];
    check(&stopped(), Desired::Deleted, &nothing(), &disk);
}

#[test]
fn a_forced_delete_goes_on_after_it_was_given_up() {
    let record = in_trouble(stopped(), Desired::Deleted, Verdict::GivenUp);
    check(&record, Desired::Deleted, &nothing(), &[]);
    let mut assignment = assignment(Desired::Deleted);
    assignment.force = true;
    let steps = [Step::DeleteDisk, Step::RemoveFiles, Step::Forget];
    assert_eq!(plan(&record, &assignment, &nothing()), steps);
}

#[test]
fn what_is_wanted_now_is_not_held_up_by_an_older_failure() {
    let record = in_trouble(prepared(), Desired::Running, Verdict::GivenUp);
    let steps = [[Step::ForgetTrouble].as_slice(), &RELEASE].concat();
    check(&record, Desired::Stopped, &nothing(), &steps);
    let mut assignment = assignment(Desired::Running);
    assignment.retry_generation = Generation(6);
    let steps = [Step::ForgetTrouble, Step::Boot];
    assert_eq!(plan(&record, &assignment, &Reality { vm: VmState::Gone, ..reality() }), steps);
}

#[test]
fn a_failure_is_forgotten_after_the_vm_ran_well() {
    let record = in_trouble(running(), Desired::Running, Verdict::TryAgain);
    check(&record, Desired::Running, &reality(), &[]);
    let settled = Reality { settling: Patience::Over, ..reality() };
    check(&record, Desired::Running, &settled, &[Step::ForgetTrouble]);
}

#[test]
fn a_vm_without_its_network_is_booted_again() {
    let reality = Reality { network: Network::Missing, ..reality() };
    let steps = [Step::Fail(Mishap::NetworkGone), Step::Kill, Step::CleanVm];
    check(&running(), Desired::Running, &reality, &steps);
}

#[test]
fn a_vm_whose_network_is_not_taken_over_yet_is_left_alone() {
    let unready = Reality { network: Network::Unready, egress: Egress::Outdated, ..reality() };
    check(&running(), Desired::Running, &unready, &[]);
    let gone = Reality { vm: VmState::Gone, ..unready };
    check(&prepared(), Desired::Running, &gone, &[Step::MakeNetwork, Step::Boot]);
}

#[test]
fn a_vm_that_cannot_be_taken_over_is_ended_only_after_its_time() {
    let waiting = Reality { vm: VmState::Unreachable, ..reality() };
    let over = Reality { adoption: Patience::Over, ..waiting };
    for desired in [Desired::Running, Desired::Stopped, Desired::Suspended] {
        check(&running(), desired, &waiting, &[]);
        check(&booting(), desired, &waiting, &[]);
    }
    let steps = [Step::Fail(Mishap::Unreachable), Step::Kill, Step::CleanVm];
    check(&running(), Desired::Running, &over, &steps);
    let stop = [[Step::Kill, Step::CleanVm].as_slice(), &RELEASE].concat();
    check(&running(), Desired::Stopped, &over, &stop);
    check(&ending(Ending::Doomed), Desired::Stopped, &waiting, &stop);
    let mut restart = assignment(Desired::Running);
    restart.restart_generation = Generation(5);
    assert_eq!(plan(&running(), &restart, &waiting), []);
    assert_eq!(plan(&running(), &restart, &over), [Step::Kill, Step::CleanVm]);
    let deleted = plan(&running(), &assignment(Desired::Deleted), &waiting);
    assert_eq!(deleted.first(), Some(&Step::Kill));
}

#[test]
fn a_suspend_says_that_it_cannot() {
    check(&running(), Desired::Suspended, &reality(), &[Step::Fail(Mishap::Unsupported)]);
    let told = in_trouble(running(), Desired::Suspended, Verdict::GivenUp);
    check(&told, Desired::Suspended, &reality(), &[]);
    check(&stopped(), Desired::Suspended, &nothing(), &[]);
}
