use rigbox_types::{Generation, Timestamp, failure::FailureCode};

use super::*;
use crate::{
    plan::samples::*,
    record::Ending,
    trouble::{StepError, Trouble},
};

fn check(record: &Record, desired: Desired, expected: Observed) {
    assert_eq!(observe(record, &assignment(desired), &reality()), expected, "{record:?}");
}

#[test]
fn a_life_is_seen_as_it_goes() {
    check(&blank(), Desired::Stopped, Observed::Absent);
    check(&blank(), Desired::Running, Observed::Preparing);
    check(&prepared(), Desired::Running, Observed::Booting);
    check(&booting(), Desired::Running, Observed::Booting);
    check(&running(), Desired::Running, Observed::Running);
    check(&running(), Desired::Stopped, Observed::Stopping);
    check(&prepared(), Desired::Stopped, Observed::Stopping);
    check(&stopped(), Desired::Stopped, Observed::Stopped);
    check(&stopped(), Desired::Deleted, Observed::Deleting);
    check(&blank(), Desired::Deleted, Observed::Absent);
}

#[test]
fn a_restart_that_has_not_happened_is_not_running() {
    let mut assignment = assignment(Desired::Running);
    assignment.restart_generation = Generation(5);
    assert_eq!(observe(&running(), &assignment, &reality()), Observed::Stopping);
    let ending = ending(Ending::Asked);
    assert_eq!(observe(&ending, &assignment, &reality()), Observed::Stopping);
}

#[test]
fn a_vm_that_ended_by_itself_is_not_running() {
    let gone = Reality { vm: VmState::Gone, ..reality() };
    assert_eq!(observe(&running(), &assignment(Desired::Running), &gone), Observed::Booting);
}

#[test]
fn a_failure_is_shown_while_it_is_tried_again_and_when_it_is_given_up() {
    let assignment = assignment(Desired::Running);
    let mut record = prepared();
    let error = StepError::new(FailureCode::VmmStart, "x");
    let mut trouble = Trouble::after(None, &error, &assignment, Timestamp::from_micros(0));
    record.trouble = Some(trouble.clone());
    let seen = observe(&record, &assignment, &reality());
    assert_eq!(seen, Observed::Booting);
    assert_eq!(failure(&record, &assignment, seen), Some(trouble.failure.clone()));
    trouble.verdict = Verdict::GivenUp;
    record.trouble = Some(trouble);
    assert_eq!(observe(&record, &assignment, &reality()), Observed::Failed);
}

#[test]
fn what_a_running_guest_was_not_told_is_not_done_nor_what_older_rules_hold_up() {
    let mut assignment = assignment(Desired::Running);
    (assignment.generation, assignment.retry_generation) = (Generation(9), Generation(4));
    let check = |observed, (guest, egress), done, expected| {
        let reality = Reality { guest, egress, ..reality() };
        let acted = acted_on(&assignment, observed, (&reality, Generation(done)));
        assert_eq!(acted, Generation(expected), "{observed:?} {guest:?} {egress:?} {done}");
    };
    check(Observed::Running, (Guest::Told, Egress::Current), 0, 9);
    for how in [
        (Guest::Untold, Egress::Current),
        (Guest::Telling, Egress::Current),
        // Its rules are older ones.
        (Guest::Told, Egress::Outdated),
    ] {
        check(Observed::Running, how, 8, 8);
        // What was asked about its life is.
        check(Observed::Running, how, 0, 4);
        // A control with an older database.
        check(Observed::Running, how, 12, 9);
        check(Observed::Booting, how, 8, 9);
    }
}
