use std::{fs, net::TcpListener};

use crate::world::{World, said};

#[test]
fn a_second_supervisor_is_told_who_is_there() {
    let mut world = World::new();
    world.up();
    for arguments in [&["up"][..], &["up", "--detach"]] {
        let (code, said) = world.run(arguments);
        assert_eq!(code, 1);
        let first = format!("(process {})", world.supervisor());
        assert!(said.contains("another `rigbox up`") && said.contains(&first), "{said}");
        assert!(said.contains("hint: "), "{said}");
    }
    assert_eq!(world.get("/capacity"), 200, "the first one does not notice");
}

#[test]
fn a_taken_port_is_said_before_anything_is_started() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.configure(&address);
    let (code, said) = world.run(&["up"]);
    assert_eq!(code, 1);
    let own = format!("(process {})", std::process::id());
    assert!(said.contains("is taken by") && said.contains(&own), "{said}");
    assert!(said.contains("rigbox up --listen"), "{said}");
    assert!(!said.contains("building"), "{said}");
}

#[test]
fn a_role_that_does_not_start_shows_the_end_of_its_log() {
    let mut world = World::new();
    world.up_with(|command| {
        command.env("RIGBOX_STAND_IN", "run");
    });
    let (code, said) = world.ended();
    assert_eq!(code, 1);
    assert!(said.contains("host does not start"), "{said}");
    assert!(said.contains("no driver on this machine"), "{said}");
    assert!(said.contains("host.log"), "{said}");
    assert_eq!(world.processes(), []);
}

#[test]
fn an_image_that_is_neither_there_nor_can_be_built_ends_the_start() {
    let world = World::new();
    let mut up = world.rigbox(&["up"]);
    let (code, said) = said(&up.env("RIGBOX_STAND_IN", "image").output().unwrap());
    assert_eq!(code, 1);
    assert!(said.contains("no network") && said.contains("the image tiny"), "{said}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_before_anything_is_made() {
    let world = World::new();
    fs::write(world.path("data/rigbox.toml"), "[api]\nlsten = \"127.0.0.1:1\"\n").unwrap();
    for verb in [&["up"][..], &["config", "check"]] {
        let (code, said) = world.run(verb);
        assert_eq!(code, 1);
        assert!(
            said.contains("line 2: unknown key lsten, the nearest known one is listen"),
            "{said}"
        );
    }
    assert!(!world.path("data/instance").exists());
}

#[test]
fn wrong_use_is_exit_code_2() {
    let world = World::new();
    assert_eq!(world.run(&["upp"]).0, 2);
    assert_eq!(world.run(&["up", "--listen", "nowhere"]).0, 2);
}
