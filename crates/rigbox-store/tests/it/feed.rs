use std::{
    collections::BTreeMap,
    convert::Infallible,
    slice::from_ref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rigbox_store::{
    Store,
    feed::{Change, Changes, Subscription, Wake},
    workspaces::WorkspaceRow,
};
use rigbox_types::{Desired, Generation, HostId, Observed, Revision, WorkspaceId};
use tokio::time::timeout;

use crate::kit::{Database, SECOND, World, host, new_workspace, observation, registration};

const DAY: i64 = 24 * 3_600 * SECOND;

/// How long a wake-up may take: a minute of an overloaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn insert(world: &World) -> WorkspaceRow {
    world.store.workspaces().insert(&world.new_workspace(), None).await.unwrap()
}

async fn want(store: &Store, id: &WorkspaceId, desired: Desired) -> WorkspaceRow {
    let workspaces = store.workspaces();
    let edit = workspaces.change(id, None, |_, wanted| {
        wanted.desired = desired;
        Ok::<_, Infallible>(())
    });
    edit.await.unwrap()
}

/// Deletes, as the host does it.
async fn remove(store: &Store, host: &HostId, id: &WorkspaceId) {
    let row = want(store, id, Desired::Deleted).await;
    let gone = observation(id, row.generation.0, Observed::Absent, (9, 9));
    store.workspaces().observe(host, &[gone]).await.unwrap();
}

/// What a host makes of the stream: everything it should know.
#[derive(Default)]
struct Follower {
    at: Revision,
    known: BTreeMap<WorkspaceId, Generation>,
}

impl Follower {
    /// Reads on; says whether there was anything.
    async fn step(&mut self, store: &Store, host: &HostId) -> bool {
        let changes = store.feed().changes_since(host, self.at).await.unwrap();
        let Changes::Since { changes, upto, more } = changes else { panic!("a gap") };
        let mut last = self.at;
        for change in &changes {
            assert!(change.revision() > last, "out of order: {changes:?}");
            last = change.revision();
            match change {
                Change::Changed(row) => {
                    let before = self.known.insert(row.id.clone(), row.generation);
                    assert!(before <= Some(row.generation), "went back: {row:?}");
                }
                Change::Removed { workspace, .. } => {
                    self.known.remove(workspace);
                }
            }
        }
        assert!(upto >= self.at);
        self.at = upto;
        more || !changes.is_empty()
    }
}

async fn whole_set(store: &Store, host: &HostId) -> BTreeMap<WorkspaceId, Generation> {
    let mut whole = BTreeMap::new();
    let mut after = None;
    loop {
        let set = store.feed().whole_set(host, after.as_ref()).await.unwrap();
        whole.extend(set.workspaces.into_iter().map(|row| (row.id, row.generation)));
        after = set.next;
        if after.is_none() {
            return whole;
        }
    }
}

