//! Sharing: roles on workspaces and accounts, what they open, and that they are gone at once.

use serde_json::{Value, json};

use crate::{
    client::Client,
    people::{account, binding, grant, key, revoke, user},
    world::{World, id},
};

const BINDINGS: &str = "/access-control/bindings";

async fn create(api: &Client, name: &str) -> String {
    let body = json!({ "name": name, "template_id": "tiny", "env_vars": { "TOKEN": "s3cret" } });
    id(&api.json("POST", "/workspaces", body).await.expect(201))
}

fn names(list: &Value) -> Vec<&str> {
    list["vms"].as_array().unwrap().iter().map(|vm| vm["name"].as_str().unwrap()).collect()
}

fn of(number: u8) -> String {
    format!("account:{}", account(number))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_given_changed_and_taken_away() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = create(&ann, "a").await;
    let (path, resource) = (format!("/workspaces/{workspace}"), format!("workspace:{workspace}"));
    bob.get(&path).await.refused(404, "not_found");
    let body = binding(2, &resource, "viewer");
    let given = ann.json("POST", BINDINGS, body.clone()).await.expect(200);
    assert_eq!(given["created_by_ref"], format!("user:{}", account(1)));
    assert_eq!(ann.json("POST", BINDINGS, body).await.expect(200), given);
    let other = ann.json("POST", BINDINGS, binding(2, &resource, "admin")).await;
    assert_eq!(other.refused(409, "conflict")["details"]["current_role"], "viewer");

    // Whoever may not enter does not see what may be a secret inside.
    assert_eq!(bob.get(&path).await.expect(200)["vm"].get("env_vars"), None);
    bob.post(&format!("{path}/start")).await.refused(403, "forbidden");
    let change = |from: &str, to: &str| {
        let principal = format!("user:{}", account(2));
        json!({ "principal": principal, "resource": resource, "current_role": from, "new_role": to })
    };
    ann.json("PATCH", BINDINGS, change("admin", "viewer")).await.refused(404, "not_found");
    let changed = ann.json("PATCH", BINDINGS, change("viewer", "developer")).await.expect(200);
    assert_eq!(
        (&changed["role"], &changed["created_at"]),
        (&json!("developer"), &given["created_at"])
    );
    let shown = bob.get(&path).await.expect(200);
    assert_eq!(shown["vm"]["env_vars"], json!({ "TOKEN": "s3cret" }));
    bob.post(&format!("{path}/start")).await.expect(200);
    bob.call("DELETE", &path).await.refused(403, "forbidden");

    let listed = ann.get(&format!("{BINDINGS}?resource={resource}")).await.expect(200);
    let listed = listed["bindings"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["role"], &listed[0]["created_by_ref"]), (&json!("owner"), &Value::Null));
    assert_eq!(listed[1], changed);

    revoke(&ann, 2, &resource, "developer").await;
    bob.get(&path).await.refused(404, "not_found");
    let again = ann.json("DELETE", BINDINGS, binding(2, &resource, "developer")).await.expect(200);
    assert_eq!(again["deleted"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_or_takes_more_than_they_have() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, admin, owner) = (user(&world, 1).await, user(&world, 2).await, user(&world, 3).await);
    user(&world, 4).await;
    let resource = format!("workspace:{}", create(&ann, "a").await);
    grant(&ann, 2, &resource, "admin").await;
    grant(&ann, 3, &resource, "owner").await;
    for (method, body) in
        [("POST", binding(4, &resource, "owner")), ("DELETE", binding(3, &resource, "owner"))]
    {
        admin.json(method, BINDINGS, body).await.refused(403, "forbidden");
    }
    let principal = format!("user:{}", account(2));
    let up = json!({
        "principal": principal, "resource": resource, "current_role": "admin", "new_role": "owner",
    });
    admin.json("PATCH", BINDINGS, up).await.refused(403, "forbidden");
    // A narrowed key lets nobody in, whatever its account may.
    let (_, reads) = key(&owner, &["read"]).await;
    reads.json("POST", BINDINGS, binding(4, &resource, "viewer")).await.refused(403, "forbidden");
    grant(&admin, 4, &resource, "admin").await;
    grant(&owner, 1, &format!("account:{}", account(3)), "viewer").await;
    // Whom it belongs to is its owner for good.
    for (method, role) in [("POST", "viewer"), ("DELETE", "owner")] {
        let refused = owner.json(method, BINDINGS, binding(1, &resource, role)).await;
        assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], "principal");
    }
    revoke(&owner, 2, &resource, "admin").await;
    admin.json("POST", BINDINGS, binding(4, &resource, "viewer")).await.refused(404, "not_found");
    // One's own role can always be given up.
    revoke(&owner, 3, &resource, "owner").await;
    owner.json("POST", BINDINGS, binding(4, &resource, "viewer")).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shared_is_refused() {
    let world = World::without_host().await;
    world.host.register().await;
    let ann = user(&world, 1).await;
    let resource = format!("workspace:{}", create(&ann, "a").await);
    for (resource, role, field) in [
        ("workspace:x", "viewer", "resource"),
        (&*resource, "guest", "role"),
        ("x", "viewer", "resource"),
    ] {
        let refused = ann.json("POST", BINDINGS, binding(2, resource, role)).await;
        assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], field);
    }
    for resource in ["app:app-00000000", "workspace:ws-00000000", &of(9)] {
        let refused = ann.json("POST", BINDINGS, binding(2, resource, "viewer")).await;
        refused.refused(404, "not_found");
        let path = format!("{BINDINGS}?resource={resource}");
        ann.get(&path).await.refused(404, "not_found");
    }
    // Nobody there.
    let refused = ann.json("POST", BINDINGS, binding(2, &resource, "viewer")).await;
    assert_eq!(refused.refused(404, "not_found")["message"], "principal not found");
    ann.get(&format!("{BINDINGS}?resource=nothing")).await.refused(400, "invalid_request");
    ann.get(BINDINGS).await.refused(400, "invalid_request");
}

