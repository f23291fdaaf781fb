use std::{collections::BTreeMap, convert::Infallible};

use futures_util::future::join_all;
use rigbox_store::{
    Amount, Over, PageRequest, Scope, StoreError,
    workspaces::{ChangeError, EnvVars, NewWorkspace, Owner, Wanted, WorkspaceRow},
};
use rigbox_types::{
    Desired, Generation, Observed, Quotas, ServiceSpecId, SetupScriptId, Status, Timestamp,
    api::workspaces::{Idle, IdleMode},
    host::{Capacity, Egress, EgressMode, Resources},
};

use crate::kit::{SECOND, World, account, host, observation, registration};

async fn insert(world: &World) -> WorkspaceRow {
    world.store.workspaces().insert(&world.new_workspace(), None).await.unwrap()
}

fn env(name: &str, value: &str) -> EnvVars {
    EnvVars(BTreeMap::from([(name.to_owned(), value.to_owned())]))
}

pub(crate) async fn a_workspace_is_read_back_as_it_was_made(world: World) {
    let workspaces = world.store.workspaces();
    let mut new = world.new_workspace();
    new.template = Some("dev".parse().unwrap());
    new.wanted.desired = Desired::Running;
    new.wanted.force = true;
    new.wanted.restart_generation = Generation(3);
    new.wanted.retry_generation = Generation(4);
    let hosts = vec!["*.example.com".to_owned()];
    new.wanted.egress = Egress { mode: EgressMode::Allow, hosts, cidrs: vec!["::/0".to_owned()] };
    new.wanted.idle = Idle { mode: IdleMode::Suspend, after_seconds: Some(u32::MAX) };
    let odd = "ü '\"\\ \n\u{0}\u{1F600} $1 %".to_owned();
    new.wanted.env = Some(env("A", &odd));
    new.wanted.setup_scripts = vec![SetupScriptId::from_random([1; 16])];
    new.wanted.service_specs = vec![ServiceSpecId::from_random([2; 16])];
    new.wanted.creation_attempts = 5;
    new.wanted.creation_started_at = Some(Timestamp::from_micros(-1));
    let made = workspaces.insert(&new, None).await.unwrap();
    assert_eq!(made.wanted, new.wanted);
    assert_eq!((&made.id, &made.name, &made.template), (&new.id, &new.name, &new.template));
    assert_eq!((made.account, &made.host, &made.image), (new.account, &new.host, &new.image));
    assert_eq!((made.generation, made.seen.observed), (Generation(1), Observed::Absent));
    assert_eq!(made.status(), Status::Provisioning);
    assert_eq!(workspaces.get(&new.id).await.unwrap(), made);
    assert_eq!(workspaces.get_by_name(new.account, &new.name).await.unwrap(), made);
    assert!(!format!("{made:?}").contains('\u{1F600}'), "an environment is shown");
}

pub(crate) async fn a_name_is_taken_once_within_an_account(world: World) {
    let workspaces = world.store.workspaces();
    let first = insert(&world).await;
    let same_name = NewWorkspace { name: first.name.clone(), ..world.new_workspace() };
    let taken = workspaces.insert(&same_name, None).await.unwrap_err();
    assert_eq!(taken.to_string(), format!("workspace name {} is taken", first.name));
    let same_id = NewWorkspace { id: first.id.clone(), ..world.new_workspace() };
    let taken = workspaces.insert(&same_id, None).await.unwrap_err();
    assert_eq!(taken.to_string(), format!("workspace id {} is taken", first.id));
    world.add_account(2).await;
    let other = NewWorkspace { account: account(2), ..same_name };
    workspaces.insert(&other, None).await.unwrap();
}

