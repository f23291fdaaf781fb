//! Control can go away and come back: nothing that was answered is lost, streams end cleanly.

use rigbox_types::Observed;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_a_restart() {
    let mut world = World::start().await;
    let id = world.running("a").await;
    let key = world.api.key.clone();
    world.stop_control().await;
    world.start_control().await;
    assert_eq!(world.status(&id).await, "running");
    assert_eq!(world.api.key, key);
    // The host comes back by itself and goes on where it was.
    world.api.post(&format!("/workspaces/{id}/stop")).await.expect(200);
    world.host.stop(&id).await;
    assert_eq!(world.status(&id).await, "stopped");
    let known = world.host.known.borrow().clone();
    assert_eq!(known.resets, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_changes_are_told_as_events_until_the_workspace_is_gone() {
    let world = World::start().await;
    let id = world.create("a").await;
    let mut events = world.api.events(&format!("/workspaces/{id}/events"), None).await;
    let mut statuses = vec![events.next().await.unwrap().data["status"].clone()];
    world.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
    statuses.push(events.next().await.unwrap().data["status"].clone());
    world.host.run(&id).await;
    while statuses.last() != Some(&json!("running")) {
        statuses.push(events.next().await.unwrap().data["status"].clone());
    }
    assert_eq!(statuses.first(), Some(&json!("provisioned")));
    assert!(statuses.contains(&json!("provisioning")), "{statuses:?}");
    // An observation that changes nothing tells nothing.
    world.host.see(&id, Observed::Running).await;
    world.api.call("DELETE", &format!("/workspaces/{id}")).await.expect(200);
    let deleting = events.next().await.unwrap();
    assert_eq!(deleting.data["status"], "deleting");
    world.host.remove(&id).await;
    let last = events.next().await.unwrap();
    assert_eq!((last.kind.as_str(), &last.data["id"]), ("deleted", &json!(id)));
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_control_does() {
    let mut world = World::start().await;
    let id = world.running("a").await;
    let mut status = world.api.events(&format!("/workspaces/{id}/events"), None).await;
    let mut logs = world.api.events(&format!("/workspaces/{id}/logs/stream"), None).await;
    status.next().await.unwrap();
    logs.next().await.unwrap();
    world.stop_control().await;
    assert_eq!(status.next().await, None);
    while logs.next().await.is_some() {}
}
