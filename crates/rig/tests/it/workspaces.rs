//! Workspaces: listing, creating, waiting, and what is told when something is refused.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::{
    server::{Reply, events, refusal},
    world::{LIST, World, about, id_of, one, status_event, vm},
};

#[test]
fn workspaces_are_listed_as_a_table_or_as_the_document() {
    let vms = [vm("hello", "running", 3), vm("other-one", "stopped", 1)];
    let world = World::with_workspaces(&vms);
    let ended = world.rig("workspace ls");
    let (head, rest) = ended.stdout.split_once('\n').unwrap();
    assert_eq!(head, "NAME       STATUS   TEMPLATE  REGION  CREATED");
    assert!(rest.starts_with("hello      running  base      local   "), "{rest}");
    assert!(rest.contains("\nother-one  stopped  base      local   "), "{rest}");
    assert!(rest.ends_with("y ago\n"), "{rest}");
    let ended = world.rig("ls --output json");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document, json!({ "vms": vms, "next_cursor": null }));
    let ended = world.rig("ls --output json --limit 1");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["vms"], json!([vms[0]]));
}

#[test]
fn a_list_is_gathered_from_its_pages() {
    let world = World::new();
    let first = json!({ "vms": [vm("one", "running", 1)], "next_cursor": "a b" });
    let second = json!({ "vms": [vm("two", "running", 1)], "next_cursor": null });
    world.server.on(LIST, Reply::Json(200, first));
    world.server.on(&format!("{LIST}&cursor=a%20b"), Reply::Json(200, second));
    let ended = world.rig("ls");
    assert_eq!(ended.stdout.lines().count(), 3, "{ended:?}");
}

