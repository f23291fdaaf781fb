use std::fs;

use rustix::process::Signal;

use crate::world::World;

/// How often the stand-in was asked to remove everything.
fn times_down(world: &World) -> usize {
    fs::read_to_string(world.path("data/was-down")).map_or(0, |text| text.lines().count())
}

#[test]
fn down_ends_a_running_platform_and_can_be_repeated() {
    let mut world = World::new();
    world.up();
    let (code, said) = world.run(&["down"]);
    assert_eq!(code, 0, "{said}");
    let (code, _) = world.ended();
    assert_eq!(code, 0, "the supervisor ended in order");
    assert_eq!(world.processes(), []);
    assert_eq!(times_down(&world), 1);
    let (code, said) = world.run(&["down"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(times_down(&world), 2, "what a broken down left is looked for again");
}

#[test]
fn down_ends_what_a_killed_supervisor_left() {
    let mut world = World::new();
    world.up();
    // Stopped roles do not notice that their supervisor is gone.
    for role in ["control", "host"] {
        world.signal(world.role(role).unwrap(), Signal::STOP);
    }
    world.signal(world.supervisor(), Signal::KILL);
    world.ended();
    let (code, said) = world.run(&["down"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.processes(), []);
    assert_eq!(times_down(&world), 1);
}

#[test]
fn down_where_nothing_ever_was_says_so() {
    let world = World::new();
    let (code, said) = world.run(&["down"]);
    assert_eq!(code, 0);
    assert!(said.contains("there is no platform in"), "{said}");
    assert!(!world.path("data/instance").exists(), "and makes nothing");
}
