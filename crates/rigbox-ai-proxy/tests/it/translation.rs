//! Responses and texts that go on, for providers that have neither: what they are answered, and what they
//! cost.

use http::StatusCode;
use rigbox_test_providers::Behaviour;
use serde_json::{Value, json};

use crate::kit::{Answer, World};

const CLAUDE: &str = "anthropic/claude-sonnet-4-5";
const GEMINI: &str = "google/gemini-2.5-flash";

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

fn response(model: &str) -> Value {
    json!({ "model": model, "input": "hello", "max_output_tokens": 1_000 })
}

fn completion(model: &str) -> Value {
    json!({ "model": model, "prompt": "hello", "max_tokens": 1_000 })
}

/// What a stream of responses ends with.
fn last(answer: &Answer) -> Value {
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
    answer.events().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_and_texts_that_go_on_are_charged_what_providers_of_another_shape_bill() {
    let world = world(Behaviour {
        input: Some(1_000),
        cached: 500,
        output: Some(100),
        reasoning: 50,
        text: Some("There.".to_owned()),
        ..Behaviour::default()
    })
    .await;
    let streamed = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let mut sum = 0;
    // Picodollars: tokens times dollars a million. A micro-credit is 10,000 of them.
    let sonnet = 1_000 * 3_000_000 + 500 * 300_000 + 150 * 15_000_000_i64;
    let flash = 1_000 * 300_000 + 500 * 30_000 + 150 * 2_500_000_i64;
    for (model, pico) in [(CLAUDE, sonnet), (GEMINI, flash)] {
        let cost = (pico + 9_999) / 10_000;
        let whole = world.post("/v1/responses", &response(model)).await;
        assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
        let said = whole.json();
        assert_eq!(said["output"][0]["content"][0]["text"], "There.");
        assert_eq!((&said["model"], &said["status"]), (&json!(model), &json!("completed")));
        let usage = &said["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(1_500), &json!(150)));
        assert_eq!(usage["input_tokens_details"]["cached_tokens"], 500);
        assert_eq!((&usage["cost_micro"], whole.cost()), (&json!(cost), Some(cost)));
        sum += cost;
        assert_eq!(world.charged().await, sum, "{model}");

        let asked = with(response(model), &json!({ "stream": true }));
        let last = last(&world.post("/v1/responses", &asked).await);
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "There.");
        assert_eq!(last["response"]["usage"]["total_tokens"], 1_650);
        assert_eq!(last["response"]["usage"]["cost_micro"], cost);
        sum += cost;
        assert_eq!(world.charged().await, sum, "{model} streamed");

        let whole = world.post("/v1/completions", &completion(model)).await;
        assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
        assert_eq!(whole.json()["choices"][0]["text"], "There.");
        assert_eq!(whole.json()["usage"]["cost_micro"], cost);
        sum += cost;
        assert_eq!(world.charged().await, sum, "{model} text");

        let chunks = world.post("/v1/completions", &with(completion(model), &streamed)).await;
        let usage = chunks.events().pop().unwrap()["usage"].clone();
        assert_eq!((&usage["cost_micro"], &usage["total_tokens"]), (&json!(cost), &json!(1_650)));
        assert!(chunks.text().ends_with("data: [DONE]\n\n"));
        sum += cost;
        assert_eq!(world.charged().await, sum, "{model} text, streamed");
    }
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_no_model_gets_the_default_whatever_shape_it_has() {
    let world = world(Behaviour::default()).await;
    for (path, body) in [
        ("/v1/responses", json!({ "input": "hello" })),
        ("/v1/completions", json!({ "prompt": "hello" })),
        ("/v1/chat/completions", json!({ "messages": [{ "role": "user", "content": "hello" }] })),
    ] {
        let answer = world.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert_eq!(answer.json()["model"], "claude-sonnet-4-5");
    }
    assert!(world.providers.requests().iter().all(|it| it.path == "/v1/messages"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_response_of_another_provider_can_not_have_is_refused_and_costs_nothing() {
    let world = world(Behaviour::default()).await;
    for (path, body, field) in [
        ("/v1/responses", json!({ "previous_response_id": "resp_1" }), "previous_response_id"),
        ("/v1/responses", json!({ "store": true }), "store"),
        ("/v1/responses", json!({ "truncation": "auto" }), "truncation"),
        ("/v1/responses", json!({ "tools": [{ "type": "computer" }] }), "tools[0].type"),
        // Not that it has no bound, or no known price.
        ("/v1/responses", json!({ "tools": [{ "type": "web_search" }] }), "tools[0].type"),
        ("/v1/responses", json!({ "tools": [{ "type": "mcp" }] }), "tools[0].type"),
        ("/v1/responses", json!({ "web_search_options": {} }), "web_search_options"),
        ("/v1/responses", json!({ "input": [{ "type": "web_search_call" }] }), "input[0].type"),
        ("/v1/completions", json!({ "prompt": ["a", "b"] }), "prompt"),
        ("/v1/completions", json!({ "suffix": "x" }), "suffix"),
        ("/v1/completions", json!({ "echo": true }), "echo"),
        ("/v1/embeddings", json!({ "input": "x" }), "model"),
    ] {
        let asked = match path {
            "/v1/responses" => response(CLAUDE),
            "/v1/completions" => completion(CLAUDE),
            _ => json!({ "model": CLAUDE }),
        };
        let refused = world.post(path, &with(asked, &body)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", refused.text());
        let error = &refused.json()["error"];
        assert_eq!(error["type"], "rigbox_gateway_error");
        assert_eq!(error["details"]["field"], field, "{path} {body}: {}", refused.text());
    }
    assert!(world.providers.requests().is_empty());
    assert_eq!(world.charged().await, 0);
    assert_eq!(world.balance().await.total().micro(), 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_held_for_by_its_own_bound_and_clamped_where_it_has_none() {
    let counts = Behaviour { input: Some(100), output: Some(10), ..Behaviour::default() };
    let world = world(counts).await;
    // 20,000 written by Sonnet at 15 dollars a million: 30 credits.
    world.limit(Some(5)).await;
    let body = with(response(CLAUDE), &json!({ "max_output_tokens": 20_000 }));
    let refused = world.post("/v1/responses", &body).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{}", refused.text());
    let fits = refused.json()["error"]["details"]["fits_output_tokens"].as_u64().unwrap();
    assert!(refused.text().contains("max_output_tokens"), "{}", refused.text());
    let body = with(body, &json!({ "max_output_tokens": fits }));
    let answer = world.post("/v1/responses", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["max_output_tokens"], fits);
    // A14: who does not say how much gets what the balance pays for.
    let endless = Behaviour { ignores_limit: false, output: Some(60_000), ..Behaviour::default() };
    world.providers.set_behaviour(endless);
    let asked = json!({ "model": CLAUDE, "input": "hello" });
    let answer = world.post("/v1/responses", &asked).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let said = answer.json();
    assert_eq!(said["status"], "incomplete", "{said}");
    assert_eq!(said["incomplete_details"]["reason"], "max_output_tokens");
    assert!(said["usage"]["output_tokens"].as_u64().unwrap() <= fits);
    world.charged().await;
    assert!(world.balance().await.total().micro() >= 0);
    world.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a33_a_response_that_fails_or_is_cut_says_so_and_costs_what_was_made() {
    for model in [CLAUDE, GEMINI] {
        let body = with(response(model), &json!({ "stream": true }));
        for behaviour in [
            Behaviour { error_after: Some(6), ..Behaviour::default() },
            Behaviour { cut_after: Some(900), ..Behaviour::default() },
        ] {
            let text = Some("word ".repeat(500));
            let counts = Behaviour { input: Some(1_000), output: Some(500), text, ..behaviour };
            let world = world(Behaviour { pieces: Some(100), ..counts }).await;
            let answer = world.post("/v1/responses", &body).await;
            let events = answer.events();
            let kinds: Vec<_> =
                events.iter().map(|event| event["type"].as_str().unwrap()).collect();
            assert_eq!(kinds[kinds.len() - 2..], ["response.failed", "error"], "{}", answer.text());
            assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
            assert!(kinds.contains(&"response.output_text.delta"), "{}", answer.text());
            assert!(events.last().unwrap()["error"]["message"].is_string());
            let numbers = events.iter().map(|event| event["sequence_number"].as_u64().unwrap());
            assert!(numbers.eq(0..events.len() as u64));
            let charged = world.charged().await;
            assert!(charged > 0, "{model}");
            world.is_whole().await;
        }
    }
}
