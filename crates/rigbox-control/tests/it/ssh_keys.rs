//! SSH keys of the account.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rigbox_types::{Desired, Observed};
use serde_json::json;

use crate::world::World;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFe/Ax+M0FkUbzSDx7IV3PX2Wul55/mgElLv5gyGQK0b";
/// What `ssh-keygen -l` says of it.
const FINGERPRINT: &str = "SHA256:Mh4Z8uHIKavz9O56v+r1IT7wfy2nKSWsAijncqI3DUI";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_added_told_to_the_host_and_deleted() {
    let world = World::start().await;
    let api = &world.api;
    let id = world.running("a").await;
    let body = json!({ "name": "laptop", "public_key": format!("{KEY} me@laptop\n") });
    let made = api.json("POST", "/ssh-keys", body.clone()).await.expect(201);
    assert_eq!(made["fingerprint"], FINGERPRINT);
    assert_eq!(made["public_key"], format!("{KEY} me@laptop"));
    api.json("POST", "/ssh-keys", body).await.refused(409, "conflict");
    assert_eq!(api.get("/ssh-keys").await.expect(200)["ssh_keys"], json!([made]));
    world
        .host
        .knows(|known| known.assignments.values().all(|a| a.guest.authorized_keys.len() == 1))
        .await;
    // A running workspace stays so while its guest is told.
    assert_eq!(world.status(&id).await, "running");

    let entry = json!({
        "key_type": "ssh-ed25519", "fingerprint": FINGERPRINT, "comment": "me@laptop",
    });
    let path = format!("/workspaces/{id}/ssh-keys");
    assert_eq!(api.get(&path).await.expect(200), json!({ "keys": [entry] }));
    let sync = format!("{path}/sync");
    let (synced, ()) = tokio::join!(api.post(&sync), world.host.see(&id, Observed::Running));
    assert_eq!(synced.expect(200), json!({ "synced": 1, "keys": [entry] }));

    let key = format!("/ssh-keys/{}", made["id"].as_str().unwrap());
    api.call("DELETE", &key).await.expect(200);
    api.call("DELETE", &key).await.refused(404, "not_found");
    world
        .host
        .knows(|known| known.assignments.values().all(|a| a.guest.authorized_keys.is_empty()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_public_key_is_refused() {
    let world = World::start().await;
    for key in
        ["", "ssh-rsa AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", "command=\"x\" ssh-rsa A"]
    {
        let body = json!({ "name": "a", "public_key": key });
        let refused = world.api.json("POST", "/ssh-keys", body).await;
        assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], "public_key");
    }
    let id = world.create("a").await;
    world.host.assigned(&id, Desired::Stopped).await;
    let sync = format!("/workspaces/{id}/ssh-keys/sync");
    world.api.post(&sync).await.refused(400, "invalid_state");
}

/// A key of its own for each number.
pub(crate) fn key(number: u8) -> String {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([number; 32]);
    format!("ssh-ed25519 {}", STANDARD.encode(blob))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_so_many_keys_and_no_more() {
    let world = World::start().await;
    let add = |number| {
        let body = json!({ "name": "a", "public_key": key(number) });
        let api = world.api.clone();
        async move { api.json("POST", "/ssh-keys", body).await }
    };
    for number in 0..64 {
        add(number).await.expect(201);
    }
    let refused = add(64).await.refused(402, "quota_exceeded");
    assert_eq!(
        refused["details"],
        json!({
            "limit": "ssh_keys", "maximum": 64, "used": 64, "requested": 1, "plan": "operator",
        })
    );
}
