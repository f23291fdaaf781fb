//! Accounts as the operator manages them, and what their plans let them do.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    world::{World, id},
};

/// An account and a client with its first key.
async fn account(world: &World, email: &str, plan: &str) -> (String, Client) {
    let body = json!({ "email": email, "plan": plan, "api_key": true });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let client = world.api.with_key(made["api_key"].as_str().unwrap());
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    (id, client)
}

async fn patch(world: &World, id: &str, body: Value) -> Answer {
    world.api.json("PATCH", &format!("/users/{id}"), body).await
}

async fn create(api: &Client, name: &str) -> Answer {
    api.json("POST", "/workspaces", json!({ "name": name, "template_id": "tiny" })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_a_key_gets_another_and_a_thief_keeps_none() {
    let world = World::without_host().await;
    let (id, lost) = account(&world, "ann@example.com", "free").await;
    let (_, other) = account(&world, "bob@example.com", "free").await;
    let path = format!("/users/{id}/api-keys");
    let made = world.api.json("POST", &path, json!({})).await.expect(201);
    let given = world.api.with_key(made["key"].as_str().unwrap());
    assert_eq!(given.get("/workspaces").await.status, 200);
    assert_eq!(lost.get("/workspaces").await.status, 200);
    let made = world.api.json("POST", &path, json!({ "end_others": true })).await.expect(201);
    for ended in [&lost, &given] {
        ended.get("/workspaces").await.refused(401, "unauthenticated");
    }
    world.api.with_key(made["key"].as_str().unwrap()).get("/workspaces").await.expect(200);
    other.get("/workspaces").await.expect(200);
    other.json("POST", &path, json!({})).await.refused(403, "forbidden");
    let nobody = "/users/00000000-0000-4000-8000-00000000000f/api-keys";
    world.api.json("POST", nobody, json!({})).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_made_shown_changed_and_listed() {
    let world = World::start().await;
    let body = json!({ "email": " Ann@Example.com", "display_name": "Ann" });
    let made = world.api.json("POST", "/users", body.clone()).await.expect(201);
    let user = &made["user"];
    assert_eq!(made["api_key"], Value::Null);
    assert_eq!((&user["email"], &user["plan"]), (&json!("ann@example.com"), &json!("free")));
    assert_eq!((&user["standing"], &user["disabled_at"]), (&json!("user"), &Value::Null));
    world.api.json("POST", "/users", body).await.refused(409, "conflict");

    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let shown = world.api.get(&path).await.expect(200);
    assert_eq!(shown["user"], *user);
    assert_eq!(shown["limits"]["limits"]["max_disk_total_mb"], 8_192);
    assert_eq!(shown["limits"]["custom"], false);

    let id = user["id"].as_str().unwrap();
    let own = json!({ "plan": "pro", "overrides": { "max_vms": 12, "max_ssh_keys": 3 } });
    let changed = patch(&world, id, own).await.expect(200);
    assert_eq!(changed["limits"]["plan"], "pro");
    assert_eq!(changed["limits"]["custom"], true);
    assert_eq!(changed["limits"]["limits"]["max_running_vcpus"], 48);
    assert_eq!(changed["user"]["display_name"], "Ann");
    let own = json!({ "overrides": { "max_vms": null }, "display_name": null });
    let changed = patch(&world, id, own).await.expect(200);
    assert_eq!(changed["limits"]["limits"]["max_vms"], 10);
    assert_eq!(changed["limits"]["limits"]["max_ssh_keys"], 3);
    assert_eq!(changed["user"]["display_name"], Value::Null);
    let cleared = patch(&world, id, json!({ "overrides": null, "plan": null })).await.expect(200);
    assert_eq!(cleared["limits"]["custom"], false);
    assert_eq!(cleared["user"]["plan"], "free");

    account(&world, "bob@example.com", "free").await;
    let first = world.api.get("/users?max_results=1").await.expect(200);
    assert_eq!(first["users"][0]["email"], "bob@example.com");
    let next = first["next_cursor"].as_str().unwrap();
    let rest = world.api.get(&format!("/users?cursor={next}")).await.expect(200);
    assert_eq!(rest["users"][0]["email"], "ann@example.com");
    assert_eq!(rest["users"][1]["plan"], "operator");
    let plans = world.api.get("/plans").await.expect(200);
    assert_eq!(plans["plans"][0]["name"], "free");
    assert_eq!(plans["plans"][0]["limits"]["max_vms"], 2);
    assert_eq!(plans["plans"][1]["limits"]["max_vms"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_account_is_said() {
    let world = World::start().await;
    let (id, _) = account(&world, "ann@example.com", "free").await;
    for (body, field) in [
        (json!({ "email": "ann" }), "email"),
        (json!({ "email": "a\u{200b}nn@example.com" }), "email"),
        (json!({ "email": "b@example.com", "plan": "gold" }), "plan"),
        (json!({ "email": "b@example.com", "display_name": "a\nb" }), "display_name"),
    ] {
        let refused = world.api.json("POST", "/users", body).await;
        assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], field);
    }
    for (body, field) in [
        (json!({ "plan": "gold" }), "plan"),
        (json!({ "overrides": { "max_vms": 1_000_000_000_001_u64 } }), "overrides.max_vms"),
        (json!({ "overrides": { "max_vm": 1 } }), "overrides.max_vm"),
        (json!({ "email": "c@example.com" }), "email"),
    ] {
        let refused = patch(&world, &id, body).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], field);
    }
    for nobody in ["00000000-0000-4000-8000-000000000000", "x", "mee"] {
        patch(&world, nobody, json!({})).await.refused(404, "not_found");
    }
    // Its answer may have a key in it, which is kept nowhere.
    let mut request = world.api.request("POST", "/users", r#"{"email":"d@example.com"}"#.into());
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    world.api.send(request).await.refused(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_manages_accounts() {
    let world = World::start().await;
    let (id, ann) = account(&world, "ann@example.com", "operator").await;
    let own = format!("/users/{id}");
    let nobody = "/users/00000000-0000-4000-8000-000000000000";
    let body = json!({ "email": "eve@example.com", "plan": "operator" });
    let stranger = world.api.stranger();
    for path in ["/users", "/plans", &own, nobody, "/users/x"] {
        ann.get(path).await.refused(403, "forbidden");
        stranger.get(path).await.refused(401, "unauthenticated");
    }
    ann.json("POST", "/users", body.clone()).await.refused(403, "forbidden");
    stranger.json("POST", "/users", body).await.refused(401, "unauthenticated");
    for path in [&own, nobody] {
        ann.json("PATCH", path, json!({ "plan": "pro" })).await.refused(403, "forbidden");
    }
    // An account sees its own limits, and nothing of others'.
    let foreign = world.create("a").await;
    assert_eq!(ann.get("/users/me/limits").await.expect(200)["plan"], "operator");
    ann.get(&format!("/workspaces/{foreign}")).await.refused(404, "not_found");
    assert_eq!(ann.get("/workspaces").await.expect(200)["vms"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_account_is_refused_at_once() {
    let world = World::start().await;
    let (id, ann) = account(&world, "ann@example.com", "free").await;
    let made = crate::world::id(&create(&ann, "a").await.expect(201));
    let token = ann.post(&format!("/workspaces/{made}/terminal-token")).await.expect(201);
    for _ in 0..3 {
        // Known from a moment ago, so that a cache would still let it in.
        ann.get("/workspaces").await.expect(200);
        let disabled = patch(&world, &id, json!({ "disabled": true })).await.expect(200);
        assert!(disabled["user"]["disabled_at"].is_string());
        let refused = ann.get("/workspaces").await.refused(401, "unauthenticated");
        assert!(refused["message"].as_str().unwrap().contains("disabled"), "{refused}");
        let enabled = patch(&world, &id, json!({ "disabled": false })).await.expect(200);
        assert_eq!(enabled["user"]["disabled_at"], Value::Null);
    }
    ann.get("/workspaces").await.expect(200);
    patch(&world, &id, json!({ "disabled": true })).await.expect(200);
    let token = token["token"].as_str().unwrap();
    let terminal = format!("/api/ws/terminal/{made}?token={token}");
    world.api.stranger().get(&terminal).await.refused(401, "unauthenticated");
    // What it has stays.
    world.api.get(&format!("/workspaces/{made}")).await.expect(200);

    let users = world.api.get("/users").await.expect(200);
    let operator = users["users"][1]["id"].as_str().unwrap();
    let refused = patch(&world, operator, json!({ "disabled": true })).await;
    assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_over_the_plan_is_told_what_is_and_what_to_do() {
    let world = World::start().await;
    let (id, ann) = account(&world, "ann@example.com", "free").await;
    let first = crate::world::id(&create(&ann, "a").await.expect(201));
    create(&ann, "b").await.expect(201);
    let refused = create(&ann, "c").await.refused(402, "quota_exceeded");
    let details = json!({
        "limit": "workspaces", "maximum": 2, "used": 2, "requested": 1, "plan": "free",
    });
    assert_eq!(refused["details"], details);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("2 workspaces") && message.contains("delete a workspace"),
        "{message}"
    );
    // The plan is told of before the machines, which are too small for this as well.
    let huge = json!({ "name": "c", "ram_mb": 100_000 });
    let refused = ann.json("POST", "/workspaces", huge).await.refused(402, "quota_exceeded");
    assert_eq!(refused["details"]["limit"], "workspace_memory_mib");
    let resize = json!({ "disk_size_mb": 4_097 });
    let path = format!("/workspaces/{first}/resources");
    let refused = ann.json("PUT", &path, resize).await.refused(402, "quota_exceeded");
    assert_eq!(refused["details"]["limit"], "workspace_disk_mib");

    let limits = ann.get("/users/me/limits").await.expect(200);
    assert_eq!((&limits["plan"], &limits["custom"]), (&json!("free"), &json!(false)));
    let expected = json!({
        "max_vms": 2, "max_ram_per_vm_mb": 1_024, "max_ram_total_mb": 2_048,
        "max_disk_total_mb": 8_192, "max_vcpu_per_vm": 1, "max_running_vcpus": 2,
        "max_disk_per_vm_mb": 4_096, "max_ssh_keys": 5, "max_apps_per_vm": 5,
        "max_snapshots_per_vm": 3, "max_ai_credits_per_month": 250,
        "max_disk_mb_per_s_per_vm": 100, "max_disk_iops_per_vm": 2_000,
        "max_network_mbit_per_s_per_vm": 100,
    });
    assert_eq!(limits["limits"], expected);
    assert_eq!(limits["usage"]["workspace_count"], 2);

    // A lowered number refuses the next start; what there is can be read and deleted.
    patch(&world, &id, json!({ "overrides": { "max_running_vcpus": 0 } })).await.expect(200);
    let start = format!("/workspaces/{first}/start");
    let refused = ann.post(&start).await.refused(402, "quota_exceeded");
    assert_eq!(refused["details"]["limit"], "vcpus");
    assert_eq!(world.status(&first).await, "provisioned");
    ann.call("DELETE", &format!("/workspaces/{first}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creates_at_once_as_many_are_made_as_the_plan_allows() {
    let world = World::start().await;
    let (_, ann) = account(&world, "ann@example.com", "free").await;
    let creates = (0..30).map(|n| {
        let api = ann.clone();
        let body = json!({ "name": format!("w{n}"), "template_id": "tiny" });
        tokio::spawn(async move { api.json_among_many("POST", "/workspaces", body).await })
    });
    let mut made = Vec::new();
    for create in creates.collect::<Vec<_>>() {
        let answer = create.await.unwrap();
        match answer.status {
            201 => made.push(id(&answer.json())),
            _ => drop(answer.refused(402, "quota_exceeded")),
        }
    }
    assert_eq!(made.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_account_has_chosen_is_used_for_its_workspaces() {
    let world = World::start().await;
    let (_, ann) = account(&world, "ann@example.com", "pro").await;
    let path = "/users/me/settings";
    let first = ann.get(path).await.expect(200);
    let settings = &first["settings"];
    assert_eq!(
        (&settings["default_image"], &settings["default_region"]),
        (&json!("base"), &json!("here"))
    );
    assert_eq!((&settings["usage_alerts"], &settings["avatar_url"]), (&json!(true), &Value::Null));

    let body = json!({
        "default_image": "tiny", "usage_alerts": false, "display_name": "Ann",
        "avatar_url": "https://example.com/ann.png",
    });
    let changed = ann.json("PUT", path, body).await.expect(200);
    assert_eq!(changed["settings"]["default_image"], "tiny");
    assert_eq!(changed["settings"]["usage_alerts"], false);
    let body = json!({ "avatar_url": null, "usage_alerts": null });
    let changed = ann.json("PUT", path, body).await.expect(200);
    assert_eq!(changed["settings"]["avatar_url"], Value::Null);
    assert_eq!(changed["settings"]["usage_alerts"], true);
    assert_eq!(changed["settings"]["display_name"], "Ann");

    let made = ann.json("POST", "/workspaces", json!({ "name": "a" })).await.expect(201);
    assert_eq!((&made["vm"]["image"], &made["vm"]["ram_mb"]), (&json!("tiny"), &json!(128)));
    let body = json!({ "name": "b", "template_id": "base" });
    let made = ann.json("POST", "/workspaces", body).await.expect(201);
    assert_eq!(made["vm"]["image"], "base");

    for (body, field) in [
        (json!({ "default_image": "nope" }), "default_image"),
        (json!({ "default_region": "mars" }), "default_region"),
        (json!({ "avatar_url": "javascript:alert(1)" }), "avatar_url"),
        (json!({ "avatar_url": "https://a/\"><script>" }), "avatar_url"),
        (json!({ "display_name": "" }), "display_name"),
        (json!({ "plan": "operator" }), "plan"),
    ] {
        let refused = ann.json("PUT", path, body).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], field);
    }
}
