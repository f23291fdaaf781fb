use std::convert::Infallible;

use rigbox_store::{StoreError, workspaces::Promised};
use rigbox_types::{Desired, ImageName, Observed, host::Capacity};

use crate::kit::{SECOND, World, host, observation, registration};

pub(crate) async fn a_host_registers_again_at_each_start(world: World) {
    let hosts = world.store.hosts();
    let first = hosts.get(&world.host).await.unwrap();
    assert_eq!(first.capacity, registration(&world.host).capacity);
    world.clock.turn(SECOND);
    let mut registration = registration(&world.host);
    registration.address = "https://host-1:7443".to_owned();
    registration.capacity.memory_mib = u64::MAX;
    let again = hosts.register(&registration).await.unwrap();
    assert_eq!((again.created_at, &again.address), (first.created_at, &registration.address));
    assert!(again.registered_at > first.registered_at);

    world.clock.turn(SECOND);
    let promised = Capacity { vcpus: 1, memory_mib: 2, disk_mib: 3 };
    hosts.report(&world.host, &promised, 4).await.unwrap();
    let reported = hosts.get(&world.host).await.unwrap();
    assert_eq!((reported.reported, reported.drift), (promised, 4));
    assert!(reported.seen_at > again.seen_at);
    world.clock.turn(SECOND);
    hosts.seen(&world.host).await.unwrap();
    assert!(hosts.get(&world.host).await.unwrap().seen_at > reported.seen_at);
    for missing in [
        hosts.report(&host(9), &promised, 0).await,
        hosts.seen(&host(9)).await,
        hosts.get(&host(9)).await.map(|_| ()),
    ] {
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    }
}

pub(crate) async fn what_is_promised_is_summed_from_the_workspaces(world: World) {
    let (hosts, workspaces) = (world.store.hosts(), world.store.workspaces());
    hosts.register(&registration(&host(2))).await.unwrap();
    for desired in [Desired::Stopped, Desired::Running, Desired::Running] {
        let mut new = world.new_workspace();
        new.wanted.desired = desired;
        workspaces.insert(&new, None).await.unwrap();
    }
    let three = Promised { workspaces: 3, vcpus: 4, memory_mib: 1_024, disk_mib: 3_072 };
    let loads = hosts.loads().await.unwrap();
    let loads: Vec<_> = loads.into_iter().map(|load| (load.host.id, load.promised)).collect();
    assert_eq!(loads, [(world.host.clone(), three), (host(2), Promised::default())]);
    assert_eq!(workspaces.promised_by_host(&world.host).await.unwrap(), three);
    assert_eq!(workspaces.promised_to_account(world.account).await.unwrap(), three);
}

/// The database and the admission of a change must agree about it.
pub(crate) async fn memory_is_promised_until_the_vm_is_known_to_be_gone(world: World) {
    let (hosts, workspaces) = (world.store.hosts(), world.store.workspaces());
    let made = workspaces.insert(&world.new_workspace(), None).await.unwrap();
    let mut full = registration(&world.host);
    full.capacity.memory_mib = 512;
    hosts.register(&full).await.unwrap();
    let live = [Observed::Preparing, Observed::Booting, Observed::Running, Observed::Stopping];
    let gone = [Observed::Absent, Observed::Stopped, Observed::Suspended, Observed::Failed];
    for (count, observed) in (1..).zip(live.into_iter().chain(gone)) {
        let seen = observation(&made.id, 1, observed, (1, count));
        workspaces.observe(&world.host, &[seen]).await.unwrap();
        let promised = workspaces.promised_by_host(&world.host).await.unwrap().memory_mib;
        assert_eq!(promised, if live.contains(&observed) { 512 } else { 0 }, "{observed:?}");
        // There is room for this one: its own, or what is free.
        for desired in [Desired::Running, Desired::Stopped] {
            let edit = workspaces.change(&made.id, None, |_, wanted| {
                wanted.desired = desired;
                Ok::<_, Infallible>(())
            });
            edit.await.unwrap();
        }
    }
}

pub(crate) async fn images_are_those_that_hosts_last_said(world: World) {
    let hosts = world.store.hosts();
    hosts.register(&registration(&host(2))).await.unwrap();
    let names = |names: &[&str]| -> Vec<ImageName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    assert_eq!(hosts.images().await.unwrap(), []);
    hosts.images_set(&world.host, &names(&["tiny", "base", "base"])).await.unwrap();
    hosts.images_set(&host(2), &names(&["base", "own"])).await.unwrap();
    assert_eq!(hosts.images().await.unwrap(), names(&["base", "own", "tiny"]));
    hosts.images_set(&host(2), &names(&["base"])).await.unwrap();
    assert_eq!(hosts.images().await.unwrap(), names(&["base", "tiny"]));
    let missing = hosts.images_set(&host(9), &names(&["base"])).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

/// The database keeps the sums by itself: whatever happens to workspaces, a count finds the same.
pub(crate) async fn sums_of_hosts_follow_every_change(world: World) {
    let workspaces = world.store.workspaces();
    let mut ids = Vec::new();
    for desired in [Desired::Stopped, Desired::Running, Desired::Running, Desired::Stopped] {
        let mut new = world.new_workspace();
        new.wanted.desired = desired;
        ids.push(workspaces.insert(&new, None).await.unwrap().id);
    }
    let seen = [Observed::Preparing, Observed::Running, Observed::Stopped, Observed::Failed];
    let reports: Vec<_> =
        ids.iter().zip(seen).map(|(id, seen)| observation(id, 1, seen, (1, 1))).collect();
    workspaces.observe(&world.host, &reports).await.unwrap();
    check_sums(&world).await;
    for (id, desired) in ids.iter().zip([Desired::Running, Desired::Deleted, Desired::Stopped]) {
        let grow = |_: &_, wanted: &mut rigbox_store::workspaces::Wanted| {
            wanted.desired = desired;
            wanted.resources.disk_mib += 7;
            Ok::<_, Infallible>(())
        };
        workspaces.change(id, None, grow).await.unwrap();
        check_sums(&world).await;
    }
    let gone = observation(&ids[1], 2, Observed::Absent, (1, 2));
    workspaces.observe(&world.host, &[gone]).await.unwrap();
    assert_eq!(check_sums(&world).await, 3);
}

/// Compares the sums with a count, and gives the number of workspaces.
async fn check_sums(world: &World) -> u64 {
    use sqlx::Row as _;

    const COUNT: &str = "SELECT COUNT(*) AS workspaces, \
         CAST(COALESCE(SUM(CASE WHEN live = 1 THEN vcpus ELSE 0 END), 0) AS BIGINT) AS vcpus, \
         CAST(COALESCE(SUM(CASE WHEN live = 1 THEN memory_mib ELSE 0 END), 0) AS BIGINT) AS memory, \
         CAST(COALESCE(SUM(disk_mib), 0) AS BIGINT) AS disk FROM (SELECT vcpus, memory_mib, disk_mib, \
         CASE WHEN desired = 'running' OR observed IN ('preparing', 'booting', 'running', 'stopping') \
         THEN 1 ELSE 0 END AS live FROM workspaces) AS each_one";
    let row = sqlx::query(COUNT).fetch_one(&mut world.raw().await).await.unwrap();
    let number = |name: &str| u64::try_from(row.get::<i64, _>(name)).unwrap();
    let counted = Promised {
        workspaces: number("workspaces"),
        vcpus: number("vcpus"),
        memory_mib: number("memory"),
        disk_mib: number("disk"),
    };
    assert_eq!(world.store.workspaces().promised_by_host(&world.host).await.unwrap(), counted);
    counted.workspaces
}
