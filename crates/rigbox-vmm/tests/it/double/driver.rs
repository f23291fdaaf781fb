//! The suite, and what only Firecracker does.

use std::{fs, time::Duration};

use rigbox_types::host::DriverName;
use rigbox_vmm::{IoLimits, VmmError};
use tokio::time::{Instant, timeout};

use super::fixture_with;
use crate::{
    cases::{self, Fixture},
    guest::{Guest, PATIENCE},
};

async fn fixture() -> Fixture {
    fixture_with("").await
}

async fn always() -> Option<Fixture> {
    Some(fixture().await)
}

cases::suite!(always);

#[tokio::test]
async fn the_probe_boots_a_guest_and_chooses_firecracker() {
    let fixture = fixture().await;
    assert_eq!(fixture.vmm.name(), DriverName::Firecracker);
}

#[tokio::test]
async fn a_guest_that_is_powered_off_never_ends_and_is_killed() {
    let fixture = fixture().await;
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    guest.say("poweroff").await;
    assert!(timeout(Duration::from_millis(500), vm.wait_exit()).await.is_err());
    // Nobody is left in the guest to hear it.
    fixture.vmm.request_shutdown(&vm).await.unwrap();
    assert!(timeout(Duration::from_millis(500), vm.wait_exit()).await.is_err());
    fixture.vmm.kill(&vm).await.unwrap();
    assert!(!vm.process.is_alive());
}

#[tokio::test]
async fn a_shutdown_is_orderly_and_ends_the_process() {
    let fixture = fixture().await;
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    fixture.vmm.request_shutdown(&vm).await.unwrap();
    timeout(PATIENCE, vm.wait_exit()).await.unwrap().unwrap();
    let error = fixture.vmm.request_shutdown(&vm).await.unwrap_err();
    assert!(matches!(error, VmmError::Gone { .. }), "{error:?}");
}

#[tokio::test]
async fn a_guest_that_never_runs_is_seen_to_end() {
    // KVM that opens but does not work: started, running, silent, and then exit code 0.
    let fixture = fixture_with("runs=no\nend_ms=700\n").await;
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    timeout(PATIENCE, vm.wait_exit()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_during_a_snapshot_waits_for_it() {
    let fixture = fixture_with("snapshot_ms=1500\n").await;
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    fixture.vmm.pause(&vm).await.unwrap();
    let paths = cases::snapshot_paths(&fixture);
    let begin = Instant::now();
    let (taken, resumed) = tokio::join!(fixture.vmm.snapshot(&vm, &paths), async {
        // After the snapshot's call, which it must not disturb.
        tokio::time::sleep(Duration::from_millis(300)).await;
        fixture.vmm.resume(&vm).await
    });
    taken.unwrap();
    resumed.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(1500));
    fixture.vmm.kill(&vm).await.unwrap();
}

#[tokio::test]
async fn what_a_dead_jail_left_is_no_obstacle() {
    let fixture = fixture().await;
    let id = fixture.world.spec.workspace.as_str();
    let root = fixture.world.dir.join("jail/firecracker").join(id).join("root");
    fs::create_dir_all(root.join("dev/net")).unwrap();
    fs::create_dir_all(root.join("run")).unwrap();
    for path in ["dev/net/tun", "firecracker.pid", "run/api.sock", "run/agent.sock", "kernel"] {
        fs::write(root.join(path), "left behind").unwrap();
    }
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    let mut guest = Guest::connect(&vm.channel).await;
    assert_eq!(guest.ask("hello").await, "echo hello");
    fixture.vmm.kill(&vm).await.unwrap();
}

#[tokio::test]
async fn a_disk_of_another_user_is_refused_in_firecrackers_words() {
    let fixture = fixture().await;
    std::os::unix::fs::chown(&fixture.world.spec.root_disk, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(
        &fixture.world.spec.root_disk,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let error = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
}

#[tokio::test]
async fn limits_reach_firecracker() {
    let mut fixture = fixture().await;
    fixture.world.spec.limits =
        IoLimits { disk_bps: Some(1_000_000), disk_iops: Some(100), net_bps: Some(2_000_000) };
    let vm = fixture.vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap();
    let rigbox_vmm::AgentChannel::Vsock { uds } = &vm.channel else { panic!("{:?}", vm.channel) };
    let config = super::raw::call(&uds.with_file_name("api.sock"), "GET", "/vm/config", "").await;
    let config = config.body;
    for expected in [
        r#""ops":{"one_time_burst":null,"refill_time":1000,"size":100}"#,
        r#""bandwidth":{"one_time_burst":null,"refill_time":1000,"size":1000000}"#,
        r#""bandwidth":{"one_time_burst":null,"refill_time":1000,"size":2000000}"#,
        r#""cache_type":"Writeback""#,
    ] {
        assert!(config.contains(expected), "{expected} in {config}");
    }
    fixture.vmm.kill(&vm).await.unwrap();
}

#[tokio::test]
async fn a_jail_whose_socket_has_no_address_is_refused_before_anything_starts() {
    let fixture = fixture().await;
    let long = fixture.world.dir.join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let config = rigbox_vmm::DriverConfig { jail_dir: long, ..super::config(&fixture.world) };
    let report = rigbox_vmm::probe(&config).await;
    let vmm = rigbox_vmm::driver(&config, &report).unwrap();
    let error = vmm.boot(&fixture.world.spec, &fixture.world.gate).await.unwrap_err();
    assert!(matches!(error, VmmError::InvalidSpec { .. }), "{error:?}");
    assert!(fixture.world.gate.admitted.lock().unwrap().is_empty());
}
