//! Signing in, contexts and the configuration file.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{KEY, World, limits},
};

const LIMITS: &str = "GET /api/v1/users/me/limits";
const ME: &str = "GET /api/v1/users/me";
const BEGIN: &str = "POST /api/v1/auth/cli/session";
const POLL: &str = "GET /api/v1/auth/cli/session/rbd_secret";
const PAGE: &str = "https://rigbox.example/device?code=BCDF-GHJK";
const ACCOUNT: &str = "00000000-0000-4000-8000-000000000001";
const KEY_ID: &str = "00000000-0000-4000-8000-000000000002";

fn me() -> Value {
    json!({
        "user": {
            "id": ACCOUNT, "email": "ann@example.com", "display_name": null, "standing": "user",
            "plan": "free", "overrides": {}, "disabled_at": null, "has_password": true,
            "created_at": "2026-01-01T00:00:00Z",
        },
        "credential": { "kind": "api_key", "id": KEY_ID, "scopes": ["full"] },
    })
}

/// The server makes a pair of codes.
fn begins(world: &World) {
    let begun = json!({
        "code": "rbd_secret", "url": PAGE, "user_code": "BCDF-GHJK", "expires_in_s": 600,
        "poll_interval_s": 0,
    });
    world.server.on(BEGIN, Reply::Json(200, begun));
}

fn answer(status: &str, key: Value) -> Reply {
    let id = if key.is_null() { Value::Null } else { json!(KEY_ID) };
    let body = json!({
        "status": status, "api_key": key, "api_key_id": id, "user_email": "ann@example.com",
    });
    Reply::Json(200, body)
}

fn config(world: &World) -> Value {
    let text = fs::read_to_string(world.path(".config/rigbox/config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_key_from_standard_input_is_proved_and_kept_privately() {
    let world = World::new();
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let url = &world.server.url;
    let ended = world.run(
        world.stranger(&format!("login --token --url {url}")),
        Some(format!("{KEY}\n").as_bytes()),
    );
    ended.is(0, &format!("signed in to {url} as context default, plan operator\n"), "");
    let asked = world.server.first(LIMITS);
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    let contexts = json!({ "default": { "url": url, "key": KEY } });
    assert_eq!(config(&world), json!({ "current_context": "default", "contexts": contexts }));
    let mode = |path: &str| fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".config/rigbox/config.json"), 0o600);
    assert_eq!(mode(".config/rigbox"), 0o700);

    world.server.on(ME, Reply::Json(200, me()));
    let ended = world.run(world.stranger("whoami"), None);
    let shown = format!(
        "server      {url}\ncontext     default\naccount     {ACCOUNT}\ne-mail      ann@example.com\n\
         plan        free\ncredential  API key {KEY_ID}, scopes full\n\
         key         rb_test… (from configuration)\n"
    );
    ended.is(0, &shown, "");
    let ended = world.run(world.stranger("whoami -o json"), None);
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&shown["email"], &shown["plan"]), (&json!("ann@example.com"), &json!("free")));
    assert_eq!(shown["credential"]["kind"], "api_key");
}

