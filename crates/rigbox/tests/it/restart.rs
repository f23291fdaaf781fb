use std::{fs, process::Command};

use rustix::process::Signal;

use crate::world::World;

/// The process that answers at the edge's socket, as the kernel says: one that serves.
fn serves(world: &World) -> Option<i32> {
    let socket = world.path("data/run/edge/metrics.sock");
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

fn edge(world: &World) -> i32 {
    i32::try_from(world.role("edge").unwrap()).unwrap()
}

fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn another_edge_takes_over_only_once_it_serves() {
    let mut world = World::new();
    world.up();
    let former = edge(&world);
    let (code, said) = world.run(&["restart", "edge"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("another edge serves"), "{said}");
    let now = edge(&world);
    assert_ne!(now, former);
    assert_eq!(serves(&world), Some(now), "it serves when that is said");
    world.wait("the former edge to end", |_| !runs(former));
}

#[test]
fn an_edge_stays_where_another_one_does_not_come_to_serve() {
    let mut world = World::new();
    world.up();
    let former = edge(&world);
    let config = world.path("data/run/edge.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, "this is no configuration").unwrap();
    let (code, said) = world.run(&["restart", "edge"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the one before was kept"), "{said}");
    assert!(said.contains("the new process ended"), "{said}");
    assert!(said.contains("hint: its log is"), "{said}");
    assert_eq!((edge(&world), serves(&world)), (former, Some(former)));
    fs::write(&config, good).unwrap();
    let (code, said) = world.run(&["restart", "edge"]);
    assert_eq!(code, 0, "{said}");
    assert_ne!(edge(&world), former);
}

#[test]
fn an_edge_answers_authorities_while_another_takes_over() {
    let mut world = World::new();
    let port = rigbox_test_ports::free().unwrap();
    let path = world.path("data/rigbox.toml");
    let text = fs::read_to_string(&path).unwrap();
    let with_dns = format!("[edge]\ndns = \"127.0.0.1:{port}\"\n");
    fs::write(&path, text.replacen("[edge]\n", &with_dns, 1)).unwrap();
    world.up();
    let former = edge(&world);
    let (code, said) = world.run(&["restart", "edge"]);
    assert_eq!(code, 0, "both have the address: {said}");
    world.wait("the former edge to end", |_| !runs(former));
    // Another platform does not get it unnoticed.
    let mut other = World::new();
    let path = other.path("data/rigbox.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("[edge]\n", &with_dns, 1)).unwrap();
    other.up_with(|_: &mut Command| {});
    let (code, said) = other.ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("edge.dns in"), "{said}");
    world.signal(world.supervisor(), Signal::INT);
    assert_eq!(world.ended().0, 0);
}
