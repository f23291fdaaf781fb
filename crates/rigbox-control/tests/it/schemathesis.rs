//! Every endpoint of the OpenAPI document, fuzzed by schemathesis with all of its checks: as nobody,
//! as a user and as the operator. What it cannot know, and which rules no schema can say, is in
//! `tests/schemathesis/config.toml`, with the reasons.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
    time::Duration,
};

use rigbox_types::{Desired, Generation, Observed, WorkspaceId, host::Assignment};
use serde_json::{Value, json};

use crate::{
    client::Client,
    host::Host,
    people::{account, user},
    ssh_keys::key as ssh_key,
    world::{World, id},
};

/// As often as hosts report.
const HEARD_EVERY: Duration = Duration::from_secs(10);
/// With placeholders for what the test has made.
const CONFIG: &str = include_str!("../schemathesis/config.toml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_what_the_document_says() {
    let world = world().await;
    fuzz(&world, &world.api.stranger(), &world.api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_gets_what_the_document_says() {
    let world = world().await;
    let user = user(&world, 1).await;
    fuzz(&world, &user, &user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_gets_what_the_document_says() {
    let world = world().await;
    user(&world, 2).await;
    fuzz(&world, &world.api, &world.api).await;
}

/// A world whose host has room for all that is made, and lets every workspace live as asked.
async fn world() -> World {
    let mut world = World::without_host().await;
    let capacity = &mut world.host.registration.capacity;
    (capacity.vcpus, capacity.memory_mib, capacity.disk_mib) = (1 << 30, 1 << 40, 1 << 40);
    world.host.register().await;
    world.host.watch(None, &world.end);
    let (host, end) = (world.host.clone(), world.end.clone());
    tokio::spawn(async move { end.run_until_cancelled(live(host)).await });
    let (host, end) = (world.host.clone(), world.end.clone());
    tokio::spawn(async move { end.run_until_cancelled(stay(host)).await });
    world
}

/// Follows every assignment at once.
async fn live(host: Host) {
    let mut done = BTreeMap::<WorkspaceId, (Generation, Desired)>::new();
    let mut known = host.known.clone();
    while known.changed().await.is_ok() {
        let assignments = known.borrow_and_update().assignments.clone();
        for (id, Assignment { generation, desired, .. }) in assignments {
            let before = done.insert(id.clone(), (generation, desired));
            if before == Some((generation, desired)) {
                continue;
            }
            for observed in ways(before.map(|(_, desired)| desired), desired) {
                host.see(id.as_str(), *observed).await;
            }
        }
    }
}

/// Is heard again and again: a host that is silent for a minute gets no workspaces.
async fn stay(host: Host) {
    let mut ticks = tokio::time::interval(HEARD_EVERY);
    loop {
        ticks.tick().await;
        host.register().await;
    }
}

fn ways(before: Option<Desired>, desired: Desired) -> &'static [Observed] {
    match (before, desired) {
        (Some(Desired::Running), Desired::Running) => &[Observed::Running],
        (_, Desired::Running) => &[Observed::Preparing, Observed::Booting, Observed::Running],
        (None, Desired::Stopped) => &[],
        (Some(_), Desired::Stopped) => &[Observed::Stopping, Observed::Stopped],
        (_, Desired::Suspended) => &[Observed::Suspended],
        (_, Desired::Deleted) => &[Observed::Deleting, Observed::Absent],
    }
}

/// Fuzzes as `caller`, after `owner` has made one of everything.
async fn fuzz(world: &World, caller: &Client, owner: &Client) {
    let config = world.path().join("schemathesis.toml");
    tokio::fs::write(&config, configuration(caller, owner).await).await.unwrap();
    let mut command = Command::new("schemathesis");
    command.current_dir(world.dir.path()).arg("--config-file").arg(&config);
    command.args(["run", "--url", &caller.base]);
    command.arg(format!("{}/api/v1/openapi.json", caller.base));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("schemathesis is there: run scripts/setup --dev");
    assert!(output.status.success(), "{}", said(&output));
    // As nobody every request would be answered as the document says, too.
    let status = caller.get("/users/me/limits").await.status;
    assert_eq!(status, if caller.key.is_some() { 200 } else { 401 });
}

/// The configuration with the ids of what `owner` makes here.
async fn configuration(caller: &Client, owner: &Client) -> String {
    let script = make(owner, "/setup-scripts", json!({ "name": "a", "content": "true" })).await;
    let spec = make(owner, "/service-specs", json!({ "name": "web", "exec_start": "/a" })).await;
    let with_setup = json!({
        "name": "runs", "template_id": "tiny", "setup_script_ids": [script],
        "service_spec_ids": [spec],
    });
    let running = make(owner, "/workspaces", with_setup).await;
    owner.post(&format!("/workspaces/{running}/start")).await.expect(200);
    let tiny = |name| json!({ "name": name, "template_id": "tiny" });
    let ssh = |number| json!({ "name": "a", "public_key": ssh_key(number) });
    let values = [
        ("CALLER_KEY", caller.key.clone().unwrap_or_default()),
        ("RUNNING", running),
        ("CHANGING", make(owner, "/workspaces", tiny("lives")).await),
        ("DOOMED", make(owner, "/workspaces", tiny("ends")).await),
        ("SPARE_KEY", make(owner, "/api-keys", json!({ "name": "spare" })).await),
        ("SCRIPT", script),
        ("SPEC", spec),
        ("SERVICE", "web".to_owned()),
        ("PUBLIC_KEY", make(owner, "/ssh-keys", ssh(7)).await),
        ("SSH_KEY", ssh_key(8)),
        ("ACCOUNT", account(2).to_string()),
    ];
    let fill =
        |text: String, (name, value): &(&str, String)| text.replace(&format!("${{{name}}}"), value);
    values.iter().fold(CONFIG.to_owned(), fill)
}

async fn make(owner: &Client, path: &str, body: Value) -> String {
    let made = owner.json("POST", path, body).await.expect(201);
    made["id"].as_str().map_or_else(|| id(&made), str::to_owned)
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
