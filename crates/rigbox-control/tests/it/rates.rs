//! How fast one may ask.

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_guesses_is_told_to_wait_and_the_operator_is_not() {
    let world = World::without_host().await;
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
    let world = World::without_host().await;
    let left = |answer: crate::client::Answer| -> u32 {
        answer.headers["ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    };
    let stranger = world.api.stranger();
    let first = left(stranger.get("/capacity").await);
    assert!(left(stranger.get("/capacity").await) <= first);
    assert!(first < 600, "{first}");
}