#[test]
fn a_browser_lets_a_command_line_in() {
    let world = World::new();
    begins(&world);
    world.server.on(POLL, answer("pending", Value::Null));
    let slow = refusal(429, "rate_limited", "slow down", Value::Null);
    world.server.on(POLL, slow);
    world.server.on(POLL, answer("approved", json!(KEY)));
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let url = &world.server.url;
    let ended = world.run(world.stranger(&format!("login --url {url}")), None);
    let said = format!("signed in to {url} as ann@example.com in context default, plan operator\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, said.as_str()), "{ended:?}");
    let page = format!("Open {PAGE}\nand compare this code: BCDF-GHJK\n");
    assert!(ended.stderr.contains(&page), "{ended:?}");
    assert!(!ended.stderr.contains("rbd_"), "{ended:?}");
    // Whoever is asked for a key is sent none, and what is asked with goes in the path alone.
    assert!(!world.server.first(BEGIN).headers.contains_key("authorization"));
    let kept = &config(&world)["contexts"]["default"];
    assert_eq!(*kept, json!({ "url": url, "key": KEY, "key_id": KEY_ID }));

    // What was made by signing in ends with signing out.
    let path = format!("DELETE /api/v1/api-keys/{KEY_ID}");
    world.server.on(&path, Reply::Json(200, json!({ "message": "API key deleted" })));
    world.run(world.stranger("logout"), None).is(0, "forgot the key of default\n", "");
    let asked = world.server.first(&path);
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(config(&world)["contexts"]["default"], json!({ "url": url }));
}

#[test]
fn a_program_follows_a_sign_in_by_its_events() {
    let world = World::new();
    begins(&world);
    world.server.on(POLL, answer("approved", json!(KEY)));
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let line = format!("login --url {} -o json", world.server.url);
    let ended = world.run(world.stranger(&line), None);
    let path = world.path(".config/rigbox/config.json");
    let expected = vec![
        json!({ "event": "session_created", "code": "BCDF-GHJK" }),
        json!({ "event": "browser_url", "url": PAGE }),
        json!({ "event": "polling" }),
        json!({ "event": "approved", "user_email": "ann@example.com" }),
        json!({ "event": "saved", "path": path, "context": "default" }),
    ];
    assert_eq!((ended.code, ended.records()), (0, expected), "{ended:?}");
    assert!(!ended.stdout.contains(KEY) && !ended.stdout.contains("rbd_"));
}

#[test]
fn what_is_not_allowed_in_the_browser_keeps_nothing() {
    for (status, key, expected) in [
        ("denied", Value::Null, "error: somebody said no in the browser\n"),
        (
            "expired",
            Value::Null,
            "error: nobody said yes in the browser in time\nhint: rig login\n",
        ),
        (
            "approved",
            Value::Null,
            "error: somebody said yes, but the key got lost on the way\nhint: rig login\n",
        ),
    ] {
        let world = World::new();
        begins(&world);
        world.server.on(POLL, answer(status, key));
        let line = format!("login --url {}", world.server.url);
        let ended = world.run(world.stranger(&line), None);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.ends_with(expected), "{ended:?}");
        assert!(!world.path(".config/rigbox/config.json").exists());
    }
    // A server from before there was such a way.
    let world = World::new();
    let url = &world.server.url;
    let ended = world.run(world.stranger(&format!("login --url {url}")), None);
    let error =
        format!("error: {url} does not let anybody in by a browser\nhint: rig login --token\n");
    assert_eq!((ended.code, ended.stderr), (1, error));
}

#[test]
fn a_key_that_the_server_does_not_delete_is_forgotten_and_named() {
    let world = World::new();
    begins(&world);
    world.server.on(POLL, answer("approved", json!(KEY)));
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let url = &world.server.url;
    world.run(world.stranger(&format!("login --url {url}")), None);
    let path = format!("DELETE /api/v1/api-keys/{KEY_ID}");
    world.server.on(&path, refusal(500, "internal", "something went wrong", Value::Null));
    let warning = format!(
        "warning: the key goes on at {url}, which did not delete it: something went wrong\n\
         hint: rig api-key rm {KEY_ID}\n"
    );
    world.run(world.stranger("logout"), None).is(0, "forgot the key of default\n", &warning);
    assert_eq!(config(&world)["contexts"]["default"], json!({ "url": url }));
}

#[test]
fn a_key_from_a_file_needs_no_terminal_and_may_name_its_context() {
    let world = World::new();
    world.server.on(LIMITS, Reply::Json(200, limits()));
    fs::write(world.path("admin.key"), KEY).unwrap();
    let url = &world.server.url;
    let line = format!("login --import-token admin.key --context lab --url {url} -o json");
    let ended = world.run(world.stranger(&line), None);
    let saved = json!({
        "event": "saved", "context": "lab", "path": world.path(".config/rigbox/config.json")
    });
    assert_eq!((ended.code, ended.records()), (0, vec![saved]));
    assert_eq!(config(&world)["current_context"], "lab");

    let line = format!("login --import-token - --context lab --url {url}");
    let ended = world.run(world.stranger(&line), Some(b"rb_other"));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(config(&world)["contexts"]["lab"]["key"], "rb_other");
}

#[test]
fn a_key_that_is_refused_is_not_kept() {
    let world = World::new();
    world.server.on(LIMITS, refusal(401, "unauthenticated", "this key is not valid", Value::Null));
    let url = &world.server.url;
    let ended = world.run(world.stranger(&format!("login --token --url {url}")), Some(b"rb_wrong"));
    ended.is(3, "", &format!("error: {url} does not accept this key\n"));
    assert!(!world.path(".config/rigbox/config.json").exists());
}

#[test]
fn a_key_on_the_command_line_is_refused() {
    let world = World::new();
    let ended = world.run(world.stranger("login rb_secret"), None);
    ended.is(
        2,
        "",
        "error: a key on the command line can be read by everyone on this machine; it is taken \
         from standard input or a file\nhint: rig login\n",
    );
    assert!(world.server.asked().is_empty());
}

#[test]
fn without_a_key_every_command_ends_with_three() {
    let world = World::new();
    let mut command = world.stranger("workspace ls");
    command.env("RIGBOX_API_URL", &world.server.url);
    let url = &world.server.url;
    let expected = format!("error: not signed in to {url}\nhint: rig login --url {url}\n");
    world.run(command, None).is(3, "", &expected);
    assert!(world.server.asked().is_empty());
}

