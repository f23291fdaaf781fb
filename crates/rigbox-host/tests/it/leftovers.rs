//! What is left of workspaces that no record names, or none that can be read.

use std::fs;

use http::Request;
use http_body_util::BodyExt as _;
use rigbox_fabric::Body;
use rigbox_types::{Desired, Observed};

use crate::world::{World, assignment};

#[tokio::test]
async fn a_corrupt_record_hides_neither_a_vm_nor_a_jail() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted.clone());
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    world.kill().await;
    let dir = world.data().join(format!("host/workspaces/{workspace}"));
    fs::write(dir.join("record.json"), "{ half").unwrap();
    let jails = world.data().join("pool/jail/firecracker");
    let (own, nobodys) = (jails.join(workspace.as_str()), jails.join("ws-zzzzzzz0"));
    for jail in [&own, &nobodys] {
        fs::create_dir_all(jail.join("root")).unwrap();
    }
    wanted.desired = Desired::Stopped;
    let generation = world.control.assign(wanted);
    world.start();
    world.control.wait_for(&workspace, generation, Observed::Stopped).await;
    assert_eq!(world.vms(), 0);
    assert!(!own.exists());
    world.until("the sweeper to remove the other jail", || !nobodys.exists()).await;
    let none = |told: &crate::control::Told| (told.last.as_ref()?.drift == 0).then_some(());
    world.control.wait("no drift", none).await;
    assert_eq!(world.names("pool/workspaces"), [format!("{workspace}.ext4")]);
}

#[tokio::test]
async fn what_a_deleted_workspace_left_is_swept() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    control.wait_for(&workspace, control.assign(wanted.clone()), Observed::Running).await;
    wanted.desired = Desired::Deleted;
    wanted.force = true;
    control.wait_for(&workspace, control.assign(wanted), Observed::Absent).await;
    control.forget(&workspace);
    // As if the forced delete had gone on past a directory that could not be removed.
    let left = world.data().join(format!("run/vm/{workspace}"));
    fs::create_dir(&left).unwrap();
    world.until("the sweeper to remove it", || !left.exists()).await;
    world.assert_clean();
}

#[tokio::test]
async fn a_host_answers_while_what_a_vm_without_a_record_left_is_ended() {
    // No sweep that ends it too.
    let times = "[times]\nsweep_ms = 600000\nreport_ms = 100\nshutdown_ms = 300\npower_ms = 200";
    let mut world = World::new(times).await;
    world.start();
    let control = &world.control;
    control.wait_for_reports(1).await;
    let wanted = assignment(1, Desired::Stopped);
    let workspace = wanted.workspace.clone();
    let dir = world.data().join(format!("host/workspaces/{workspace}"));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("record.json"), "{ half").unwrap();
    // A cgroup with another one in it cannot be removed, which is tried for five seconds.
    let mut roots =
        ["memory", "unified", "."].map(|name| format!("/sys/fs/cgroup/{name}")).into_iter();
    let root = roots.find(|root| fs::exists(format!("{root}/cgroup.procs")).unwrap()).unwrap();
    let inner = format!("{root}/rigbox-{}/{workspace}/inner", world.tag());
    fs::create_dir_all(&inner).unwrap();
    control.assign(wanted);
    let aside = dir.join("record.json.bad");
    world.until("the record to be set aside", || aside.exists()).await;
    let ask = Request::get("/v1/status").body(Body::empty()).unwrap();
    let answer = world.client().request(ask).await.unwrap();
    let status = answer.into_body().collect().await.unwrap().to_bytes();
    let status = String::from_utf8_lossy(&status);
    assert!(status.contains("capacity") && !status.contains(workspace.as_str()), "{status}");
    fs::remove_dir(&inner).unwrap();
    let seen =
        |told: &crate::control::Told| told.observations.contains_key(&workspace).then_some(());
    control.wait("the workspace", seen).await;
}
