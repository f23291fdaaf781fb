//! What hosts ask.

use std::sync::Arc;

use http::Method;
use rigbox_control::SystemClock;
use rigbox_store::Store;
use rigbox_types::{
    Desired, Observed, Revision, WorkspaceId,
    host::{Observation, Sequence},
};
use serde_json::{Value, json};

use crate::{
    host::Host,
    world::{World, internal},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_begins_with_everything_and_goes_on_from_a_revision() {
    let world = World::start().await;
    let known = world.host.knows(|known| known.synced == 1).await;
    assert_eq!((known.resets, known.assignments.len()), (1, 0));
    let id = world.create("a").await;
    let known = world.host.knows(|known| known.assignments.len() == 1).await;
    let revision = known.revision.unwrap();

    // Another reader of the same host that has seen this much gets no reset.
    let later = world.host.clone();
    let mut watch = later
        .control
        .watch::<Value>(&later.path(&format!("/assignments?after={revision}")))
        .await
        .unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap()["event"], "synced");
    world.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!(
        (&event["event"], &event["assignment"]["desired"]),
        (&json!("assigned"), &json!("running"))
    );

    // One that claims to have seen more than there is begins anew.
    let path = world.host.path("/assignments?after=999999");
    let mut watch = world.host.control.watch::<Value>(&path).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap()["event"], "reset");
    assert_eq!(watch.next().await.unwrap().unwrap()["event"], "assigned");
    assert_eq!(watch.next().await.unwrap().unwrap()["event"], "synced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_observation_changes_nothing() {
    let world = World::start().await;
    let id = world.running("a").await;
    let mut old = world.host.observation(&id, Observed::Booting);
    old.sequence = Sequence { incarnation: 0, count: 99_999 };
    world.host.report(vec![old]).await.unwrap();
    assert_eq!(world.status(&id).await, "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_key_that_is_seen_first_stays_whatever_a_guest_says_later() {
    let world = World::start().await;
    let id = world.running("a").await;
    let store = Store::open(&world.store, Arc::new(SystemClock)).await.unwrap();
    let [first, other] = ["Pay", "Pey"].map(|three| {
        format!(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{three}e/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ"
        )
    });
    for key in [&first, &other, &other, &first] {
        let ssh_host_key = Some(key.parse().unwrap());
        let seen = Observation { ssh_host_key, ..world.host.observation(&id, Observed::Running) };
        world.host.report(vec![seen]).await.unwrap();
        let row = store.workspaces().get(&id.parse().unwrap()).await.unwrap();
        assert_eq!(row.ssh_host_key.as_ref(), Some(&first));
    }
    // What is no key is not taken as a report.
    let seen = serde_json::to_value(world.host.observation(&id, Observed::Running)).unwrap();
    let odd = json!({ "promised": { "vcpus": 0, "memory_mib": 0, "disk_mib": 0 }, "drift": 0,
        "observations": [with(seen, "ssh_host_key", "ssh-ed25519 AAAA\nssh-rsa")] });
    let path = world.host.path("/reports");
    let refused = world.host.control.json::<_, ()>(Method::POST, &path, &odd).await.unwrap_err();
    assert!(refused.refusal().unwrap().status.is_client_error(), "{refused}");
    assert_eq!(world.status(&id).await, "running");
}

fn with(mut document: Value, field: &str, value: &str) -> Value {
    document[field] = value.into();
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_reports_only_what_it_has() {
    let world = World::start().await;
    let id = world.running("a").await;
    let other = Host::start(&world.path(), internal(&world.path()), 9, &world.end).await;
    let refused = other.report(Vec::new()).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().status, 404);
    other.register().await;
    other.report(vec![other.observation(&id, Observed::Stopped)]).await.unwrap();
    assert_eq!(world.status(&id).await, "running");
    let many = (0..257).map(|_| world.host.observation(&id, Observed::Running)).collect();
    assert_eq!(world.host.report(many).await.unwrap_err().refusal().unwrap().status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_registers_as_itself() {
    let world = World::start().await;
    let path = "/internal/v1/hosts/host-00000000";
    let registration = &world.host.registration;
    let refused = world.host.control.json::<_, ()>(Method::PUT, path, registration).await;
    assert_eq!(refused.unwrap_err().refusal().unwrap().status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_in_a_workspace_learns_about_that_workspace_only() {
    let world = World::start().await;
    let id = world.running("a").await;
    let other = Host::start(&world.path(), internal(&world.path()), 9, &world.end).await;
    other.register().await;
    let ask = |host: &Host, id: &str, path: &str| {
        let path = host.path(&format!("/guest-api/{id}/{path}"));
        let control = host.control.clone();
        async move { control.get::<Value>(&path).await }
    };
    let whoami = ask(&world.host, &id, "rig/v1/whoami").await.unwrap();
    assert_eq!((&whoami["workspace_id"], &whoami["name"]), (&json!(id), &json!("a")));
    assert_eq!(whoami["api_url"], world.api.base);
    let status = ask(&world.host, &id, "rig/v1/status").await.unwrap();
    assert_eq!(status["status"], "running");
    assert!(status.get("env_vars").is_none());
    let none = ask(&world.host, &id, "rig/v1/apps").await.unwrap();
    assert_eq!(none, json!({ "apps": [], "next_cursor": null }));
    let foreign = world.create("b").await;
    for (name, workspace) in [("one", &id), ("other", &foreign), ("two", &id)] {
        let body = json!({ "name": name, "workspace_id": workspace });
        world.api.json("POST", "/apps", body).await.expect(201);
    }
    let own = ask(&world.host, &id, "rig/v1/apps").await.unwrap();
    let mut listed = world.api.get("/apps").await.expect(200);
    listed["apps"].as_array_mut().unwrap().retain(|app| app["workspace_id"] == id.as_str());
    assert_eq!(own, listed);
    let path = format!("rig/v1/apps?cursor={}", own["apps"][0]["id"].as_str().unwrap());
    assert_eq!(ask(&world.host, &id, &path).await.unwrap()["apps"], json!([own["apps"][1]]));
    for query in ["cursor=app-00000000", "cursor=x", "page=2"] {
        let refused = ask(&world.host, &id, &format!("rig/v1/apps?{query}")).await.unwrap_err();
        assert_eq!(refused.refusal().unwrap().status, 400, "{query}");
    }
    for (host, id, path) in [
        (&other, id.as_str(), "rig/v1/whoami"),
        (&other, id.as_str(), "rig/v1/apps"),
        (&world.host, "ws-00000000", "rig/v1/whoami"),
        (&world.host, "x", "rig/v1/whoami"),
        (&world.host, id.as_str(), "rig/v1/secrets"),
        (&world.host, id.as_str(), "v1/messages"),
    ] {
        let refused = ask(host, id, path).await.unwrap_err();
        assert_eq!(refused.refusal().unwrap().status, 404, "{id} {path}");
    }
    let path = world.host.path(&format!("/guest-api/{id}/rig/v1/whoami"));
    let refused = world.host.control.json::<_, Value>(Method::POST, &path, &()).await;
    assert_eq!(refused.unwrap_err().refusal().unwrap().status, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_internal_api_is_not_on_the_public_listener() {
    let world = World::start().await;
    for path in ["", "/assignments", "/reports", "/guest-api/ws-00000000/rig/v1/whoami"] {
        let path = format!("/api/../internal/v1/hosts/{}{path}", world.host.id);
        world.api.get(&path).await.refused(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_is_told() {
    let world = World::start().await;
    let id = world.create("a").await;
    world.api.call("DELETE", &format!("/workspaces/{id}")).await.expect(200);
    let assignment = world.host.assigned(&id, Desired::Deleted).await;
    assert!(!assignment.force);
    world.host.remove(&id).await;
    let id: WorkspaceId = id.parse().unwrap();
    let known = world.host.knows(|known| known.removed.contains(&id)).await;
    assert!(known.revision > Some(Revision(0)));
}
