//! The way in by SSH, where there is a gateway and where there is none.

use serde_json::{Value, json};

use crate::{
    server::{Reply, events, refusal},
    world::{World, about, id_of, one, status_event, vm},
};

const LINE: &str = "ssh -p 2222 demo-abcd1234@local.rigbox.example\n";

/// A running workspace whose API says this of the gateway.
fn demo(enabled: Option<bool>) -> Value {
    let mut vm = vm("demo", "running", 2);
    vm["ssh"] = json!({ "user": "demo-abcd1234", "host": "local.rigbox.example", "port": 2222 });
    if let Some(enabled) = enabled {
        vm["ssh"]["enabled"] = json!(enabled);
    }
    vm
}

fn world(vm: &Value) -> World {
    let world = World::with_workspaces(std::slice::from_ref(vm));
    world.server.on(&about("GET", "demo", ""), one(vm));
    world
}

#[test]
fn the_line_for_ssh_is_printed() {
    for enabled in [None, Some(true)] {
        let world = world(&demo(enabled));
        world.rig("workspace ssh-info demo").is(0, LINE, "");
        let ended = world.rig("workspace ssh-info --workspace demo -o json");
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let expected = json!({ "user": "demo-abcd1234", "host": "local.rigbox.example",
                               "port": 2222, "enabled": true });
        assert_eq!((ended.code, document), (0, expected));
    }
}

#[test]
fn a_missing_gateway_is_told_beside_the_line() {
    let world = world(&demo(Some(false)));
    let note = "note: this installation has no SSH gateway yet\nhint: rig shell demo\n";
    world.rig("workspace ssh-info demo").is(0, LINE, note);
    let ended = world.rig("workspace ssh-info demo -o json");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((document["enabled"].clone(), ended.stderr.as_str()), (json!(false), note));
    assert!(!world.rig("workspace show demo").stdout.contains("ssh"));
    let world = self::world(&vm("demo", "running", 2));
    let told = "error: no SSH gateway serves demo yet\nhint: rig shell demo\n";
    world.rig("workspace ssh-info demo").is(1, "", told);
}

#[test]
fn whoever_waited_is_told_the_way_that_is_open() {
    for (enabled, line) in [(true, LINE), (false, "")] {
        let world = world(&demo(Some(enabled)));
        let created = json!({ "vm": vm("demo", "provisioned", 1), "failure": null });
        world.server.on("POST /api/v1/workspaces", Reply::Json(201, created));
        world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "starting", 2)));
        let path = about("GET", "demo", "/events");
        world.server.on(&path, events(&[("status", status_event("demo", "running", 2))]));
        world.server.on(&path, refusal(501, "unsupported", "not here", json!({})));
        let ended = world.rig("workspace spawn demo");
        let expected = format!("demo is running\n{line}rig shell demo\n");
        assert_eq!((ended.code, ended.stdout), (0, expected));
        let ended = world.rig("workspace spawn demo -o json");
        let expected = json!({ "event": "ready", "id": id_of("demo"), "name": "demo",
            "ssh_user": "demo-abcd1234", "ssh_host": "local.rigbox.example", "ssh_port": 2222,
            "ssh_enabled": enabled });
        assert_eq!(ended.records().last(), Some(&expected), "{ended:?}");
    }
}
