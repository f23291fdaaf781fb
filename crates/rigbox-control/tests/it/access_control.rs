//! The questions of access control: what roles give, who may do what, tags, lookups, request rates.

use serde_json::{Value, json};

use crate::{
    client::Client,
    people::{account, grant, key, user},
    world::{World, id},
};

async fn create(api: &Client, name: &str) -> String {
    let body = json!({ "name": name, "template_id": "tiny" });
    id(&api.json("POST", "/workspaces", body).await.expect(201))
}

/// An account with an address, and a client with its first key.
async fn person(world: &World, email: &str, name: &str) -> (String, Client) {
    let body = json!({ "email": email, "display_name": name, "plan": "pro", "api_key": true });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    (id, world.api.with_key(made["api_key"].as_str().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_say_what_they_give() {
    let world = World::without_host().await;
    let ann = user(&world, 1).await;
    let all = ann.get("/access-control/role-presets").await.expect(200);
    assert_eq!(all["presets"].as_array().unwrap().len(), 12);
    let path = "/access-control/role-presets?scope_kind=workspace";
    let presets = ann.get(path).await.expect(200)["presets"].as_array().unwrap().clone();
    let roles: Vec<&Value> = presets.iter().map(|preset| &preset["role"]).collect();
    assert_eq!(roles, ["viewer", "developer", "admin", "owner"]);
    assert_eq!(
        presets[1]["permissions"],
        json!([
            "workspace_read",
            "workspace_operate",
            "workspace_enter",
            "app_visit",
            "app_read",
            "app_operate",
            "access_read",
            "access_leave"
        ])
    );
    assert_eq!(
        (&presets[1]["system_managed"], &presets[1]["match_tag_keys"]),
        (&json!(true), &json!([]))
    );
    ann.get("/access-control/role-presets?scope_kind=x").await.refused(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_like_the_request_itself() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let cid = user(&world, 3).await;
    let workspace = create(&ann, "a").await;
    let resource = format!("workspace:{workspace}");
    grant(&ann, 2, &resource, "developer").await;
    let ask = async |api: &Client, who: Option<u8>, action: &str| {
        let mut body = json!({ "action": action, "resource": resource });
        if let Some(number) = who {
            body["principal"] = json!(format!("user:{}", account(number)));
        }
        api.json("POST", "/access-control/simulate", body).await
    };
    for (who, action, allowed, reason) in [
        (None, "workspace_write", true, "the workspace belongs to it"),
        (Some(2), "workspace_exec", true, "it has the role developer"),
        (
            Some(2),
            "workspace_delete",
            false,
            "it has the role developer, which does not give workspace_delete",
        ),
        (Some(3), "workspace_show", false, "it has no role on the workspace"),
        (Some(1), "user_list", false, "the workspace belongs to it, which does not give user_list"),
    ] {
        let answer = ask(&ann, who, action).await.expect(200);
        assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(allowed), &json!(reason)));
        assert_eq!(answer["principal"], format!("user:{}", account(who.unwrap_or(1))));
    }
    let (_, reads) = key(&bob, &["read"]).await;
    let answer = ask(&reads, None, "workspace_start").await.expect(200);
    let narrowed = "it has the role developer, but this key is narrowed to read";
    assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(false), &json!(narrowed)));
    // The account itself may.
    assert_eq!(ask(&bob, Some(2), "workspace_start").await.expect(200)["allowed"], true);
    ask(&bob, Some(1), "workspace_start").await.refused(403, "forbidden");
    ask(&cid, None, "workspace_show").await.refused(404, "not_found");
    ask(&ann, Some(9), "workspace_show").await.refused(404, "not_found");
    let refused = ask(&ann, None, "workspace_strat").await.refused(400, "invalid_request");
    assert_eq!(refused["details"]["nearest"], "workspace_start");
    let disabled = json!({ "disabled": true });
    world.api.json("PATCH", &format!("/users/{}", account(2)), disabled).await.expect(200);
    let answer = ask(&ann, Some(2), "workspace_start").await.expect(200);
    assert_eq!(
        (&answer["allowed"], &answer["reason"]),
        (&json!(false), &json!("the account is disabled"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_replaced_whole() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann, bob) = (user(&world, 1).await, user(&world, 2).await);
    let workspace = create(&ann, "a").await;
    for resource in [format!("workspace:{workspace}"), format!("account:{}", account(1))] {
        let path = format!("/access-control/tags?resource={resource}");
        assert_eq!(ann.get(&path).await.expect(200)["tags"], json!({}));
        let put = async |api: &Client, tags: Value| {
            let body = json!({ "resource": resource, "tags": tags });
            api.json("PUT", "/access-control/tags", body).await
        };
        put(&ann, json!({ "env": "dev", "team": "a" })).await.expect(200);
        put(&ann, json!({ "env": "prod" })).await.expect(200);
        assert_eq!(ann.get(&path).await.expect(200)["tags"], json!({ "env": "prod" }));
        bob.get(&path).await.refused(404, "not_found");
        grant(&ann, 2, &resource, "viewer").await;
        assert_eq!(bob.get(&path).await.expect(200)["tags"], json!({ "env": "prod" }));
        put(&bob, json!({})).await.refused(403, "forbidden");
        let refused = put(&ann, json!({ "Env": "x" })).await.refused(400, "invalid_request");
        assert_eq!(refused["details"]["field"], "tags");
        put(&ann, json!({})).await.expect(200);
        assert_eq!(ann.get(&path).await.expect(200)["tags"], json!({}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_found_by_those_who_know_them() {
    let world = World::without_host().await;
    world.host.register().await;
    let (ann_id, ann) = person(&world, "ann@example.com", "Ann").await;
    let (bob_id, bob) = person(&world, "bob@example.com", "Bob").await;
    person(&world, "bea@example.com", "Bea").await;
    let workspace = create(&ann, "a").await;
    let resource = format!("workspace:{workspace}");
    let find = async |api: &Client, query: &str| {
        let path = format!("/access-control/principals?resource={resource}&query={query}");
        api.get(&path).await
    };
    let emails = |answer: &Value| -> Vec<String> {
        let people = answer["principals"].as_array().unwrap().iter();
        people.map(|person| person["email"].as_str().unwrap().to_owned()).collect()
    };
    let found = find(&ann, "BOB@example.com").await.expect(200);
    assert_eq!(
        found["principals"],
        json!([{
            "principal": format!("user:{bob_id}"), "user_id": bob_id,
            "email": "bob@example.com", "display_name": "Bob",
        }])
    );
    let nobody = json!({ "principals": [] });
    for unknown in ["bo", "b", "user:", "zoe@example.com"] {
        let found = find(&ann, unknown).await.expect(200);
        if unknown == "user:" {
            assert_eq!(emails(&found), ["ann@example.com"]);
        } else {
            assert_eq!(found, nobody, "{unknown}");
        }
    }
    find(&bob, "ann@example.com").await.refused(404, "not_found");
    let principal = format!("user:{bob_id}");
    let body = json!({ "principal": principal, "resource": resource, "role": "viewer" });
    ann.json("POST", "/access-control/bindings", body).await.expect(200);
    for known in ["bo", "Bob", &principal] {
        assert_eq!(emails(&find(&ann, known).await.expect(200)), ["bob@example.com"], "{known}");
    }
    assert_eq!(
        emails(&find(&ann, "user:").await.expect(200)),
        ["ann@example.com", "bob@example.com"]
    );
    find(&bob, "ann").await.refused(403, "forbidden");
    // The operator knows everybody.
    let all = find(&world.api, "b").await.expect(200);
    assert_eq!(emails(&all), ["bea@example.com", "bob@example.com"]);
    // Who is disabled is like nobody.
    for id in [&bob_id, &ann_id] {
        let path = format!("/users/{id}");
        world.api.json("PATCH", &path, json!({ "disabled": true })).await.expect(200);
    }
    assert_eq!(find(&world.api, "bob@example.com").await.expect(200), nobody);
}

async fn an_account_is_throttled_from_the_next_request_on(world: World) {
    let ann = user(&world, 1).await;
    let resource = format!("account:{}", account(1));
    let limit = async |api: &Client| {
        let answer = api.get("/workspaces").await;
        answer.headers["ratelimit-limit"].to_str().unwrap().parse::<u32>().unwrap()
    };
    let beside = ann.with_base(world.another_control().await.base);
    let shared = matches!(world.store, rigbox_store::StoreUrl::Postgres(_));
    let path = format!("/access-control/throttle-presets?resource={resource}");
    let presets = ann.get(&path).await.expect(200)["presets"].as_array().unwrap().clone();
    let names: Vec<&Value> = presets.iter().map(|preset| &preset["name"]).collect();
    assert_eq!(names, ["default", "fast", "slow"]);
    assert_eq!(presets[2]["rules"]["workspaces"], 45);
    assert_eq!((limit(&ann).await, limit(&beside).await), (180, 180));
    let put = async |api: &Client, profile: Value| {
        let body = json!({ "resource": resource, "profile": profile });
        api.json("PUT", "/access-control/throttle-binding", body).await
    };
    put(&ann, json!("fast")).await.refused(403, "forbidden");
    let refused = put(&world.api, json!("none")).await.refused(400, "invalid_request");
    assert_eq!(refused["details"]["known"], json!(["default", "fast", "slow"]));
    for (profile, expected) in [(json!("slow"), 45), (json!("fast"), 1_800), (Value::Null, 180)] {
        let answer = put(&world.api, profile.clone()).await.expect(200);
        assert_eq!(answer, json!({ "resource": resource, "profile": profile }));
        assert_eq!(limit(&ann).await, expected);
        // Another control on the same database is told.
        while shared && limit(&beside).await != expected {
            tokio::task::yield_now().await;
        }
        let path = format!("/access-control/throttle-binding?resource={resource}");
        assert_eq!(ann.get(&path).await.expect(200)["profile"], profile);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_throttled_from_the_next_request_on_on_sqlite() {
    an_account_is_throttled_from_the_next_request_on(World::limited().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_throttled_from_the_next_request_on_on_postgres() {
    an_account_is_throttled_from_the_next_request_on(World::limited_on_postgres().await).await;
}