pub(crate) async fn what_it_needs_must_exist(world: World) {
    let workspaces = world.store.workspaces();
    for missing in [
        NewWorkspace { host: host(9), ..world.new_workspace() },
        NewWorkspace { account: account(9), ..world.new_workspace() },
    ] {
        let refused = workspaces.insert(&missing, None).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    }
    let missing = workspaces.get(&world.new_workspace().id).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

/// Inserts 100 at once, and says how many were made and what the others were told.
pub(crate) async fn insert_many(world: &World) -> (usize, Vec<Over>) {
    let inserts = (0..100).map(|_| {
        let (store, new) = (world.store.clone(), world.new_workspace());
        tokio::spawn(async move { store.workspaces().insert(&new, None).await })
    });
    let mut made = 0;
    let mut over = Vec::new();
    for inserted in join_all(inserts).await {
        match inserted.unwrap() {
            Ok(_) => made += 1,
            Err(StoreError::Over(reason)) => over.push(reason),
            Err(error) => panic!("{error:?}"),
        }
    }
    (made, over)
}

pub(crate) async fn of_many_at_once_as_many_are_made_as_the_host_has_room_for(world: World) {
    let mut registration = registration(&world.host);
    registration.capacity = Capacity { vcpus: 9, memory_mib: 512, disk_mib: 3 * 1_024 + 1_023 };
    world.store.hosts().register(&registration).await.unwrap();
    let (made, over) = insert_many(&world).await;
    assert_eq!((made, over.len()), (3, 97));
    let (scope, what) = (Scope::Host, Amount::DiskMib);
    let expected = Over { scope, what, limit: 4_095, used: 3_072, asked: 1_024, plan: None };
    assert!(over.iter().all(|over| *over == expected), "{over:?}");
    let promised = world.store.workspaces().promised_by_host(&world.host).await.unwrap();
    assert_eq!(promised.workspaces, 3);
}

pub(crate) async fn of_many_started_at_once_as_many_run_as_there_is_memory_for(world: World) {
    let mut registration = registration(&world.host);
    registration.capacity = Capacity { vcpus: 99, memory_mib: 3 * 512 + 511, disk_mib: 99_999 };
    world.store.hosts().register(&registration).await.unwrap();
    let made = join_all((0..40).map(|_| insert(&world))).await;
    let starts = made.into_iter().map(|row| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let workspaces = store.workspaces();
            let edit = workspaces.change(&row.id, None, |_, wanted| {
                wanted.desired = Desired::Running;
                Ok::<_, Infallible>(())
            });
            edit.await
        })
    });
    let mut running = 0;
    for started in join_all(starts).await {
        match started.unwrap() {
            Ok(_) => running += 1,
            Err(ChangeError::Store(StoreError::Over(over))) => {
                let (scope, what) = (Scope::Host, Amount::MemoryMib);
                let expected =
                    Over { scope, what, limit: 2_047, used: 1_536, asked: 512, plan: None };
                assert_eq!(over, expected);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(running, 3);
}

pub(crate) async fn what_could_never_run_is_not_made(world: World) {
    let workspaces = world.store.workspaces();
    let mut new = world.new_workspace();
    let made = workspaces.insert(&new, None).await.unwrap();
    new = world.new_workspace();
    new.wanted.resources.memory_mib = 512_001;
    let mine = Quotas { max_ram_total_mb: Some(512_000), ..Quotas::default() };
    for (own, scope) in [(Quotas::default(), Scope::Host), (mine, Scope::Account)] {
        world.quota("operator", own).await;
        let refused = workspaces.insert(&new, None).await;
        let Err(StoreError::Over(over)) = refused else { panic!("{refused:?}") };
        assert_eq!((over.scope, over.what, over.used), (scope, Amount::MemoryMib, 0));
        let edit = workspaces.change(&made.id, None, |_, wanted| {
            wanted.resources.memory_mib = 512_001;
            Ok::<_, Infallible>(())
        });
        let refused = edit.await;
        let Err(ChangeError::Store(StoreError::Over(again))) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(again, over);
    }
}

pub(crate) async fn a_change_has_its_own_generation_and_revision(world: World) {
    let workspaces = world.store.workspaces();
    let made = insert(&world).await;
    world.clock.turn(SECOND);
    let changed = workspaces
        .change(&made.id, None, |row, wanted| {
            assert_eq!(row, &made);
            wanted.desired = Desired::Running;
            wanted.restart_generation = row.generation.next();
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert_eq!(changed.generation, made.generation.next());
    assert!(changed.revision > made.revision);
    assert!(changed.updated_at > made.updated_at);
    assert_eq!(changed.wanted.restart_generation, changed.generation);
    assert_eq!(workspaces.get(&made.id).await.unwrap(), changed);
}

pub(crate) async fn an_edit_that_refuses_or_changes_nothing_writes_nothing(world: World) {
    let workspaces = world.store.workspaces();
    let made = insert(&world).await;
    world.clock.turn(SECOND);
    let same = workspaces.change(&made.id, None, |_, _| Ok::<_, Infallible>(())).await;
    assert_eq!(same.unwrap(), made);
    let refused = workspaces
        .change(&made.id, None, |_, wanted| {
            wanted.force = true;
            Err("no")
        })
        .await;
    assert!(matches!(refused, Err(ChangeError::Refused("no"))), "{refused:?}");
    assert_eq!(workspaces.get(&made.id).await.unwrap(), made);
    let missing = world.new_workspace().id;
    let missing = workspaces.change(&missing, None, |_, _| Ok::<_, Infallible>(())).await;
    assert!(matches!(missing, Err(ChangeError::Store(StoreError::NotFound { .. }))), "{missing:?}");
}

pub(crate) async fn no_change_is_lost_when_many_change_at_once(world: World) {
    let made = insert(&world).await;
    let changes = (0..50).map(|_| {
        let (store, id) = (world.store.clone(), made.id.clone());
        tokio::spawn(async move {
            let workspaces = store.workspaces();
            let edit = workspaces.change(&id, None, |_, wanted| {
                wanted.creation_attempts += 1;
                Ok::<_, Infallible>(())
            });
            edit.await.unwrap().generation
        })
    });
    let mut generations: Vec<_> =
        join_all(changes).await.into_iter().map(|change| change.unwrap().0).collect();
    generations.sort_unstable();
    assert_eq!(generations, (2..=51).collect::<Vec<_>>());
    let row = world.store.workspaces().get(&made.id).await.unwrap();
    assert_eq!(row.wanted.creation_attempts, 50);
}

pub(crate) async fn growing_must_fit_and_shrinking_always_does(world: World) {
    let workspaces = world.store.workspaces();
    let mut new = world.new_workspace();
    new.wanted.desired = Desired::Running;
    let made = workspaces.insert(&new, None).await.unwrap();
    new = NewWorkspace { wanted: new.wanted, ..world.new_workspace() };
    new.wanted.resources.memory_mib = 128;
    workspaces.insert(&new, None).await.unwrap();
    let mut registration = registration(&world.host);
    registration.capacity = Capacity { vcpus: 2, memory_mib: 728, disk_mib: 1_000 };
    world.store.hosts().register(&registration).await.unwrap();
    let resize = async |memory_mib: u32| {
        let edit = workspaces.change(&made.id, None, |row, wanted| {
            wanted.resources = Resources { memory_mib, ..row.wanted.resources };
            Ok::<_, Infallible>(())
        });
        edit.await.map(|row| row.wanted.resources.memory_mib)
    };
    let over = |error| match error {
        ChangeError::Store(StoreError::Over(over)) => over,
        other => panic!("{other:?}"),
    };
    let (scope, what) = (Scope::Host, Amount::MemoryMib);
    let expected = Over { scope, what, limit: 728, used: 640, asked: 89, plan: None };
    assert_eq!(over(resize(601).await.unwrap_err()), expected);
    let mine = Quotas { max_ram_total_mb: Some(678), ..Quotas::default() };
    world.quota("operator", mine).await;
    let (scope, plan) = (Scope::Account, Some("operator".parse().unwrap()));
    let expected = Over { scope, limit: 678, asked: 39, plan, ..expected };
    assert_eq!(over(resize(551).await.unwrap_err()), expected);
    // The disk is over the host's new capacity, but does not grow.
    assert_eq!(resize(550).await.unwrap(), 550);
    let none = Quotas { max_vms: Some(0), max_ram_total_mb: Some(0), ..Quotas::default() };
    world.quota("operator", none).await;
    assert_eq!(resize(128).await.unwrap(), 128);
}

pub(crate) async fn pages_are_stable_while_workspaces_come(world: World) {
    let workspaces = world.store.workspaces();
    world.add_account(2).await;
    let mut expected = Vec::new();
    for n in 0..9 {
        expected.push(insert(&world).await.id);
        // Pairs have the same time.
        world.clock.turn(if n % 2 == 0 { 0 } else { SECOND });
        let other = NewWorkspace { account: account(2), ..world.new_workspace() };
        workspaces.insert(&other, None).await.unwrap();
    }
    expected.reverse();
    let mut seen = Vec::new();
    let mut page = PageRequest { limit: 2, cursor: None };
    loop {
        let found = workspaces.list(Owner::Account(world.account), &page).await.unwrap();
        assert!(found.items.len() <= 2);
        seen.extend(found.items.into_iter().map(|row| row.id));
        world.clock.turn(SECOND);
        insert(&world).await;
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let all = PageRequest { limit: 1_000, cursor: None };
    let all = workspaces.list(Owner::Everyone, &all).await.unwrap();
    assert_eq!((all.items.len(), all.next_cursor), (23, None));
    for cursor in ["x", "d29ya3NwYWNlcw"] {
        let page = PageRequest { limit: 1, cursor: Some(cursor.to_owned()) };
        let refused = workspaces.list(Owner::Everyone, &page).await;
        assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
    }
}

pub(crate) async fn a_list_shows_no_environment(world: World) {
    let workspaces = world.store.workspaces();
    insert(&world).await;
    let page = workspaces.list(Owner::Everyone, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items[0].wanted.env, None);
    // A row without environment that is written back keeps the one there is.
    let env = env("A", "b");
    for (given, kept) in [(Some(env.clone()), env.clone()), (None, env)] {
        let edit = workspaces.change(&page.items[0].id, None, |_, wanted| {
            wanted.env = given;
            Ok::<_, Infallible>(())
        });
        edit.await.unwrap();
        let row = workspaces.get(&page.items[0].id).await.unwrap();
        assert_eq!(row.wanted.env, Some(kept));
    }
}

pub(crate) async fn a_clock_that_goes_back_makes_nothing_older(world: World) {
    let made = insert(&world).await;
    world.clock.turn(-3_600 * SECOND);
    let workspaces = world.store.workspaces();
    let edit = workspaces.change(&made.id, None, |_, wanted| {
        wanted.desired = Desired::Running;
        Ok::<_, Infallible>(())
    });
    let changed = edit.await.unwrap();
    assert_eq!(changed.updated_at, made.updated_at);
    assert!(changed.generation > made.generation);
}

pub(crate) async fn a_running_workspace_keeps_running_while_its_host_takes_note(world: World) {
    let workspaces = world.store.workspaces();
    let mut new = world.new_workspace();
    new.wanted.desired = Desired::Running;
    let made = workspaces.insert(&new, None).await.unwrap();
    let seen = observation(&made.id, 1, Observed::Running, (1, 1));
    workspaces.observe(&world.host, &[seen]).await.unwrap();
    let change = async |edit: fn(&WorkspaceRow, &mut Wanted)| {
        let edit = workspaces.change(&made.id, None, |row, wanted| {
            edit(row, wanted);
            Ok::<_, Infallible>(())
        });
        edit.await.unwrap().status()
    };
    assert_eq!(change(|_, wanted| wanted.env = Some(env("A", "b"))).await, Status::Running);
    let restart = |row: &WorkspaceRow, wanted: &mut Wanted| {
        wanted.restart_generation = row.generation.next();
    };
    assert_eq!(change(restart).await, Status::Starting);
}
