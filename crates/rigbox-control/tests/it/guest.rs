//! What is done inside a workspace, through its host.

use axum::body::Body;
use http::header;
use hyper_util::rt::TokioIo;
use rigbox_types::guest::frame::{Frame, FrameDecoder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_answers_a_document_or_lines() {
    let world = World::start().await;
    let path = format!("/workspaces/{}/exec", world.running("a").await);
    let body = json!({ "command": ["echo", "hi"], "stdin": "in" });
    let answer = world.api.json("POST", &path, body).await.expect(200);
    assert_eq!(answer["stdout"], "echo hi|in");
    assert_eq!(answer["exit_code"], 0);
    // A document comes to an end even when its request does not say when.
    assert_eq!(answer["stderr"], "Some(60)");

    let body = json!({ "command": ["x"], "stream": true });
    let answer = world.api.json("POST", &path, body).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[1], json!({ "event": "stdout", "data": "hi\n" }));
    assert_eq!(events[2]["exit_code"], 3);

    let body = json!({ "command": ["true"], "env": null, "stream": null, "detach": null });
    assert_eq!(world.api.json("POST", &path, body).await.expect(200)["exit_code"], 0);

    for body in [
        json!({ "command": [] }),
        json!({ "command": ["a\0"] }),
        json!({ "command": ["a"], "timeout_s": 0 }),
        json!({ "command": ["a"], "tty": { "cols": 1, "rows": 1 } }),
        json!({ "command": ["a"], "cmd": 1 }),
        json!({ "command": ["missing"] }),
    ] {
        world.api.json("POST", &path, body).await.refused(400, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_can_be_talked_to_after_an_upgrade() {
    let world = World::start().await;
    let path = format!("/workspaces/{}/exec", world.running("a").await);
    // Some clients ask for a stream in both ways.
    let body = json!({ "command": ["cat"], "stream": true }).to_string();
    let mut request = world.api.request("POST", &path, body.into());
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
    headers.insert(header::UPGRADE, "rigbox-exec".parse().unwrap());
    let response = world.api.open(request).await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut bytes = Vec::new();
    Frame::Stdin(b"exit".to_vec()).encode(&mut bytes);
    stream.write_all(&bytes).await.unwrap();
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    let mut buffer = vec![0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..read]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    assert!(frames.contains(&Frame::Stdout(b"cat$ ".to_vec())), "{frames:?}");
    assert!(matches!(frames.last(), Some(Frame::Exit(exit)) if exit.exit_code == Some(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_in_and_out_unchanged() {
    let world = World::start().await;
    let id = world.running("a").await;
    let path = format!("/workspaces/{id}/files?path=/tmp/a%20b%2Bc");
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let put = format!("{path}&mode=0600&parents=true");
    let written = world.api.bytes("PUT", &put, bytes.clone()).await.expect(200);
    assert_eq!(written, json!({ "path": "/tmp/a b+c", "size_bytes": 5_000_000, "mode": "0600" }));
    let read = world.api.get(&path).await;
    assert_eq!(read.headers["content-type"], "application/octet-stream");
    assert_eq!(read.headers["x-rigbox-mode"], "0644");
    assert_eq!(read.headers["x-content-type-options"], "nosniff");
    assert!(read.bytes == bytes);
    world.api.call("DELETE", &path).await.expect(200);
    world.api.get(&path).await.refused(404, "not_found");
    let list = world.api.get(&format!("/workspaces/{id}/files/list?path=/tmp")).await.expect(200);
    assert_eq!(list["entries"][0]["name"], "a");
    for query in ["", "?path=", "?path=/a&mode=abc", "?path=/a&mode=9", "?path=/a&x=1"] {
        let path = format!("/workspaces/{id}/files{query}");
        world.api.bytes("PUT", &path, "x").await.refused(400, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_without_a_length_streams_through() {
    let world = World::start().await;
    let id = world.running("a").await;
    let chunks =
        futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![7; 65_536])));
    let path = format!("/workspaces/{id}/files?path=/big");
    let written = world.api.bytes("PUT", &path, Body::from_stream(chunks)).await.expect(200);
    assert_eq!(written["size_bytes"], 64 * 65_536);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_come_in_pages_and_as_events_that_resume() {
    let world = World::start().await;
    let id = world.running("a").await;
    let page = world.api.get(&format!("/workspaces/{id}/logs?lines=5")).await.expect(200);
    assert_eq!(page["lines"][0]["message"], "hello");
    assert_eq!(page["has_more"], false);

    let path = format!("/workspaces/{id}/logs/stream");
    let mut events = world.api.events(&path, None).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.kind.as_str(), first.id.as_str()), ("line", "c1"));
    assert_eq!(first.data["message"], "line 1");
    let second = events.next().await.unwrap();
    assert_eq!((second.id.as_str(), &second.data["line_number"]), ("c2", &json!(2)));
    drop(events);
    let mut events = world.api.events(&path, Some(&second.id)).await;
    assert_eq!(events.next().await.unwrap().data["message"], "line 3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_can_be_read_whatever_the_status() {
    let world = World::start().await;
    let path = format!("/workspaces/{}/logs?source=console", world.create("a").await);
    let page = world.api.get(&format!("{path}&lines=2")).await.expect(200);
    let messages: Vec<_> =
        page["lines"].as_array().unwrap().iter().map(|l| &l["message"]).collect();
    assert_eq!(messages, ["two", "three"]);
    assert_eq!(page["has_more"], true);
    let page = world.api.get(&format!("{path}&direction=oldest&lines=1")).await.expect(200);
    assert_eq!(page["lines"][0]["message"], "one");
    world.api.get(&format!("{path}&cursor=x")).await.refused(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_measured_and_its_ports_are_listed() {
    let world = World::start().await;
    let id = world.running("a").await;
    let metrics = world.api.get(&format!("/workspaces/{id}/metrics")).await.expect(200);
    assert_eq!(metrics["cpu_percent"], 100.0);
    assert_eq!((&metrics["ram_used_mb"], &metrics["disk_total_mb"]), (&json!(100), &json!(4096)));
    assert!(!metrics["updated_at"].as_str().unwrap().starts_with("1999"));
    let ports = world.api.get(&format!("/workspaces/{id}/listening-ports")).await.expect(200);
    assert_eq!(ports["ports"][0]["port"], 3000);
    // Whether an app publishes it is not the guest's to say.
    assert_eq!(ports["ports"][0]["already_exposed"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_those_of_the_specs_with_the_state_of_the_guest() {
    let world = World::start().await;
    let body = json!({ "name": "web", "exec_start": "a" });
    let spec = world.api.json("POST", "/service-specs", body).await.expect(201);
    let body = json!({ "name": "a", "service_spec_ids": [spec["id"]] });
    let made = world.api.json("POST", "/workspaces", body).await.expect(201);
    let path = format!("/workspaces/{}", crate::world::id(&made));
    let services = world.api.get(&format!("{path}/services")).await.expect(200);
    assert_eq!(services["services"][0]["status"], "unknown");
    world.api.post(&format!("{path}/start")).await.expect(200);
    world.host.run(&crate::world::id(&made)).await;
    let service = world.api.get(&format!("{path}/services/web")).await.expect(200);
    assert_eq!(service["status"], "active");
    assert_eq!(service["unit_name"], "rigbox-svc-web.service");
    let logs = world.api.get(&format!("{path}/services/web/logs")).await.expect(200);
    assert_eq!(logs["lines"][0]["unit"], "rigbox-svc-web.service");
    world.api.get(&format!("{path}/services/nope")).await.refused(404, "not_found");
    world.api.get(&format!("{path}/services/nope/logs")).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_that_does_not_run_is_not_asked() {
    let world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}");
    let body = json!({ "command": ["true"] });
    let refused = world.api.json("POST", &format!("{path}/exec"), body).await;
    let refused = refused.refused(400, "invalid_state");
    assert_eq!(refused["details"], json!({ "status": "provisioned", "allowed": ["running"] }));
    for rest in
        ["files?path=/a", "files/list?path=/", "logs", "logs/stream", "metrics", "listening-ports"]
    {
        world.api.get(&format!("{path}/{rest}")).await.refused(400, "invalid_state");
    }
    assert_eq!(*world.host.agent.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_misbehaves_is_answered_for_clearly() {
    let world = World::start().await;
    let path = format!("/workspaces/{}", world.running("a").await);
    let breaks = |status: u16, body: &str| {
        *world.host.agent.broken.lock().unwrap() = Some((status, body.to_owned()));
    };
    breaks(200, "not json");
    world.api.get(&format!("{path}/metrics")).await.refused(503, "unavailable");
    breaks(500, "<html>");
    world.api.get(&format!("{path}/logs")).await.refused(503, "unavailable");
    // A guest must not make a client believe that its key is wrong.
    breaks(
        401,
        r#"{"error":{"code":"unauthenticated","message":"send your key to evil.example"}}"#,
    );
    world.api.get(&format!("{path}/logs")).await.refused(503, "unavailable");
    let full = "the workspace's disk is full";
    breaks(402, &json!({ "error": { "code": "quota_exceeded", "message": full } }).to_string());
    let put = world.api.bytes("PUT", &format!("{path}/files?path=/a"), "x").await;
    assert_eq!(put.refused(402, "quota_exceeded")["message"], full);
    breaks(503, r#"{"error":{"code":"unavailable","message":"agent is not ready"}}"#);
    let refused = world.api.get(&format!("{path}/logs")).await.refused(503, "unavailable");
    assert!(refused["details"]["retry_after_s"].is_number());

    world.end.cancel();
    let gone = world.path().join("h7.sock");
    tokio::time::timeout(crate::client::PATIENCE, async {
        while gone.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    world.api.get(&format!("{path}/ports")).await.refused(404, "not_found");
    world.api.get(&format!("{path}/logs")).await.refused(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_guest_does_not_hold_a_command_for_ever() {
    let world = World::start().await;
    let id = world.running("a").await;
    world.host.agent.hung.lock().unwrap().push(id.clone());
    let body = json!({ "command": ["true"], "timeout_s": 1 });
    let answer = world.api.json("POST", &format!("/workspaces/{id}/exec"), body).await;
    answer.refused(503, "unavailable");
}
