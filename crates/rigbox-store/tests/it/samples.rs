use rigbox_store::samples::Sample;
use rigbox_types::{Desired, Observed, Timestamp, WorkspaceId};

use crate::kit::{SECOND, World, observation};

const HOUR: i64 = 3_600 * SECOND;

fn sample(workspace: &WorkspaceId, at: i64) -> Sample {
    Sample {
        workspace: workspace.clone(),
        at: Timestamp::from_micros(at),
        cpu_percent: 12.5,
        memory_used_bytes: 1,
        memory_limit_bytes: 2,
        disk_used_bytes: 3,
        disk_total_bytes: 4,
        rx_bytes: 5,
        tx_bytes: u64::MAX,
    }
}

async fn insert(world: &World) -> WorkspaceId {
    let new = world.new_workspace();
    world.store.workspaces().insert(&new, None).await.unwrap().id
}

async fn times(world: &World, workspace: &WorkspaceId, from: i64) -> Vec<i64> {
    let samples = world.store.samples();
    let found = samples.since(workspace, Timestamp::from_micros(from)).await.unwrap();
    found.iter().map(|sample| sample.at.as_micros()).collect()
}

pub(crate) async fn samples_are_read_back_in_their_order(world: World) {
    let (first, second) = (insert(&world).await, insert(&world).await);
    let samples = world.store.samples();
    let taken = [sample(&first, 30), sample(&second, 20), sample(&first, 10)];
    samples.insert(&taken).await.unwrap();
    // The same moment twice is one sample, and a workspace that is not there has none.
    let nobody = world.new_workspace().id;
    samples.insert(&[sample(&first, 30), sample(&nobody, 30)]).await.unwrap();
    assert_eq!(times(&world, &first, 0).await, [10, 30]);
    assert_eq!(times(&world, &first, 11).await, [30]);
    assert_eq!(times(&world, &nobody, 0).await, [0; 0]);
    let found = samples.since(&second, Timestamp::from_micros(0)).await.unwrap();
    let most = i64::MAX.try_into().unwrap();
    assert_eq!(found, [Sample { tx_bytes: most, ..sample(&second, 20) }]);
}

pub(crate) async fn samples_are_forgotten_after_a_week(world: World) {
    let workspace = insert(&world).await;
    let now = 1_800_000_000 * SECOND;
    let samples = world.store.samples();
    samples.insert(&[sample(&workspace, now), sample(&workspace, now + HOUR)]).await.unwrap();
    world.clock.turn(7 * 24 * HOUR);
    samples.forget().await.unwrap();
    assert_eq!(times(&world, &workspace, 0).await, [now, now + HOUR]);
    world.clock.turn(1);
    samples.forget().await.unwrap();
    assert_eq!(times(&world, &workspace, 0).await, [now + HOUR]);
}

pub(crate) async fn samples_go_with_their_workspace(world: World) {
    let (gone, kept) = (insert(&world).await, insert(&world).await);
    let samples = world.store.samples();
    samples.insert(&[sample(&gone, 1), sample(&kept, 1)]).await.unwrap();
    let workspaces = world.store.workspaces();
    let edit = workspaces.change(&gone, None, |_, wanted| {
        wanted.desired = Desired::Deleted;
        Ok::<_, ()>(())
    });
    edit.await.unwrap();
    let seen = observation(&gone, 2, Observed::Absent, (1, 1));
    workspaces.observe(&world.host, &[seen]).await.unwrap();
    assert_eq!(times(&world, &gone, 0).await, [0; 0]);
    assert_eq!(times(&world, &kept, 0).await, [1]);
}
