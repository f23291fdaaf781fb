//! The account's things: status, limits, scripts, specs, SSH keys, raw requests, the doctor.

use std::fs;

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{World, about, id_of, limits, vm},
};

const SCRIPT: &str = "00000000-0000-4000-8000-00000000000a";

fn script(name: &str) -> Value {
    json!({
        "id": SCRIPT, "user_id": SCRIPT, "name": name, "content": "echo hi\n",
        "run_on": "first_boot", "script_order": 0, "source": "user",
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"
    })
}

fn spec(name: &str) -> Value {
    json!({
        "id": SCRIPT, "user_id": SCRIPT, "name": name, "exec_start": "/bin/web", "env_vars": {},
        "restart_policy": "on-failure", "auto_enable": false, "environment_file": null,
        "setup_script": "", "source": "user", "systemd_unit_preview": "[Service]\n",
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"
    })
}

#[test]
fn the_status_shows_the_account_at_a_glance() {
    let world = World::new();
    let credits = json!({ "mode": "managed", "remaining": 12.5, "remaining_micro": 12_500_000,
                          "total": 250.0, "total_micro": 250_000_000 });
    let dashboard = json!({ "workspaces": [vm("hello", "running", 1)], "apps": [],
                            "limits": limits(), "ai_credits": credits });
    world.server.on("GET /api/v1/dashboard", Reply::Json(200, dashboard.clone()));
    let ended = world.rig("status");
    let expected = format!(
        "server      {}\nplan        operator\nworkspaces  2 of 10\nvcpus       1 of 8\n\
         memory      512MiB of 8GiB\ndisk        8GiB of 100GiB\n\
         credits     12.5 of 250\n\nNAME   STATUS",
        world.server.url
    );
    assert!(ended.stdout.starts_with(&expected), "{ended:?}");
    let ended = world.rig("status --output json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), dashboard);
}

#[test]
fn limits_and_capacity_are_shown() {
    let world = World::new();
    world.server.on("GET /api/v1/users/me/limits", Reply::Json(200, limits()));
    let ended = world.rig("limits");
    assert!(ended.stdout.starts_with("plan operator\nLIMIT "), "{ended:?}");
    for row in [
        "workspaces               2       10\n",
        "ssh keys                 3       20\n",
        "snapshots per workspace  -       -\n",
        "ai credits a month       0       250\n",
    ] {
        assert!(ended.stdout.contains(row), "{row}: {}", ended.stdout);
    }
    let capacity = json!({ "available": 3, "total": 5, "used": 2 });
    world.server.on("GET /api/v1/capacity", Reply::Json(200, capacity));
    let mut command = world.stranger("capacity");
    command.env("RIGBOX_API_URL", &world.server.url);
    world.run(command, None).is(
        0,
        "room for 3 more of 5 workspaces of the default template; 2 in use\n",
        "",
    );
}

#[test]
fn the_local_ca_is_shown_to_whoever_asks() {
    let world = World::new();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let headers = vec![("content-type", "application/x-pem-file".to_owned())];
    world.server.on("GET /api/v1/ca", Reply::Headed(200, headers, pem.into()));
    let show = || {
        let mut command = world.stranger("ca show");
        command.env("RIGBOX_API_URL", &world.server.url);
        world.run(command, None)
    };
    show().is(0, pem, "");
    // What is no certificate goes into no store.
    world.server.on("GET /api/v1/ca", Reply::Headed(200, Vec::new(), b"<html>".to_vec()));
    show().is(1, "", "error: the server's answer is no certificate\n");
}

#[test]
fn setup_scripts_are_made_changed_listed_and_deleted() {
    let world = World::new();
    world.server.on("POST /api/v1/setup-scripts", Reply::Json(201, script("tools")));
    let line = "setup-script create --name tools --file - --run-on every_start --order -1";
    world.run(world.command(line), Some(b"echo hi\n")).is(
        0,
        &format!("added the setup script tools ({SCRIPT})\n"),
        "",
    );
    assert_eq!(
        world.server.first("POST").json(),
        json!({ "name": "tools", "content": "echo hi\n", "run_on": "every_start",
                "script_order": -1 })
    );
    let list = json!({ "scripts": [script("tools")], "next_cursor": null });
    world.server.on("GET /api/v1/setup-scripts?max_results=200", Reply::Json(200, list));
    let ended = world.rig("setup-script ls");
    assert!(ended.stdout.contains("tools  0000"), "{ended:?}");
    let path = format!("/api/v1/setup-scripts/{SCRIPT}");
    world.server.on(&format!("GET {path}"), Reply::Json(200, script("tools")));
    world.rig("setup-script show tools").is(0, "echo hi\n", "");
    world.server.on(&format!("PUT {path}"), Reply::Json(200, script("better")));
    assert_eq!(world.rig("setup-script update tools --name better").code, 0);
    let mut sent = world.server.first("PUT").json();
    sent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(sent, json!({ "name": "better" }));
    world.rig("setup-script update tools").is(
        2,
        "",
        "error: there is nothing to change\nhint: rig setup-script update --help\n",
    );
    let deleted = Reply::Json(200, json!({ "message": "deleted" }));
    world.server.on(&format!("DELETE {path}"), deleted);
    world.rig("setup-script rm tools").is(0, "deleted the setup script tools\n", "");
    world.rig("setup-script show tols").is(
        1,
        "",
        "error: there is no setup script 'tols'\nhint: rig setup-script show tools\n",
    );
}

#[test]
fn service_specs_are_made_and_changed() {
    let world = World::new();
    world.server.on("POST /api/v1/service-specs", Reply::Json(201, spec("web")));
    let ended = world.rig("service-spec create --name web --exec /bin/web --auto-enable -e A=1");
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut sent = world.server.first("POST").json();
    sent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(
        sent,
        json!({ "name": "web", "exec_start": "/bin/web", "env_vars": {"A": "1"},
                "restart_policy": "on-failure", "auto_enable": true })
    );
    let list = json!({ "services": [spec("web")], "next_cursor": null });
    world.server.on("GET /api/v1/service-specs?max_results=200", Reply::Json(200, list));
    let path = format!("/api/v1/service-specs/{SCRIPT}");
    world.server.on(&format!("PUT {path}"), Reply::Json(200, spec("web")));
    assert_eq!(world.rig("service-spec update web --restart always").code, 0);
    let sent = world.server.first("PUT").json();
    assert_eq!(sent["restart_policy"], "always");
    assert!(!sent.as_object().unwrap().contains_key("env_vars"), "{sent}");
    world.server.on(&format!("GET {path}"), Reply::Json(200, spec("web")));
    world.rig("service-spec show web").is(0, "[Service]\n", "");
}

#[test]
fn only_public_keys_leave_the_machine() {
    let world = World::new();
    fs::create_dir_all(world.path(".ssh")).unwrap();
    fs::write(world.path(".ssh/id_ed25519.pub"), "ssh-ed25519 AAAA me@laptop\n").unwrap();
    fs::write(world.path("private"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    let key = json!({
        "id": SCRIPT, "user_id": SCRIPT, "name": "me@laptop", "public_key": "ssh-ed25519 AAAA",
        "fingerprint": "SHA256:abc", "created_at": "2020-01-01T00:00:00Z"
    });
    world.server.on("POST /api/v1/ssh-keys", Reply::Json(201, key.clone()));
    world.rig("ssh-key add").is(0, "added the key me@laptop SHA256:abc\n", "");
    assert_eq!(
        world.server.first("POST").json(),
        json!({ "name": "me@laptop", "public_key": "ssh-ed25519 AAAA me@laptop" })
    );
    let ended = world.rig("ssh-key add private");
    assert_eq!((ended.code, world.server.asked().len()), (2, 1), "{ended:?}");
    let list = json!({ "ssh_keys": [key], "next_cursor": null });
    world.server.on("GET /api/v1/ssh-keys?max_results=200", Reply::Json(200, list));
    let ended = world.rig("ssh-key ls");
    assert!(ended.stdout.starts_with("NAME       FINGERPRINT  CREATED\nme@laptop  SHA256:abc"));
    world.lists(&[vm("demo", "running", 1)]);
    let synced = json!({ "synced": 1, "keys": [] });
    world.server.on(&about("POST", "demo", "/ssh-keys/sync"), Reply::Json(200, synced));
    world.rig("ssh-key sync demo").is(0, "demo has 1 SSH key now\n", "");
}

#[test]
fn a_raw_request_prints_what_is_answered() {
    let world = World::new();
    let echoed = Reply::Json(201, json!({ "ok": true }));
    world.server.on("POST /api/v1/setup-scripts", echoed);
    let line = "api post /setup-scripts --body -";
    world.run(world.command(line), Some(b"{\"a\": 1}")).is(0, "{\"ok\":true}\n", "");
    let asked = world.server.first("POST");
    assert_eq!(asked.body, b"{\"a\": 1}");
    assert_eq!(asked.headers["content-type"], "application/json");
    let path = format!("GET /api/v1/workspaces/{}", id_of("nobody"));
    world.server.on(&path, refusal(404, "not_found", "no such workspace", Value::Null));
    let ended = world.rig(&format!("api GET /workspaces/{}", id_of("nobody")));
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("no such workspace"));
    assert!(ended.stderr.starts_with("error: the server answers 404"));
}

#[test]
fn the_doctor_finds_nothing_wrong_or_says_what() {
    let world = World::new();
    let capacity = json!({ "available": 3, "total": 5, "used": 2 });
    world.server.on("GET /api/v1/capacity", Reply::Json(200, capacity));
    let document = json!({ "info": { "version": "1" } });
    world.server.on("GET /api/v1/openapi.json", Reply::Json(200, document));
    world.server.on("GET /api/v1/users/me/limits", Reply::Json(200, limits()));
    let ended = world.rig("doctor");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stdout.contains("accepted (from RIG_API_KEY), plan operator"), "{ended:?}");

    let mut command = world.command("doctor");
    command.env("RIGBOX_API_URL", "http://127.0.0.1:1");
    let ended = world.run(command, None);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("cannot reach http://127.0.0.1:1: connection refused"));
    assert_eq!(ended.stderr, "hint: rigbox up\nerror: 1 check failed\n");
}

#[test]
fn what_is_no_rigbox_server_is_named() {
    let world = World::new();
    let page = Reply::Headed(200, vec![], b"<html>hello</html>".to_vec());
    world.server.on("GET /api/v1/users/me/limits", page);
    let ended = world.rig("limits");
    assert_eq!(ended.code, 1);
    let expected = format!("error: {} answers, but not as a Rigbox server: ", world.server.url);
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
}
