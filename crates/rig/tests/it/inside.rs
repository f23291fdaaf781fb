//! `rig` inside a workspace.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    server::Reply,
    world::{World, id_of},
};

fn inside(world: &World, line: &str) -> Command {
    let metadata = json!({ "id": id_of("demo"), "name": "demo" });
    fs::write(world.path("workspace.json"), metadata.to_string()).unwrap();
    let mut command = world.stranger(line);
    command
        .env("RIG_METADATA_FILE", world.path("workspace.json"))
        .env("RIG_GATEWAY_URL", &world.server.url);
    command
}

fn whoami() -> Value {
    json!({ "workspace_id": id_of("demo"), "name": "demo", "region": "local",
            "user_id": "00000000-0000-4000-8000-000000000001", "api_url": "http://x:7070" })
}

#[test]
fn identity_comes_from_the_gateway_and_needs_no_key() {
    let world = World::new();
    world.server.on("GET /rig/v1/whoami", Reply::Json(200, whoami()));
    let mut command = inside(&world, "whoami");
    command.env("RIG_API_KEY", "rb_must_not_leave");
    let ended = world.run(command, None);
    let expected = format!(
        "workspace  demo\nid         {}\nregion     local\n\
         owner      00000000-0000-4000-8000-000000000001\napi        http://x:7070\n",
        id_of("demo")
    );
    ended.is(0, &expected, "");
    assert!(!world.server.first("GET").headers.contains_key("authorization"));
    let ended = world.run(inside(&world, "whoami -o json"), None);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), whoami());
}

#[test]
fn the_status_is_that_of_the_workspace() {
    let world = World::new();
    world.server.on("GET /rig/v1/whoami", Reply::Json(200, whoami()));
    let status = json!({
        "workspace_id": id_of("demo"), "name": "demo", "status": "running", "image": "base",
        "region": "local", "ram_mb": 512, "vcpu_count": 1, "disk_size_mb": 4096, "generation": 2,
        "failure": null, "created_at": "2020-01-01T00:00:00Z", "ready_at": null,
        "setup": [{ "id": "00000000-0000-4000-8000-00000000000a", "name": "tools", "exit_code": 2,
                    "output_tail": "oops\nno such file", "finished_at": "2020-01-01T00:00:00Z" }]
    });
    world.server.on("GET /rig/v1/status", Reply::Json(200, status));
    let ended = world.run(inside(&world, "status"), None);
    assert!(ended.stdout.contains("status     running\n"), "{ended:?}");
    let line = "setup      tools: failed with exit code 2: no such file\n";
    assert!(ended.stdout.contains(line), "{ended:?}");
}

#[test]
fn commands_about_the_account_refuse_in_one_line() {
    let world = World::new();
    world.server.on("GET /rig/v1/whoami", Reply::Json(200, whoami()));
    for (line, name) in
        [("workspace ls", "workspace"), ("login", "login"), ("ssh-key ls", "ssh-key")]
    {
        let expected = format!(
            "error: 'rig {name}' is about your account, and this is inside the workspace demo\n"
        );
        world.run(inside(&world, line), None).is(1, "", &expected);
    }
    assert_eq!(world.run(inside(&world, "completions bash"), None).code, 0);
}

#[test]
fn only_what_works_on_the_workspace_is_shown() {
    let world = World::new();
    let hidden =
        ["workspace spawn", "login", "setup-script", "ssh-key", "RIG_API_KEY", "--context"];
    let lines = ["--help", "-h", "status --help", "completions bash", "completions zsh"];
    for line in lines.into_iter().chain(["completions fish"]) {
        let ended = world.run(inside(&world, line), None);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        assert!(ended.stdout.contains("output"), "{ended:?}");
        let shown = hidden.iter().find(|word| ended.stdout.contains(**word));
        assert_eq!(shown, None, "{line}: {}", ended.stdout);
    }
    let help = world.run(inside(&world, "--help"), None).stdout;
    for word in ["\n  whoami ", "\n  status ", "\n  completions ", "rig status --output json"] {
        assert!(help.contains(word), "{help}");
    }
    let ended = world.run(inside(&world, ""), None);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("rig whoami") && !ended.stderr.contains("login"), "{ended:?}");
    assert!(world.server.asked().is_empty());
}

#[test]
fn a_command_about_the_account_refuses_however_it_is_typed() {
    let world = World::new();
    for line in ["workspace", "workspace --help", "ws start", "workspace frobnicate --x"] {
        let expected = "error: 'rig workspace' is about your account, and this is inside the \
                        workspace demo\n";
        world.run(inside(&world, line), None).is(1, "", expected);
    }
    let ended = world.run(inside(&world, "shel"), None);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("\nhint: rig --help\n"), "{ended:?}");
    assert!(world.run(inside(&world, "statu"), None).stderr.contains("\nhint: rig status\n"));
}

#[test]
fn metadata_without_a_gateway_is_no_workspace() {
    let world = World::new();
    let mut command = inside(&world, "config path");
    command.env("RIG_GATEWAY_URL", "http://127.0.0.1:1");
    let ended = world.run(command, None);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.starts_with("warning: "), "{ended:?}");
    assert!(ended.stderr.contains("its gateway does not answer"), "{ended:?}");
}
