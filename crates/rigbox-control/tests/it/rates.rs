//! How fast one may ask.

use futures_util::{StreamExt as _, stream};

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
    let stranger = world.api.stranger();
    let first = left(stranger.get("/capacity").await);
    assert!(left(stranger.get("/capacity").await) <= first);
    assert!(first < 600, "{first}");
}

async fn an_account_is_slowed_down_and_its_neighbour_is_not(world: World) {
    let (one, other) = (user(&world, 1).await, user(&world, 2).await);
    let beside = one.with_base(world.another_control().await.base);
    // Two controls: where they share a database they share the bucket, else each has its own.
    let shared = matches!(world.store, rigbox_store::StoreUrl::Postgres(_));
    let controls = if shared { [&one, &beside] } else { [&one, &one] };
    let calls = (0..300).map(|n| controls[n % 2].get("/workspaces"));
    // As many at once as an account may have under way.
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(32).collect().await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    // What comes back meanwhile passes too, three a second; one control may keep a few of its own.
    assert!((180 - 9..300).contains(&passed), "{passed}");
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
