//! `rig app`, `rig open`: publishing ports, finding and changing apps, and what is told when
//! something is refused.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    server::{Reply, events, refusal},
    world::{World, about, about_app, app, app_id_of, id_of, one, status_event, vm},
};

const CREATE: &str = "POST /api/v1/apps";

/// A health of an app whose port is open or not.
fn health(open: bool) -> Reply {
    let status = if open { "active" } else { "none" };
    Reply::Json(
        200,
        json!({ "live": open, "port_open": open, "service_status": status, "port_drift": false }),
    )
}

fn created(app: &Value) -> Reply {
    Reply::Json(201, json!({ "app": app }))
}

#[test]
fn apps_are_listed_as_a_table_or_as_the_document() {
    let mut cli = app("backup", 0, "private");
    cli["app_kind"] = json!("cli");
    cli["url"] = Value::Null;
    cli["workspace_id"] = json!(id_of("other"));
    cli["status"] = json!("inactive");
    let apps = [app("my-api", 3000, "public"), cli];
    let world = World::with_apps(&apps);
    world.rig("app ls").is(
        0,
        "NAME    PORT  STATUS    VISIBILITY  URL\n\
         my-api  3000  active    public      https://my-api.rigbox.example/\n\
         backup  -     inactive  private     -\n",
        "",
    );
    let document = |line: &str| -> Value { serde_json::from_str(&world.rig(line).stdout).unwrap() };
    assert_eq!(document("apps ls -o json"), json!({ "apps": apps, "next_cursor": null }));
    assert_eq!(document("app ls -o json -w demo")["apps"], json!([apps[0]]));
    assert_eq!(document("app ls -o json --limit 1")["apps"], json!([apps[0]]));
}

#[test]
fn without_apps_it_is_told_how_to_begin() {
    let world = World::with_apps(&[]);
    let hint = "hint: rig app new my-app --port 3000\n";
    world.rig("app ls").is(0, "", &format!("{hint}no apps yet\n"));
    world.rig("app ls -w demo").is(0, "", &format!("{hint}no apps of demo\n"));
    world.server.on(&format!("{SHARED}&max_results=200"), Reply::Json(200, json!({"apps": []})));
    world.rig("app ls --shared").is(0, "", "no apps\n");
}

const SHARED: &str = "GET /api/v1/apps?shared=true";

#[test]
fn a_new_app_prints_its_url_alone() {
    let world = World::with_apps(&[]);
    world.server.on(CREATE, created(&app("my-api", 8080, "private")));
    world.server.on(&about_app("GET", "my-api", "/health"), health(true));
    world.rig("app new My-API --port 8080 --description web").is(
        0,
        "https://my-api.rigbox.example/\n",
        "my-api is port 8080 of demo, private\n",
    );
    let asked = world.server.first(CREATE);
    assert!(asked.headers["idempotency-key"].len() >= 32);
    assert_eq!(
        asked.json(),
        json!({ "name": "my-api", "workspace_id": id_of("demo"), "app_kind": "service",
                "port": 8080, "protocol": null, "description": "web", "metadata": null })
    );
    let ended = world.rig("app new --name my-api -w demo -o json");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document, json!({ "app": app("my-api", 8080, "private") }));
}

#[test]
fn a_program_has_no_port_and_no_url() {
    let world = World::with_apps(&[]);
    let mut cli = app("backup", 0, "private");
    cli["app_kind"] = json!("cli");
    cli["url"] = Value::Null;
    world.server.on(CREATE, created(&cli));
    let line = format!("created backup ({})\n", app_id_of("backup"));
    world.rig("app new backup --kind cli").is(0, &line, "");
    world.rig("app new backup --kind cli --port 1").is(
        2,
        "",
        "error: an app of kind cli is run and has no port\nhint: rig app new backup --kind cli\n",
    );
    let world = World::with_apps(&[cli]);
    world.rig("open backup").is(
        1,
        "",
        "error: backup is a program to be run and has no URL\nhint: rig app show backup\n",
    );
}

