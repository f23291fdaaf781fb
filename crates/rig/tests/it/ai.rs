//! AI from the command line: outside for its owner, and inside a workspace.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    server::Reply,
    world::{World, id_of, vm},
};

const KEY: &str = "sk-proj-0123456789abcdef";

fn config(enabled: bool) -> Value {
    json!({
        "mode": "byok", "provider": "openai", "model": "openai/gpt-5",
        "status": "invalid_missing_key", "enabled": enabled, "enabled_by": "workspace",
        "inject": "proxy", "updated_at": "2026-11-29T00:00:00Z",
        "keys": [{ "provider": "google", "preview": "…wxyz", "source": "user_default",
                   "updated_at": "2026-11-29T00:00:00Z" }],
    })
}

fn defaults() -> Value {
    json!({
        "default_mode": "managed", "default_model": "rigbox/default",
        "default_provider": "anthropic", "enabled": null,
        "keys": [{ "provider": "openai", "preview": "…cdef", "source": "user_default",
                   "updated_at": "2026-11-29T00:00:00Z" }],
    })
}

/// A server that knows the workspace `demo`.
fn world() -> World {
    World::with_workspaces(&[vm("demo", "running", 1)])
}

fn path() -> String {
    format!("/api/v1/workspaces/{}/ai-config", id_of("demo"))
}

#[test]
fn an_owner_switches_ai_and_sees_what_holds() {
    let world = world();
    world.server.on(&format!("PUT {}", path()), Reply::Json(200, config(true)));
    world.server.on(&format!("GET {}", path()), Reply::Json(200, config(true)));
    let ended = world.rig("proxy on --workspace demo");
    ended.is(0, "AI is on in demo, from its next call on\n", "");
    assert_eq!(world.server.first("PUT").json(), json!({ "enabled": true }));
    let shown = world.rig("proxy status -w demo").stdout;
    assert!(shown.contains("on (by its owner)") && shown.contains("byok"), "{shown}");
    // A workspace may be a word or an option, or left out where there is one.
    for line in ["proxy status demo", "proxy status"] {
        assert_eq!(world.rig(line).stdout, shown, "{line}");
    }
    world.rig("proxy on demo").is(0, "AI is on in demo, from its next call on\n", "");
    assert_eq!(world.rig("ai show").stdout, world.rig("ai show -w demo").stdout);
    let shown = world.rig("ai show demo");
    assert!(shown.stdout.contains("google …wxyz (the account)"), "{shown:?}");
    assert!(shown.stderr.contains("rig ai key set openai"), "{shown:?}");
    let document = world.rig("ai show demo --json").stdout;
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), config(true));
    assert!(world.rig("proxy env").stderr.contains("inside a workspace"));
}

#[test]
fn a_key_is_read_from_standard_input_and_never_shown() {
    let world = world();
    world.server.on("PUT /api/v1/users/me/ai-defaults", Reply::Json(200, defaults()));
    let ended = world.run(world.command("ai key set openai"), Some(format!("{KEY}\n").as_bytes()));
    ended.is(0, "kept the key …cdef at openai\n", "");
    assert_eq!(world.server.first("PUT").json(), json!({ "api_keys": { "openai": KEY } }));
    let refused = world.rig(&format!("ai key set openai {KEY}"));
    assert_eq!(refused.code, 2);
    assert!(!refused.stderr.contains(KEY), "{refused:?}");
    let verbose = world.run(world.command("ai key set openai -v"), Some(KEY.as_bytes()));
    assert!(!verbose.stderr.contains(KEY) && !verbose.stdout.contains(KEY), "{verbose:?}");
}

#[test]
fn who_pays_is_shown_and_said() {
    let world = world();
    let mode = format!("/api/v1/workspaces/{}/mode", id_of("demo"));
    let answer = json!({ "mode": "managed", "source": "user_default" });
    world.server.on(&format!("PUT {mode}"), Reply::Json(200, answer));
    world.rig("ai mode default --workspace demo").is(0, "managed (the account's)\n", "");
    assert_eq!(world.server.first("PUT").json(), json!({ "mode": null }));
    world.server.on("GET /api/v1/users/me/ai-defaults", Reply::Json(200, defaults()));
    let shown = world.rig("ai defaults").stdout;
    assert!(shown.contains("off, until a workspace switches it on"), "{shown}");
}

fn inside(world: &World, line: &str) -> Command {
    let metadata = json!({ "id": id_of("demo"), "name": "demo" });
    fs::write(world.path("workspace.json"), metadata.to_string()).unwrap();
    let whoami = json!({ "workspace_id": id_of("demo"), "name": "demo", "region": "local",
                         "user_id": "00000000-0000-4000-8000-000000000001", "api_url": "http://x" });
    world.server.on("GET /rig/v1/whoami", Reply::Json(200, whoami));
    let mut command = world.stranger(line);
    command
        .env("RIG_METADATA_FILE", world.path("workspace.json"))
        .env("RIG_GATEWAY_URL", &world.server.url)
        .env("HOME", world.path("home"))
        .current_dir(world.path("."));
    command
}