async fn a_member_of_an_account_sees_all_its_workspaces(world: World) {
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let cid = user(&world, 3).await;
    create(&bob, "mine").await;
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(create(&ann, name).await);
    }
    let one = create(&cid, "d").await;
    let shared = "/workspaces?shared=true";
    assert_eq!(names(&bob.get(shared).await.expect(200)), [] as [&str; 0]);
    let theirs = format!("/workspaces?owner={}", account(1));
    bob.get(&theirs).await.refused(404, "not_found");
    bob.get("/workspaces?owner=nobody").await.refused(404, "not_found");
    grant(&ann, 2, &of(1), "viewer").await;
    // Twice shared is there once.
    grant(&ann, 2, &format!("workspace:{}", made[1]), "admin").await;
    grant(&cid, 2, &format!("workspace:{one}"), "viewer").await;
    assert_eq!(names(&bob.get(shared).await.expect(200)), ["d", "c", "b", "a"]);
    assert_eq!(names(&bob.get(&theirs).await.expect(200)), ["c", "b", "a"]);
    assert_eq!(names(&bob.get("/workspaces").await.expect(200)), ["mine"]);
    bob.get(&format!("{shared}&owner={}", account(1))).await.refused(400, "invalid_request");
    let first = bob.get(&format!("{shared}&max_results=3")).await.expect(200);
    assert_eq!(names(&first), ["d", "c", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = bob.get(&format!("{shared}&max_results=3&cursor={cursor}")).await.expect(200);
    assert_eq!((names(&rest), &rest["next_cursor"]), (vec!["a"], &Value::Null));
    // The higher of two roles counts.
    bob.post(&format!("/workspaces/{}/start", made[0])).await.refused(403, "forbidden");
    bob.post(&format!("/workspaces/{}/start", made[1])).await.expect(200);
    // Of the account itself there is nothing to see.
    assert_eq!(bob.get("/api-keys").await.expect(200)["api_keys"].as_array().unwrap().len(), 1);
    revoke(&ann, 2, &of(1), "viewer").await;
    assert_eq!(names(&bob.get(shared).await.expect(200)), ["d", "b"]);
    bob.get(&format!("/workspaces/{}", made[0])).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_an_account_sees_all_its_workspaces_on_sqlite() {
    a_member_of_an_account_sees_all_its_workspaces(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_an_account_sees_all_its_workspaces_on_postgres() {
    a_member_of_an_account_sees_all_its_workspaces(World::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_creates_within_the_plan_of_the_account() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let plan = json!({ "overrides": { "max_vms": 1 } });
    world.api.json("PATCH", &format!("/users/{}", account(1)), plan).await.expect(200);
    let path = format!("/workspaces?owner={}", account(1));
    let post = async |api: &Client, name: &str| {
        api.json("POST", &path, json!({ "name": name, "template_id": "tiny" })).await
    };
    post(&bob, "a").await.refused(404, "not_found");
    grant(&ann, 2, &of(1), "developer").await;
    post(&bob, "a").await.refused(403, "forbidden");
    revoke(&ann, 2, &of(1), "developer").await;
    grant(&ann, 2, &of(1), "admin").await;
    let made = post(&bob, "a").await.expect(201);
    assert_eq!(made["vm"]["user_id"], account(1).to_string());
    post(&bob, "b").await.refused(402, "quota_exceeded");
    assert_eq!(names(&ann.get("/workspaces").await.expect(200)), ["a"]);
    assert_eq!(names(&bob.get("/workspaces").await.expect(200)), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_a_workspace_that_is_shared_ends_with_the_role() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = create(&ann, "a").await;
    let (path, resource) = (format!("/workspaces/{workspace}"), format!("workspace:{workspace}"));
    grant(&ann, 2, &resource, "developer").await;
    let (_, named) = key(&bob, &[&resource]).await;
    named.post(&format!("{path}/start")).await.expect(200);
    named.call("DELETE", &path).await.refused(403, "forbidden");
    let token = named.post(&format!("{path}/terminal-token")).await.expect(201);
    revoke(&ann, 2, &resource, "developer").await;
    named.get(&path).await.refused(404, "not_found");
    let token = token["token"].as_str().unwrap();
    let terminal = format!("/api/ws/terminal/{workspace}?token={token}");
    world.api.stranger().get(&terminal).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_answer_is_not_for_a_former_member() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = create(&ann, "a").await;
    let resource = format!("workspace:{workspace}");
    grant(&ann, 2, &resource, "developer").await;
    let post = async || {
        let mut request = bob.request("POST", &format!("/workspaces/{workspace}/start"), "".into());
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        bob.send(request).await
    };
    let first: Value = post().await.expect(200);
    assert_eq!(post().await.expect(200), first);
    revoke(&ann, 2, &resource, "developer").await;
    post().await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_control_refuses_a_former_member_on_the_next_request() {
    let world = World::on_postgres().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = create(&ann, "a").await;
    let (path, resource) = (format!("/workspaces/{workspace}"), format!("workspace:{workspace}"));
    let beside = bob.with_base(world.another_control().await.base);
    for _ in 0..3 {
        grant(&ann, 2, &resource, "viewer").await;
        beside.get(&path).await.expect(200);
        revoke(&ann, 2, &resource, "viewer").await;
        beside.get(&path).await.refused(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_let_in_is_in_the_record_before_and_after() {
    let mut world = World::without_host().await;
    world.host.register().await;
    let ann = user(&world, 1).await;
    user(&world, 2).await;
    let resource = format!("workspace:{}", create(&ann, "a").await);
    grant(&ann, 2, &resource, "viewer").await;
    revoke(&ann, 2, &resource, "viewer").await;
    world.stop_control().await;
    world.start_control().await;
    let record = world.api.get("/audit").await.expect(200);
    for action in ["access_binding_create", "access_binding_delete"] {
        let entries = record["entries"].as_array().unwrap().iter();
        let entries: Vec<_> = entries.filter(|entry| entry["action"] == action).collect();
        let [completed, named, received] = &entries[..] else { panic!("{record}") };
        let target = format!("/api/v1{BINDINGS} user:{} {resource} viewer", account(2));
        assert_eq!(received["target"], format!("/api/v1{BINDINGS}"));
        assert_eq!((&named["stage"], &named["target"]), (&json!("received"), &json!(target)));
        assert_eq!((&completed["status"], &completed["target"]), (&json!(200), &json!(target)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thing_and_an_account_have_so_many_roles_and_no_more() {
    let world = World::without_host().await;
    world.host.register().await;
    let ann = user(&world, 1).await;
    let resource = format!("workspace:{}", create(&ann, "a").await);
    for number in 0..101 {
        let email = format!("p{number}@example.com");
        let made = world.api.json("POST", "/users", json!({ "email": email })).await.expect(201);
        let principal = format!("user:{}", made["user"]["id"].as_str().unwrap());
        let body = json!({ "principal": principal, "resource": resource, "role": "viewer" });
        let answer = ann.json("POST", BINDINGS, body).await;
        if number < 100 {
            answer.expect(200);
        } else {
            let details = answer.refused(402, "quota_exceeded")["details"].clone();
            assert_eq!(details["limit"], "bindings_of_resource");
            assert_eq!((&details["maximum"], &details["used"]), (&json!(100), &json!(100)));
        }
    }
}
