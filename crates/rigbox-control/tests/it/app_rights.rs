//! What a role on an app, or a key of it, gives of the workspace behind it: the app's port, and the
//! journal and the unit that somebody who may enter the workspace has named; nothing else of it.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    apps::{create, id},
    client::{Answer, Client, PATIENCE},
    people::{grant, key, revoke, user},
    world::{self, World},
};

/// An app of the first user in a workspace that runs, and who has what of it.
struct Scene {
    world: World,
    workspace: String,
    app: String,
    owner: Client,
    /// By role on the app alone.
    viewer: Client,
    developer: Client,
    admin: Client,
    /// The owner's key of the app.
    narrow: Client,
}

/// The number of the admin of the app alone.
const ADMIN: u8 = 4;
const VIEWER: u8 = 2;

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let owner = user(&world, 1).await;
        let body = json!({ "name": "w", "template_id": "tiny" });
        let workspace = world::id(&owner.json("POST", "/workspaces", body).await.expect(201));
        owner.post(&format!("/workspaces/{workspace}/start")).await.expect(200);
        world.host.run(&workspace).await;
        // The agent has a unit of this name.
        let app = id(&create(&owner, "web", &workspace).await);
        let mut members = Vec::new();
        for (number, role) in [(VIEWER, "viewer"), (3, "developer"), (ADMIN, "admin")] {
            members.push(user(&world, number).await);
            grant(&owner, number, &format!("app:{app}"), role).await;
        }
        let (_, narrow) = key(&owner, &[&format!("app:{app}")]).await;
        let [viewer, developer, admin] = members.try_into().ok().unwrap();
        Self { world, workspace, app, owner, viewer, developer, admin, narrow }
    }

    fn sources(&self) -> String {
        format!("/apps/{}/log-sources", self.app)
    }

    /// Names a place as the owner, and says its id.
    async fn names(&self, kind: &str, place: &str) -> String {
        let made = self.owner.json("POST", &self.sources(), source(kind, place)).await.expect(200);
        made["source"]["id"].as_str().unwrap().to_owned()
    }

    fn logs(&self, source: &str) -> String {
        format!("/apps/{}/logs?source_id={source}", self.app)
    }

    /// How often something was run in the workspace.
    fn commands(&self) -> usize {
        let asked = self.world.host.agent.asked.lock().unwrap();
        asked.iter().filter(|line| line.starts_with("POST /exec")).count()
    }
}

fn source(kind: &str, place: &str) -> Value {
    json!({ "source_type": kind, "source_ref": place })
}

/// The refusal says which right is missing.
#[track_caller]
fn lacks(answer: Answer, right: &str) {
    let error = answer.refused(403, "forbidden");
    assert_eq!(error["details"]["right"], right, "{error}");
    assert!(error["message"].as_str().unwrap().contains(right), "{error}");
}

