//! Documents about the account and the installation.

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_account_reads_its_limits_regions_and_dashboard() {
    let world = World::start().await;
    world.running("a").await;
    let limits = world.api.get("/users/me/limits").await.expect(200);
    assert_eq!(limits["plan"], "operator");
    assert_eq!(limits["limits"]["max_ram_total_mb"], 4096);
    assert_eq!(limits["limits"]["max_disk_total_mb"], 40960);
    assert_eq!(limits["limits"]["max_running_vcpus"], 64);
    assert_eq!(limits["limits"]["max_vcpu_per_vm"], 32);
    let usage = json!({
        "workspace_count": 1, "running_vcpus": 1, "total_disk_mb": 512, "total_ram_mb": 128,
        "ssh_key_count": 0, "app_count": 0, "snapshot_count": 0, "ai_credits_used": 0,
    });
    assert_eq!(limits["usage"], usage);
    let regions = world.api.get("/users/me/regions").await.expect(200);
    assert_eq!(regions["regions"], json!(["here"]));
    assert_eq!(regions["ssh"][0]["region"], "here");
    let flags = world.api.get("/feature-flags").await.expect(200);
    assert_eq!(
        (&flags["flags"]["ai"], &flags["flags"]["snapshots"]),
        (&json!(true), &json!(false))
    );
    let dashboard = world.api.get("/dashboard").await.expect(200);
    assert_eq!(dashboard["workspaces"][0]["name"], "a");
    assert_eq!(dashboard["limits"], limits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anyone_reads_templates_and_capacity() {
    let mut world = World::start().await;
    let stranger = world.api.stranger();
    let templates = stranger.get("/templates").await.expect(200);
    assert_eq!(templates["templates"][0]["id"], "base");
    for template in templates["templates"].as_array().unwrap() {
        for source in template["default_log_sources"].as_array().unwrap() {
            let kind = source["source_type"].as_str().unwrap();
            assert!(
                ["systemd_unit", "docker_container", "file_path"].contains(&kind),
                "{template}"
            );
        }
    }
    let capacity = stranger.get("/capacity").await.expect(200);
    // 4096 MiB of memory in slots of 512.
    assert_eq!(capacity, json!({ "available": 8, "total": 8, "used": 0 }));
    world.host.registration.capacity.vcpus = 3;
    world.host.register().await;
    let capacity = stranger.get("/capacity").await.expect(200);
    assert_eq!(capacity["available"], 3);
    let limits = world.api.get("/users/me/limits").await.expect(200);
    assert_eq!(limits["limits"]["max_vcpu_per_vm"], 3);
    let large = json!({ "name": "b", "vcpu_count": 4 });
    let refused = world.api.json("POST", "/workspaces", large).await;
    assert_eq!(refused.refused(503, "capacity_exhausted")["details"]["short"], "vcpus");
    world.create("a").await;
    let capacity = stranger.get("/capacity").await.expect(200);
    assert_eq!(capacity["used"], 1);
}