pub(crate) async fn a_reader_misses_nothing_while_many_write(world: World) {
    world.store.hosts().register(&registration(&host(2))).await.unwrap();
    // Two processes, as far as the database can tell.
    let stores = [world.store.clone(), world.another_store().await];
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [host(1), host(2)]
        .map(|host| {
            let (store, done) = (stores[1].clone(), done.clone());
            tokio::spawn(async move {
                let mut follower = Follower::default();
                loop {
                    // Asked before reading, so that the last round sees everything.
                    let last = done.load(Ordering::SeqCst);
                    if !follower.step(&store, &host).await && last {
                        return follower.known;
                    }
                }
            })
        })
        .into();
    let writers = (0..8_u64).map(|writer| {
        let (store, account) = (stores[usize::from(writer % 2 == 0)].clone(), world.account);
        let host = host(if writer < 4 { 1 } else { 2 });
        tokio::spawn(async move {
            for n in 0..12 {
                let new = new_workspace(account, &host, 1_000 * (writer + 1) + n);
                store.workspaces().insert(&new, None).await.unwrap();
                want(&store, &new.id, Desired::Running).await;
                if n % 3 == 0 {
                    remove(&store, &host, &new.id).await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for (reader, host) in readers.into_iter().zip([host(1), host(2)]) {
        let known = reader.await.unwrap();
        assert_eq!(known.len(), 4 * 8);
        assert_eq!(known, whole_set(&world.store, &host).await);
    }
}

pub(crate) async fn many_changes_come_in_parts(world: World) {
    let mut rows = Vec::new();
    for _ in 0..150 {
        rows.push(insert(&world).await);
    }
    for row in &rows[..70] {
        remove(&world.store, &world.host, &row.id).await;
    }
    want(&world.store, &rows[149].id, Desired::Running).await;
    let mut follower = Follower::default();
    let mut parts = 0;
    while follower.step(&world.store, &world.host).await {
        parts += 1;
    }
    assert!(parts >= 3, "{parts}");
    assert_eq!(follower.known.len(), 80);
    assert_eq!(follower.known, whole_set(&world.store, &world.host).await);
}

pub(crate) async fn a_removal_is_told_until_it_is_forgotten(world: World) {
    let feed = world.store.feed();
    let (first, second) = (insert(&world).await, insert(&world).await);
    remove(&world.store, &world.host, &first.id).await;
    let removed_at = feed.revision().await.unwrap();
    world.clock.turn(DAY);
    feed.forget().await.unwrap();
    let removals = async |after| match feed.changes_since(&world.host, after).await.unwrap() {
        Changes::Since { changes, .. } => {
            changes.iter().filter(|change| matches!(change, Change::Removed { .. })).count()
        }
        Changes::Gap => 99,
    };
    assert_eq!(removals(Revision(0)).await, 1);
    world.clock.turn(1);
    remove(&world.store, &world.host, &second.id).await;
    feed.forget().await.unwrap();
    assert_eq!(removals(Revision(0)).await, 99, "no gap");
    assert_eq!(removals(Revision(removed_at.0 - 1)).await, 99, "no gap");
    assert_eq!(removals(removed_at).await, 1);
}

pub(crate) async fn a_position_of_another_database_is_a_gap(world: World) {
    let feed = world.store.feed();
    let newest = insert(&world).await.revision;
    assert_eq!(feed.revision().await.unwrap(), newest);
    let changes = feed.changes_since(&world.host, newest).await.unwrap();
    assert_eq!(changes, Changes::Since { changes: Vec::new(), upto: newest, more: false });
    assert_eq!(feed.changes_since(&world.host, newest.next()).await.unwrap(), Changes::Gap);
}

async fn woken(subscription: &mut Subscription) -> Wake {
    timeout(PATIENCE, subscription.next()).await.expect("not woken").expect("closed")
}

pub(crate) async fn watchers_are_woken_by_every_change(world: World) {
    let other = world.another_store().await;
    let mut watchers = vec![world.store.feed().subscribe()];
    // With SQLite there is one writing process, and wake-ups stay in it.
    if matches!(world.database, Database::Postgres(_)) {
        watchers.push(other.feed().subscribe());
    }
    let row = insert(&world).await;
    let running = observation(&row.id, 1, Observed::Running, (1, 1));
    world.store.workspaces().observe(&world.host, from_ref(&running)).await.unwrap();
    // Told before: wakes nobody.
    world.store.workspaces().observe(&world.host, &[running]).await.unwrap();
    want(&world.store, &row.id, Desired::Deleted).await;
    let gone = observation(&row.id, 2, Observed::Absent, (1, 2));
    world.store.workspaces().observe(&world.host, &[gone]).await.unwrap();
    let last = insert(&world).await;
    for watcher in &mut watchers {
        for expected in [&row.id, &row.id, &row.id, &row.id, &last.id] {
            let wake = woken(watcher).await;
            let (workspace, host) = (expected.clone(), world.host.clone());
            assert_eq!(wake, Wake::Workspace { workspace, host });
        }
    }
    world.store.close().await;
    assert_eq!(watchers[0].next().await, None);
    assert_eq!(world.store.feed().subscribe().next().await, None);
}

pub(crate) async fn a_watcher_that_sleeps_is_told_to_look_at_everything(world: World) {
    let mut sleeper = world.store.feed().subscribe();
    let mut awake = world.store.feed().subscribe();
    let row = insert(&world).await;
    for n in 0..1_100 {
        let seen = observation(&row.id, 1, Observed::Running, (1, n + 1));
        world.store.workspaces().observe(&world.host, &[seen]).await.unwrap();
        // So that what PostgreSQL sends has come in.
        woken(&mut awake).await;
    }
    woken(&mut awake).await;
    assert_eq!(woken(&mut sleeper).await, Wake::Everything);
}

pub(crate) async fn the_whole_set_comes_in_parts(world: World) {
    for _ in 0..130 {
        insert(&world).await;
    }
    let first = world.store.feed().whole_set(&world.host, None).await.unwrap();
    assert_eq!(first.workspaces.len(), 64);
    assert!(first.workspaces[0].wanted.env.is_some());
    assert_eq!(whole_set(&world.store, &world.host).await.len(), 130);
    assert!(whole_set(&world.store, &host(2)).await.is_empty());
}