#[test]
fn a_kept_key_does_not_follow_another_address() {
    let world = World::new();
    let thief = World::new();
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let url = &world.server.url;
    world.run(world.stranger(&format!("login --token --url {url}")), Some(KEY.as_bytes()));
    let mut command = world.stranger("ls");
    command.env("RIGBOX_API_URL", &thief.server.url);
    assert_eq!(world.run(command, None).code, 3);
    assert!(thief.server.asked().is_empty());
}

#[test]
fn contexts_are_added_used_listed_and_removed() {
    let world = World::new();
    let rig = |line: &str| world.run(world.stranger(line), None);
    rig("context add work --url https://rigbox.example").is(
        0,
        "added the context work for https://rigbox.example\n",
        "hint: rig login --context work\n",
    );
    assert_eq!(rig("context add lab --url http://127.0.0.1:1").code, 0);
    rig("context add lab --url http://127.0.0.1:1").is(
        1,
        "",
        "error: there is a context 'lab' already\nhint: rig context rm lab\n",
    );
    rig("context ls").is(
        0,
        "NAME  SERVER                  SIGNED IN  CURRENT\n\
         lab   http://127.0.0.1:1      no         -\n\
         work  https://rigbox.example  no         *\n",
        "",
    );
    rig("context use wrk").is(
        2,
        "",
        "error: there is no context 'wrk'\nhint: rig context use work\n",
    );
    assert_eq!(rig("context use lab").code, 0);
    rig("limits").is(3, "", "error: not signed in to http://127.0.0.1:1\nhint: rig login\n");
    // A hint stays with the context that was named.
    rig("limits --context work").is(
        3,
        "",
        "error: not signed in to https://rigbox.example\nhint: rig --context work login\n",
    );
    assert_eq!(rig("context rm lab").code, 0);
    assert_eq!(config(&world)["current_context"], Value::Null);
}

#[test]
fn signing_out_forgets_the_key_and_keeps_the_server() {
    let world = World::new();
    world.server.on(LIMITS, Reply::Json(200, limits()));
    let url = &world.server.url;
    world.run(world.stranger(&format!("login --token --url {url}")), Some(KEY.as_bytes()));
    // It was brought, and may be in use elsewhere: the server is not told.
    let before = world.server.asked().len();
    world.run(world.stranger("logout"), None).is(0, "forgot the key of default\n", "");
    assert_eq!(world.server.asked().len(), before);
    assert_eq!(config(&world)["contexts"]["default"], json!({ "url": url }));
    world.run(world.stranger("logout"), None).is(0, "", "no key was kept\n");
}

#[test]
fn a_configuration_that_others_can_read_is_named() {
    let world = World::with_workspaces(&[]);
    world.server.on(LIMITS, Reply::Json(200, limits()));
    world.server.on(
        "GET /api/v1/capacity",
        Reply::Json(
            200,
            json!({
                "available": 3, "total": 5, "used": 2
            }),
        ),
    );
    let path = world.path(".config/rigbox/config.json");
    world.run(world.stranger(&format!("login --token --url {}", world.server.url)), Some(b"rb_x"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = path.display();
    let warning = format!(
        "warning: {shown} has mode 0644: others on this machine may use your key\n\
         hint: chmod 600 {shown}\n"
    );
    let ended = world.run(world.stranger("limits"), None);
    assert_eq!((ended.code, ended.stderr), (0, warning));

    let ended = world.run(world.stranger("doctor --output json"), None);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.code, 1);
    assert_eq!(report["checks"][0]["result"], "failed");
    assert_eq!(report["checks"][0]["remedy"], format!("chmod 600 {shown}"));
}

#[test]
fn a_broken_configuration_names_its_file() {
    let world = World::new();
    fs::create_dir_all(world.path(".config/rigbox")).unwrap();
    fs::write(world.path(".config/rigbox/config.json"), "{\"contxts\":{}}").unwrap();
    let ended = world.run(world.stranger("config show"), None);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("unknown field `contxts`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: mv "), "{}", ended.stderr);
}

#[test]
fn the_default_output_is_configured() {
    let world = World::with_workspaces(&[]);
    assert_eq!(world.run(world.stranger("config set output json"), None).code, 0);
    let ended = world.rig("workspace ls");
    assert_eq!(ended.stdout, "{\n  \"next_cursor\": null,\n  \"vms\": []\n}\n");
    let ended = world.rig("workspace ls --output yaml");
    assert_eq!(ended.stdout, "next_cursor: null\nvms: []\n");
}
