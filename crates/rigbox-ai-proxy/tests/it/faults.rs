//! What providers, callers and the proxy's own end can do to a call.

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use rigbox_test_providers::{Behaviour, Ended, Failure, Request as Recorded};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kit::{PATIENCE, World};

const MINI: i64 = 56_000;

fn counts() -> Behaviour {
    Behaviour { input: Some(1_000), output: Some(100), ..Behaviour::default() }
}

fn chat() -> Value {
    json!({ "model": "openai/gpt-4.1-mini", "messages": [{ "role": "user", "content": "hello" }] })
}

fn refusal(status: u16, retry_after: Option<u64>) -> Behaviour {
    Behaviour { error: Some(Failure { status, retry_after, ..Failure::default() }), ..counts() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_what_was_surely_not_billed_is_sent_again_and_charged_once() {
    let world = World::new(Some(1_000)).await;
    for status in [429, 503, 529] {
        let failing = Behaviour {
            fail_first: 2,
            series: Some(status.to_string()),
            ..refusal(status, Some(0))
        };
        world.providers.set_behaviour(failing);
        let answer = world.post("/v1/chat/completions", &chat()).await;
        assert_eq!(answer.status, StatusCode::OK, "{status}: {}", answer.text());
    }
    assert_eq!(world.providers.requests().len(), 9);
    assert_eq!(world.charged().await, 3 * MINI);
    // Others are not, and cost nothing.
    for status in [400, 500] {
        world.providers.set_behaviour(refusal(status, None));
        assert_eq!(world.post("/v1/chat/completions", &chat()).await.status.as_u16(), status);
    }
    assert_eq!(world.providers.requests().len(), 11);
    // Who would have to wait long is told so.
    world.providers.set_behaviour(refusal(429, Some(600)));
    let answer = world.post("/v1/chat/completions", &chat()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (429, &"600".parse().unwrap())
    );
    assert_eq!(world.charged().await, 3 * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_what_a_gateway_gave_up_waiting_for_is_settled_by_an_estimate() {
    let world = World::new(Some(1_000)).await;
    let mut before = 0;
    for status in [502, 504, 524] {
        world.providers.set_behaviour(refusal(status, None));
        assert_eq!(world.post("/v1/chat/completions", &chat()).await.status.as_u16(), status);
        let charged = world.charged().await;
        assert!((before + 1..before + MINI).contains(&charged), "{status}: {charged}");
        before = charged;
    }
    assert_eq!(world.providers.requests().len(), 3);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_again_and_again_is_left_alone_for_a_while() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(refusal(500, None));
    for _ in 0..5 {
        assert_eq!(world.post("/v1/chat/completions", &chat()).await.status.as_u16(), 500);
    }
    let broken = world.post("/v1/chat/completions", &chat()).await;
    assert_eq!(broken.json()["error"]["code"], "provider_unavailable");
    assert!(broken.headers.contains_key("retry-after"));
    assert_eq!(world.providers.requests().len(), 5);
    // The others work.
    world.providers.set_behaviour(counts());
    let body = json!({ "model": "claude-sonnet-4-5", "max_tokens": 100,
        "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(world.post("/v1/messages", &body).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_within_answers_are_failures_unless_something_was_written_before() {
    let world = World::new(Some(1_000)).await;
    let streamed = json!({ "model": "openai/gpt-4.1-mini", "stream": true,
        "messages": [{ "role": "user", "content": "hello" }] });
    for (events, is_broken) in [(4, false), (1, true)] {
        world.providers.set_behaviour(Behaviour { error_after: Some(events), ..counts() });
        for _ in 0..5 {
            let answer = world.post("/v1/chat/completions", &streamed).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.text().contains("error"), "{}", answer.text());
        }
        let next = world.post("/v1/chat/completions", &streamed).await;
        assert_eq!(next.status == StatusCode::SERVICE_UNAVAILABLE, is_broken, "{}", next.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_came_before_a_cut_is_passed_on() {
    let world = World::new(Some(1_000)).await;
    let streamed = json!({ "model": "openai/gpt-4.1-mini", "stream": true,
        "messages": [{ "role": "user", "content": "hello" }] });
    // Wherever in an event that is.
    for cut in (500..800).step_by(29) {
        world.providers.set_behaviour(Behaviour { cut_after: Some(cut), ..counts() });
        let request = world.request(Method::POST, "/v1/chat/completions", &streamed.to_string());
        let (mut body, mut text) = (world.send(request).await.into_body(), Vec::new());
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => text.extend(frame.into_data().unwrap()),
                other => break other,
            }
        };
        assert!(error.is_some(), "a stream that was cut must not end as if it were whole");
        let text = String::from_utf8(text).unwrap();
        // Nobody but us has asked for usage: it is null in each event.
        let events = text.matches("data: ").count();
        let ours = events * br#","usage":null"#.len();
        assert!(text.len() + ours >= usize::try_from(cut).unwrap(), "{cut}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a21_an_answer_that_cannot_be_read_is_not_passed_on_and_not_free() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { gzip: true, ..counts() });
    let answer = world.post("/v1/chat/completions", &chat()).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(world.charged().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_up_before_it_answers_is_settled_by_an_estimate() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { hang_up: true, ..counts() });
    let answer = world.post("/v1/chat/completions", &chat()).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "provider_unreachable");
    let charged = world.charged().await;
    assert!((1..MINI).contains(&charged), "{charged}");
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_a_stream_that_goes_away_lets_the_provider_go() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { hang: true, ..counts() });
    let mut chat = chat();
    chat["stream"] = true.into();
    hang_up(&world, &chat).await;
    world
        .providers
        .requests_when(|requests| requests.iter().all(|it| it.ended == Ended::Left))
        .await;
    world.charged().await;
    world.is_whole().await;
}

/// A whole answer is written by its provider, who charges all of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_before_a_whole_answer_pays_what_it_costs() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { first_ms: 500, ..counts() });
    hang_up(&world, &chat()).await;
    assert_eq!(world.charged().await, MINI);
    let requests = world.providers.requests();
    assert_eq!(requests.first().unwrap().ended, Ended::Whole);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_again_for_who_has_hung_up() {
    let world = World::new(Some(1_000)).await;
    let failure = Failure { status: 429, retry_after: Some(1), ..Failure::default() };
    let behaviour = Behaviour { error: Some(failure), fail_first: 1, first_ms: 300, ..counts() };
    world.providers.set_behaviour(behaviour);
    hang_up(&world, &chat()).await;
    assert_eq!(world.charged().await, 0);
    assert_eq!(world.providers.requests().len(), 1);
}

/// Whoever waits for a provider that does not answer does not keep the proxy from its end.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_ends_although_a_call_goes_on_without_its_caller() {
    let mut world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { hang: true, ..counts() });
    hang_up(&world, &chat()).await;
    world.stop().await;
    let balance = world.balance().await;
    // The provider writes on, all that it may: 32,768 tokens at $1.60 a million.
    assert!(balance.used.micro() > 32_768 * 160, "{balance:?}");
    assert_eq!(balance.held.micro(), 0);
    world.is_whole().await;
}

/// However many there are: what a provider writes is paid for.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_again_and_again_pays_for_each_answer() {
    const MANY: usize = 200;
    let world = World::new(Some(100_000)).await;
    world.providers.set_behaviour(Behaviour { first_ms: 3_000, ..counts() });
    let asking = ask_at_once(&world, MANY).await;
    asking.iter().for_each(JoinHandle::abort);
    let is_whole = |it: &Recorded| it.ended == Ended::Whole;
    world.providers.requests_when(|requests| requests.iter().all(is_whole)).await;
    assert_eq!(world.charged().await, i64::try_from(MANY).unwrap() * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_as_many_calls_as_it_may_have_is_told_so() {
    const MOST: usize = 1_024;
    rigbox_fabric::descriptors::raise_limit().unwrap();
    let world = World::new(Some(1_000_000)).await;
    world.providers.set_behaviour(Behaviour { hang: true, ..counts() });
    let asking = ask_at_once(&world, MOST).await;
    let refused = world.post("/v1/chat/completions", &chat()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text());
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.text().contains("1024 calls"), "{}", refused.text());
    assert_eq!(world.providers.requests().len(), MOST);
    asking.iter().for_each(JoinHandle::abort);
}

/// Asks, and goes away as soon as the provider has the request.
async fn hang_up(world: &World, body: &Value) {
    let asking = tokio::spawn(ask(world, body));
    world.providers.requests_when(|requests| requests.len() == 1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
}

/// Asks so many times at once, until the provider has all of it.
async fn ask_at_once(world: &World, count: usize) -> Vec<JoinHandle<()>> {
    let asking = (0..count).map(|_| tokio::spawn(ask(world, &chat()))).collect();
    world.providers.requests_when(|requests| requests.len() == count).await;
    asking
}

fn ask(world: &World, body: &Value) -> impl Future<Output = ()> + use<> {
    let request = world.request(Method::POST, "/v1/chat/completions", &body.to_string());
    let client = world.client.clone();
    async move { drop(client.request(request).await) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_order_leaves_nothing_held_and_nothing_to_recover() {
    let mut world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(counts());
    assert_eq!(world.post("/v1/chat/completions", &chat()).await.status, StatusCode::OK);
    world.stop().await;
    let balance = world.balance().await;
    assert_eq!((balance.used.micro(), balance.held.micro()), (MINI, 0));
    world.start().await;
    assert_eq!(world.post("/v1/chat/completions", &chat()).await.status, StatusCode::OK);
    assert_eq!(world.charged().await, 2 * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leased_ahead_is_given_back_once_nobody_calls() {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(counts());
    assert_eq!(world.post("/v1/chat/completions", &chat()).await.status, StatusCode::OK);
    assert_eq!(world.charged().await, MINI);
    assert!(world.balance().await.held.is_positive());
    let given_back = async {
        while world.balance().await.held.is_positive() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.unwrap();
    let held = world.store.ledger().stale(rigbox_store::ledger::Stale::NotOf("")).await.unwrap();
    assert!(held.is_empty(), "{held:?}");
    world.is_whole().await;
}

/// A provider's allowance for what it does not charge is one of the platform's key, not of an account.
#[tokio::test(flavor = "multi_thread")]
async fn what_costs_nothing_is_not_without_limit_with_the_platforms_key() {
    let world = World::new(Some(1_000)).await;
    let chat = json!({
        "model": "claude-sonnet-4-5",
        "messages": [{ "role": "user", "content": "hello" }],
    });
    let mut refused = None;
    for _ in 0..100 {
        let answer = world.post("/v1/messages/count_tokens", &chat).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error", "{}", refused.text());
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // What is paid for is bounded by the balance alone.
    world.providers.set_behaviour(counts());
    assert_eq!(world.post("/v1/chat/completions", &self::chat()).await.status, StatusCode::OK);
}