#[test]
fn what_is_missing_until_the_url_shows_something_is_said() {
    let url = "https://my-api.rigbox.example/\n";
    let head = "my-api is port 3000 of demo, private\n";
    let world = World::with_apps(&[]);
    world.server.on(CREATE, created(&app("my-api", 3000, "private")));
    world.server.on(&about_app("GET", "my-api", "/health"), health(false));
    let ports = about("GET", "demo", "/listening-ports");
    let listens = |address: &str, port: u16| {
        let port =
            json!({"port": port, "address": address, "process": null, "already_exposed": false});
        Reply::Json(200, json!({ "ports": [port] }))
    };
    world.server.on(&ports, listens("0.0.0.0", 22));
    world.rig("app new my-api").is(
        0,
        url,
        &format!(
            "{head}note: nothing listens on port 3000 of demo yet\n\
             hint: rig exec demo -- python3 -m http.server 3000\n"
        ),
    );
    world.server.on(&ports, listens("127.0.0.1", 3000));
    // The answer before is given once more: the server did not know that another one follows.
    assert_eq!(world.rig("app new my-api").code, 0);
    world.rig("app new my-api").is(
        0,
        url,
        &format!(
            "{head}note: port 3000 of demo listens on 127.0.0.1 only: let it listen on 0.0.0.0\n\
             hint: rig workspace ports demo\n"
        ),
    );
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    world.server.on(CREATE, created(&app("my-api", 3000, "private")));
    world.rig("app new my-api").is(
        0,
        url,
        &format!(
            "{head}note: demo is stopped: it answers once that runs\n\
             hint: rig workspace start demo\n"
        ),
    );
}

#[test]
fn a_workspace_has_to_be_named_where_there_are_several() {
    let several: Vec<Value> =
        ["web", "db", "ci", "old"].iter().map(|name| vm(name, "running", 1)).collect();
    let world = World::with_workspaces(&several);
    world.rig("app new my-api --port 80").is(
        2,
        "",
        "error: which workspace? there are web, db, ci, …\n\
         hint: rig app new my-api --port 80 --workspace web\n",
    );
    let world = World::with_workspaces(&[]);
    world.rig("app new my-api").is(
        1,
        "",
        "error: there is no workspace yet\nhint: rig workspace spawn my-first\n",
    );
    let by_id = World::with_apps(&[]);
    by_id.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 1)));
    by_id.server.on(CREATE, created(&app("my-api", 3000, "private")));
    by_id.server.on(&about_app("GET", "my-api", "/health"), health(true));
    assert_eq!(by_id.rig(&format!("app new my-api -w {}", id_of("demo"))).code, 0);
}

#[test]
fn a_name_that_is_taken_comes_with_another_one() {
    let refused = |message: &str| refusal(409, "conflict", message, json!({ "field": "name" }));
    let world = World::with_apps(&[]);
    world.server.on(CREATE, refused("the name my-api is taken"));
    world.rig("app new my-api --port 80").is(
        1,
        "",
        "error: the name my-api is taken\n\
         hint: rig app new my-api-demo --port 80 --workspace demo\n",
    );
    // One's own is shown, not doubled.
    let world = World::with_apps(&[app("my-api", 3000, "private"), app("other", 1, "private")]);
    world.server.on(CREATE, refused("the name my-api is taken"));
    let own = "error: an app of yours is named my-api already\nhint: rig app show my-api\n";
    world.rig("app new my-api").is(1, "", own);
    let rename = about_app("PATCH", "other", "");
    world.server.on(&rename, refused("the name my-api is taken"));
    world.rig("app rename other my-api").is(1, "", own);
    let world = World::with_apps(&[app("other", 1, "private")]);
    world.server.on(&rename, refused("www is kept for the platform itself"));
    world.rig("app rename other www").is(
        1,
        "",
        "error: www is kept for the platform itself\nhint: rig app rename other www-2\n",
    );
    // What else is refused speaks for itself.
    let world = World::with_apps(&[]);
    let full = refusal(402, "quota_exceeded", "5 apps are the most of a workspace", json!({}));
    world.server.on(CREATE, full);
    world.rig("app new my-api").is(
        1,
        "",
        "error: 5 apps are the most of a workspace\nhint: rig limits\n",
    );
}

