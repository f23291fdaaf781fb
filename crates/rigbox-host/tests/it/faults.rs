//! The agent is killed before and after each side effect of a whole life; another one goes on.

use std::collections::BTreeSet;

use rigbox_host::fault::Point;
use rigbox_types::{
    Desired, Generation, Observed,
    host::{Assignment, Egress, EgressMode},
};
use tokio::time::{Duration, sleep};

use crate::{
    guest::DEAF,
    world::{World, assignment},
};

/// How often it is looked whether the agent is still there.
const LOOK: Duration = Duration::from_millis(20);

/// What is wanted one after the other, and what must come of it.
fn wishes() -> Vec<(Assignment, Observed)> {
    let mut first = assignment(1, Desired::Running);
    // A guest that does not listen, so that every way to end it is gone.
    first.guest.env.insert(DEAF.to_owned(), "1".to_owned());
    let mut other_rules = first.clone();
    other_rules.egress = Egress { mode: EgressMode::None, ..Egress::default() };
    let mut stopped = other_rules.clone();
    stopped.desired = Desired::Stopped;
    let mut larger = first.clone();
    larger.resources.disk_mib = 20;
    let mut deleted = larger.clone();
    deleted.desired = Desired::Deleted;
    vec![
        (first, Observed::Running),
        (other_rules, Observed::Running),
        (stopped, Observed::Stopped),
        (larger, Observed::Running),
        (deleted, Observed::Absent),
    ]
}

/// Lives a whole life; the agent dies at `point`, once, and another one takes its place. Whether it
/// came to that.
async fn live_through(point: Point) -> bool {
    let mut world = World::quick().await;
    let file = world.data().join("fault");
    std::fs::write(&file, point.name()).unwrap();
    let environment = [("RIGBOX_FAULT_FILE", file.as_str())];
    world.start_with(&environment);
    for (wanted, expected) in wishes() {
        let generation = world.control.assign(wanted.clone());
        wait(&mut world, &wanted, generation, expected).await;
        let vms = usize::from(expected == Observed::Running);
        assert_eq!(world.vms(), vms, "{} {expected:?}", point.name());
    }
    world.assert_clean();
    world.control.wait_for_reports(3).await;
    assert_eq!(world.control.told().most_drift, 0, "{}", point.name());
    world.kill().await;
    world.down();
    !file.exists()
}

async fn wait(world: &mut World, wanted: &Assignment, generation: Generation, expected: Observed) {
    loop {
        tokio::select! {
            _ = world.control.wait_for(&wanted.workspace, generation, expected) => return,
            () = sleep(LOOK) => {}
        }
        if world.has_ended() {
            world.ended().await;
            world.start();
            world.control.wait_for(&wanted.workspace, generation, expected).await;
            return;
        }
    }
}

/// A share of the points, so that the shares run beside each other.
async fn check(share: usize) {
    let mut missed = BTreeSet::new();
    for point in Point::ALL.iter().skip(share).step_by(SHARES) {
        eprintln!("{}", point.name());
        if !live_through(*point).await {
            missed.insert(point.name());
        }
    }
    assert_eq!(missed, BTreeSet::new(), "no life comes by these points");
}

const SHARES: usize = 4;

#[tokio::test]
async fn a_life_goes_on_after_a_kill_at_each_point_first_share() {
    check(0).await;
}

#[tokio::test]
async fn a_life_goes_on_after_a_kill_at_each_point_second_share() {
    check(1).await;
}

#[tokio::test]
async fn a_life_goes_on_after_a_kill_at_each_point_third_share() {
    check(2).await;
}

#[tokio::test]
async fn a_life_goes_on_after_a_kill_at_each_point_fourth_share() {
    check(3).await;
}