#[test]
fn an_empty_account_is_told_how_to_begin() {
    let world = World::with_workspaces(&[]);
    world.rig("ls").is(0, "", "hint: rig workspace spawn my-first\nno workspaces yet\n");
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let mut template = json!({
        "id": "base", "name": "Base", "description": "evil \u{1b}]0;title\u{7}\nline",
        "category": "", "icon": "", "image": "base", "ram_mb": 512, "vcpu_count": 1,
        "disk_size_mb": 4096, "default_log_sources": []
    });
    let world = World::new();
    let answer = json!({ "templates": [template.take()] });
    world.server.on("GET /api/v1/templates", Reply::Json(200, answer));
    let ended = world.rig("templates");
    assert_eq!(
        ended.stdout,
        "ID    IMAGE  MEMORY  VCPUS  DISK  DESCRIPTION\n\
         base  base   512MiB  1      4GiB  evil \\u{1b}]0;title\\u{7}\\nline\n"
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_command_that_was_meant() {
    let world = World::with_workspaces(&[vm("hello", "running", 1)]);
    world.rig("workspace start helo").is(
        1,
        "",
        "error: there is no workspace 'helo'\nhint: rig workspace start hello\n",
    );
    world.rig("cp a.txt helo:b").is(
        1,
        "",
        "error: there is no workspace 'helo'\nhint: rig cp a.txt hello:b\n",
    );
    world.rig("workspace start something-else").is(
        1,
        "",
        "error: there is no workspace 'something-else'\nhint: rig workspace ls\n",
    );
    let world = World::with_workspaces(
        &["web-1", "web-2", "web-3", "web-4", "db"].map(|it| vm(it, "running", 1)),
    );
    for (typed, several) in
        [("web", "; several begin so: web-1, web-2, web-3, …"), ("db1", ""), ("xyz", "")]
    {
        let ended = world.rig(&format!("workspace start {typed}"));
        let head = format!("error: there is no workspace '{typed}'{several}\nhint: rig workspace ");
        assert!(ended.stderr.starts_with(&head), "{ended:?}");
    }
    // Nothing that deletes is put into anybody's mouth.
    let world = World::with_workspaces(&[vm("hello", "running", 1)]);
    world.rig("workspace rm helo").is(
        1,
        "",
        "error: there is no workspace 'helo'\nhint: rig workspace ls\n",
    );
}

#[test]
fn a_new_workspace_is_asked_for_as_it_was_described() {
    let world = World::new();
    world.server.on(
        "POST /api/v1/workspaces",
        Reply::Json(
            201,
            json!({
                "vm": vm("demo", "provisioned", 1), "failure": null
            }),
        ),
    );
    let line = "workspace new --name demo --template dev --image base --ram 2GiB --vcpu 2 \
                --disk 8192 --env A=1 --env FROM_HERE --region local \
                --setup-script-id 00000000-0000-4000-8000-00000000000a \
                --service-spec-id 00000000-0000-4000-8000-00000000000b \
                --egress allow:debian.org,10.1.0.0/16";
    let mut command = world.command(line);
    command.env("FROM_HERE", "two words");
    let ended = world.run(command, None);
    ended.is(0, &format!("created demo ({})\n", id_of("demo")), "hint: rig workspace start demo\n");
    let asked = world.server.first("POST /api/v1/workspaces");
    assert!(asked.headers["idempotency-key"].len() >= 32);
    let mut sent = asked.json();
    sent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(
        sent,
        json!({
            "name": "demo", "template_id": "dev", "image": "base", "ram_mb": 2048, "vcpu_count": 2,
            "disk_size_mb": 8192, "env_vars": {"A": "1", "FROM_HERE": "two words"},
            "region": "local",
            "setup_script_ids": ["00000000-0000-4000-8000-00000000000a"],
            "service_spec_ids": ["00000000-0000-4000-8000-00000000000b"],
            "egress": {"mode": "allow", "hosts": ["debian.org"], "cidrs": ["10.1.0.0/16"]}
        })
    );
}

#[test]
fn a_create_that_lost_its_answer_is_sent_again_with_the_same_key() {
    let world = World::new();
    let created = json!({ "vm": vm("demo", "provisioned", 1), "failure": null });
    world.server.on("POST /api/v1/workspaces", Reply::Cut);
    world.server.on("POST /api/v1/workspaces", Reply::Json(201, created));
    assert_eq!(world.rig("workspace new demo").code, 0);
    let keys: Vec<_> = world
        .server
        .asked()
        .into_iter()
        .map(|asked| asked.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

/// A world in which `demo` is created, started, and seen in these events.
fn spawning(seen: &[(&str, Value)]) -> World {
    let world = World::new();
    let created = json!({ "vm": vm("demo", "provisioned", 1), "failure": null });
    world.server.on("POST /api/v1/workspaces", Reply::Json(201, created));
    world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "provisioning", 2)));
    world.server.on(&about("GET", "demo", "/events"), events(seen));
    world
}

#[test]
fn spawn_waits_until_ready_and_says_how_to_enter() {
    let world = spawning(&[
        ("status", status_event("demo", "provisioning", 2)),
        ("status", status_event("demo", "starting", 2)),
        ("status", status_event("demo", "running", 2)),
    ]);
    let mut ready = vm("demo", "running", 2);
    ready["ssh"] = json!({ "user": "demo-abcd1234", "host": "local.rigbox.example", "port": 2222 });
    world.server.on(&about("GET", "demo", ""), one(&ready));
    world.rig("workspace spawn demo").is(
        0,
        "demo is running\nssh -p 2222 demo-abcd1234@local.rigbox.example\nrig shell demo\n",
        "demo: creating\ndemo: created\ndemo: starting\ndemo: running\n",
    );
}

#[test]
fn spawn_streams_events_for_programs() {
    let world = spawning(&[
        ("status", status_event("demo", "starting", 2)),
        ("status", status_event("demo", "running", 2)),
    ]);
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 2)));
    let ended = world.rig("workspace spawn demo --output json");
    let id = id_of("demo");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(
        ended.records(),
        [
            json!({ "event": "creating", "name": "demo" }),
            json!({ "event": "created", "id": id, "name": "demo", "status": "provisioned" }),
            json!({ "event": "starting", "id": id, "name": "demo" }),
            json!({ "event": "vm_status", "id": id, "status": "starting" }),
            json!({ "event": "vm_status", "id": id, "status": "running" }),
            json!({ "event": "ready", "id": id, "name": "demo", "ssh_user": null, "ssh_host": null,
                "ssh_port": null, "ssh_enabled": false }),
        ]
    );
}

#[test]
fn a_failed_boot_says_why_and_how_to_try_again() {
    let mut failed = status_event("demo", "failed", 2);
    failed["failure"] = json!({
        "code": "boot_timeout", "message": "the guest did not answer in 120 s",
        "retryable": true, "attempts": 3, "occurred_at": "2026-12-01T09:30:00Z"
    });
    let world = spawning(&[("status", failed.clone())]);
    world.rig("workspace spawn demo").is(
        1,
        "",
        "demo: creating\ndemo: created\ndemo: starting\ndemo: failed\n\
         error: demo failed: the guest did not answer in 120 s\nhint: rig workspace retry demo\n",
    );
    let world = spawning(&[("status", failed)]);
    let ended = world.rig("workspace spawn demo --output json");
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.records().last(),
        Some(&json!({
            "event": "error", "code": "boot_timeout",
            "message": "demo failed: the guest did not answer in 120 s"
        }))
    );
}

#[test]
fn a_server_without_events_is_asked_instead() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "starting", 2)));
    let unsupported = refusal(501, "unsupported", "not here", Value::Null);
    world.server.on(&about("GET", "demo", "/events"), unsupported);
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "starting", 2)));
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 2)));
    world.rig("workspace start demo").is(
        0,
        "demo is running\nrig shell demo\n",
        "demo: starting\ndemo: running\n",
    );
    let asked = world.server.lines();
    assert_eq!(asked.iter().filter(|line| line.ends_with("/events")).count(), 1);
}

