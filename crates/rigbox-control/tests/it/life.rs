//! The life of a workspace, as documented: what each request answers, and which status follows.

use rigbox_types::{Desired, Failure, Observed, Timestamp, failure::FailureCode};
use serde_json::json;

use crate::world::{World, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_is_created_started_stopped_and_deleted() {
    let world = World::start().await;
    let body = json!({ "name": "hello", "env_vars": { "A": "b" } });
    let made = world.api.json("POST", "/workspaces", body).await.expect(201);
    let vm = &made["vm"];
    assert_eq!(vm["status"], "provisioned");
    assert_eq!(vm["template_id"], "base");
    assert_eq!((&vm["image"], &vm["ram_mb"]), (&json!("base"), &json!(512)));
    assert_eq!((&vm["vcpu_count"], &vm["region"]), (&json!(1), &json!("here")));
    assert_eq!(vm["env_vars"], json!({ "A": "b" }));
    assert_eq!(vm["node_id"], world.host.id.as_str());
    let user = format!("hello-{}", &vm["id"].as_str().unwrap()["ws-".len()..]);
    let ssh = json!({ "user": user, "host": "here.rigbox.test", "port": 2222, "enabled": true });
    assert_eq!(vm["ssh"], ssh);
    assert_eq!(made["failure"], json!(null));
    let id = id(&made);
    assert!(id.starts_with("ws-") && id.len() == 11, "{id}");
    let path = format!("/workspaces/{id}");

    let started = world.api.post(&format!("{path}/start")).await.expect(200);
    assert_eq!(started["vm"]["status"], "provisioning");
    assert_eq!(started["vm"]["creation_attempts"], 1);
    let assignment = world.host.assigned(&id, Desired::Running).await;
    assert_eq!(assignment.guest.env["A"], "b");
    assert_eq!(assignment.resources.memory_mib, 512);
    for (observed, status) in [
        (Observed::Preparing, "provisioning"),
        (Observed::Booting, "starting"),
        (Observed::Running, "running"),
    ] {
        world.host.see(&id, observed).await;
        assert_eq!(world.status(&id).await, status);
    }

    let stopped = world.api.post(&format!("{path}/stop")).await.expect(200);
    assert_eq!(stopped["vm"]["status"], "stopping");
    world.host.stop(&id).await;
    assert_eq!(world.status(&id).await, "stopped");

    let again = world.api.post(&format!("{path}/start")).await.expect(200);
    assert_eq!(again["vm"]["status"], "starting");
    world.host.run(&id).await;

    let deleted = world.api.call("DELETE", &path).await.expect(200);
    assert!(deleted["message"].is_string());
    assert_eq!(world.status(&id).await, "deleting");
    world.host.remove(&id).await;
    world.api.get(&path).await.refused(404, "not_found");
    world.host.knows(|known| known.assignments.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_fit_the_status_is_refused_with_what_would() {
    let world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}");
    let refused = world.api.post(&format!("{path}/stop")).await.refused(400, "invalid_state");
    assert_eq!(refused["details"]["status"], "provisioned");
    assert_eq!(refused["details"]["allowed"][2], "running");
    world.api.post(&format!("{path}/restart")).await.refused(400, "invalid_state");
    world.api.post(&format!("{path}/cancel")).await.refused(409, "invalid_state");
    world.api.post(&format!("{path}/retry")).await.refused(409, "invalid_state");

    world.api.post(&format!("{path}/start")).await.expect(200);
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    let resources = format!("{path}/resources");
    let resize = world.api.json("PUT", &resources, json!({ "ram_mb": 256 }));
    resize.await.refused(400, "invalid_state");
    world.api.call("DELETE", &path).await.refused(400, "invalid_state");
    world.host.run(&id).await;
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    world.api.post(&format!("{path}/cancel")).await.refused(409, "invalid_state");

    world.api.post(&format!("{path}/stop")).await.expect(200);
    world.api.post(&format!("{path}/stop")).await.refused(400, "invalid_state");
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    world.api.call("DELETE", &format!("{path}?force=true")).await.expect(200);
    // A repeat of what is under way is no mistake, anything else is.
    world.api.call("DELETE", &path).await.expect(200);
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    let env = format!("{path}/env");
    let env = world.api.json("POST", &env, json!({ "env_vars": {} }));
    env.await.refused(400, "invalid_state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_can_be_cancelled_until_the_guest_is_ready() {
    let world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}");
    world.api.post(&format!("{path}/start")).await.expect(200);
    world.host.assigned(&id, Desired::Running).await;
    world.host.see(&id, Observed::Booting).await;
    let cancelled = world.api.post(&format!("{path}/cancel")).await.expect(200);
    assert_eq!(cancelled["vm"]["status"], "stopping");
    world.host.stop(&id).await;
    assert_eq!(world.status(&id).await, "stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_running_again_only_when_the_host_says_so() {
    let world = World::start().await;
    let id = world.running("a").await;
    let path = format!("/workspaces/{id}");
    let restarted = world.api.post(&format!("{path}/restart")).await.expect(200);
    assert_eq!(restarted["vm"]["status"], "starting");
    let wanted = restarted["vm"]["generation"].as_u64().unwrap();
    world
        .host
        .knows(|known| known.assignments.values().any(|a| a.restart_generation.0 == wanted))
        .await;
    world.host.see(&id, Observed::Running).await;
    assert_eq!(world.status(&id).await, "running");
}

fn failure(retryable: bool) -> Failure {
    Failure {
        code: FailureCode::DiskFull,
        message: "the host's storage is full".to_owned(),
        retryable,
        attempts: 3,
        occurred_at: Timestamp::from_micros(5),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_shown_and_can_be_retried_if_it_says_so() {
    let world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}");
    world.api.post(&format!("{path}/start")).await.expect(200);
    world.host.assigned(&id, Desired::Running).await;
    world.host.fail(&id, failure(false)).await;
    let shown = world.api.get(&path).await.expect(200);
    assert_eq!(shown["vm"]["status"], "failed");
    assert_eq!(shown["failure"]["code"], "disk_full");
    assert_eq!(shown["failure"]["attempts"], 3);
    assert_eq!(shown["vm"]["failure_code"], "disk_full");
    assert_eq!(shown["vm"]["failure_reason"], "the host's storage is full");
    world.api.post(&format!("{path}/retry")).await.refused(409, "invalid_state");

    world.host.fail(&id, failure(true)).await;
    let retried = world.api.post(&format!("{path}/retry")).await.expect(200);
    assert_ne!(retried["vm"]["status"], "failed");
    assert_eq!(retried["failure"], json!(null));
    let wanted = retried["vm"]["generation"].as_u64().unwrap();
    world
        .host
        .knows(|known| known.assignments.values().any(|a| a.retry_generation.0 == wanted))
        .await;
    world.host.run(&id).await;
    assert_eq!(world.status(&id).await, "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_workspace_can_be_stopped_started_and_deleted() {
    let world = World::start().await;
    let id = world.running("a").await;
    let path = format!("/workspaces/{id}");
    world.host.fail(&id, failure(false)).await;
    assert_eq!(world.status(&id).await, "failed");
    world.api.post(&format!("{path}/stop")).await.expect(200);
    world.host.stop(&id).await;
    world.host.fail(&id, failure(false)).await;
    world.api.post(&format!("{path}/start")).await.expect(200);
    world.host.assigned(&id, Desired::Running).await;
    world.host.fail(&id, failure(true)).await;
    world.api.call("DELETE", &path).await.expect(200);
    // The removal fails too: there is no way back, only on.
    world.host.assigned(&id, Desired::Deleted).await;
    world.host.fail(&id, failure(true)).await;
    assert_eq!(world.status(&id).await, "failed");
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    world.api.post(&format!("{path}/retry")).await.expect(200);
    world.host.assigned(&id, Desired::Deleted).await;
    let before = world.api.get(&path).await.expect(200)["vm"]["generation"].as_u64().unwrap();
    world.host.knows(|known| known.assignments.values().any(|a| a.generation.0 == before)).await;
    world.host.fail(&id, failure(true)).await;
    assert_eq!(world.status(&id).await, "failed");
    // To ask for it once more is to try once more.
    world.api.call("DELETE", &path).await.expect(200);
    assert_eq!(world.status(&id).await, "deleting");
    world
        .host
        .knows(|known| known.assignments.values().any(|a| a.retry_generation.0 > before))
        .await;
    world.host.remove(&id).await;
    world.api.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_reaches_a_running_guest_without_a_restart() {
    let world = World::start().await;
    let id = world.running("a").await;
    let body = json!({ "env_vars": { "KEY": "v 1\nv2" } });
    world.api.json("POST", &format!("/workspaces/{id}/env"), body).await.expect(200);
    // The host has not answered yet, but nothing about the VM has changed.
    assert_eq!(world.status(&id).await, "running");
    world
        .host
        .knows(|known| known.assignments.values().any(|a| a.guest.env.contains_key("KEY")))
        .await;
    let shown = world.api.get(&format!("/workspaces/{id}")).await.expect(200);
    assert_eq!(shown["vm"]["env_vars"], json!({ "KEY": "v 1\nv2" }));
    let list = world.api.get("/workspaces").await.expect(200);
    assert!(list["vms"][0].get("env_vars").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_workspace_changes_its_size_and_its_disk_only_grows() {
    let world = World::start().await;
    let id = world.create("a").await;
    let path = format!("/workspaces/{id}/resources");
    let put = |body| world.api.json("PUT", &path, body);
    let resized = put(json!({ "ram_mb": 1024, "disk_size_mb": 2048 })).await.expect(200);
    assert_eq!(resized["vm"]["ram_mb"], 1024);
    assert_eq!(resized["vm"]["vcpu_count"], 1);
    let same = put(json!({})).await.expect(200);
    assert_eq!(same["vm"]["generation"], resized["vm"]["generation"]);
    let refused = put(json!({ "disk_size_mb": 1024 })).await.refused(400, "invalid_request");
    assert_eq!(refused["details"]["field"], "disk_size_mb");
    put(json!({ "ram_mb": 1 })).await.refused(400, "invalid_request");
    put(json!({ "vcpu_count": 0 })).await.refused(400, "invalid_request");
    put(json!({ "vcpu_count": 33 })).await.refused(400, "invalid_request");
    let full = put(json!({ "disk_size_mb": 1_000_000 })).await.refused(503, "capacity_exhausted");
    assert!(full["details"]["retry_after_s"].is_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_right_after_a_start_is_under_way_until_the_host_has_answered_it() {
    let world = World::without_host().await;
    world.host.register().await;
    // No host has looked at it, and nothing was asked for.
    let id = world.create("a").await;
    assert_eq!(world.status(&id).await, "provisioned");
    let path = format!("/workspaces/{id}");
    world.api.post(&format!("{path}/start")).await.expect(200);
    let cancelled = world.api.post(&format!("{path}/cancel")).await.expect(200);
    assert_eq!(cancelled["vm"]["status"], "stopping");
    world.api.post(&format!("{path}/start")).await.refused(400, "invalid_state");
    world.host.watch(None, &world.end);
    let wanted = cancelled["vm"]["generation"].as_u64().unwrap();
    world.host.knows(|known| known.assignments.values().any(|a| a.generation.0 == wanted)).await;
    world.host.see(&id, Observed::Absent).await;
    assert_eq!(world.status(&id).await, "provisioned");

    world.api.post(&format!("{path}/start")).await.expect(200);
    world.host.run(&id).await;
    world.api.post(&format!("{path}/stop")).await.expect(200);
    world.host.stop(&id).await;
    world.api.post(&format!("{path}/start")).await.expect(200);
    let stopped = world.api.post(&format!("{path}/stop")).await.expect(200);
    assert_eq!(stopped["vm"]["status"], "stopping");
    // Whoever does not want to wait for a host that is gone says so.
    world.api.call("DELETE", &path).await.refused(400, "invalid_state");
    world.api.call("DELETE", &format!("{path}?force=true")).await.expect(200);
}
