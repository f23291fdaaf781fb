//! `Idempotency-Key`.

use std::sync::Arc;

use http::HeaderValue;
use rigbox_store::{
    Adding, Store, SystemClock,
    idempotency::{Begin, Claim},
    setup_scripts::SetupScript,
};
use rigbox_types::{
    AccountId, Desired, SetupScriptId, WorkspaceId, api::setup_scripts::RunOn,
    limits::SETUP_SCRIPTS_MAX_COUNT,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

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
async fn of_a_large_answer_what_was_made_is_kept_and_not_its_text() {
    let world = World::start().await;
    let large = json!({ "name": "a", "content": "x".repeat(200_000) }).to_string();
    let made = post(&world, "k1", "/setup-scripts", &large).await.expect(201);
    let again = post(&world, "k1", "/setup-scripts", &large).await;
    assert!(!again.headers.contains_key("idempotency-replayed"));
    assert_eq!(again.expect(201), made);
    let list = world.api.get("/setup-scripts").await.expect(200);
    assert_eq!(list["scripts"].as_array().unwrap().len(), 1, "{list}");
    // As it is now, and for no other request.
    let other = json!({ "name": "b", "content": "x" }).to_string();
    post(&world, "k1", "/setup-scripts", &other).await.refused(409, "conflict");
    let id = made["id"].as_str().unwrap();
    world.api.call("DELETE", &format!("/setup-scripts/{id}")).await.expect(200);
    post(&world, "k1", "/setup-scripts", &large).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_where_answers_are_not_kept() {
    let world = World::start().await;
    let id = world.running("a").await;
    let body = json!({ "command": ["true"] }).to_string();
    let path = format!("/workspaces/{id}/exec");
    post(&world, "k1", &path, &body).await.refused(400, "invalid_request");
}

/// What control keeps to tell requests apart.
fn request_hash(path: &str, body: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in ["POST", &format!("/api/v1{path}"), body] {
        digest.update(u64::try_from(part.len()).unwrap().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Does what control had done of a request when it was killed.
async fn cut_off(world: &World, path: &str, body: &str) -> (Store, AccountId, Claim) {
    let url = format!("sqlite:{}", world.path().join("rigbox.db")).parse().unwrap();
    let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
    let account = AccountId::from_random([0; 16]);
    let account = store.accounts().ensure_operator(account).await.unwrap().id;
    let hash = request_hash(path, body);
    match store.idempotency().begin((account, None), "k1", &hash).await.unwrap() {
        Begin::Work { claim, .. } => (store, account, claim),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_kill_is_answered_at_once() {
    let mut world = World::start().await;
    let body = json!({ "name": "a" }).to_string();
    world.stop_control().await;
    let (store, ..) = cut_off(&world, "/workspaces", &body).await;
    store.close().await;
    world.start_control().await;
    post(&world, "k1", "/workspaces", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_a_start_that_was_cut_off_shows_the_workspace_as_it_is() {
    let mut world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}/start");
    world.stop_control().await;
    let (store, _, claim) = cut_off(&world, &path, "").await;
    let id: WorkspaceId = id.parse().unwrap();
    let workspaces = store.workspaces();
    let edit = workspaces.change(&id, Some(&claim), |row, wanted| {
        wanted.desired = Desired::Running;
        wanted.retry_generation = row.generation.next();
        Ok::<_, ()>(())
    });
    let changed = edit.await.unwrap();
    store.close().await;
    world.start_control().await;
    let repeat = post(&world, "k1", &path, "").await.expect(200);
    assert_eq!(repeat["vm"]["status"], "provisioning");
    assert_eq!(repeat["vm"]["generation"], json!(changed.generation));
    assert_eq!(post(&world, "k1", &path, "").await.expect(200), repeat);
    // Without the key it is another request.
    world.api.post(&path).await.refused(400, "invalid_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_a_script_that_was_made_makes_no_second_one() {
    let mut world = World::start().await;
    let body = json!({ "name": "s", "content": "true" }).to_string();
    world.stop_control().await;
    let (store, account, claim) = cut_off(&world, "/setup-scripts", &body).await;
    let script = SetupScript {
        name: "s".to_owned(),
        content: "true".to_owned(),
        run_on: RunOn::FirstBoot,
        order: 0,
    };
    let id = SetupScriptId::from_random([7; 16]);
    let adding = Adding { most: 1, claim: Some(&claim) };
    store.setup_scripts().insert(id, account, &script, adding).await.unwrap();
    store.close().await;
    world.start_control().await;
    let made = post(&world, "k1", "/setup-scripts", &body).await.expect(201);
    assert_eq!(made["id"], id.to_string());
    let all = world.api.get("/setup-scripts").await.expect(200);
    assert_eq!(all["scripts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_as_many_scripts_as_it_may() {
    let world = World::start().await;
    let url = format!("sqlite:{}", world.path().join("rigbox.db")).parse().unwrap();
    let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
    let operator = store.accounts().ensure_operator(AccountId::from_random([0; 16])).await;
    let account = operator.unwrap().id;
    let script = SetupScript {
        name: "s".to_owned(),
        content: String::new(),
        run_on: RunOn::FirstBoot,
        order: 0,
    };
    for n in 0..SETUP_SCRIPTS_MAX_COUNT {
        let mut random = [0; 16];
        random[..8].copy_from_slice(&n.to_be_bytes());
        let adding = Adding::at_most(u64::MAX);
        let id = SetupScriptId::from_random(random);
        store.setup_scripts().insert(id, account, &script, adding).await.unwrap();
    }
    let body = json!({ "name": "a", "content": "" });
    let refused = world.api.json("POST", "/setup-scripts", body).await;
    let details: Value = refused.refused(402, "quota_exceeded")["details"].clone();
    assert_eq!(details["limit"], "setup_scripts");
    assert_eq!((&details["maximum"], &details["used"]), (&json!(256), &json!(256)));
}
