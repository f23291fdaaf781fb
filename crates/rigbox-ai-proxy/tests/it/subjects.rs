//! Limits of those for whom a workspace calls.

use http::{HeaderValue, Method, StatusCode};
use rigbox_test_providers::Behaviour;
use serde_json::json;

use crate::kit::{Answer, World};

async fn ask(
    world: &World,
    user: Option<&str>,
    headers: &[(&'static str, &'static str)],
) -> Answer {
    let mut body = json!({ "model": "openai/gpt-4.1-mini", "messages": [{ "role": "user", "content": "hello" }] });
    if let Some(user) = user {
        body["user"] = json!(user);
    }
    let mut request = world.request(Method::POST, "/v1/chat/completions", &body.to_string());
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    world.ask(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_and_rates_of_a_subject_hold_for_it_alone() {
    const BUDGET: (&str, &str) = ("x-rigbox-subject-budget", "0.1;period=1d");
    const RATE: (&str, &str) = ("x-rigbox-subject-rate", "2req;window=1h");
    let world = World::new(Some(1_000)).await;
    // 0.056 credits each.
    let counts = Behaviour { input: Some(1_000), output: Some(100), ..Behaviour::default() };
    world.providers.set_behaviour(counts);
    for _ in 0..2 {
        assert_eq!(ask(&world, Some("ada"), &[BUDGET]).await.status, StatusCode::OK);
    }
    let over = ask(&world, Some("ada"), &[BUDGET, RATE]).await;
    assert_eq!(over.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(over.json()["error"]["code"], "subject_over_budget");
    let fast = ask(&world, None, &[("x-rigbox-subject", "ada"), RATE]).await;
    assert_eq!(fast.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(fast.json()["error"]["code"], "subject_rate_limited");
    let wait: u64 = fast.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    // Once the database has them, too.
    world.charged().await;
    assert_eq!(ask(&world, Some("ada"), &[BUDGET]).await.status, StatusCode::PAYMENT_REQUIRED);
    // Others, those without limits, and limits without a subject.
    assert_eq!(ask(&world, Some("bob"), &[BUDGET, RATE]).await.status, StatusCode::OK);
    assert_eq!(ask(&world, Some("ada"), &[]).await.status, StatusCode::OK);
    assert_eq!(
        ask(&world, None, &[("x-rigbox-subject-budget", "nonsense")]).await.status,
        StatusCode::OK
    );
    let odd = ask(&world, Some("ada"), &[("x-rigbox-subject-budget", "nonsense")]).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
    assert_eq!(odd.json()["error"]["code"], "subject_limit_malformed");
    // A subject that was refused has asked nobody.
    assert_eq!(world.providers.requests().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_calls_under_way_alone_is_told_so() {
    const BUDGET: (&str, &str) = ("x-rigbox-subject-budget", "5;period=1d");
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(Behaviour { hang: true, ..Behaviour::default() });
    let first = ask(&world, Some("ada"), &[BUDGET]);
    let second = async {
        world.providers.requests_when(|all| all.len() == 1).await;
        let second = ask(&world, Some("ada"), &[BUDGET]).await;
        assert_eq!(second.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(second.headers["retry-after"], "1");
        assert!(second.text().contains("calls under way"), "{}", second.text());
    };
    tokio::select! {
        answer = first => panic!("{}", answer.text()),
        () = second => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_counts_once_also_while_it_is_being_written_down() {
    const RATE: (&str, &str) = ("x-rigbox-subject-rate", "2req;window=1h");
    let world = std::sync::Arc::new(World::new(Some(1_000)).await);
    let subjects = (0..4).map(|task| {
        let world = world.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let subject = format!("subject-{task}-{round}");
                // One after another: what is over was paid, and is on its way into the ledger.
                for nth in 0..2 {
                    let answer = ask(&world, Some(&subject), &[RATE]).await;
                    assert_eq!(answer.status, StatusCode::OK, "call {nth} of {subject}");
                }
                let third = ask(&world, Some(&subject), &[RATE]).await;
                assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS, "{subject}");
            }
        })
    });
    for task in futures_util::future::join_all(subjects).await {
        task.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_of_a_subject_at_once_no_more_pass_than_its_rate() {
    let world = std::sync::Arc::new(World::new(Some(1_000)).await);
    let calls = (0..40).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            ask(&world, Some("ada"), &[("x-rigbox-subject-rate", "5req;window=1h")]).await.status
        })
    });
    let statuses = futures_util::future::join_all(calls).await;
    let passed =
        statuses.iter().filter(|status| *status.as_ref().unwrap() == StatusCode::OK).count();
    assert!((1..=5).contains(&passed), "{passed}");
    assert_eq!(world.providers.requests().len(), passed);
}
