//! What is wrong with a request is said in the one error document, with the field and the nearest
//! name.

use axum::body::Body;
use http::Method;
use rigbox_types::host::HostAnnouncement;
use serde_json::json;

use crate::world::{World, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_breaks_a_rule_names_the_field() {
    let world = World::start().await;
    let text = |body: &str| world.api.bytes("POST", "/workspaces", body.to_owned());
    for (body, field) in [
        (r#"{"name":"A"}"#, "name"),
        (r#"{"name":""}"#, "name"),
        (r#"{}"#, "name"),
        (r#"{"name":"a","ram_mb":"x"}"#, "ram_mb"),
        (r#"{"name":"a","ram_mb":16}"#, "ram_mb"),
        (r#"{"name":"a","vcpu_count":0}"#, "vcpu_count"),
        (r#"{"name":"a","disk_size_mb":1}"#, "disk_size_mb"),
        (r#"{"name":"a","template_id":"nope"}"#, "template_id"),
        (r#"{"name":"a","region":"mars"}"#, "region"),
        (r#"{"name":"a","env_vars":{"A B":"c"}}"#, "env_vars.A B"),
        (r#"{"name":"a","env_vars":{"A":"\u0000"}}"#, "env_vars.A"),
        (r#"{"name":"a","egress":{"mode":"allow","cidrs":["x"]}}"#, "egress.cidrs[0]"),
        (r#"{"name":"a","catalog_ids":["x"]}"#, "catalog_ids"),
        (
            r#"{"name":"a","setup_script_ids":["00000000-0000-4000-8000-000000000000"]}"#,
            "setup_script_ids[0]",
        ),
        (
            r#"{"name":"a","service_spec_ids":["00000000-0000-4000-8000-000000000000"]}"#,
            "service_spec_ids[0]",
        ),
    ] {
        let refused = text(body).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], field, "{body}: {refused}");
    }
    let unknown = text(r#"{"name":"a","ram":5}"#).await.refused(400, "invalid_request");
    assert_eq!(unknown["details"]["nearest"], "ram_mb");
    text("{").await.refused(400, "invalid_request");
    text("").await.refused(400, "invalid_request");
    text(r#"{"name":"a","idle":{"mode":"suspend"}}"#).await.refused(501, "unsupported");
    assert_eq!(world.api.get("/workspaces").await.expect(200)["vms"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_methods_and_sizes_are_refused_as_documented() {
    let world = World::start().await;
    let api = &world.api;
    api.get("/nothing").await.refused(404, "not_found");
    api.get("/api/v2/workspaces").await.refused(404, "not_found");
    api.get("/workspaces/").await.refused(404, "not_found");
    let wrong = api.call("PATCH", "/workspaces").await;
    assert_eq!(wrong.headers["allow"], "GET,HEAD,POST");
    wrong.refused(405, "invalid_request");
    api.call("DELETE", "/workspaces").await.refused(405, "invalid_request");

    let large = vec![b' '; 1024 * 1024 + 1];
    api.bytes("POST", "/workspaces", large.clone()).await.refused(413, "too_large");
    // Without a length that says so beforehand.
    let chunks = futures_util::stream::iter(
        large.chunks(65_536).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    );
    api.bytes("POST", "/workspaces", Body::from_stream(chunks)).await.refused(413, "too_large");

    for query in ["max_results=0", "max_results=201", "max_results=x", "cursor=nope", "limit=5"] {
        api.get(&format!("/workspaces?{query}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_nothing_is_not_found_whatever_its_form() {
    let world = World::start().await;
    for id in ["ws-00000000", "ws-x", "WS-00000000", "..%2f..", "%ff", "a%00b", "app-00000000"] {
        for (method, rest) in [("GET", ""), ("POST", "/start"), ("DELETE", ""), ("GET", "/logs")] {
            let path = format!("/workspaces/{id}{rest}");
            world.api.call(method, &path).await.refused(404, "not_found");
        }
    }
    let script = "/setup-scripts/00000000-0000-4000-8000-000000000000";
    world.api.get(script).await.refused(404, "not_found");
    world.api.call("DELETE", script).await.refused(404, "not_found");
    world.api.get("/service-specs/x").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_read_whatever_its_media_type() {
    let world = World::start().await;
    let mut request = world.api.request("POST", "/workspaces", r#"{"name":"a"}"#.into());
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    world.api.send(request).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_taken_until_its_workspace_is_gone() {
    let world = World::start().await;
    let id = world.create("a").await;
    let body = json!({ "name": "a", "template_id": "tiny" });
    world.api.json("POST", "/workspaces", body.clone()).await.refused(409, "conflict");
    world.api.call("DELETE", &format!("/workspaces/{id}")).await.expect(200);
    world.host.remove(&id).await;
    world.api.json("POST", "/workspaces", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_machine_refuses_and_says_when_to_come_again() {
    let world = World::start().await;
    let disk = |name: &str| json!({ "name": name, "disk_size_mb": 20_000 });
    world.api.json("POST", "/workspaces", disk("a")).await.expect(201);
    world.api.json("POST", "/workspaces", disk("b")).await.expect(201);
    let refused = world.api.json("POST", "/workspaces", disk("c")).await;
    assert!(refused.headers.contains_key("retry-after"));
    let refused = refused.refused(503, "capacity_exhausted");
    assert!(refused["details"]["retry_after_s"].as_u64().unwrap() > 0);
    assert_eq!(refused["details"]["short"], "disk");
    let huge = json!({ "name": "c", "ram_mb": 8_192 });
    world.api.json("POST", "/workspaces", huge).await.refused(503, "capacity_exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_promised_to_what_runs() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let body = json!({ "name": format!("w{n}"), "ram_mb": 2_048 });
        ids.push(id(&world.api.json("POST", "/workspaces", body).await.expect(201)));
    }
    for id in &ids[..2] {
        world.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
        world.host.run(id).await;
    }
    let start = format!("/workspaces/{}/start", ids[2]);
    let refused = world.api.post(&start).await.refused(503, "capacity_exhausted");
    assert_eq!(refused["details"]["short"], "memory_mib");
    assert!(refused["details"]["retry_after_s"].is_number());
    assert_eq!(world.status(&ids[2]).await, "provisioned");
    world.api.post(&format!("/workspaces/{}/stop", ids[0])).await.expect(200);
    world.host.stop(&ids[0]).await;
    world.api.post(&start).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_creates_at_once_make_as_many_as_there_is_room_for() {
    let world = World::start().await;
    let creates = (0..50).map(|n| {
        let body = json!({ "name": format!("w{n}"), "disk_size_mb": 8_000 });
        let api = world.api.clone();
        tokio::spawn(async move { api.json("POST", "/workspaces", body).await.status })
    });
    let mut made = 0;
    for create in creates.collect::<Vec<_>>() {
        match create.await.unwrap() {
            201 => made += 1,
            503 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(made, 5);
    let capacity = world.api.stranger().get("/capacity").await.expect(200);
    assert_eq!(capacity, json!({ "available": 0, "total": 5, "used": 5 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_host_nothing_is_placed() {
    let world = World::without_host().await;
    let body = json!({ "name": "a" });
    let refused = world.api.json("POST", "/workspaces", body).await.refused(503, "unavailable");
    assert!(refused["details"]["retry_after_s"].is_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_nobody_has_is_refused_with_those_that_there_are() {
    let world = World::start().await;
    let create = |name: &str, image: &str| {
        world.api.json("POST", "/workspaces", json!({ "name": name, "image": image }))
    };
    let refused = create("a", "own").await.refused(400, "invalid_request");
    assert_eq!(refused["details"]["field"], "image");
    assert_eq!(refused["details"]["known"], json!(["base", "dev", "tiny"]));
    create("a", "tiny").await.expect(201);

    let announcement = HostAnnouncement {
        registration: world.host.registration.clone(),
        images: Some(vec!["own".parse().unwrap()]),
    };
    let path = world.host.path("");
    world.host.control.json::<_, ()>(Method::PUT, &path, &announcement).await.unwrap();
    create("b", "own").await.expect(201);
    // A host that does not say keeps what it said.
    world.host.register().await;
    create("c", "own").await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_later_version_can_do_is_refused_as_unsupported() {
    let world = World::start().await;
    let id = world.running("a").await;
    for verb in ["suspend", "resume", "fork"] {
        let refused = world.api.post(&format!("/workspaces/{id}/{verb}")).await;
        let refused = refused.refused(501, "unsupported");
        assert!(refused["message"].as_str().unwrap().contains(verb), "{refused}");
        world.api.post(&format!("/workspaces/ws-aaaaaaaa/{verb}")).await.refused(404, "not_found");
    }
    assert_eq!(world.status(&id).await, "running");
}
