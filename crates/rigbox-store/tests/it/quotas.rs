//! What a plan allows is decided in the transaction that adds.

use std::convert::Infallible;

use futures_util::future::join_all;
use rigbox_store::{
    Adding, Amount, Over, Scope, StoreError,
    ssh_keys::SshKey,
    workspaces::{ChangeError, NewWorkspace, Wanted, WorkspaceRow},
};
use rigbox_types::{Desired, Observed, Quotas, SshKeyId, WorkspaceId, host::Resources};

use crate::{
    kit::{World, account, observation},
    workspaces::insert_many,
};

/// What the account was told.
fn told(plan: &str, what: Amount, (limit, used, asked): (u64, u64, u64)) -> Over {
    Over { scope: Scope::Account, what, limit, used, asked, plan: Some(plan.parse().unwrap()) }
}

fn over(refused: Result<WorkspaceRow, ChangeError<Infallible>>) -> Over {
    match refused {
        Err(ChangeError::Store(StoreError::Over(over))) => over,
        other => panic!("{other:?}"),
    }
}

async fn change(
    world: &World,
    id: &WorkspaceId,
    edit: impl FnOnce(&WorkspaceRow, &mut Wanted) + Send,
) -> Result<WorkspaceRow, ChangeError<Infallible>> {
    let workspaces = world.store.workspaces();
    let edit = |row: &WorkspaceRow, wanted: &mut Wanted| {
        edit(row, wanted);
        Ok(())
    };
    workspaces.change(id, None, edit).await
}

fn start(row: &WorkspaceRow, wanted: &mut Wanted) {
    wanted.desired = Desired::Running;
    wanted.retry_generation = row.generation.next();
}

fn new(world: &World, vcpus: u8, memory_mib: u32, disk_mib: u32) -> NewWorkspace {
    let mut new = world.new_workspace();
    new.wanted.resources = Resources { vcpus, memory_mib, disk_mib };
    new
}

pub(crate) async fn of_many_at_once_as_many_are_made_as_the_account_may_have(world: World) {
    world.quota("operator", Quotas { max_vms: Some(3), ..Quotas::default() }).await;
    let (made, over) = insert_many(&world).await;
    assert_eq!((made, over.len()), (3, 97));
    let expected = told("operator", Amount::Workspaces, (3, 3, 1));
    assert!(over.iter().all(|over| *over == expected), "{over:?}");
    // Another account has its own.
    world.add_account(2).await;
    let other = NewWorkspace { account: account(2), ..world.new_workspace() };
    world.store.workspaces().insert(&other, None).await.unwrap();
}

pub(crate) async fn of_many_started_at_once_as_many_run_as_the_plan_has_memory_for(world: World) {
    let workspaces = world.store.workspaces();
    let mut made = Vec::new();
    for _ in 0..20 {
        made.push(workspaces.insert(&new(&world, 1, 512, 512), None).await.unwrap());
    }
    world.quota("free", Quotas::default()).await;
    let world = std::sync::Arc::new(world);
    let starts = made.into_iter().map(|row| {
        let world = world.clone();
        tokio::spawn(async move { change(&world, &row.id, start).await })
    });
    let mut running = 0;
    for started in join_all(starts).await {
        match started.unwrap() {
            Ok(_) => running += 1,
            // Virtual CPUs come first: two of one each.
            refused => assert_eq!(over(refused), told("free", Amount::Vcpus, (2, 2, 1))),
        }
    }
    assert_eq!(running, 2);
}

pub(crate) async fn one_workspace_has_a_size_of_its_own(world: World) {
    world.quota("free", Quotas::default()).await;
    let workspaces = world.store.workspaces();
    let cases = [
        ((2, 512, 512), Amount::WorkspaceVcpus, (1, 0, 2)),
        ((1, 1_025, 512), Amount::WorkspaceMemoryMib, (1_024, 0, 1_025)),
        ((1, 512, 4_097), Amount::WorkspaceDiskMib, (4_096, 0, 4_097)),
    ];
    for ((vcpus, memory, disk), what, numbers) in cases {
        let new = new(&world, vcpus, memory, disk);
        let expected = told("free", what, numbers);
        let size = new.wanted.resources;
        for refused in [
            workspaces.check_room(world.account, size).await,
            workspaces.insert(&new, None).await.map(drop),
        ] {
            let Err(StoreError::Over(over)) = refused else { panic!("{refused:?}") };
            assert_eq!(over, expected);
        }
    }
    let made = workspaces.insert(&new(&world, 1, 1_024, 4_096), None).await.unwrap();
    let resize = change(&world, &made.id, |_, wanted| wanted.resources.memory_mib = 1_025).await;
    assert_eq!(over(resize), told("free", Amount::WorkspaceMemoryMib, (1_024, 0, 1_025)));
    // The account's own number, and the total that follows from it.
    let own = Quotas { max_disk_per_vm_mb: Some(5_000), ..Quotas::default() };
    world.quota("free", own).await;
    change(&world, &made.id, |_, wanted| wanted.resources.disk_mib = 5_000).await.unwrap();
    let own = Quotas { max_disk_total_mb: Some(9_000), ..own };
    world.quota("free", own).await;
    let refused = workspaces.insert(&new(&world, 1, 512, 4_001), None).await;
    let Err(StoreError::Over(over)) = refused else { panic!("{refused:?}") };
    assert_eq!(over, told("free", Amount::DiskMib, (9_000, 5_000, 4_001)));
}

