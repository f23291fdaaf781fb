//! What SSH gateways ask.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use rigbox_control::SystemClock;
use rigbox_fabric::watch::Watch;
use rigbox_store::Store;
use rigbox_types::{Observed, host::Observation, rate::RateLimits};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    client::PATIENCE,
    people::{account, grant, revoke, user},
    ssh_keys::key,
    world::World,
};

/// The fingerprint of [`key`].
fn fingerprint(number: u8) -> String {
    use sha2::{Digest as _, Sha256};
    let key = key(number);
    let blob = STANDARD.decode(key.split(' ').nth(1).unwrap()).unwrap();
    let digest = Sha256::digest(blob);
    format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest))
}

async fn ask(world: &World, path: &str, body: Value) -> Value {
    let path = format!("/internal/v1/ssh/{path}");
    world.host.control.json(Method::POST, &path, &body).await.unwrap()
}

/// Somebody comes with the key of this number and has proved it.
async fn login(world: &World, number: u8, user: &str) -> Value {
    let login = json!({
        "user": user, "fingerprint": fingerprint(number), "from": "192.0.2.7", "session_key": key(99),
    });
    ask(world, "logins", login).await
}

async fn add(api: &crate::client::Client, number: u8) -> String {
    let body = json!({ "name": format!("k{number}"), "public_key": key(number) });
    let made = api.json("POST", "/ssh-keys", body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// A workspace that runs and has told its host key.
async fn with_key(world: &World, name: &str) -> String {
    let id = world.running(name).await;
    let seen = world.host.observation(&id, Observed::Running);
    let ssh_host_key = Some(key(50).parse().unwrap());
    world.host.report(vec![Observation { ssh_host_key, ..seen }]).await.unwrap();
    id
}

fn suffix(id: &str) -> &str {
    id.rsplit_once('-').unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_its_accounts_workspaces_by_each_of_their_names() {
    let world = World::start().await;
    let id = with_key(&world, "shop").await;
    let named = json!({
        "user": "shop", "fingerprint": fingerprint(1), "from": "192.0.2.7", "session_key": null,
    });
    assert_eq!(ask(&world, "logins", named.clone()).await["answer"], "unknown");
    assert_eq!(login(&world, 1, "shop").await["answer"], "unknown");
    let key_id = add(&world.api, 1).await;
    // Whoever has proved nothing learns that the key is known, and nothing of workspaces.
    assert_eq!(ask(&world, "logins", named).await, json!({ "answer": "known" }));
    let whole = format!("shop-{}", suffix(&id));
    for user in ["shop", suffix(&id), whole.as_str()] {
        let entry = login(&world, 1, user).await;
        assert_eq!(
            (&entry["answer"], &entry["workspace"]),
            (&json!("entry"), &json!(id)),
            "{user}"
        );
        assert_eq!(entry["host_key"], key(50));
        assert_eq!(entry["user"], "developer");
        assert_eq!(entry["holder"]["key"], key_id.as_str());
        assert!(entry["host"].as_str().unwrap().ends_with("dial.sock"));
    }
    let other = format!("other-{}", suffix(&id));
    for user in ["rig", "", "nothing-aaaaaaaa", other.as_str()] {
        let menu = login(&world, 1, user).await;
        assert_eq!(menu["answer"], "menu", "{user}: {menu}");
        let entry = json!({ "name": "shop", "user": whole, "status": "running" });
        assert_eq!(menu["entries"], json!([entry]));
    }
    // Each login is in the record before it is let in.
    let audit = world.api.get("/audit?max_results=50").await.expect(200);
    let entries = audit["entries"].as_array().unwrap();
    let of_login = |entry: &&Value| {
        entry["action"] == "ssh_login" && entry["target"] == format!("/workspaces/{id}")
    };
    assert_eq!(entries.iter().filter(of_login).count(), 3);
    let entry = entries.iter().find(of_login).unwrap();
    assert_eq!(entry["actor"], format!("ssh-key:{key_id}"));
    assert_eq!(entry["address"], "192.0.2.7");

    world.api.call("DELETE", &format!("/ssh-keys/{key_id}")).await.expect(200);
    assert_eq!(login(&world, 1, "shop").await, json!({ "answer": "unknown" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_workspace_is_answered_as_one_that_is_not_there() {
    let world = World::start().await;
    let id = with_key(&world, "shop").await;
    let other = user(&world, 2).await;
    add(&other, 2).await;
    let whole = format!("shop-{}", suffix(&id));
    let foreign = login(&world, 2, &whole).await;
    assert_eq!(foreign, login(&world, 2, "shop-aaaaaaaa").await);
    assert_eq!((&foreign["answer"], &foreign["entries"]), (&json!("menu"), &json!([])));
    // A role opens it, also by its name alone; one that does not let enter says so.
    let resource = format!("workspace:{id}");
    grant(&world.api, 2, &resource, "developer").await;
    for name in [whole.as_str(), "shop"] {
        let entry = login(&world, 2, name).await;
        assert_eq!(entry["granted"], "developer", "{entry}");
        assert_eq!(entry["holder"]["account"], account(2).to_string());
    }
    revoke(&world.api, 2, &resource, "developer").await;
    assert_eq!(login(&world, 2, &whole).await, foreign);
    grant(&world.api, 2, &resource, "viewer").await;
    let refused = login(&world, 2, &whole).await;
    assert!(refused["message"].as_str().unwrap().contains("role developer"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_adds_the_key_of_somebody_else_takes_nothing_from_them() {
    let world = World::start().await;
    let id = with_key(&world, "shop").await;
    let whole = format!("shop-{}", suffix(&id));
    // First come, with workspaces that have the same names.
    let squatter = user(&world, 2).await;
    add(&squatter, 1).await;
    for name in ["shop", whole.as_str()] {
        let body = json!({ "name": name, "template_id": "tiny" });
        let made = squatter.json("POST", "/workspaces", body).await.expect(201);
        let id = made["vm"]["id"].as_str().unwrap();
        squatter.post(&format!("/workspaces/{id}/start")).await.expect(200);
        world.host.run(id).await;
    }
    add(&world.api, 1).await;
    let entry = login(&world, 1, &whole).await;
    assert_eq!(entry["workspace"], id.as_str(), "an id is nobody's choice");
    let several = login(&world, 1, "shop").await;
    assert!(several["message"].as_str().unwrap().contains("several accounts"), "{several}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_that_does_not_run_says_how_to_start_it() {
    let world = World::start().await;
    add(&world.api, 1).await;
    let id = with_key(&world, "shop").await;
    world.api.post(&format!("/workspaces/{id}/stop")).await.expect(200);
    world.host.stop(&id).await;
    let refused = login(&world, 1, "shop").await;
    assert_eq!(refused["answer"], "refused");
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("stopped") && message.contains("rig workspace start shop"),
        "{message}"
    );
    // Whoever comes while it starts waits for it.
    world.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
    let (entry, ()) = tokio::join!(login(&world, 1, "shop"), world.host.run(&id));
    assert_eq!(entry["answer"], "entry", "{entry}");
    // One that has told no key cannot be known.
    let silent = world.running("silent").await;
    let refused = login(&world, 1, suffix(&silent)).await;
    assert!(refused["message"].as_str().unwrap().contains("has not told its key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_trusts_the_authority_for_its_own_workspace_alone() {
    let world = World::start().await;
    let id = world.running("shop").await;
    let regions = world.api.get("/users/me/regions").await.expect(200);
    let gateway = &regions["ssh"][0];
    assert_eq!(
        (&gateway["region"], &gateway["host"], &gateway["port"]),
        (&json!("here"), &json!("here.rigbox.test"), &json!(2222))
    );
    assert!(gateway["host_key"].as_str().unwrap().starts_with("ssh-ed25519 AAAA"));
    world
        .host
        .knows(|known| {
            let trusts = known.assignments.values().map(|assignment| &assignment.guest.ssh);
            let mut trusts = trusts.flatten();
            trusts.any(|trust| {
                trust.principal == id && trust.authority != gateway["host_key"].as_str().unwrap()
            })
        })
        .await;
}

async fn next(watch: &mut Watch<Value>) -> Value {
    loop {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        if event["event"] != "heartbeat" {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_told_when_to_ask_again_and_what_has_ended() {
    let world = World::start().await;
    let (id, other) = (with_key(&world, "shop").await, world.running("other").await);
    let (first, second) = (add(&world.api, 1).await, add(&world.api, 2).await);
    let mut events = world.host.control.watch("/internal/v1/ssh/events").await.unwrap();
    let settings = next(&mut events).await;
    assert_eq!(settings["host_key"].as_str().unwrap().len(), 64);
    let all = json!({ "event": "look", "account": null, "workspace": null });
    assert_eq!(next(&mut events).await, all);
    let account = login(&world, 1, "shop").await["holder"]["account"].clone();
    let held = |key: &str, workspace: &str| json!({ "holder": { "key": key, "account": account }, "workspace": workspace });
    let sessions = json!([held(&first, &id), held(&second, &id), held(&second, &other)]);
    let goes_on = json!({ "ends": [null, null, null] });
    assert_eq!(ask(&world, "checks", sessions.clone()).await, goes_on);

    world.api.call("DELETE", &format!("/ssh-keys/{first}")).await.expect(200);
    let told = async { while next(&mut events).await["account"] != account {} };
    timeout(PATIENCE, told).await.unwrap();
    let ends = ask(&world, "checks", sessions.clone()).await;
    assert_eq!(ends, json!({ "ends": ["its SSH key was removed", null, null] }));

    world.api.bytes("DELETE", &format!("/workspaces/{id}"), "").await.expect(200);
    let told = async { while next(&mut events).await["workspace"] != id.as_str() {} };
    timeout(PATIENCE, told).await.unwrap();
    let ends = ask(&world, "checks", sessions).await;
    assert_eq!(ends["ends"][1], "the workspace was deleted");
    assert_eq!(ends["ends"][2], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_too_often_is_told_so() {
    let world = World::limited().await;
    let api = user(&world, 2).await;
    add(&api, 2).await;
    // Of a class that fills up again meanwhile: on a busy machine one more passes now and then.
    let mut refused = None;
    for _ in 0..=RateLimits::default().authentication * 10 {
        let answer = login(&world, 2, "rig").await;
        if answer["answer"] == "refused" {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer["answer"], "menu", "{answer}");
    }
    let refused = refused.unwrap();
    assert!(refused["message"].as_str().unwrap().contains("come again in"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwards_are_recorded() {
    let world = World::start().await;
    let id = with_key(&world, "shop").await;
    let key = add(&world.api, 1).await;
    let holder = login(&world, 1, "shop").await["holder"].clone();
    let forwarded = json!([{
        "session": { "holder": holder, "workspace": id },
        "from": "192.0.2.7", "what": "tcp localhost:5432\n",
    }]);
    let path = "/internal/v1/ssh/forwards";
    world.host.control.json::<_, ()>(Method::POST, path, &forwarded).await.unwrap();
    let entry = async {
        loop {
            let audit = world.api.get("/audit?max_results=20").await.expect(200);
            let entries = audit["entries"].as_array().unwrap().clone();
            if let Some(entry) = entries.into_iter().find(|it| it["action"] == "ssh_forward") {
                break entry;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let entry = timeout(PATIENCE, entry).await.unwrap();
    assert_eq!(entry["target"], format!("/workspaces/{id} tcp localhost:5432"));
    assert_eq!(entry["actor"], format!("ssh-key:{key}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_survive_a_restart_and_are_not_readable_in_the_database() {
    let mut world = World::start().await;
    let shown = world.api.get("/users/me/regions").await.expect(200)["ssh"].clone();
    let mut events = world.host.control.watch("/internal/v1/ssh/events").await.unwrap();
    let seed = next(&mut events).await["host_key"].as_str().unwrap().to_owned();
    drop(events);
    let store = Store::open(&world.store, Arc::new(SystemClock)).await.unwrap();
    let kept: Option<String> = store.settings().get("ssh_host_key.here").await.unwrap();
    let kept = String::from_utf8_lossy(&STANDARD.decode(kept.unwrap()).unwrap()).into_owned();
    assert!(!kept.contains(&seed));
    world.stop_control().await;
    world.start_control().await;
    assert_eq!(world.api.get("/users/me/regions").await.expect(200)["ssh"], shown);
}
