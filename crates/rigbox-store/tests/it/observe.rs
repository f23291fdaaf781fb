use std::convert::Infallible;

use futures_util::future::join_all;
use rigbox_store::{
    StoreError,
    feed::{Change, Changes},
    workspaces::{ObservationOutcome, WorkspaceRow},
};
use rigbox_types::{
    Desired, Failure, Generation, Observed, SetupScriptId, Timestamp, failure::FailureCode,
    host::SetupResult,
};

use crate::kit::{SECOND, World, host, observation, registration};

use ObservationOutcome::{Applied, OtherHostKey, Removed, Stale, Unknown};

async fn insert(world: &World) -> WorkspaceRow {
    world.store.workspaces().insert(&world.new_workspace(), None).await.unwrap()
}

async fn want(world: &World, row: &WorkspaceRow, desired: Desired) -> WorkspaceRow {
    let workspaces = world.store.workspaces();
    let edit = workspaces.change(&row.id, None, |_, wanted| {
        wanted.desired = desired;
        Ok::<_, Infallible>(())
    });
    edit.await.unwrap()
}

pub(crate) async fn only_a_newer_observation_of_the_right_host_counts(world: World) {
    let workspaces = world.store.workspaces();
    world.store.hosts().register(&registration(&host(2))).await.unwrap();
    let made = insert(&world).await;
    for (from, observed, sequence, expected) in [
        (1, Observed::Booting, (5, 0), Applied),
        (1, Observed::Failed, (5, 0), Stale),
        (1, Observed::Running, (5, 1), Applied),
        (1, Observed::Failed, (4, 9), Stale),
        (2, Observed::Failed, (9, 9), Unknown),
        (1, Observed::Stopped, (6, 0), Applied),
        (1, Observed::Failed, (5, 7), Stale),
    ] {
        let seen = observation(&made.id, 1, observed, sequence);
        let outcome = workspaces.observe(&host(from), &[seen]).await.unwrap();
        assert_eq!(outcome, [expected], "{observed:?} {sequence:?}");
    }
    let row = workspaces.get(&made.id).await.unwrap();
    assert_eq!((row.seen.observed, row.seen.generation), (Observed::Stopped, Generation(1)));
    // What the host sees is no change of what it should do.
    assert_eq!((row.generation, row.revision), (made.generation, made.revision));
}

pub(crate) async fn a_generation_that_was_never_wanted_is_not_believed(world: World) {
    let made = insert(&world).await;
    let ahead = observation(&made.id, 2, Observed::Running, (1, 1));
    let outcome = world.store.workspaces().observe(&world.host, &[ahead]).await.unwrap();
    assert_eq!(outcome, [Stale]);
}

