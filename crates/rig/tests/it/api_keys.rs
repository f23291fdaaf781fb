//! `rig api-key`.

use serde_json::{Value, json};

use crate::{
    server::Reply,
    world::{KEY, World, about, id_of, one, vm},
};

const ID: &str = "00000000-0000-4000-8000-00000000000a";
const SECRET: &str = "rb_00000001secret";

fn listed(name: Option<&str>, preview: &str) -> Value {
    json!({
        "id": ID, "name": name, "key_preview": preview, "is_workspace_key": false,
        "scopes": ["read"], "created_at": "2020-01-01T00:00:00Z", "last_used_at": null,
        "expires_at": "2020-02-01T00:00:00Z"
    })
}

fn lists(world: &World, keys: &[Value]) {
    let list = json!({ "api_keys": keys, "next_cursor": null });
    world.server.on("GET /api/v1/api-keys?max_results=200", Reply::Json(200, list));
}

fn made() -> Value {
    json!({ "id": ID, "key": SECRET, "scopes": ["read"], "expires_at": null })
}

#[test]
fn a_key_is_printed_alone_on_standard_output() {
    let world = World::new();
    world.server.on("POST /api/v1/api-keys", Reply::Json(201, made()));
    let notice = "keep this key: it cannot be shown again\n";
    let line = "api-key create --name ci --scope read --expires 2099-01-01T00:00:00Z";
    world.rig(line).is(0, &format!("{SECRET}\n"), notice);
    let asked = world.server.first("POST");
    assert!(!asked.headers.contains_key("idempotency-key"), "an answer with a key is not kept");
    assert_eq!(
        asked.json(),
        json!({ "name": "ci", "expires_at": "2099-01-01T00:00:00Z", "scopes": ["read"] })
    );
    let ended = world.rig("api-key create --output json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), made());
}

#[test]
fn a_workspace_is_scoped_by_its_name_or_id() {
    let id = id_of("demo");
    for typed in ["demo", &id] {
        let demo = vm("demo", "running", 1);
        let world = World::with_workspaces(std::slice::from_ref(&demo));
        world.server.on(&about("GET", "demo", ""), one(&demo));
        world.server.on("POST /api/v1/api-keys", Reply::Json(201, made()));
        let ended = world.rig(&format!("api-key create --scope workspace:{typed}"));
        assert_eq!(ended.code, 0, "{ended:?}");
        let scopes = world.server.first("POST").json()["scopes"].clone();
        assert_eq!(scopes, json!([format!("workspace:{id}")]));
    }
}

#[test]
fn what_is_no_scope_and_no_end_goes_nowhere() {
    let world = World::new();
    for line in ["--scope write", "--scope workspace:", "--expires soon", "--expires 0d"] {
        let ended = world.rig(&format!("api-key create {line}"));
        assert_eq!((ended.code, world.server.asked().len()), (2, 0), "{line}: {ended:?}");
    }
}

#[test]
fn keys_are_listed_rotated_and_deleted_by_what_is_known_of_them() {
    let world = World::new();
    lists(&world, &[listed(Some("ci"), "rb_00000001"), listed(None, "rb_00000002")]);
    let ended = world.rig("api-key ls");
    let head = "NAME  KEY           SCOPES  CREATED";
    assert!(ended.stdout.starts_with(head), "{ended:?}");
    assert!(ended.stdout.contains("rb_00000001…") && ended.stdout.contains("has ended"));

    let rotate = format!("POST /api/v1/api-keys/{ID}/rotate");
    world.server.on(&rotate, Reply::Json(200, made()));
    let notice = "keep this key: it cannot be shown again\n";
    world.rig("api-key rotate ci").is(0, &format!("{SECRET}\n"), notice);

    let gone = json!({ "message": "API key deleted" });
    world.server.on(&format!("DELETE /api/v1/api-keys/{ID}"), Reply::Json(200, gone));
    world.rig("api-key rm rb_00000002").is(0, "deleted the API key rb_00000002\n", "");
    let unknown = "error: there is no API key 'cj'\nhint: rig api-key ls\n";
    world.rig("api-key rm cj").is(1, "", unknown);
}

#[test]
fn whoever_ends_the_key_in_use_is_told() {
    let world = World::new();
    lists(&world, &[listed(Some("own"), &KEY[..11])]);
    let gone = json!({ "message": "API key deleted" });
    world.server.on(&format!("DELETE /api/v1/api-keys/{ID}"), Reply::Json(200, gone));
    let ended = world.rig("api-key rm own");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "deleted the API key own\n"));
    assert_eq!(ended.stderr, "warning: this was the key that rig uses here\nhint: rig login\n");
}