pub(crate) async fn a_lowered_plan_takes_nothing_and_lets_nothing_grow(world: World) {
    world.quota("pro", Quotas::default()).await;
    let workspaces = world.store.workspaces();
    let mut rows = Vec::new();
    for n in 1..=3 {
        let row = workspaces.insert(&new(&world, 2, 2_048, 8_192), None).await.unwrap();
        change(&world, &row.id, start).await.unwrap();
        let seen = observation(&row.id, 2, Observed::Running, (1, n));
        workspaces.observe(&world.host, &[seen]).await.unwrap();
        rows.push(row);
    }
    world.quota("free", Quotas::default()).await;
    let id = &rows[0].id;

    // What runs goes on, and is changed in what takes nothing.
    let row = workspaces.get(id).await.unwrap();
    assert_eq!(row.wanted.desired, Desired::Running);
    change(&world, id, |_, wanted| wanted.creation_attempts += 1).await.unwrap();
    let sum = workspaces.promised_to_account(world.account).await.unwrap();
    assert_eq!((sum.workspaces, sum.memory_mib, sum.disk_mib), (3, 6_144, 24_576));

    // Nothing is added, and nothing boots again while the totals are passed.
    let refused = workspaces.insert(&new(&world, 1, 128, 128), None).await;
    let Err(StoreError::Over(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal, told("free", Amount::Workspaces, (2, 3, 1)));
    let grow = change(&world, id, |_, wanted| wanted.resources.disk_mib += 1).await;
    assert_eq!(over(grow), told("free", Amount::WorkspaceDiskMib, (4_096, 0, 8_193)));
    let restart = change(&world, id, |row, wanted| {
        wanted.restart_generation = row.generation.next();
        wanted.retry_generation = row.generation.next();
    });
    assert_eq!(over(restart.await), told("free", Amount::Vcpus, (2, 4, 2)));
    let retry = change(&world, id, start).await;
    assert_eq!(over(retry), told("free", Amount::Vcpus, (2, 4, 2)));

    // What is over can be stopped, made smaller and deleted; then there is room again.
    let last = &rows[2].id;
    change(&world, last, |_, wanted| wanted.desired = Desired::Deleted).await.unwrap();
    for row in &rows[..2] {
        change(&world, &row.id, |_, wanted| wanted.desired = Desired::Stopped).await.unwrap();
    }
    for (row, n) in rows.iter().zip(4..) {
        let generation = workspaces.get(&row.id).await.unwrap().generation.0;
        let seen = observation(&row.id, generation, Observed::Stopped, (1, n));
        workspaces.observe(&world.host, &[seen]).await.unwrap();
    }
    change(&world, id, start).await.unwrap();
    let second = change(&world, &rows[1].id, start).await;
    assert_eq!(over(second), told("free", Amount::Vcpus, (2, 2, 2)));
    change(&world, id, |row, wanted| wanted.restart_generation = row.generation.next())
        .await
        .unwrap();
}

pub(crate) async fn a_plan_that_is_lowered_while_many_are_made_is_never_passed_by(world: World) {
    world.quota("operator", Quotas::default()).await;
    let world = std::sync::Arc::new(world);
    let lowering = {
        let world = world.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            world.quota("operator", Quotas { max_vms: Some(0), ..Quotas::default() }).await;
            // From here on not one more is made.
            world.store.workspaces().promised_to_account(world.account).await.unwrap().workspaces
        })
    };
    insert_many(&world).await;
    let then = lowering.await.unwrap();
    let now = world.store.workspaces().promised_to_account(world.account).await.unwrap();
    assert_eq!(now.workspaces, then);
}

pub(crate) async fn keys_are_counted_against_the_plan(world: World) {
    world.quota("free", Quotas::default()).await;
    let add = async |n: u8| {
        let key = SshKey {
            name: "laptop".to_owned(),
            public_key: format!("ssh-ed25519 AAAA{n}"),
            fingerprint: format!("SHA256:{n}"),
        };
        let keys = world.store.ssh_keys();
        keys.insert(SshKeyId::from_random([n; 16]), world.account, &key, Adding::at_most(6)).await
    };
    for n in 0..5 {
        add(n).await.unwrap();
    }
    let refused = add(5).await;
    let Err(StoreError::Over(over)) = refused else { panic!("{refused:?}") };
    assert_eq!(over, told("free", Amount::SshKeys, (5, 5, 1)));
    world.quota("pro", Quotas::default()).await;
    add(5).await.unwrap();
    let refused = add(6).await;
    let Err(StoreError::Over(over)) = refused else { panic!("{refused:?}") };
    assert_eq!(over, told("pro", Amount::SshKeys, (6, 6, 1)));
}
