//! API keys of the account: shown once, narrowed, and ended at once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use rigbox_store::Clock as _;
use rigbox_types::{KeyScope, KeyScopes, Timestamp};
use serde_json::{Value, json};

use crate::{
    apps,
    client::{Client, PATIENCE},
    people::{account, grant, key, revoke, user, user_with},
    world::{self, World},
};

/// How long control believes a key without being told anything; see its cache.
const BELIEVED: Duration = Duration::from_secs(5);

fn in_seconds(seconds: u64) -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let then = since + Duration::from_secs(seconds);
    Timestamp::from_micros(then.as_micros().try_into().unwrap())
}

async fn status(api: &Client) -> u16 {
    api.get("/users/me/limits").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_listed_without_its_secret() {
    let world = World::start().await;
    let api = &world.api;
    let id = world.create("a").await;
    let end = in_seconds(3600).to_string();
    let scope = format!("workspace:{id}");
    let body = json!({ "name": "ci", "expires_at": end, "scopes": [scope] });
    let made = api.json("POST", "/api-keys", body).await.expect(201);
    let text = made["key"].as_str().unwrap();
    assert_eq!((text.len(), &made["scopes"]), (75, &json!([scope])));

    let answer = api.get("/api-keys").await;
    assert!(!String::from_utf8_lossy(&answer.bytes).contains(&text[11..]));
    let list = answer.expect(200);
    let expected = json!({
        "id": made["id"], "name": "ci", "key_preview": &text[..11], "is_workspace_key": true,
        "created_at": list["api_keys"][0]["created_at"], "last_used_at": null, "scopes": [scope],
        "expires_at": end,
    });
    assert_eq!(list["api_keys"][0], expected);
    assert_eq!(list["api_keys"][1]["scopes"], json!(["full"]));
    assert_eq!(list["api_keys"][1]["is_workspace_key"], false);
    api.with_key(text).get(&format!("/workspaces/{id}")).await.expect(200);
    let list = api.get("/api-keys").await.expect(200);
    assert!(list["api_keys"][0]["last_used_at"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_is_refused() {
    let world = World::start().await;
    let many: Vec<_> = (0..33).map(|_| "read").collect();
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x".repeat(129) }), "name"),
        (json!({ "name": "a\u{1b}[31m" }), "name"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": many }), "scopes"),
        (json!({ "scopes": ["read", "write"] }), "scopes[1]"),
        (json!({ "scopes": ["workspace:x"] }), "scopes[0]"),
        (json!({ "scopes": ["workspace:ws-00000000"] }), "scopes"),
        (json!({ "scopes": ["app:app-zzzzzzzz"] }), "scopes"),
        (json!({ "scope": ["read"] }), "scope"),
    ] {
        let answer = world.api.json("POST", "/api-keys", body.clone()).await;
        let details = answer.refused(400, "invalid_request")["details"].clone();
        assert_eq!(details["field"], field, "{body}");
    }
    assert_eq!(
        world.api.get("/api-keys").await.expect(200)["api_keys"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_for_what_its_maker_sees() {
    let world = World::start().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let body = json!({ "name": "w", "template_id": "tiny" });
    let workspace = world::id(&ann.json("POST", "/workspaces", body).await.expect(201));
    let app = apps::id(&apps::create(&ann, "web", &workspace).await);
    for (scope, resource) in [("workspace", &workspace), ("app", &app)] {
        let named = format!("{scope}:{resource}");
        let make = async |api: &Client, scopes: &[&str]| {
            api.json("POST", "/api-keys", json!({ "scopes": scopes })).await
        };
        // What may not be seen is answered like what is not there, also where another scope is good.
        for scopes in [&[named.as_str()][..], &["read", &named]] {
            let error = make(&bob, scopes).await.refused(400, "invalid_request");
            let message = format!("scopes: there is no {scope} {resource}");
            assert_eq!(
                (&error["message"], &error["details"]["field"]),
                (&json!(message), &json!("scopes"))
            );
        }
        grant(&ann, 2, &named, "viewer").await;
        make(&bob, &[&named]).await.expect(201);
        revoke(&ann, 2, &named, "viewer").await;
        make(&bob, &[&named]).await.refused(400, "invalid_request");
        make(&ann, &[&named]).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_so_many_keys_and_no_more() {
    let world = World::start().await;
    // One is there already.
    for _ in 0..99 {
        world.api.json("POST", "/api-keys", json!({})).await.expect(201);
    }
    let refused = world.api.json("POST", "/api-keys", json!({})).await;
    let details = refused.refused(402, "quota_exceeded")["details"].clone();
    assert_eq!((&details["limit"], &details["maximum"]), (&json!("api_keys"), &json!(100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_kept_for_an_idempotency_key() {
    let world = World::start().await;
    let (id, _) = key(&world.api, &["full"]).await;
    for path in ["/api-keys".to_owned(), format!("/api-keys/{id}/rotate")] {
        let mut request = world.api.request("POST", &path, "{}".into());
        request.headers_mut().insert("idempotency-key", HeaderValue::from_static("k"));
        let refused = world.api.send(request).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], "Idempotency-Key");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_is_refused_from_the_next_request_on() {
    let world = World::start().await;
    let (id, held) = key(&world.api, &["read"]).await;
    let workspace = world.create("a").await;
    let (entering, enters) = key(&world.api, &[&format!("workspace:{workspace}")]).await;
    let path = format!("/workspaces/{workspace}/terminal-token");
    let token = enters.post(&path).await.expect(201)["token"].clone();
    assert_eq!(status(&held).await, 200);
    for id in [&id, &entering] {
        world.api.call("DELETE", &format!("/api-keys/{id}")).await.expect(200);
    }
    held.get("/users/me/limits").await.refused(401, "unauthenticated");
    world.api.call("DELETE", &format!("/api-keys/{id}")).await.refused(404, "not_found");
    // What was made with it ends with it.
    let terminal = format!("/api/ws/terminal/{workspace}?token={}", token.as_str().unwrap());
    world.api.stranger().get(&terminal).await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_opens_the_same_with_another_secret() {
    let world = World::start().await;
    let (id, old) = key(&world.api, &["read"]).await;
    assert_eq!(status(&old).await, 200);
    let before = world.api.get("/api-keys").await.expect(200)["api_keys"][0].clone();
    let rotated = world.api.post(&format!("/api-keys/{id}/rotate")).await.expect(200);
    assert_eq!(status(&old).await, 401);
    let new = world.api.with_key(rotated["key"].as_str().unwrap());
    assert_eq!(status(&new).await, 200);
    assert_eq!(new.json("POST", "/api-keys", json!({})).await.status, 403);
    let mut after = world.api.get("/api-keys").await.expect(200)["api_keys"][0].clone();
    assert_ne!(after["key_preview"], before["key_preview"]);
    after["key_preview"] = before["key_preview"].clone();
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_from_its_end_on() {
    let world = World::start().await;
    world.clock.stop();
    let workspace = world.create("a").await;
    let (minute, microsecond) = (Duration::from_secs(60), Duration::from_micros(1));
    let now = world.clock.now().as_micros();
    let end = Timestamp::from_micros(now + i64::try_from(minute.as_micros()).unwrap());
    let body = json!({ "expires_at": end.to_string() });
    let made = world.api.json("POST", "/api-keys", body).await.expect(201);
    let held = world.api.with_key(made["key"].as_str().unwrap());
    let token = held.post(&format!("/workspaces/{workspace}/terminal-token")).await.expect(201);
    world.clock.turn(minute - microsecond);
    assert_eq!(status(&held).await, 200);
    world.clock.turn(microsecond);
    assert_eq!(status(&held).await, 401, "a key is believed after its end");
    let token = token["token"].as_str().unwrap();
    let terminal = format!("/api/ws/terminal/{workspace}?token={token}");
    world.api.stranger().get(&terminal).await.refused(401, "unauthenticated");
    let path = format!("/api-keys/{}/rotate", made["id"].as_str().unwrap());
    world.api.post(&path).await.refused(400, "invalid_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_control_refuses_a_key_before_it_would_ask_again() {
    let world = World::on_postgres().await;
    let other = world.another_control().await;
    for (change, rest) in [("DELETE", ""), ("POST", "/rotate")] {
        told_in_time(async || {
            let (id, held) = key(&world.api, &["read"]).await;
            let held = other.with_key(held.key.unwrap());
            let believed = Instant::now();
            assert_eq!(status(&held).await, 200);
            world.api.call(change, &format!("/api-keys/{id}{rest}")).await.expect(200);
            (held, believed)
        })
        .await;
    }
}

/// Checks that a key is refused sooner than it would be if nobody was told, after it was believed and
/// then ended. On a busy machine that may itself take too long to say, so there are more tries.
async fn told_in_time(mut end: impl AsyncFnMut() -> (Client, Instant)) {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        let (held, believed) = end().await;
        while status(&held).await != 401 {
            assert!(believed.elapsed() < PATIENCE, "it is not refused at all");
        }
        if believed.elapsed() < BELIEVED {
            return;
        }
    }
    panic!("the other control was not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_control_refuses_a_disabled_account_before_it_would_ask_again() {
    let world = World::on_postgres().await;
    let (other, mut number) = (world.another_control().await, 0);
    told_in_time(async || {
        number += 1;
        let held = user(&world, number).await.with_base(other.base.clone());
        let believed = Instant::now();
        assert_eq!(status(&held).await, 200);
        let path = format!("/users/{}", account(number));
        world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
        (held, believed)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_answer_is_not_for_a_key_that_may_less() {
    let world = World::start().await;
    let (_, reads) = key(&world.api, &["read"]).await;
    let post = async |api: &Client| {
        let body = json!({ "name": "a", "template_id": "tiny" }).to_string();
        let mut request = api.request("POST", "/workspaces", body.into());
        request.headers_mut().insert("idempotency-key", HeaderValue::from_static("k"));
        api.send(request).await
    };
    let first: Value = post(&world.api).await.expect(201);
    post(&reads).await.refused(409, "conflict");
    assert_eq!(post(&world.api).await.expect(201), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_scopes_were_changed_in_the_database_opens_nothing() {
    let world = World::start().await;
    let reads = KeyScopes::try_from(vec![KeyScope::Read]).unwrap();
    assert_eq!(status(&user_with(&world, 3, KeyScopes::full()).await).await, 200);
    assert_eq!(status(&user_with(&world, 4, reads).await).await, 401);
}