#[test]
fn a_server_that_restarts_ends_no_wait() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "starting", 2)));
    let path = about("GET", "demo", "/events");
    world.server.on(&path, Reply::Cut);
    world.server.on(&about("GET", "demo", ""), Reply::Cut);
    world.server.on(&about("GET", "demo", ""), Reply::Cut);
    world.server.on(&about("GET", "demo", ""), Reply::Cut);
    world.server.on(&path, events(&[("status", status_event("demo", "running", 2))]));
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "running", 2)));
    let ended = world.rig("workspace start demo");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "demo is running\nrig shell demo\n"));
}

#[test]
fn a_wait_ends_in_time_and_says_so() {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    world.server.on(&about("POST", "demo", "/stop"), one(&vm("demo", "stopping", 2)));
    let unsupported = refusal(501, "unsupported", "not here", Value::Null);
    world.server.on(&about("GET", "demo", "/events"), unsupported);
    world.server.on(&about("GET", "demo", ""), one(&vm("demo", "stopping", 2)));
    world.rig("workspace stop demo --wait-timeout 1").is(
        1,
        "",
        "demo: stopping\nerror: demo is still stopping after 1 s\nhint: rig workspace show demo\n",
    );
}

#[test]
fn not_waiting_prints_the_answer() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    world.server.on(&about("POST", "demo", "/start"), one(&vm("demo", "starting", 2)));
    world.rig("workspace start demo --no-wait").is(0, "demo is starting\n", "");
    let ended = world.rig("workspace start demo --no-wait -o json");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["vm"]["status"], "starting");
}

#[test]
fn a_wrong_state_is_told_with_what_leads_out_of_it() {
    for (status, verb, message, hint) in [
        ("running", "start", "the workspace is running already", "rig shell demo"),
        ("failed", "start", "the workspace failed", "rig workspace retry demo"),
        ("starting", "stop", "the workspace is starting", "rig workspace cancel demo"),
        ("stopped", "restart", "the workspace is stopped", "rig workspace start demo"),
        ("stopped", "retry", "there is nothing to try again", "rig workspace show demo"),
    ] {
        let world = World::with_workspaces(&[vm("demo", status, 1)]);
        let details = json!({ "status": status, "allowed": [] });
        let refused = refusal(400, "invalid_state", message, details);
        world.server.on(&about("POST", "demo", &format!("/{verb}")), refused);
        world.rig(&format!("workspace {verb} demo")).is(
            1,
            "",
            &format!("error: {message}\nhint: {hint}\n"),
        );
    }
}

#[test]
fn refusals_are_told_with_a_command_that_helps() {
    for (status, code, message, stderr, exit) in [
        (402, "quota_exceeded", "2 workspaces are all that the plan has", "rig limits", 1),
        (503, "capacity_exhausted", "no room", "rig capacity", 1),
        (401, "unauthenticated", "this key is not valid", "rig login", 3),
        (409, "conflict", "the name is taken", "rig workspace show demo", 1),
    ] {
        let world = World::new();
        world.server.on("POST /api/v1/workspaces", refusal(status, code, message, Value::Null));
        world.rig("workspace new demo").is(
            exit,
            "",
            &format!("error: {message}\nhint: {stderr}\n"),
        );
    }
}

#[test]
fn deleting_waits_until_it_is_gone() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    let answer = Reply::Json(200, json!({ "message": "deleting" }));
    world.server.on(&about("DELETE", "demo", "?force=true"), answer);
    world.server.on(
        &about("GET", "demo", "/events"),
        events(&[
            ("status", status_event("demo", "deleting", 2)),
            ("deleted", json!({ "id": id_of("demo") })),
        ]),
    );
    world.rig("workspace rm demo --force").is(0, "deleted demo\n", "demo: deleting\n");
}

#[test]
fn an_id_is_taken_as_well_as_a_name() {
    let world = World::new();
    let vm = vm("demo", "running", 1);
    world.server.on(&about("GET", "demo", ""), one(&vm));
    let metrics = json!({
        "workspace_id": id_of("demo"), "cpu_percent": 12.34, "ram_used_mb": 128,
        "ram_total_mb": 512, "disk_used_mb": 700, "disk_total_mb": 4096,
        "network_rx_bytes": 1536, "network_tx_bytes": 10, "updated_at": "2020-01-01T00:00:00Z"
    });
    world.server.on(&about("GET", "demo", "/metrics"), Reply::Json(200, metrics));
    let ended = world.rig(&format!("workspace metrics --workspace {}", id_of("demo")));
    assert!(
        ended.stdout.starts_with(
            "cpu       12.3 %\nmemory    128MiB of 512MiB\ndisk      700MiB of 4GiB\n\
         received  1.5KiB\nsent      10B\n"
        ),
        "{ended:?}"
    );
}