pub(crate) async fn a_deleted_workspace_goes_when_the_host_has_nothing_of_it(world: World) {
    let workspaces = world.store.workspaces();
    let made = insert(&world).await;
    let observe = async |generation, sequence| {
        let seen = observation(&made.id, generation, Observed::Absent, sequence);
        workspaces.observe(&world.host, &[seen]).await.unwrap()[0]
    };
    // Nothing is there yet, and that is right.
    assert_eq!(observe(1, (1, 1)).await, Applied);
    let before = want(&world, &made, Desired::Deleted).await;
    // Seen before the host knew that it should go.
    assert_eq!(observe(1, (1, 2)).await, Applied);
    assert_eq!(observe(2, (1, 2)).await, Stale);
    assert_eq!(observe(2, (1, 3)).await, Removed);
    assert_eq!(observe(2, (1, 4)).await, Unknown);
    let gone = workspaces.get(&made.id).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let changes = world.store.feed().changes_since(&world.host, before.revision).await.unwrap();
    let Changes::Since { changes, .. } = changes else { panic!("a gap") };
    let [Change::Removed { workspace, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(workspace, &made.id);
    // The name is free again.
    let mut again = world.new_workspace();
    again.name = made.name;
    workspaces.insert(&again, None).await.unwrap();
}

pub(crate) async fn a_report_is_applied_whole(world: World) {
    let workspaces = world.store.workspaces();
    let (first, second) = (insert(&world).await, insert(&world).await);
    let mut running = observation(&second.id, 1, Observed::Failed, (1, 2));
    running.ready_at = Some(Timestamp::from_micros(7));
    running.failure = Some(Failure {
        code: FailureCode::DiskFull,
        message: "disk is full".to_owned(),
        retryable: true,
        attempts: 3,
        occurred_at: Timestamp::from_micros(8),
    });
    running.setup = vec![SetupResult {
        id: SetupScriptId::from_random([1; 16]),
        name: "s".to_owned(),
        exit_code: Some(-1),
        output_tail: "\u{0}ü".to_owned(),
        finished_at: None,
    }];
    world.clock.turn(SECOND);
    let report = [
        running.clone(),
        observation(&world.new_workspace().id, 1, Observed::Running, (1, 3)),
        observation(&first.id, 1, Observed::Preparing, (1, 4)),
        // The same one twice: the later place does not make it newer.
        observation(&second.id, 1, Observed::Absent, (1, 1)),
    ];
    let outcomes = workspaces.observe(&world.host, &report).await.unwrap();
    assert_eq!(outcomes, [Applied, Unknown, Applied, Stale]);
    let row = workspaces.get(&second.id).await.unwrap();
    assert_eq!(row.seen.observed, Observed::Failed);
    assert_eq!((row.seen.failure, row.seen.setup), (running.failure, running.setup));
    assert_eq!((row.seen.ready_at, row.seen.sequence), (running.ready_at, running.sequence));
    assert_eq!(row.seen.observed_at, Some(running.observed_at));
    assert!(row.updated_at > second.updated_at);
    assert!(workspaces.observe(&world.host, &[]).await.unwrap().is_empty());
}

pub(crate) async fn the_first_host_key_that_is_seen_stays(world: World) {
    let [first, other] = ["Pay", "Pey"].map(|three| {
        format!(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{three}e/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ"
        )
    });
    let workspaces = world.store.workspaces();
    world.store.hosts().register(&registration(&host(2))).await.unwrap();
    let made = insert(&world).await;
    assert_eq!(made.ssh_host_key, None);
    for (from, key, count, expected, known) in [
        (1, None, 1, Applied, None),
        // Another host knows nothing of it, and what is old or of another database counts as little.
        (2, Some(&other), 9, Unknown, None),
        (1, Some(&other), 1, Stale, None),
        (1, Some(&first), 2, Applied, Some(&first)),
        (1, Some(&first), 3, Applied, Some(&first)),
        (1, Some(&other), 4, OtherHostKey, Some(&first)),
        (1, Some(&other), 4, Stale, Some(&first)),
        (1, None, 5, Applied, Some(&first)),
        (1, Some(&other), 6, OtherHostKey, Some(&first)),
        (1, Some(&first), 7, Applied, Some(&first)),
    ] {
        let mut seen = observation(&made.id, 1, Observed::Running, (1, count));
        seen.ssh_host_key = key.map(|key| key.parse().unwrap());
        let outcome = workspaces.observe(&host(from), &[seen]).await.unwrap();
        assert_eq!(outcome, [expected], "{key:?} {count}");
        let row = workspaces.get(&made.id).await.unwrap();
        assert_eq!(row.ssh_host_key.as_ref(), known, "{key:?} {count}");
        if expected == OtherHostKey {
            assert_eq!(row.seen.sequence.count, count, "the rest of it counts");
        }
    }
    // It goes with the workspace; one that comes after it has a key of its own.
    let gone = want(&world, &made, Desired::Deleted).await;
    let seen = observation(&made.id, gone.generation.0, Observed::Absent, (1, 9));
    assert_eq!(workspaces.observe(&world.host, &[seen]).await.unwrap(), [Removed]);
    let mut again = world.new_workspace();
    again.id = made.id;
    assert_eq!(workspaces.insert(&again, None).await.unwrap().ssh_host_key, None);
}

pub(crate) async fn reports_and_changes_at_once_do_not_block_each_other(world: World) {
    let rows = join_all((0..10).map(|_| insert(&world))).await;
    let observe = |n: u64| {
        let (store, host, rows) = (world.store.clone(), world.host.clone(), rows.clone());
        tokio::spawn(async move {
            let mut report: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| {
                    let absent = (u64::try_from(at).unwrap() + n).is_multiple_of(3);
                    let state = if absent { Observed::Absent } else { Observed::Running };
                    observation(&row.id, 1, state, (1, n + 1))
                })
                .collect();
            if n.is_multiple_of(2) {
                report.reverse();
            }
            store.workspaces().observe(&host, &report).await.map(|_| ())
        })
    };
    let change = |n: u64| {
        let (store, row) = (world.store.clone(), rows[usize::try_from(n % 10).unwrap()].clone());
        tokio::spawn(async move {
            let workspaces = store.workspaces();
            let edit = workspaces.change(&row.id, None, |_, wanted| {
                wanted.creation_attempts += 1;
                Ok::<_, StoreError>(())
            });
            edit.await.map(|_| ()).map_err(|error| panic!("{error:?}"))
        })
    };
    for done in join_all((0..40).flat_map(|n| [observe(n), change(n)])).await {
        done.unwrap().unwrap();
    }
    for row in &rows {
        let now = world.store.workspaces().get(&row.id).await.unwrap();
        assert_eq!((now.seen.sequence.count, now.wanted.creation_attempts), (40, 4));
    }
}