#[test]
fn an_app_is_found_by_name_or_id_and_an_unknown_one_by_what_was_meant() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let id = app_id_of("my-api");
    for typed in ["my-api", "MY-API", &id] {
        let ended = world.rig(&format!("app show {typed} -o json"));
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(document["app"]["id"], json!(id), "{typed}");
    }
    let unknown = "error: there is no app 'my-apl'\n";
    world.rig("open my-apl").is(1, "", &format!("{unknown}hint: rig open my-api\n"));
    world.rig("app rm my-apl").is(1, "", &format!("{unknown}hint: rig app ls\n"));
}

#[test]
fn an_app_is_shown_with_who_may_visit_it() {
    let mut app = app("my-api", 3000, "privileged");
    app["allowed_emails"] = json!(["bob@example.com", "eve@example.com"]);
    app["custom_domain"] = json!("api.example.com");
    let world = World::with_apps(&[app]);
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 1)));
    let ended = world.rig("app show my-api");
    let (shown, rest) = ended.stdout.split_once("created").unwrap();
    assert_eq!(
        shown,
        "name        my-api\n\
         id          app-myapi000\n\
         url         https://my-api.rigbox.example/\n\
         kind        service\n\
         workspace   demo\n\
         port        3000\n\
         status      active\n\
         visibility  privileged\n\
         emails      bob@example.com eve@example.com\n\
         domain      api.example.com (not verified)\n"
    );
    assert!(rest.ends_with("y ago\n"), "{rest}");
}

#[test]
fn apps_are_started_stopped_renamed_changed_and_deleted() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let mut stopped = app("my-api", 3000, "private");
    stopped["status"] = json!("inactive");
    let answer = |app: &Value, unit: &str| {
        Reply::Json(200, json!({ "app": app, "message": "done", "service_name": unit }))
    };
    world.server.on(&about_app("POST", "my-api", "/stop"), answer(&stopped, "web.service"));
    world.rig("app stop my-api").is(0, "my-api is inactive (web.service)\n", "");
    let active = app("my-api", 3000, "private");
    world.server.on(&about_app("POST", "my-api", "/start"), answer(&active, ""));
    world.rig("app start my-api").is(0, "my-api is active\n", "");
    world.server.on(&about_app("POST", "my-api", "/restart"), answer(&active, ""));
    world.rig("app restart my-api").is(0, "my-api was restarted\n", "");

    let patch = about_app("PATCH", "my-api", "");
    let renamed = json!({ "app": app("shop", 3000, "private") });
    world.server.on(&patch, Reply::Json(200, renamed));
    let url = "https://shop.rigbox.example/\n";
    world.rig("app rename my-api shop").is(0, url, "my-api is shop now\n");
    assert_eq!(world.server.first(&patch).json(), json!({ "name": "shop" }));
    assert_eq!(world.rig("app update my-api --port 80 --description=").code, 0);
    let last = world.server.asked().pop().unwrap().json();
    assert_eq!(last, json!({ "port": 80, "description": null }));
    assert_eq!(world.rig("app update my-api").code, 2);
    assert_eq!(world.rig("app update my-api --port 0").code, 2);

    let deleted = json!({ "message": "deleted" });
    world.server.on(&about_app("DELETE", "my-api", ""), Reply::Json(200, deleted.clone()));
    world.rig("app rm my-api").is(0, "deleted my-api\n", "");
    let ended = world.rig("app rm my-api -o json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), deleted);
}

#[test]
fn a_stopped_workspace_comes_with_the_command_that_starts_it() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let refused =
        || refusal(400, "invalid_state", "demo is stopped", json!({ "status": "stopped" }));
    let hint = format!("error: demo is stopped\nhint: rig workspace start {}\n", id_of("demo"));
    world.server.on(&about_app("POST", "my-api", "/restart"), refused());
    world.rig("app restart my-api").is(1, "", &hint);
    world.server.on(&about_app("GET", "my-api", "/logs?lines=200"), refused());
    world.rig("app logs my-api").is(1, "", &hint);
}

