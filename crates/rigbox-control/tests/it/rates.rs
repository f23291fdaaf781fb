//! How fast one may ask.

use std::{cell::Cell, time::Instant};

use futures_util::{
    StreamExt as _,
    future::{join_all, ready},
    stream,
};
use serde_json::json;

use crate::{people::user, world::World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_guesses_is_told_to_wait_and_the_operator_is_not() {
    let world = World::limited().await;
    world.api.get("/workspaces").await.expect(200);
    let stranger = world.api.stranger();
    let refused = loop {
        let answer = stranger.get("/workspaces").await;
        if answer.status != 401 {
            break answer;
        }
    };
    let headers = refused.headers.clone();
    let error = refused.refused(429, "rate_limited");
    let details = &error["details"];
    assert_eq!(details["class"], "authentication");
    assert_eq!(details["limit"], 120);
    assert_eq!(details["window_s"], 60);
    let retry = details["retry_after_s"].as_u64().unwrap();
    assert!((1..=60).contains(&retry), "{error}");
    assert_eq!(headers["retry-after"], retry.to_string());
    assert_eq!(headers["ratelimit-limit"], "120");
    assert_eq!(headers["ratelimit-remaining"], "0");
    // A key that was good before is not locked out by whoever guesses beside its owner.
    world.api.get("/workspaces").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_endpoint_says_what_is_left() {
    let world = World::limited().await;
    let left = |answer: crate::client::Answer| -> u32 {
        answer.headers["ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    };
    let (stranger, began) = (world.api.stranger(), Instant::now());
    for asked in 1..=50 {
        let left = left(stranger.get("/capacity").await);
        // Ten a second come back meanwhile.
        let back = u32::try_from(began.elapsed().as_secs() + 1).unwrap() * 10;
        assert!(left < 600 && left <= 600 - asked + back, "{left} after {asked}");
    }
}

async fn an_account_is_slowed_down_and_its_neighbour_is_not(world: World) {
    let (one, other) = (user(&world, 1).await, user(&world, 2).await);
    let beside = one.with_base(world.another_control().await.base);
    // Two controls: where they share a database they share the bucket, else each has its own.
    let shared = matches!(world.store, rigbox_store::StoreUrl::Postgres(_));
    let controls = if shared { [&one, &beside] } else { [&one, &one] };
    let (began, refused) = (Instant::now(), Cell::new(false));
    let calls = stream::iter(0..3_000)
        .take_while(|_| ready(!refused.get()))
        .map(|n| controls[n % 2].get("/workspaces"));
    // As many at once as an account may have under way.
    let calls = calls.buffer_unordered(32).inspect(|answer| {
        refused.set(refused.get() || answer.status != 200);
    });
    let answers: Vec<_> = calls.collect().await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    // What comes back meanwhile passes too, three a second; one control may keep a few of its own.
    let back = usize::try_from(began.elapsed().as_secs() + 1).unwrap() * 3;
    assert!((180 - 9..=180 + 9 + back).contains(&passed), "{passed}");
    let refused = answers.into_iter().find(|answer| answer.status != 200).unwrap();
    assert!(refused.headers.contains_key("retry-after"));
    let error = refused.refused(429, "rate_limited");
    assert_eq!(error["details"]["class"], "workspaces");
    // Another class, another account and the operator go on.
    one.get("/ssh-keys").await.expect(200);
    let answer = other.get("/workspaces").await;
    assert_eq!(answer.headers["ratelimit-limit"], "180");
    answer.expect(200);
    for _ in 0..200 {
        world.api.get("/workspaces").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_slowed_down_and_its_neighbour_is_not_on_sqlite() {
    an_account_is_slowed_down_and_its_neighbour_is_not(World::limited().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_slowed_down_and_its_neighbour_is_not_on_postgres() {
    an_account_is_slowed_down_and_its_neighbour_is_not(World::limited_on_postgres().await).await;
}

async fn of_a_hundred_creates_at_once_as_many_pass_as_there_is_room_for(world: World) {
    let body = json!({ "email": "ann@example.com", "plan": "pro", "api_key": true });
    let made = world.api.json("POST", "/users", body).await.expect(201);
    let path = format!("/users/{}", made["user"]["id"].as_str().unwrap());
    world.api.json("PATCH", &path, json!({ "overrides": { "max_vms": 3 } })).await.expect(200);
    let ann = world.api.with_key(made["api_key"].as_str().unwrap());
    let create = async |n| {
        let body = json!({ "name": format!("w{n}"), "template_id": "tiny" });
        ann.json_among_many("POST", "/workspaces", body).await
    };
    let answers = join_all((0..100).map(create)).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 3);
    for answer in refused {
        let error = answer.refused(402, "quota_exceeded");
        let details = json!({
            "limit": "workspaces", "maximum": 3, "used": 3, "requested": 1, "plan": "pro",
        });
        assert_eq!(error["details"], details, "{error}");
        assert!(error["message"].as_str().unwrap().contains("delete a workspace"), "{error}");
    }
    let list = ann.get("/workspaces").await.expect(200);
    assert_eq!(list["vms"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_creates_at_once_as_many_pass_as_there_is_room_for_on_sqlite() {
    of_a_hundred_creates_at_once_as_many_pass_as_there_is_room_for(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_creates_at_once_as_many_pass_as_there_is_room_for_on_postgres() {
    let world = World::on_postgres().await;
    of_a_hundred_creates_at_once_as_many_pass_as_there_is_room_for(world).await;
}
