//! What an app writes and how it does: logs, their sources, metrics; and what listens on a port.

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{APPS, World, about, about_app, app, app_id_of},
};

#[test]
fn logs_are_read_and_followed_from_the_source_that_is_named() {
    const ID: &str = "00000000-0000-4000-8000-00000000000a";
    let source = json!({
        "id": ID, "app_id": app_id_of("my-api"), "source_type": "file_path",
        "source_ref": "/var/log/access.log", "display_name": "access", "is_primary": false,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"
    });
    let line = |text: &str, cursor: &str| {
        json!({ "line_number": 1, "message": text, "timestamp": "2026-12-01T09:30:00Z",
                "cursor": cursor, "unit": null })
    };
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let sources = json!({ "sources": [source] });
    world.server.on(&about_app("GET", "my-api", "/log-sources"), Reply::Json(200, sources));
    let page = json!({ "source": source, "lines": [line("one", "c1")], "cursor": "c1",
                       "has_more": false, "total_lines": null });
    let pages = about_app("GET", "my-api", &format!("/logs?lines=5&source_id={ID}"));
    world.server.on(&pages, Reply::Json(200, page.clone()));
    world.rig("app logs my-api -n 5 --source access").is(0, "2026-12-01T09:30:00Z one\n", "");
    let ended = world.rig("app logs my-api -n 5 --source access -o json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), page);
    world.rig("app logs my-api --source acces").is(
        1,
        "",
        "error: there is no log source 'acces'\nhint: rig app logs my-api --source access\n",
    );
    let stream = |cursor: &str| {
        about_app("GET", "my-api", &format!("/logs/stream?source_id={ID}&cursor={cursor}"))
    };
    for _ in 0..2 {
        let event = format!("event: line\nid: c2\ndata: {}\n\n", line("two", "c2"));
        world.server.on(&stream("c1"), Reply::Stream("text/event-stream", vec![event]));
    }
    let gone =
        refusal(400, "invalid_state", "the workspace is stopped", json!({"status": "stopped"}));
    world.server.on(&stream("c2"), gone);
    let follow = "app logs my-api -n 5 --follow --source /var/log/access.log";
    let ended = world.rig(follow);
    assert_eq!((ended.code, ended.stdout.lines().count()), (1, 2), "{ended:?}");
    let ended = world.rig(&format!("{follow} -o json"));
    let records = ended.records();
    assert_eq!(records[1]["event"], json!("line"));
    assert_eq!(records[1]["message"], json!("two"));
    assert_eq!(
        records[2],
        json!({ "event": "error", "code": "invalid_state", "message": "the workspace is stopped" })
    );
}

#[test]
fn the_last_requests_are_listed_and_followed() {
    let request = |path: &str, left_out: u32| {
        json!({
            "at": "2026-01-01T00:00:00Z", "request_id": "id-1", "method": "GET", "path": path,
            "status": 200, "began_us": 900, "duration_us": 12_340, "bytes_out": 2048,
            "client": "192.0.2.1", "visitor": "key", "left_out": left_out
        })
    };
    let page = |requests: Value, cursor: u64| json!({ "requests": requests, "cursor": cursor });
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let list = about_app("GET", "my-api", "/requests?limit=500");
    let first = page(json!([request("/a", 0), request("/b", 7)]), 9);
    world.server.on(&list, Reply::Json(200, first.clone()));
    let line = |path: &str| {
        format!("2026-01-01T00:00:00Z 200 GET {path} 12.3ms 2.0KiB 192.0.2.1 key id-1\n")
    };
    world.rig("app logs my-api --requests --lines 5000").is(
        0,
        &format!("{}… 7 more, not listed\n{}", line("/a"), line("/b")),
        "",
    );
    let ended = world.rig("app logs my-api --requests --lines 5000 -o json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), first);
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    world.server.on(&list, Reply::Json(200, page(json!([]), 0)));
    world.rig("app logs my-api --requests --lines 5000").is(
        0,
        "",
        "no requests since the platform's last start\n",
    );
    // What follows is asked for behind the cursor, until it is refused.
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let begin = about_app("GET", "my-api", "/requests?limit=1");
    world.server.on(&begin, Reply::Json(200, page(json!([request("/a", 0)]), 9)));
    let next = about_app("GET", "my-api", "/requests?limit=500&after=9");
    world.server.on(&next, Reply::Json(200, page(json!([request("/b", 0)]), 10)));
    let last = about_app("GET", "my-api", "/requests?limit=500&after=10");
    world.server.on(&last, refusal(404, "not_found", "app not found", json!({})));
    let ended = world.rig("app logs my-api --requests --follow --lines 0 -o json");
    let mut event = request("/b", 0);
    event["event"] = json!("request");
    let written = ended.stdout.lines().next().unwrap();
    assert_eq!(serde_json::from_str::<Value>(written).unwrap(), event);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(world.rig("app logs my-api --requests --source web").code, 2);
}

#[test]
fn log_sources_are_added_changed_listed_and_forgotten() {
    const ID: &str = "00000000-0000-4000-8000-00000000000a";
    let source = json!({
        "id": ID, "app_id": app_id_of("my-api"), "source_type": "systemd_unit",
        "source_ref": "web.service", "display_name": "web", "is_primary": true,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"
    });
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let base = about_app("GET", "my-api", "/log-sources");
    world.server.on(&base, Reply::Json(200, json!({ "sources": [source] })));
    world.rig("app log-source ls my-api").is(
        0,
        &format!("NAME  KIND  PLACE        PRIMARY  ID\nweb   unit  web.service  yes      {ID}\n"),
        "",
    );
    let add = about_app("POST", "my-api", "/log-sources");
    world.server.on(&add, Reply::Json(200, json!({ "source": source })));
    world.rig("app log-source add my-api --unit web.service --name web --primary").is(
        0,
        "added the log source web.service of my-api\n",
        "",
    );
    assert_eq!(
        world.server.first(&add).json(),
        json!({ "source_type": "systemd_unit", "source_ref": "web.service",
                "display_name": "web", "is_primary": true })
    );
    let patch = about_app("PATCH", "my-api", &format!("/log-sources/{ID}"));
    world.server.on(&patch, Reply::Json(200, json!({ "source": source })));
    world.rig("app log-source update my-api web --name= --file /var/log/a").is(
        0,
        "changed the log source web.service of my-api\n",
        "",
    );
    assert_eq!(
        world.server.first(&patch).json(),
        json!({ "source_type": "file_path", "source_ref": "/var/log/a", "display_name": null })
    );
    let delete = about_app("DELETE", "my-api", &format!("/log-sources/{ID}"));
    world.server.on(&delete, Reply::Json(200, json!({ "message": "gone" })));
    world.rig("app log-source rm my-api web.service").is(
        0,
        "my-api does not read web.service any more\n",
        "",
    );
    for (line, error) in [
        ("app log-source add my-api", "say where the logs are: --unit, --container or --file"),
        ("app log-source update my-api web", "there is nothing to change"),
    ] {
        let ended = world.rig(line);
        assert_eq!(ended.code, 2);
        assert!(ended.stderr.starts_with(&format!("error: {error}\n")), "{ended:?}");
    }
}

#[test]
fn a_port_is_exposed_or_only_looked_at() {
    let world = World::with_apps(&[]);
    let line = about("POST", "demo", "/expose-port");
    let detect = json!({
        "step": "detect", "port": 3000, "pid": 812, "process_name": "node",
        "command": "node server.js", "cwd": "/home/developer/api", "env_vars": ["PATH"],
        "is_systemd": false, "systemd_unit": null, "suggested_name": "node"
    });
    world.server.on(&line, Reply::Json(200, detect));
    let wrap = json!({
        "step": "wrap", "app": app("node", 3000, "private"), "message": "made",
        "needs_restart": true, "service_name": "node.service"
    });
    world.server.on(&line, Reply::Json(200, wrap));
    world.rig("app expose-port 3000 --detect").is(
        0,
        "port       3000\nprocess    node (812)\ncommand    node server.js\n\
         directory  /home/developer/api\nunit       -\n",
        "hint: rig app expose-port 3000 --workspace demo --name node\n",
    );
    assert_eq!(
        world.server.first(&line).json(),
        json!({ "port": 3000, "step": "detect", "name": null })
    );
    world.rig("app expose-port 3000 --wrap --name node").is(
        0,
        "https://node.rigbox.example/\n",
        "node is port 3000 of demo, node.service\n\
         note: its unit takes over at the next start of the workspace\n\
         hint: rig workspace restart demo\n",
    );
    for (code, message, details, options, hint) in [
        ("conflict", "nothing listens", json!({}), "", "rig workspace ports demo"),
        (
            "conflict",
            "it is taken",
            json!({ "field": "name" }),
            " --name node",
            "rig app expose-port 3000 --workspace demo --name node-demo",
        ),
        (
            "unsupported",
            "not of a process",
            json!({}),
            " --wrap",
            "rig app expose-port 3000 --workspace demo",
        ),
    ] {
        let world = World::with_apps(&[]);
        world.server.on(&line, refusal(409, code, message, details));
        let told = format!("error: {message}\nhint: {hint}\n");
        world.rig(&format!("app expose-port 3000{options}")).is(1, "", &told);
    }
    assert_eq!(world.server.lines().iter().filter(|asked| **asked == APPS).count(), 0);
}

#[test]
fn metrics_are_sums_or_series() {
    let world = World::with_apps(&[app("my-api", 3000, "private")]);
    let summary = json!({
        "hosts": ["my-api.rigbox.example"], "range": "24h", "total_requests": 1200.0,
        "total_errors_5xx": 3.0, "request_rate_avg": 0.01389, "error_rate_5xx": 0.0025,
        "latency_p50_ms": 4.2, "latency_p95_ms": 18.0, "latency_p99_ms": 40.25,
        "bandwidth_out_bytes": 2048.0
    });
    world
        .server
        .on(&about_app("GET", "my-api", "/metrics/summary?range=24h"), Reply::Json(200, summary));
    world.rig("app metrics my-api --range 24h").is(
        0,
        "range     24h\nrequests  1200\na second  0.01\nfailed    3 (0.2 %)\n\
         p50       4.2 ms\np95       18.0 ms\np99       40.2 ms\nsent      2.0KiB\n",
        "",
    );
    let points = |value: f64| json!([{ "t": 1_577_836_800, "v": value }]);
    let series = json!({
        "hosts": [], "range": "1h", "step_seconds": 60, "status_codes": [],
        "series": { "request_rate": points(2.5), "error_rate_5xx": points(0.0),
                    "latency_p50_ms": points(1.0), "latency_p95_ms": points(2.0),
                    "latency_p99_ms": [], "bandwidth_out_bps": points(100.0) }
    });
    world
        .server
        .on(&about_app("GET", "my-api", "/metrics?range=1h"), Reply::Json(200, series.clone()));
    let ended = world.rig("app metrics my-api --series");
    let rest = "  2.50      0.0 %   1.0 ms  2.0 ms  -    100B\n";
    assert!(ended.stdout.ends_with(rest), "{ended:?}");
    let ended = world.rig("app metrics my-api --series -o json");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), series);
    assert_eq!(world.rig("app metrics my-api --range 2h").code, 2);
}
