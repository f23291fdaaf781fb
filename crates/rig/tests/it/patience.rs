//! Requests that are sent again: what the server asks for, and what it must not see twice.

use serde_json::json;

use crate::{
    server::Reply,
    world::{LIST, World, about, vm},
};

const CREATE: &str = "POST /api/v1/workspaces";

/// A refusal that says when to come again.
fn later(status: u16, code: &str, seconds: u32) -> Reply {
    let error = json!({ "code": code, "message": "not just now", "details": {} });
    let headers = vec![("retry-after", seconds.to_string())];
    Reply::Headed(status, headers, json!({ "error": error }).to_string().into_bytes())
}

fn created() -> Reply {
    Reply::Json(201, json!({ "vm": vm("demo", "provisioned", 1), "failure": null }))
}

fn keys(world: &World) -> Vec<String> {
    let asked = world.server.asked();
    asked.into_iter().map(|asked| asked.headers["idempotency-key"].clone()).collect()
}

#[test]
fn a_create_whose_first_try_is_under_way_is_repeated_with_the_same_key() {
    let world = World::new();
    world.server.on(CREATE, Reply::Cut);
    world.server.on(CREATE, later(409, "conflict", 0));
    world.server.on(CREATE, later(409, "conflict", 0));
    world.server.on(CREATE, later(503, "unavailable", 0));
    world.server.on(CREATE, created());
    let ended = world.rig("workspace new demo");
    assert_eq!(ended.code, 0, "{ended:?}");
    let keys = keys(&world);
    assert_eq!(keys.len(), 5);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_long_wait_is_told() {
    let world = World::new();
    world.server.on(CREATE, later(409, "conflict", 3));
    world.server.on(CREATE, created());
    let ended = world.rig("workspace new demo -o json");
    let notice = format!("waiting for {}: not just now\n", world.server.url);
    assert_eq!((ended.code, ended.stderr), (0, notice));
}

#[test]
fn what_would_take_too_long_is_told_at_once() {
    let world = World::new();
    world.server.on(CREATE, later(503, "unavailable", 60));
    let told = "error: not just now\nhint: rig doctor\n";
    world.rig("workspace new demo").is(1, "", told);
    assert_eq!(keys(&world).len(), 1);
}

#[test]
fn a_part_that_is_away_is_asked_again_where_that_does_no_harm() {
    let world = World::new();
    world.server.on(LIST, later(503, "unavailable", 0));
    world.server.on(LIST, Reply::Json(200, json!({ "vms": [vm("demo", "stopped", 1)] })));
    let remove = about("DELETE", "demo", "");
    world.server.on(&remove, later(503, "unavailable", 0));
    world.server.on(&remove, Reply::Json(200, json!({ "message": "deleting" })));
    assert_eq!(world.rig("workspace rm demo --no-wait").code, 0);
    assert_eq!(world.server.lines(), [LIST, LIST, &remove, &remove]);
    // It may have been done: only the server knows.
    let exec = about("POST", "demo", "/exec");
    world.server.on(&exec, later(503, "unavailable", 0));
    let ended = world.rig("exec demo -- true");
    assert_eq!(ended.code, 1, "{ended:?}");
    let asked = world.server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.line == exec).count(), 1);
}
