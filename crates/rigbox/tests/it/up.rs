use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use rustix::process::Signal;

use crate::world::{World, mode, said};

#[test]
fn a_platform_comes_up_says_what_to_type_and_ends_on_ctrl_c() {
    let mut world = World::new();
    world.up();
    assert_eq!(world.get("/capacity"), 200);
    assert_eq!(world.get("/workspaces"), 401);
    let key = world.path("data/control/admin.key");
    assert_eq!(mode(&key), 0o600);
    let given = fs::read_to_string(world.path("key-of-rig")).unwrap();
    assert_eq!(given, fs::read_to_string(key).unwrap().trim(), "rig was given the key");
    world.signal(world.supervisor(), Signal::INT);
    let (code, said) = world.ended();
    assert_eq!(code, 0, "{said}");
    for expected in
        ["building tiny", "Rigbox is up.", "/control/admin.key", "/setup?token=rbl_", "rig status"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(world.processes(), []);
    assert_eq!(world.state(), None);
}

#[test]
fn control_has_no_right_and_nobody_else_reads_its_data() {
    let mut world = World::new();
    world.up();
    let control = world.role("control").unwrap();
    let status = fs::read_to_string(format!("/proc/{control}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(field("Uid:").iter().all(|uid| uid.parse::<u32>().unwrap() >= 1_900_000_000));
    // Those by which the edge and the SSH gateway reach the sockets that are for them.
    let owner = |path| fs::metadata(world.path(path)).unwrap().uid().to_string();
    assert_eq!(field("Groups:"), [owner("data/run/edge"), owner("data/run/ssh")]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapPrm:"), ["0000000000000000"]);
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(mode(&world.path("data/control")), 0o700);
    assert_eq!(mode(&world.path("data/run/control.toml")), 0o600);
}

#[test]
fn a_killed_role_is_started_again_while_clients_wait() {
    let mut world = World::new();
    world.up();
    for role in ["control", "host"] {
        let before = world.role(role).unwrap();
        world.signal(before, Signal::KILL);
        assert_eq!(world.get("/capacity"), 200, "the port was never gone");
        world.wait("another process", |world| world.role(role).is_some_and(|pid| pid != before));
    }
}

#[test]
fn roles_end_with_a_killed_supervisor_and_the_next_one_goes_on() {
    let mut world = World::new();
    world.up();
    let roles = [world.role("control").unwrap(), world.role("host").unwrap()];
    world.signal(world.supervisor(), Signal::KILL);
    world.ended();
    // At once: the roles may still be on their way out.
    world.up();
    for role in roles {
        assert!(world.processes().iter().all(|(pid, _)| *pid != role), "{:?}", world.processes());
    }
    assert_eq!(world.get("/capacity"), 200);
}

#[test]
fn roles_end_by_themselves_when_their_supervisor_is_killed() {
    let mut world = World::new();
    world.up();
    world.signal(world.supervisor(), Signal::KILL);
    world.ended();
    world.wait("the end of the roles", |world| world.processes().is_empty());
}

#[test]
fn a_role_that_is_on_no_record_is_found_and_ended() {
    let mut world = World::new();
    world.up();
    world.signal(world.supervisor(), Signal::TERM);
    world.ended();
    // Started by hand, and by nobody who writes it down.
    let config = world.path("data/run/control.toml");
    let mut role = Command::new(world.path("bin/rigbox"));
    let mut role = role.args(["control", "--config"]).arg(config).spawn().unwrap();
    world.wait("control's socket", |world| world.path("data/run/control/control.sock").exists());
    world.up();
    assert!(role.wait().unwrap().success(), "it ended in order");
    assert_eq!(world.get("/capacity"), 200);
}

#[test]
fn a_directory_that_control_cannot_reach_is_named() {
    let world = World::new();
    let closed = world.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(world.path("data"), closed.join("data")).unwrap();
    let mut up = Command::new(world.path("bin/rigbox"));
    let up = up.args(["up", "--data"]).arg(closed.join("data")).output().unwrap();
    let (code, text) = said(&up);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("hint: chmod o+x {}", closed.display())), "{text}");
}

#[test]
fn a_platform_in_the_background_outlives_the_command_that_started_it() {
    let world = World::new();
    let (code, text) = said(&world.rigbox(&["up", "--detach"]).output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Rigbox is up."), "{text}");
    assert_eq!(world.get("/capacity"), 200);
    let (code, text) = world.run(&["down"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(world.processes(), []);
}

#[test]
fn an_image_that_is_there_is_used_where_it_cannot_be_built_anew() {
    let mut world = World::new();
    world.up();
    world.signal(world.supervisor(), Signal::TERM);
    world.ended();
    world.up_with(|command| {
        command.env("RIGBOX_STAND_IN", "image");
    });
    world.ready();
    world.signal(world.supervisor(), Signal::TERM);
    let (code, said) = world.ended();
    assert_eq!(code, 0);
    assert!(said.contains("the image tiny stays as it was"), "{said}");
}
