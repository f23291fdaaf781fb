//! The audit record.

use std::fs;

use rigbox_control::{AuditRecord, Verdict};
use serde_json::{Value, json};

use crate::world::World;

fn entries(answer: &Value, action: &str) -> Vec<Value> {
    let all = answer["entries"].as_array().unwrap();
    all.iter().filter(|entry| entry["action"] == action).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_recorded_before_and_after_and_a_look_is_not() {
    let mut world = World::start().await;
    let body = json!({ "name": "a", "template_id": "tiny", "env_vars": { "TOKEN": "s3cret" } });
    let made = world.api.json("POST", "/workspaces", body).await;
    let request_id = made.headers["x-request-id"].to_str().unwrap().to_owned();
    let id = crate::world::id(&made.expect(201));
    world.api.get(&format!("/workspaces/{id}")).await.expect(200);
    world.api.post("/workspaces/ws-00000000/stop").await.refused(404, "not_found");
    // Answers are recorded behind their requests: all of them once control has ended.
    world.stop_control().await;
    world.start_control().await;

    let record = world.api.get("/audit").await.expect(200);
    let made = entries(&record, "workspace_create");
    let [completed, received] = &made[..] else { panic!("{record}") };
    assert_eq!(received["stage"], "received");
    assert_eq!(received["status"], Value::Null);
    assert_eq!(completed["stage"], "completed");
    assert_eq!(completed["status"], 201);
    assert_eq!(received["target"], "/api/v1/workspaces");
    // What was made is named once it is there.
    assert_eq!(completed["target"], format!("/api/v1/workspaces/{id}"));
    for entry in [received, completed] {
        assert_eq!(entry["request_id"], request_id);
        assert_eq!(entry["address"], "127.0.0.1");
        assert!(entry["actor"].as_str().unwrap().starts_with("key:"), "{entry}");
        assert!(entry["account"].is_string(), "{entry}");
    }
    assert_eq!(entries(&record, "workspace_show"), [] as [Value; 0]);
    assert_eq!(entries(&record, "workspace_stop")[0]["code"], "not_found");
    assert!(!record.to_string().contains("s3cret"), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_recorded_and_sees_nothing() {
    let mut world = World::without_host().await;
    world.api.stranger().get("/audit").await.refused(401, "unauthenticated");
    world.api.stranger().get("/workspaces?token=s3cret").await.refused(401, "unauthenticated");
    world.stop_control().await;
    world.start_control().await;
    let record = world.api.get("/audit").await.expect(200);
    for action in ["audit_list", "workspace_list"] {
        let [entry] = &entries(&record, action)[..] else { panic!("{record}") };
        assert_eq!(entry["actor"], "anonymous");
        assert_eq!(entry["account"], Value::Null);
        assert_eq!(entry["status"], 401);
    }
    assert!(!record.to_string().contains("s3cret"), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_verified_beside_a_running_control() {
    let world = World::start().await;
    let path = world.path();
    let store = format!("sqlite:{}", path.join("rigbox.db")).parse().unwrap();
    for name in ["a", "b"] {
        world.create(name).await;
    }
    let record = AuditRecord::open(&store, &path.join("secrets")).await.unwrap();
    let verdict = record.verify(None).await.unwrap();
    let Verdict::Whole { entries, last_seq, last_hash } = verdict else { panic!("{verdict:?}") };
    assert!(entries >= 2, "{entries}");
    let exported = record.after(last_seq - 1).await.unwrap();
    assert_eq!(exported[0].hash, last_hash);
    let elsewhere = AuditRecord::open(&store, &path).await.err().unwrap();
    assert!(elsewhere.to_string().contains("audit.key"), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_only_write_to_the_database_takes_no_newest_entries_away_unseen() {
    let mut world = World::start().await;
    for name in ["a", "b"] {
        world.create(name).await;
    }
    world.stop_control().await;
    let path = world.path();
    let store = format!("sqlite:{}", path.join("rigbox.db")).parse().unwrap();
    let record = AuditRecord::open(&store, &path.join("secrets")).await.unwrap();
    let verdict = record.verify(None).await.unwrap();
    let Verdict::Whole { last_seq, last_hash, .. } = verdict else { panic!("{verdict:?}") };
    let head = path.join("secrets/audit.head");
    assert_eq!(fs::read_to_string(&head).unwrap().trim(), format!("{last_seq}:{last_hash}"));
    // As if there had been one more: the chain that is left is whole, and yet too short.
    fs::write(&head, format!("{}:{last_hash}\n", last_seq + 1)).unwrap();
    let verdict = record.verify(None).await.unwrap();
    assert!(matches!(verdict, Verdict::Broken { at_seq, .. } if at_seq == last_seq), "{verdict:?}");
}
