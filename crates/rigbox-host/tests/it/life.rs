//! What a workspace goes through when nothing goes wrong.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use rigbox_fabric::Body;
use rigbox_types::{Desired, Observed, host::Observation};

use crate::{
    guest::{DEAF, HOST_KEY, LATE_HOST_KEY, SLOW},
    world::{World, assignment},
};

#[tokio::test]
async fn a_workspace_is_created_stopped_started_and_deleted() {
    let mut world = World::new("[disk]\npool_gib = 1").await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    let seen =
        control.wait_for(&workspace, control.assign(wanted.clone()), Observed::Running).await;
    assert!(seen.ready_at.is_some() && seen.failure.is_none());
    let promised = control.told().last.unwrap().promised;
    assert_eq!((promised.vcpus, promised.disk_mib), (1, 12));

    wanted.desired = Desired::Stopped;
    control.wait_for(&workspace, control.assign(wanted.clone()), Observed::Stopped).await;
    assert_eq!(world.pid(&workspace), None);
    control.wait("release", |told| (told.last.as_ref()?.promised.vcpus == 0).then_some(())).await;

    wanted.desired = Desired::Running;
    wanted.resources.disk_mib = 20;
    control.wait_for(&workspace, control.assign(wanted.clone()), Observed::Running).await;
    let disk = world.data().join(format!("pool/workspaces/{workspace}.ext4"));
    assert_eq!(std::fs::metadata(disk).unwrap().len(), 20 << 20);

    wanted.desired = Desired::Deleted;
    control.wait_for(&workspace, control.assign(wanted), Observed::Absent).await;
    world.assert_clean();
    control.wait_for_reports(3).await;
    assert_eq!(control.told().most_drift, 0);
    world.kill().await;
    world.down();
    world.down();
}

#[tokio::test]
async fn what_a_guest_says_that_it_is_known_by_is_reported_and_outlives_the_agent() {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";
    let mut world = World::quick().await;
    world.start();
    for (n, name) in [(1, HOST_KEY), (2, LATE_HOST_KEY)] {
        let mut wanted = assignment(n, Desired::Running);
        wanted.guest.env.insert(name.to_owned(), KEY.to_owned());
        let workspace = wanted.workspace.clone();
        world.control.assign(wanted.clone());
        let said = |of: &Observation| of.ssh_host_key.as_ref().is_some_and(|k| k.as_str() == KEY);
        world
            .control
            .wait("the host key", |told| {
                told.observations.get(&workspace).filter(|o| said(o)).map(drop)
            })
            .await;
        // What is no key takes nothing back, and the guest may say nothing else any more.
        wanted.guest.env.insert(name.to_owned(), "x".repeat(100_000));
        let generation = world.control.assign(wanted.clone());
        let before = world.control.wait_for(&workspace, generation, Observed::Running).await;
        world.kill().await;
        world.start();
        let again = world.control.wait("the next agent", |told| {
            let seen = told.observations.get(&workspace)?;
            (seen.sequence.incarnation > before.sequence.incarnation).then(|| seen.clone())
        });
        assert!(said(&again.await));
        wanted.desired = Desired::Stopped;
        let generation = world.control.assign(wanted);
        let stopped = world.control.wait_for(&workspace, generation, Observed::Stopped).await;
        assert_eq!(stopped.ssh_host_key, None, "nobody says it any more");
    }
}

#[tokio::test]
async fn a_restart_brings_another_vm_and_a_change_of_environment_does_not() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    let first = control.assign(wanted.clone());
    control.wait_for(&workspace, first, Observed::Running).await;
    let pid = world.pid(&workspace).unwrap();

    wanted.guest.env.insert("COLOUR".to_owned(), "blue".to_owned());
    wanted.guest.env.insert(SLOW.to_owned(), "500".to_owned());
    let second = control.assign(wanted.clone());
    control.wait_for(&workspace, second, Observed::Running).await;
    // Whoever waits for the generation finds in the guest what it brought.
    let console = world.data().join(format!("host/workspaces/{workspace}/console.log"));
    assert!(std::fs::read_to_string(&console).unwrap().contains("blue"));
    assert_eq!(world.pid(&workspace), Some(pid));

    wanted.restart_generation = second.next();
    let third = control.assign(wanted);
    control.wait_for(&workspace, third, Observed::Running).await;
    assert_ne!(world.pid(&workspace), Some(pid));
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_ended_all_the_same() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    wanted.guest.env.insert(DEAF.to_owned(), "1".to_owned());
    let control = &world.control;
    let workspace = wanted.workspace.clone();
    control.wait_for(&workspace, control.assign(wanted.clone()), Observed::Running).await;
    wanted.desired = Desired::Stopped;
    control.wait_for(&workspace, control.assign(wanted), Observed::Stopped).await;
}

#[tokio::test]
async fn an_older_assignment_changes_nothing() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    control.assign(wanted.clone());
    let second = control.assign(wanted.clone());
    control.wait_for(&workspace, second, Observed::Running).await;
    let mut older = assignment(1, Desired::Deleted);
    older.generation = rigbox_types::Generation(1);
    control.assign_again(older);
    // The same answer brings both, so that the older one was read when the other one runs.
    let other = assignment(2, Desired::Running);
    let id = other.workspace.clone();
    control.wait_for(&id, control.assign(other), Observed::Running).await;
    assert!(world.pid(&workspace).is_some());
    assert_eq!(control.told().observations[&workspace].generation, second);
}

#[tokio::test]
async fn a_workspace_that_control_has_forgotten_is_stopped_and_its_disk_kept() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    control.wait_for(&workspace, control.assign(wanted), Observed::Running).await;
    control.forget(&workspace);
    world.until("the VM to end", || world.pid(&workspace).is_none()).await;
    let disks = world.names("pool/workspaces");
    assert_eq!(disks, [format!("{workspace}.ext4")]);
}

#[tokio::test]
async fn a_guest_is_reached_through_the_host_and_only_as_listed() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    control.wait_for(&workspace, control.assign(wanted), Observed::Running).await;
    let client = world.client();
    let ask = async |method: Method, path: String| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = client.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let guest = format!("/v1/workspaces/{workspace}/guest");
    assert_eq!(
        ask(Method::GET, format!("{guest}/metrics")).await,
        (200, "{\"load\":1}".to_owned())
    );
    assert_eq!(ask(Method::POST, format!("{guest}/shutdown")).await.0, 404);
    assert_eq!(ask(Method::PUT, format!("{guest}/setup")).await.0, 404);
    let other = "/v1/workspaces/ws-00000000/guest/metrics".to_owned();
    assert_eq!(ask(Method::GET, other).await.0, 404);
    let (status, console) = ask(Method::GET, format!("/v1/workspaces/{workspace}/console")).await;
    assert!(status == 200 && console.contains("told:"), "{status} {console}");
    let (_, metrics) = ask(Method::GET, "/metrics".to_owned()).await;
    assert!(metrics.contains("rigbox_host_workspaces{observed=\"running\"} 1"), "{metrics}");

    let mut wanted = assignment(1, Desired::Stopped);
    wanted.resources.vcpus = 1;
    control.wait_for(&workspace, control.assign(wanted), Observed::Stopped).await;
    assert_eq!(ask(Method::GET, format!("{guest}/metrics")).await.0, 503);
}
