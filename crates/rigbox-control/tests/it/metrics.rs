//! What a workspace used over time, and how its setup scripts went.

use std::time::Duration;

use rigbox_types::{Observed, SetupScriptId, Timestamp, host::SetupResult};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{client::PATIENCE, world::World};

/// The series of a workspace, once it has been measured.
async fn measured(world: &World, id: &str) -> Value {
    let path = format!("/workspaces/{id}/metrics/series");
    let asked = async {
        loop {
            let series = world.api.get(&path).await.expect(200);
            if series["series"]["cpu_percent"].as_array().is_some_and(|points| !points.is_empty()) {
                return series;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("it is measured soon")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_is_measured_as_soon_as_it_runs() {
    let world = World::start().await;
    let id = world.running("a").await;
    let series = measured(&world, &id).await;
    assert_eq!(series["workspace_id"], id);
    assert_eq!(series["node_id"], world.host.id.as_str());
    assert_eq!((&series["range"], &series["step_seconds"]), (&json!("1h"), &json!(60)));
    let guest = json!({ "cpu": "guest", "memory": "guest", "disk": "guest", "network": "guest" });
    assert_eq!(series["source"], guest);
    let point = &series["series"]["cpu_percent"][0];
    assert_eq!(point["v"], 100.0);
    assert_eq!(point["t"].as_i64().map(|t| t % 60), Some(0));
    assert_eq!(series["series"]["memory_limit_mb"][0]["v"], 512.0);
    // One sample is no difference.
    assert_eq!(series["series"]["network_rx_bps"], json!([]));

    let path = format!("/workspaces/{id}/metrics/summary?range=7d");
    let summary = world.api.get(&path).await.expect(200);
    assert_eq!((&summary["range"], &summary["guest_metrics_fresh"]), (&json!("7d"), &json!(true)));
    assert_eq!(
        (&summary["cpu_avg_percent"], &summary["cpu_p95_percent"]),
        (&json!(100.0), &json!(100.0))
    );
    assert_eq!(
        (&summary["memory_used_mb"], &summary["disk_used_mb"]),
        (&json!(100.0), &json!(1024.0))
    );
    assert_eq!(
        (&summary["network_rx_bytes"], &summary["network_tx_bytes"]),
        (&json!(0.0), &json!(0.0))
    );
    assert!(summary["updated_at"].is_string());

    // What was measured can be read later too.
    world.api.post(&format!("/workspaces/{id}/stop")).await.expect(200);
    world.host.stop(&id).await;
    let summary = world.api.get(&path).await.expect(200);
    assert_eq!(summary["guest_metrics_fresh"], false);
    for range in ["2h", "", "1H"] {
        let path = format!("/workspaces/{id}/metrics/series?range={range}");
        world.api.get(&path).await.refused(400, "invalid_request");
    }
    world.api.get("/workspaces/ws-aaaaaaaa/metrics/summary").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_hangs_holds_up_no_other() {
    let world = World::start().await;
    for n in 0..4 {
        let id = world.create(&format!("hung-{n}")).await;
        world.host.agent.hung.lock().unwrap().push(id.clone());
        world.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
        world.host.run(&id).await;
    }
    let id = world.running("lively").await;
    // Less than a guest may take.
    timeout(Duration::from_secs(8), measured(&world, &id)).await.expect("it is measured at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_the_run_of_a_setup_script() {
    let world = World::start().await;
    let id = world.running("a").await;
    let job = |n: u8| SetupScriptId::from_random([n; 16]);
    let run = |n: u8, exit_code, finished_at| SetupResult {
        id: job(n),
        name: "s".to_owned(),
        exit_code,
        output_tail: "out".to_owned(),
        finished_at,
    };
    let ended = Some(Timestamp::from_micros(5));
    let mut seen = world.host.observation(&id, Observed::Running);
    seen.setup = vec![run(1, Some(0), ended), run(2, Some(3), ended), run(3, None, None)];
    world.host.report(vec![seen]).await.unwrap();
    for (n, status, exit_code) in
        [(1, "completed", json!(0)), (2, "failed", json!(3)), (3, "running", Value::Null)]
    {
        let path = format!("/workspaces/{id}/jobs/{}", job(n));
        let shown = world.api.get(&path).await.expect(200);
        let expected = json!({
            "status": status, "exit_code": exit_code, "stdout": "out", "stderr": null,
            "app_status": null,
        });
        assert_eq!(shown, expected);
    }
    for other in [job(4).to_string(), "x".to_owned()] {
        world.api.get(&format!("/workspaces/{id}/jobs/{other}")).await.refused(404, "not_found");
    }
}
