//! What programs read from commands that take time: one object a line, and why there are no more.

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{World, about, vm},
};

fn error(code: &str, message: &str) -> Value {
    json!({ "event": "error", "code": code, "message": message })
}

#[test]
fn a_refusal_is_an_event() {
    for (status, verb) in
        [("running", "start"), ("stopped", "stop"), ("stopped", "restart"), ("running", "cancel")]
    {
        let world = World::with_workspaces(&[vm("demo", status, 1)]);
        let details = json!({ "status": status });
        let refused = refusal(400, "invalid_state", "not from this state", details);
        world.server.on(&about("POST", "demo", &format!("/{verb}")), refused);
        let ended = world.rig(&format!("workspace {verb} demo -o json"));
        assert_eq!(ended.code, 1);
        assert_eq!(ended.records(), [error("invalid_state", "not from this state")]);
        assert!(ended.stderr.starts_with("error: not from this state\nhint: "), "{ended:?}");
        // What prints one document prints none where it is refused.
        let ended = world.rig(&format!("workspace {verb} demo -o json --no-wait"));
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        // People read it once.
        assert_eq!(world.rig(&format!("workspace {verb} demo")).stdout, "");
    }
}

#[test]
fn an_unknown_workspace_is_an_event() {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    for line in ["stop nothing", "rm nothing --yes", "exec nothing -- true", "logs nothing -f"] {
        let ended = world.rig(&format!("workspace {}", line.replacen(' ', " -o json ", 1)));
        assert_eq!(ended.code, 1, "{ended:?}");
        let expected = error("not_found", "there is no workspace 'nothing'");
        assert_eq!(ended.records(), [expected], "{line}");
    }
    let ended = world.rig("workspace show nothing -o json");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
}

#[test]
fn a_delete_that_is_refused_is_an_event() {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    let refused = refusal(409, "conflict", "the workspace is starting", json!({}));
    world.server.on(&about("DELETE", "demo", ""), refused);
    let ended = world.rig("workspace rm demo -o json");
    let expected = error("conflict", "the workspace is starting");
    assert_eq!((ended.code, ended.records()), (1, vec![expected]));
}

#[test]
fn whoever_is_not_signed_in_reads_that_as_an_event() {
    let world = World::new();
    let mut command = world.stranger("workspace spawn demo -o json");
    command.env("RIGBOX_API_URL", &world.server.url);
    let ended = world.run(command, None);
    let expected = error("unauthenticated", &format!("not signed in to {}", world.server.url));
    assert_eq!((ended.code, ended.records()), (3, vec![expected]));
}

#[test]
fn yaml_has_the_same_events() {
    let world = World::with_workspaces(&[]);
    let ended = world.rig("workspace stop demo -o yaml");
    let expected = "---\ncode: not_found\nevent: error\nmessage: there is no workspace 'demo'\n";
    assert_eq!(ended.stdout.replace('"', ""), expected);
}

#[test]
fn what_ended_as_it_should_says_nothing_more() {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    let started = json!({ "vm": vm("demo", "stopped", 1), "failure": null });
    world.server.on(&about("POST", "demo", "/stop"), Reply::Json(200, started.clone()));
    world.server.on(&about("GET", "demo", ""), Reply::Json(200, started));
    let events = about("GET", "demo", "/events");
    world.server.on(&events, refusal(501, "unsupported", "not here", json!({})));
    let ended = world.rig("workspace stop demo -o json");
    let kinds: Vec<_> = ended.records().iter().map(|it| it["event"].clone()).collect();
    assert_eq!((ended.code, kinds), (0, vec![json!("stopping"), json!("stopped")]));
}
