use super::*;
use crate::plan::samples;

fn now() -> Timestamp {
    Timestamp::from_micros(1)
}

fn fail(before: Option<&Trouble>, code: FailureCode, assignment: &Assignment) -> Trouble {
    Trouble::after(before, &StepError::new(code, "it broke"), assignment, now())
}

#[test]
fn attempts_end() {
    let assignment = samples::assignment(Desired::Running);
    let mut trouble = fail(None, FailureCode::VmmExited, &assignment);
    for attempts in 1..5 {
        assert_eq!((trouble.failure.attempts, trouble.verdict), (attempts, Verdict::TryAgain));
        trouble = fail(Some(&trouble), FailureCode::VmmExited, &assignment);
    }
    assert_eq!(trouble.verdict, Verdict::GivenUp);
}

#[test]
fn a_full_host_is_told_at_once() {
    let assignment = samples::assignment(Desired::Running);
    let trouble = fail(None, FailureCode::CapacityExhausted, &assignment);
    assert_eq!(trouble.verdict, Verdict::GivenUp);
    assert!(trouble.failure.retryable);
}

#[test]
fn asking_again_starts_the_count_anew() {
    let mut assignment = samples::assignment(Desired::Running);
    let trouble = fail(None, FailureCode::DiskFull, &assignment);
    assert!(trouble.applies(&assignment));
    assignment.generation = assignment.generation.next();
    assert!(trouble.applies(&assignment), "another change is no request for another try");
    assignment.retry_generation = assignment.generation;
    assert!(!trouble.applies(&assignment));
    assert_eq!(fail(Some(&trouble), FailureCode::DiskError, &assignment).failure.attempts, 1);
}

#[test]
fn pauses_grow_and_are_bounded() {
    let assignment = samples::assignment(Desired::Running);
    let mut trouble = fail(None, FailureCode::HostError, &assignment);
    let mut last = Duration::ZERO;
    for _ in 0..40 {
        let pause = trouble.pause(0);
        assert!(pause >= last && trouble.pause(255) <= PAUSE_MAX);
        last = pause;
        trouble = fail(Some(&trouble), FailureCode::HostError, &assignment);
    }
    assert_eq!(last, PAUSE_MAX / 2);
}