const ENTER: &str = "workspace_enter";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_enter_the_workspace_names_a_place_in_it() {
    let scene = Scene::new().await;
    let path = scene.sources();
    let first = scene.names("systemd_unit", "rigbox-svc-web.service").await;
    let second = scene.names("systemd_unit", "db.service").await;
    for caller in [&scene.admin, &scene.narrow] {
        for (kind, place) in [
            ("file_path", "/home/developer/.rigbox/.env"),
            ("systemd_unit", "rigbox-svc-db.service"),
            ("docker_container", "db"),
        ] {
            lacks(caller.json("POST", &path, source(kind, place)).await, ENTER);
        }
        let one = format!("{path}/{first}");
        let moved = source("file_path", "/proc/self/environ");
        lacks(caller.json("PATCH", &one, moved).await, ENTER);
        lacks(caller.json("PATCH", &one, json!({ "source_ref": "db.service" })).await, ENTER);
        let primary = json!({ "is_primary": true });
        lacks(caller.json("PATCH", &format!("{path}/{second}"), primary).await, ENTER);
        // What it is called is no place, and neither is what it was.
        let called = json!({ "display_name": "Web", "source_ref": "rigbox-svc-web.service" });
        let called = caller.json("PATCH", &one, called).await.expect(200);
        assert_eq!(called["source"]["is_primary"], true);
    }
    // With a role on the workspace, too, it is another matter.
    grant(&scene.owner, ADMIN, &format!("workspace:{}", scene.workspace), "viewer").await;
    lacks(scene.admin.json("POST", &path, source("file_path", "/x")).await, ENTER);
    revoke(&scene.owner, ADMIN, &format!("workspace:{}", scene.workspace), "viewer").await;
    grant(&scene.owner, ADMIN, &format!("workspace:{}", scene.workspace), "developer").await;
    scene.admin.json("POST", &path, source("file_path", "/x")).await.expect(200);
    let (_, both) = key(
        &scene.owner,
        &[&format!("app:{}", scene.app), &format!("workspace:{}", scene.workspace)],
    )
    .await;
    both.json("POST", &path, source("file_path", "/y")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_by_who_may_enter_and_another_unit_by_who_sees_the_workspace() {
    let scene = Scene::new().await;
    let own = scene.names("systemd_unit", "rigbox-svc-web.service").await;
    let unit = scene.names("systemd_unit", "db.service").await;
    let file = scene.names("file_path", "/home/developer/.rigbox/.env").await;
    let stream = |source: &str| format!("/apps/{}/logs/stream?source_id={source}", scene.app);
    for caller in [&scene.viewer, &scene.admin, &scene.narrow] {
        caller.get(&scene.logs(&own)).await.expect(200);
        caller.get(&format!("/apps/{}/logs", scene.app)).await.expect(200);
        lacks(caller.get(&scene.logs(&unit)).await, "workspace_read");
        lacks(caller.get(&stream(&unit)).await, "workspace_read");
        lacks(caller.get(&scene.logs(&file)).await, ENTER);
        lacks(caller.get(&stream(&file)).await, ENTER);
    }
    assert_eq!(scene.commands(), 0);
    // Who sees the workspace reads its journals, and no files.
    let resource = format!("workspace:{}", scene.workspace);
    let seer = user(&scene.world, 9).await;
    grant(&scene.owner, 9, &resource, "viewer").await;
    let (_, reads) = key(&scene.owner, &["read"]).await;
    for caller in [&seer, &reads] {
        caller.get(&scene.logs(&unit)).await.expect(200);
        lacks(caller.get(&scene.logs(&file)).await, ENTER);
    }
    // A role that is taken away is gone with the next request.
    grant(&scene.owner, VIEWER, &resource, "developer").await;
    scene.viewer.get(&scene.logs(&file)).await.expect(200);
    assert_eq!(scene.commands(), 1);
    revoke(&scene.owner, VIEWER, &resource, "developer").await;
    lacks(scene.viewer.get(&scene.logs(&file)).await, ENTER);
    // Of what is deleted no other place takes the place.
    scene.admin.call("DELETE", &format!("{}/{own}", scene.sources())).await.expect(200);
    lacks(scene.admin.get(&format!("/apps/{}/logs", scene.app)).await, "workspace_read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_followed_ends_with_the_right_to_the_workspace() {
    let scene = Scene::new().await;
    let own = scene.names("systemd_unit", "rigbox-svc-web.service").await;
    let unit = scene.names("systemd_unit", "db.service").await;
    let resource = format!("workspace:{}", scene.workspace);
    grant(&scene.owner, VIEWER, &resource, "viewer").await;
    let follow = async |source: &str| {
        let path = format!("/apps/{}/logs/stream?source_id={source}", scene.app);
        let response = scene.viewer.open(scene.viewer.request("GET", &path, "".into())).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let of_app = tokio::spawn(follow(&own).await.collect());
    let of_workspace = follow(&unit).await.collect();
    revoke(&scene.owner, VIEWER, &resource, "viewer").await;
    // Whether it ends in order or breaks off is its own matter.
    drop(timeout(PATIENCE, of_workspace).await.expect("the journal ends"));
    // The role on the app is still there.
    assert!(!of_app.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_nobody_has_named_is_left_alone_for_who_may_not_enter() {
    let scene = Scene::new().await;
    let act = async |caller: &Client, verb: &str| {
        caller.post(&format!("/apps/{}/{verb}", scene.app)).await.expect(200)
    };
    // It has the name of the app, which an admin of the app could have given it.
    for caller in [&scene.developer, &scene.admin, &scene.narrow] {
        let stopped = act(caller, "stop").await;
        assert_eq!(
            (&stopped["app"]["status"], &stopped["service_name"]),
            (&json!("inactive"), &json!(""))
        );
        assert!(stopped["message"].as_str().unwrap().contains(ENTER), "{stopped}");
    }
    assert_eq!(scene.commands(), 0);
    let started = act(&scene.owner, "start").await;
    assert_eq!(started["service_name"], "rigbox-svc-web.service");
    assert_eq!(scene.commands(), 1);
    // Once the owner has named it, it is the app's.
    scene.names("systemd_unit", "rigbox-svc-web.service").await;
    let restarted = act(&scene.developer, "restart").await;
    assert_eq!(restarted["service_name"], "rigbox-svc-web.service");
    assert_eq!(scene.commands(), 2);
}