#[test]
fn the_environment_is_changed_by_one_variable_at_a_time() {
    let mut full = vm("demo", "running", 1);
    full["env_vars"] = json!({ "A": "1", "TOKEN": "secret" });
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    world.server.on(&about("GET", "demo", ""), one(&full));
    let done = Reply::Json(200, json!({ "message": "done" }));
    world.server.on(&about("POST", "demo", "/env"), done);
    world.rig("workspace env ls demo").is(
        0,
        "NAME   VALUE\nA      ********\nTOKEN  ********\n",
        "",
    );
    world.rig("workspace env ls demo --reveal").is(
        0,
        "NAME   VALUE\nA      1\nTOKEN  secret\n",
        "",
    );
    world.rig("workspace env get demo TOKEN").is(0, "secret\n", "");
    assert_eq!(world.rig("workspace env set demo A=2 B=3").code, 0);
    assert_eq!(
        world.server.first(&about("POST", "demo", "/env")).json(),
        json!({ "env_vars": { "A": "2", "B": "3", "TOKEN": "secret" } })
    );
    world.rig("workspace env get demo TOKN").is(
        1,
        "",
        "error: there is no variable 'TOKN'\nhint: rig workspace env get demo TOKEN\n",
    );
    assert_eq!(world.rig("workspace env unset --workspace demo TOKEN").code, 0);
    let last = world.server.asked().pop().unwrap().json();
    assert_eq!(last, json!({ "env_vars": { "A": "1" } }));
}

#[test]
fn logs_are_followed_from_the_last_line_and_across_a_break() {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    let line = |text: &str, cursor: &str| {
        json!({ "line_number": 1, "message": text, "timestamp": "2026-12-01T09:30:00Z",
                "cursor": cursor, "unit": "app" })
    };
    let page = json!({ "lines": [line("one", "c1")], "cursor": "c1", "has_more": false });
    world.server.on(&about("GET", "demo", "/logs?lines=5"), Reply::Json(200, page));
    let event = |text: &str, cursor: &str| {
        format!("event: line\nid: {cursor}\ndata: {}\n\n", line(text, cursor))
    };
    let first = Reply::Stream("text/event-stream", vec![event("two \u{1b}[2J", "c2")]);
    world.server.on(&about("GET", "demo", "/logs/stream?cursor=c1"), first);
    let second = about("GET", "demo", "/logs/stream?cursor=c2");
    world.server.on(&second, Reply::Stream("text/event-stream", vec![event("three", "c3")]));
    let gone =
        refusal(400, "invalid_state", "the workspace is stopped", json!({"status": "stopped"}));
    world.server.on(&about("GET", "demo", "/logs/stream?cursor=c3"), gone);
    world.rig("workspace logs demo --follow --lines 5").is(
        1,
        "2026-12-01T09:30:00Z app one\n2026-12-01T09:30:00Z app two \\u{1b}[2J\n\
         2026-12-01T09:30:00Z app three\n",
        "error: the workspace is stopped\nhint: rig workspace start demo\n",
    );
    assert_eq!(world.server.first(&second).headers["last-event-id"], "c2");
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let vms: Vec<Value> = (0..2000).map(|n| vm(&format!("workspace-{n}"), "running", 1)).collect();
    let world = World::with_workspaces(&vms);
    let mut command = world.command("ls --output json");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_rate_limit_of_seconds_is_waited_for() {
    let world = World::new();
    let body = json!({ "error": { "code": "rate_limited", "message": "too fast", "details": {} } });
    let limited = |seconds: &str| {
        Reply::Headed(429, vec![("retry-after", seconds.to_owned())], body.to_string().into_bytes())
    };
    world.server.on(LIST, limited("0"));
    world.server.on(LIST, Reply::Json(200, json!({ "vms": [], "next_cursor": null })));
    assert_eq!(world.rig("ls").code, 0);
    let world = World::new();
    world.server.on(LIST, limited("40"));
    world.rig("ls").is(1, "", "error: too fast; try again in 40 s\n");
}

#[test]
fn what_is_sent_is_shown_without_the_key() {
    let world = World::with_workspaces(&[]);
    let ended = world.rig("ls -v");
    assert!(ended.stderr.contains("> GET /api/v1/workspaces?max_results=200\n"), "{ended:?}");
    assert!(ended.stderr.contains("< 200 OK in "), "{ended:?}");
    assert!(!ended.stderr.contains(crate::world::KEY), "{ended:?}");
}
