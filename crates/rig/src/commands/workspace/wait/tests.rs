use super::*;

fn vm(status: &str, generation: u64) -> Vm {
    let text = format!(
        r#"{{"id":"ws-abcd1234","name":"demo","user_id":"00000000-0000-4000-8000-000000000000",
        "status":"{status}","image":"base","template_id":"base","ram_mb":512,"vcpu_count":1,
        "disk_size_mb":4096,"node_id":"host-abcd1234","ip_address":null,"failure_code":null,
        "failure_reason":null,"ai_mode":null,"creation_attempts":1,"creation_started_at":null,
        "setup_script_ids":null,"service_spec_ids":null,"created_at":"2026-12-01T09:30:00Z",
        "updated_at":"2026-12-01T09:30:00Z","region":"local","idle":{{}},"egress":{{}},
        "ssh":null,"generation":{generation},"setup":[]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn status(word: &str) -> Status {
    serde_json::from_value(word.into()).unwrap()
}

/// What `judge` says of a status seen at `generation`, when generation 7 was asked for.
fn check(goal: Goal, generation: u64, seen: &str, expected: &str) {
    let vm = vm("starting", 7);
    let seen_now = Seen { status: status(seen), generation: Generation(generation), failure: None };
    let verdict = match judge(goal, &vm, &seen_now) {
        None => "wait".to_owned(),
        Some(Ok(Reached::Status(status))) => status.to_string(),
        Some(Ok(Reached::Gone)) => "gone".to_owned(),
        Some(Err(error)) => error.message,
    };
    assert_eq!(verdict, expected, "{goal:?} {seen}@{generation}");
}

#[test]
fn what_is_older_than_the_request_decides_nothing() {
    for seen in ["running", "stopped", "failed", "provisioned"] {
        check(Goal::Running, 6, seen, "wait");
        check(Goal::Stopped, 6, seen, "wait");
    }
}

#[test]
fn a_start_ends_when_it_runs_fails_or_is_undone() {
    check(Goal::Running, 7, "provisioning", "wait");
    check(Goal::Running, 7, "starting", "wait");
    check(Goal::Running, 7, "running", "running");
    check(Goal::Running, 8, "stopping", "wait");
    check(Goal::Running, 8, "stopped", "demo was stopped meanwhile");
    check(Goal::Running, 8, "deleting", "demo was deleted meanwhile");
    check(Goal::Running, 7, "failed", "demo failed");
}

#[test]
fn a_stop_ends_when_it_is_off_or_overtaken() {
    check(Goal::Stopped, 7, "running", "wait");
    check(Goal::Stopped, 7, "stopping", "wait");
    check(Goal::Stopped, 7, "stopped", "stopped");
    check(Goal::Stopped, 7, "provisioned", "provisioned");
    check(Goal::Stopped, 8, "running", "demo was started again meanwhile");
}

#[test]
fn a_deletion_ends_only_when_it_is_gone_or_fails() {
    for seen in ["running", "stopped", "deleting", "provisioned"] {
        check(Goal::Gone, 8, seen, "wait");
    }
    check(Goal::Gone, 8, "failed", "demo failed");
}

#[test]
fn a_failure_that_may_pass_is_told_with_the_way_to_try_again() {
    let failure = |retryable| Failure {
        code: rigbox_types::failure::FailureCode::BootTimeout,
        message: "the guest did not answer in 120 s".to_owned(),
        retryable,
        attempts: 3,
        occurred_at: "2026-12-01T09:30:00Z".parse().unwrap(),
    };
    for (retryable, hint) in
        [(true, "rig workspace retry demo"), (false, "rig workspace show demo")]
    {
        let error = failed(&vm("failed", 7), Some(&failure(retryable)));
        assert_eq!(error.message, "demo failed: the guest did not answer in 120 s");
        assert_eq!((error.code.as_ref(), error.hint.as_deref()), ("boot_timeout", Some(hint)));
    }
}
