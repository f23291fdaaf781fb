//! `Idempotency-Key`.

use http::HeaderValue;
use serde_json::json;

use crate::{
    client::Answer,
    world::{World, id},
};

async fn post(world: &World, key: &str, path: &str, body: &str) -> Answer {
    let mut request = world.api.request("POST", path, body.to_owned().into());
    request.headers_mut().insert("idempotency-key", HeaderValue::from_str(key).unwrap());
    world.api.send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_with_the_same_key_gets_the_first_answer() {
    let world = World::start().await;
    let body = json!({ "name": "a" }).to_string();
    let first = post(&world, "k1", "/workspaces", &body).await.expect(201);
    let again = post(&world, "k1", "/workspaces", &body).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(again.headers.contains_key("x-request-id"));
    assert_eq!(again.expect(201), first);
    let list = world.api.get("/workspaces").await.expect(200);
    assert_eq!(list["vms"].as_array().unwrap().len(), 1);

    let other = json!({ "name": "b" }).to_string();
    post(&world, "k1", "/workspaces", &other).await.refused(409, "conflict");
    post(&world, "k2", "/workspaces", &other).await.expect(201);
    post(&world, "", "/workspaces", &other).await.refused(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_repeated_but_a_passing_one_is_not() {
    let world = World::without_host().await;
    let body = json!({ "name": "a" }).to_string();
    post(&world, "k1", "/workspaces", &body).await.refused(503, "unavailable");
    world.host.register().await;
    let made = post(&world, "k1", "/workspaces", &body).await.expect(201);
    let path = format!("/workspaces/{}/stop", id(&made));
    post(&world, "k2", &path, "").await.refused(400, "invalid_state");
    let again = post(&world, "k2", &path, "").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    again.refused(400, "invalid_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_at_once_make_one_workspace() {
    let world = World::start().await;
    let body = json!({ "name": "a" }).to_string();
    let posts = (0..8).map(|_| post(&world, "k1", "/workspaces", &body));
    let answers = futures_util::future::join_all(posts).await;
    for answer in &answers {
        assert!(matches!(answer.status, 201 | 409), "{answer:?}");
    }
    assert!(answers.iter().any(|answer| answer.status == 201));
    post(&world, "k1", "/workspaces", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_where_answers_are_not_kept() {
    let world = World::start().await;
    let id = world.running("a").await;
    let body = json!({ "command": ["true"] }).to_string();
    let path = format!("/workspaces/{id}/exec");
    post(&world, "k1", &path, &body).await.refused(400, "invalid_request");
}
