//! What calls cost, end to end: the answer, the ledger and the provider's own bill say the same.

use http::{Method, StatusCode};
use rigbox_ai::route::rewrite::{CallsField, Changes, rewrite};
use rigbox_test_providers::{Behaviour, Reporting};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::kit::{Answer, PRICES, World};

/// 1,000 read and 100 written of `gpt-4.1-mini`, at 0.4 and 1.6 dollars a million: 0.00056 dollars, which
/// are 0.056 credits.
const MINI: i64 = 56_000;

fn counts() -> Behaviour {
    Behaviour { input: Some(1_000), output: Some(100), ..Behaviour::default() }
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

fn with(mut body: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

async fn world(behaviour: Behaviour) -> World {
    let world = World::new(Some(1_000)).await;
    world.providers.set_behaviour(behaviour);
    world
}

fn usage_of_last(answer: &Answer) -> Value {
    let events = answer.events();
    events
        .iter()
        .rev()
        .find_map(|event| event.get("usage").filter(|it| it.is_object()))
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_it_has_cost_and_the_ledger_says_the_same() {
    let world = world(counts()).await;
    let answer = world.post("/v1/chat/completions", &chat("openai/gpt-4.1-mini")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.cost(), Some(MINI));
    assert_eq!(answer.headers["x-rigbox-cost-credits"], "0.056");
    let usage = &answer.json()["usage"];
    assert_eq!((&usage["cost_micro"], &usage["cost_credits"]), (&json!(MINI), &json!(0.056)));
    assert_eq!(world.charged().await, MINI);
    let balance = world.balance().await;
    assert_eq!(balance.total().micro(), 1_000_000_000 - MINI);
    // The provider's own path answers byte for byte.
    let native = world.post("/openai/v1/chat/completions", &chat("gpt-4.1-mini")).await;
    assert_eq!((native.cost(), &native.json()["usage"]["cost_micro"]), (Some(MINI), &Value::Null));
    assert_eq!(world.charged().await, 2 * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_and_shape_is_charged_what_it_bills_whole_and_streamed() {
    let world = world(Behaviour {
        input: Some(1_000),
        cached: 500,
        output: Some(100),
        reasoning: 50,
        ..Behaviour::default()
    })
    .await;
    let gemini = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] });
    let message = with(chat("claude-sonnet-4-5"), &json!({ "max_tokens": 1_000 }));
    let response = json!({ "model": "openai/gpt-5-mini", "input": "hello" });
    let streamed = json!({ "stream": true });
    let mut sum = 0;
    // Picodollars: tokens times dollars a million.
    let sonnet = 1_000 * 3_000_000 + 500 * 300_000 + 150 * 15_000_000_i64;
    let flash = 1_000 * 300_000 + 500 * 30_000 + 150 * 2_500_000_i64;
    let gpt = 1_000 * 250_000 + 500 * 25_000 + 150 * 2_000_000_i64;
    let cases = [
        ("/v1/messages", message.clone(), sonnet),
        ("/anthropic/v1/messages", with(message, &streamed), sonnet),
        ("/v1/chat/completions", chat("anthropic/claude-sonnet-4-5"), sonnet),
        ("/v1/chat/completions", with(chat("anthropic/claude-sonnet-4-5"), &streamed), sonnet),
        ("/google/v1beta/models/gemini-2.5-flash:generateContent", gemini.clone(), flash),
        ("/google/v1beta/models/gemini-2.5-flash:streamGenerateContent", gemini.clone(), flash),
        ("/google/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", gemini, flash),
        ("/v1/chat/completions", chat("google/gemini-2.5-flash"), flash),
        ("/v1/chat/completions", with(chat("google/gemini-2.5-flash"), &streamed), flash),
        ("/v1/chat/completions", chat("openai/gpt-5-mini"), gpt),
        ("/v1/chat/completions", with(chat("openai/gpt-5-mini"), &streamed), gpt),
        ("/v1/responses", response.clone(), gpt),
        ("/v1/responses", with(response, &streamed), gpt),
    ];
    for (path, body, pico) in cases {
        let answer = world.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.text());
        // A micro-credit is 10,000 picodollars.
        let cost = (pico + 9_999) / 10_000;
        if let Some(said) = answer.cost() {
            assert_eq!(said, cost, "{path} {body}");
        }
        sum += cost;
        assert_eq!(world.charged().await, sum, "{path} {body}");
    }
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_a_stream_tells_its_usage_to_us_and_to_who_asks_for_it() {
    let world = world(counts()).await;
    let body = with(chat("gpt-4.1-mini"), &json!({ "stream": true }));
    let silent = world.post("/v1/chat/completions", &body).await;
    assert!(silent.events().iter().all(|event| !event["usage"].is_object()), "{}", silent.text());
    assert!(silent.text().contains("[DONE]"));
    assert_eq!(world.charged().await, MINI);
    let asked = with(body, &json!({ "stream_options": { "include_usage": true } }));
    let told = world.post("/v1/chat/completions", &asked).await;
    let usage = usage_of_last(&told);
    assert_eq!((&usage["cost_micro"], &usage["prompt_tokens"]), (&json!(MINI), &json!(1_000)));
    assert_eq!(world.charged().await, 2 * MINI);
    // Also where the provider speaks otherwise.
    let asked = with(asked, &json!({ "model": "anthropic/claude-sonnet-4-5" }));
    let told = world.post("/v1/chat/completions", &asked).await;
    assert_eq!(usage_of_last(&told)["cost_micro"], json!(450_000));
    assert_eq!(world.charged().await, 2 * MINI + 450_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_early_late_repeated_or_split_anywhere_is_charged_once() {
    let world = world(counts()).await;
    let mut sum = 0;
    for usage in [Reporting::Early, Reporting::Late, Reporting::Repeated, Reporting::Cumulative] {
        for split_at in [None, Some(1), Some(7)] {
            world.providers.set_behaviour(Behaviour { usage, split_at, ..counts() });
            let body = with(chat("gpt-4.1-mini"), &json!({ "stream": true }));
            let answer = world.post("/v1/chat/completions", &body).await;
            assert_eq!(answer.status, StatusCode::OK);
            sum += MINI;
            assert_eq!(world.charged().await, sum, "{usage:?} {split_at:?}");
        }
    }
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a11_who_hangs_up_in_the_middle_of_a_stream_pays_for_what_was_seen() {
    use http_body_util::BodyExt as _;
    let endless = Behaviour { pieces: Some(10_000), gap_ms: 5, ..counts() };
    let world = world(Behaviour { text: Some("word ".repeat(10_000)), ..endless }).await;
    let body = with(chat("gpt-4.1-mini"), &json!({ "stream": true, "max_tokens": 20_000 }));
    let request = world.request(Method::POST, "/v1/chat/completions", &body.to_string());
    let mut answer = world.send(request).await.into_body();
    for _ in 0..5 {
        answer.frame().await.unwrap().unwrap();
    }
    drop(answer);
    // The provider is let go.
    let left = |requests: &[rigbox_test_providers::Request]| {
        requests.iter().all(|it| it.ended == rigbox_test_providers::Ended::Left)
    };
    world.providers.requests_when(|requests| !requests.is_empty() && left(requests)).await;
    let charged = world.charged().await;
    assert!((1..MINI * 100).contains(&charged), "{charged}");
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a33_an_error_in_a_stream_and_a_cut_are_no_success_and_cost_what_was_made() {
    let world = world(Behaviour { error_after: Some(2), ..counts() }).await;
    let body = with(chat("gpt-4.1-mini"), &json!({ "stream": true }));
    let failed = world.post("/v1/chat/completions", &body).await;
    assert!(failed.text().contains("error") && !failed.text().contains("[DONE]"));
    // Nobody but us has asked for usage.
    assert!(!failed.text().contains("usage"), "{}", failed.text());
    let counted = r#"provider_failures_total{provider="openai",what="in_answer"} 1"#;
    let metrics = world.metrics().await.unwrap();
    assert!(metrics.contains(counted), "{metrics}");
    let first = world.charged().await;
    assert!(first < MINI, "{first}");
    world.providers.set_behaviour(Behaviour { cut_after: Some(600), ..counts() });
    let request = world.request(Method::POST, "/v1/chat/completions", &body.to_string());
    let cut = http_body_util::BodyExt::collect(world.send(request).await.into_body()).await;
    assert!(cut.is_err(), "a stream that was cut must not end as if it were whole");
    assert!(world.charged().await >= first);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credits_a_call_is_refused_with_numbers_and_a_smaller_one_is_not() {
    let world = world(counts()).await;
    world.limit(Some(1)).await;
    // 20,000 written at 1.6 dollars a million: 3.2 credits.
    let body = with(chat("gpt-4.1-mini"), &json!({ "max_tokens": 20_000 }));
    let refused = world.post("/v1/chat/completions", &body).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!("credits_exhausted"), &json!("rigbox_gateway_error"))
    );
    assert_eq!(error["details"]["balance_micro"], 1_000_000);
    let fits = error["details"]["fits_output_tokens"].as_u64().unwrap();
    assert!(world.providers.requests().is_empty());
    let body = with(body, &json!({ "max_tokens": fits }));
    let answer = world.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    // A14: who does not say how much gets what the balance pays for.
    let answer = world.post("/v1/chat/completions", &chat("gpt-4.1-mini")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(world.charged().await, 2 * MINI);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_thousand_calls_at_once_on_a_balance_for_some_never_overspend() {
    let world = std::sync::Arc::new(world(counts()).await);
    world.limit(Some(1)).await;
    // Each may cost some 0.07 credits.
    let body = with(chat("gpt-4.1-mini"), &json!({ "max_tokens": 100 }));
    let calls = (0..1_000).map(|_| {
        let (world, body) = (world.clone(), body.clone());
        tokio::spawn(async move { world.post("/v1/chat/completions", &body).await.status })
    });
    let mut paid = 0;
    for status in futures_util::future::join_all(calls).await {
        match status.unwrap() {
            StatusCode::OK => paid += 1,
            status => assert_eq!(status, StatusCode::PAYMENT_REQUIRED),
        }
    }
    assert_eq!(world.charged().await, paid * MINI);
    assert!(world.balance().await.total().micro() >= 0);
    assert_eq!(i64::try_from(world.providers.billed().len()).unwrap(), paid);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_a_search_has_its_price_and_counting_and_listing_have_none() {
    let world = world(counts()).await;
    let search = world.ask(world.request(Method::GET, "/brave/res/v1/web/search?q=rust", "")).await;
    assert_eq!((search.status, search.cost()), (StatusCode::OK, Some(500_000)));
    let count = world.post("/v1/messages/count_tokens", &chat("claude-sonnet-4-5")).await;
    assert_eq!((count.status, count.cost()), (StatusCode::OK, Some(0)), "{}", count.text());
    let models = world.ask(world.request(Method::GET, "/v1/models", "")).await.json();
    let ids: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|it| it["id"].as_str()).collect();
    assert!(ids.contains(&Some("openai/gpt-4.1-mini")) && ids.contains(&Some("rigbox/default")));
    assert_eq!(world.charged().await, 500_000);
}

/// Models that nobody has listed, of a provider that says what each answer has cost.
#[tokio::test(flavor = "multi_thread")]
async fn what_openrouter_says_that_an_answer_has_cost_is_charged_with_a_row_for_all_its_models() {
    let mut world = World::new(Some(10_000)).await;
    world.stop().await;
    let prices = r#"
        as_of = "2026-11-30T00:00:00Z"
        [sources.mine]
        title = "What OpenRouter reports"
        read_at = "2026-11-30T00:00:00Z"
        is_verified = true
        [[models]]
        provider = "openrouter"
        names = ["*"]
        sources = ["mine"]
        max_input_tokens = 1000000
        max_output_tokens = 64000
        cost_is_reported = true
        rates = { input = "3", output = "15" }
    "#;
    std::fs::write(world.path(PRICES), prices).unwrap();
    world.start().await;
    world.providers.set_behaviour(Behaviour { cost: Some(0.0123), ..Behaviour::default() });
    for stream in [false, true] {
        let chat = json!({
            "model": "meta-llama/llama-3.3-70b-instruct",
            "messages": [{ "role": "user", "content": "hello" }],
            "stream": stream,
        });
        let answer = world.post("/v1/chat/completions", &chat).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert_eq!(world.charged().await, 2 * 1_230_000);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_tools_of_a_provider_are_bounded_and_cost_what_is_used() {
    let world = World::new(Some(100_000)).await;
    let searched = Behaviour { web_searches: 2, ..counts() };
    world.providers.set_behaviour(searched);
    // Two searches at a cent each are two credits.
    let sonnet = 1_000 * 300 + 100 * 1_500 + 2_000_000;
    let mut message = with(chat("claude-sonnet-4-5"), &json!({ "max_tokens": 1_000 }));
    message["tools"] = json!([{ "type": "web_search_20250305", "name": "web_search" }]);
    let answer = world.post("/v1/messages", &message).await;
    assert_eq!(answer.cost(), Some(sonnet), "{}", answer.text());
    let gpt = 1_000 * 25 + 100 * 200 + 2_000_000;
    let response = json!({
        "model": "gpt-5-mini", "input": "hello", "tools": [{ "type": "web_search" }],
    });
    let answer = world.post("/v1/responses", &response).await;
    assert_eq!(answer.cost(), Some(gpt), "{}", answer.text());
    assert_eq!(world.charged().await, sonnet + gpt);
    // Each is told how often, and the platform's account keeps nothing.
    let put_in = [
        r#""max_uses":3,"#,
        r#""max_tool_calls":3,"store":false,"include":["reasoning.encrypted_content"],"#,
    ];
    for (request, (body, put_in)) in
        world.providers.requests().iter().zip([message, response].iter().zip(put_in))
    {
        assert_eq!(request.body_bytes, (body.to_string().len() + put_in.len()) as u64);
    }
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_balance_for_one_search_gets_one() {
    // With gpt-5-mini a search is held with 33 credits and three with 65, what is written with 25.6.
    let world = World::new(Some(35)).await;
    world.providers.set_behaviour(counts());
    let response = json!({
        "model": "gpt-5-mini", "input": "hello", "tools": [{ "type": "web_search" }],
    });
    let answer = world.post("/v1/responses", &response).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let sent = rewrite(
        response.to_string().as_bytes(),
        &Changes {
            tool_calls: Some((CallsField::OfAll, 1)),
            no_store: true,
            include_reasoning: true,
            ..Changes::default()
        },
    );
    let sent = Sha256::digest(sent.unwrap());
    let sent: String = sent.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(world.providers.requests()[0].body_sha256, sent);
    // Who says how many is told to say fewer.
    let many = with(response, &json!({ "max_tool_calls": 9 }));
    let refused = world.post("/v1/responses", &many).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert!(refused.text().contains("a smaller max_tool_calls"), "{}", refused.text());
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_what_a_provider_reports_is_charged_also_beyond_the_hold() {
    let reported = Behaviour {
        input: Some(3),
        cache_write_5m: 12_304,
        output: Some(550),
        ..Behaviour::default()
    };
    let world = world(reported).await;
    let message = with(chat("claude-3-7-sonnet-20250219"), &json!({ "max_tokens": 1_024 }));
    let answer = world.post("/v1/messages", &message).await;
    assert_eq!(answer.cost(), Some(5_439_900), "{}", answer.text());
    assert_eq!(world.charged().await, 5_439_900);
    let counted = r#"provider_failures_total{provider="anthropic",what="beyond_hold"} 1"#;
    let metrics = world.metrics().await.unwrap();
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("# TYPE rigbox_ai_calls_total counter\n"), "{metrics}");
    world.is_whole().await;
}