fn of_gateway(enabled: bool, env: &Value) -> Value {
    json!({
        "enabled": enabled, "enabled_by": "guest", "switchable": true, "mode": "managed",
        "provider": "anthropic", "model": "rigbox/default", "inject": "proxy", "env": env,
    })
}

#[test]
fn inside_it_prints_what_a_shell_evaluates() {
    let world = World::new();
    let env = json!({ "OPENAI_BASE_URL": "http://172.16.0.1:9090/v1", "OPENAI_API_KEY": "managed-by-rigbox" });
    world.server.on("PUT /rig/v1/ai", Reply::Json(200, of_gateway(true, &env)));
    world.server.on("GET /rig/v1/ai", Reply::Json(200, of_gateway(true, &env)));
    let exports = "export OPENAI_API_KEY=\"managed-by-rigbox\"\n\
                   export OPENAI_BASE_URL=\"http://172.16.0.1:9090/v1\"\n";
    let on = world.run(inside(&world, "proxy on"), None);
    assert_eq!((on.code, on.stdout.as_str()), (0, exports), "{on:?}");
    let file = world.path("home").join(".rigbox/proxy.env");
    assert!(
        fs::read_to_string(&file).unwrap().contains("\nOPENAI_API_KEY=\"managed-by-rigbox\"\n")
    );
    world.run(inside(&world, "proxy env"), None).is(0, exports, "");

    world.run(inside(&world, "proxy dotenv"), None).is(0, "wrote .env\n", "");
    fs::write(world.path(".env"), "MINE=1\n").unwrap();
    world.run(inside(&world, "proxy dotenv"), None).is(0, "wrote .env\n", "");
    let written = fs::read_to_string(world.path(".env")).unwrap();
    assert!(written.starts_with("MINE=1\n# rigbox: begin"), "{written}");

    let off = world.run(inside(&world, "proxy off"), None);
    assert!(off.stdout.starts_with("unset OPENROUTER_BASE_URL "), "{off:?}");
    assert!(!file.exists());
    let other = world.run(inside(&world, "proxy on -w other"), None);
    assert_eq!(other.code, 1, "{other:?}");
}

#[test]
fn a_gateway_has_no_shell_run_what_it_likes() {
    for env in [
        json!({ "OPENAI_API_KEY": "$(reboot)" }),
        json!({ "OPENAI_API_KEY": "a\"; reboot; \"" }),
        json!({ "PATH": "/tmp" }),
    ] {
        let world = World::new();
        world.server.on("GET /rig/v1/ai", Reply::Json(200, of_gateway(true, &env)));
        let ended = world.run(inside(&world, "proxy env"), None);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
    }
}

#[test]
fn a_statement_goes_into_a_file_as_the_server_lays_it_out() {
    let world = World::new();
    let table = "seq,at,kind,credits,balance,reason,actor,key\r\n";
    world.server.on(
        "GET /api/v1/users/me/credits/statement?format=csv",
        Reply::Headed(
            200,
            vec![("content-type", "text/csv".to_owned())],
            table.as_bytes().to_vec(),
        ),
    );
    world.rig("credits --csv").is(0, table, "");
    for line in ["credits --csv --output json", "-o yaml credits --csv", "credits --csv --json"] {
        let refused = world.rig(line);
        assert_eq!((refused.code, refused.stdout.contains(table)), (2, false), "{refused:?}");
    }
}

#[test]
fn what_was_used_is_told_by_day_workspace_and_model() {
    let world = World::new();
    let totals = json!({
        "credits": 1.5, "credits_micro": 1_500_000, "input_tokens": 20, "output_tokens": 6,
        "requests": 2,
    });
    let mut detail = json!({
        "day": "2026-11-30", "workspace_id": "ws-abcdefgh", "workspace_name": "demo",
        "provider": "openai", "model": "gpt-5",
    });
    detail.as_object_mut().unwrap().extend(totals.as_object().unwrap().clone());
    let usage = json!({ "window_days": 30, "daily": [], "by_workspace": [], "details": [detail] });
    world.server.on("GET /api/v1/users/me/ai-usage", Reply::Json(200, usage.clone()));
    world.rig("ai usage --daily").is(
        0,
        "DAY         WORKSPACE  MODEL         CREDITS  CALLS  READ  WRITTEN\n\
         2026-11-30  demo       openai/gpt-5  1.5      2      20    6\n",
        "",
    );
    let ended = world.rig("ai usage --daily --workspace demo");
    assert_eq!(ended.code, 2, "{ended:?}");
}