#[test]
fn what_an_edge_has_not_put_into_effect_is_a_warning() {
    let world = World::with_apps(&[]);
    let text = "edge fra-1 has not confirmed it yet";
    let body = json!({ "app": app("my-api", 3000, "private"), "warning": text });
    let headers = vec![("x-rigbox-warning", text.to_owned())];
    let answer = || Reply::Headed(201, headers.clone(), body.to_string().into_bytes());
    world.server.on(CREATE, answer());
    world.server.on(CREATE, answer());
    world.server.on(&about_app("GET", "my-api", "/health"), health(true));
    let warning = format!("warning: {text}\n");
    world.rig("app new my-api").is(
        0,
        "https://my-api.rigbox.example/\n",
        &format!("{warning}my-api is port 3000 of demo, private\n"),
    );
    // Programs read it in the document, too.
    let ended = world.rig("app new my-api -o json");
    assert_eq!((ended.code, ended.stderr), (0, warning));
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), body);
}

#[test]
fn health_ends_with_one_where_the_app_does_not_answer() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let line = about_app("GET", "my-api", "/health");
    world.server.on(&line, health(true)).on(&line, health(false)).on(&line, health(false));
    world.rig("app health my-api").is(0, "live  yes\nport  open\nunit  active\n", "");
    world.rig("app health my-api").is(
        1,
        "live  no\nport  closed\nunit  none\n",
        &format!("hint: rig workspace ports {}\n", id_of("demo")),
    );
    let ended = world.rig("app health my-api -o json");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &document["live"]), (1, &json!(false)));
}

#[test]
fn a_url_is_printed_and_opened_where_there_is_a_screen() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let url = "https://my-api.rigbox.example/\n";
    world.rig("open my-api").is(0, url, "");
    let programs = world.path("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["xdg-open", "wslview"] {
        let path = programs.join(program);
        fs::write(&path, "#!/bin/sh\necho \"$1\" >\"$0.opened\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = |line: &str, variables: &[(&str, &str)]| {
        let mut command = world.command(line);
        command.env("PATH", &programs).envs(variables.iter().copied());
        world.run(command, None)
    };
    let screen = ("DISPLAY", ":0");
    run("open my-api --print", &[screen]).is(0, url, "");
    run("open my-api", &[screen, ("SSH_CONNECTION", "a 1 b 2")]).is(0, url, "");
    assert_eq!(fs::read_dir(&programs).unwrap().count(), 2, "nothing was opened");
    run("open my-api", &[screen]).is(0, url, "a browser opens\n");
    run("open my-api", &[("WSL_DISTRO_NAME", "Debian")]).is(0, url, "a browser opens\n");
    for program in ["xdg-open", "wslview"] {
        crate::world::until(|| {
            fs::read_to_string(programs.join(format!("{program}.opened")))
                .ok()
                .filter(|it| it == url)
        });
    }
}

#[test]
fn a_start_waits_for_apps_where_it_is_asked_to() {
    let mut stopped = app("old", 1, "private");
    stopped["status"] = json!("inactive");
    let mut other = app("other", 1, "private");
    other["workspace_id"] = json!(id_of("elsewhere"));
    let world = || {
        let world =
            World::with_apps(&[app("my-api", 3000, "private"), stopped.clone(), other.clone()]);
        world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "starting", 2)));
        world.server.on(
            &about("GET", "demo", "/events"),
            events(&[("status", status_event("demo", "running", 2))]),
        );
        world.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 2)));
        world
    };
    let line = about_app("GET", "my-api", "/health");
    let waits = world();
    waits.server.on(&line, health(false)).on(&line, health(true));
    waits.rig("workspace start demo --wait-for-apps").is(
        0,
        "demo is running\nrig shell demo\n",
        "demo: starting\ndemo: running\nmy-api: waiting\nmy-api: live\n",
    );
    let gives_up = world();
    gives_up.server.on(&line, health(false));
    let ended = gives_up.rig("workspace start demo --wait-for-apps --wait-timeout 5 -o json");
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.records()[2..],
        [
            json!({ "event": "app_status", "app": "my-api", "status": "waiting" }),
            json!({ "event": "error", "code": "timeout",
                    "message": "my-api does not answer yet after 5 s" }),
        ]
    );
}
