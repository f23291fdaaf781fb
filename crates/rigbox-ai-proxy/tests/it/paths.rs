//! Who may call, where a call goes, and what of it arrives.

use http::{HeaderValue, Method, StatusCode};
use rigbox_ai::vault::Vault;
use rigbox_store::ai::{AiKeyPlace, KeyChange};
use rigbox_test_providers::Behaviour;
use rigbox_types::api::ai::{AiMode, AiProvider};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::kit::{KEY, World};

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_counts_from_the_next_call_on() {
    let world = World::new(Some(1_000)).await;
    let body = chat("openai/gpt-4.1-mini");
    assert_eq!(world.post("/v1/chat/completions", &body).await.status, StatusCode::OK);
    world.set(false, AiMode::Managed).await;
    let off = world.post("/v1/chat/completions", &body).await;
    assert_eq!(
        (off.status, &off.json()["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("proxy_off"))
    );
    world.set(true, AiMode::Managed).await;
    assert_eq!(world.post("/v1/chat/completions", &body).await.status, StatusCode::OK);
    // Only the host that has it speaks for a workspace.
    let mut request = world.request(Method::POST, "/v1/chat/completions", &body.to_string());
    let uri = request.uri().to_string().replace(world.host.as_str(), "host-99999999");
    *request.uri_mut() = uri.parse().unwrap();
    assert_eq!(world.ask(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_with_a_key_of_their_own_pays_the_provider_and_nobody_else() {
    let world = World::new(Some(1)).await;
    world.set(true, AiMode::Byok).await;
    let body = chat("openai/gpt-4.1-mini");
    let missing = world.post("/v1/chat/completions", &body).await;
    assert_eq!(missing.json()["error"]["code"], "missing_key");
    let vault = Vault::open(&world.path("")).unwrap();
    let place = AiKeyPlace { account: world.account, workspace: None };
    let edit = {
        let sealing = vault.sealing().unwrap();
        let sealed = sealing.seal(&place, AiProvider::Openai, &SecretString::from(KEY)).unwrap();
        vec![KeyChange::Put { provider: AiProvider::Openai, sealed, preview: "a2".to_owned() }]
    };
    world.store.ai().account_change(world.account, &edit, |_| {}).await.unwrap();
    let answer = world.post("/v1/chat/completions", &body).await;
    assert_eq!((answer.status, answer.cost()), (StatusCode::OK, None), "{}", answer.text());
    // Far more than the balance would pay for, and a model that nobody knows.
    let large = json!({ "model": "gpt-99", "max_tokens": 1_000_000, "messages": [] });
    let answer = world.post("/openai/v1/chat/completions", &large).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(world.charged().await, 0);
    assert_eq!(world.providers.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a30_what_a_caller_shows_as_a_key_or_a_host_ends_at_the_proxy() {
    let world = World::new(Some(1_000)).await;
    let path = "/google/v1beta/models/gemini-2.5-flash:generateContent?key=mine&alt=json";
    let body = json!({ "contents": [{ "parts": [{ "text": "hello" }] }] });
    let mut request = world.request(Method::POST, path, &body.to_string());
    for name in
        ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "x-forwarded-host"]
    {
        request.headers_mut().insert(name, HeaderValue::from_static("sk-mine"));
    }
    assert_eq!(world.ask(request).await.status, StatusCode::OK);
    let seen = world.providers.requests();
    let [seen] = seen.as_slice() else { panic!("{seen:?}") };
    let shown: Vec<_> =
        seen.credentials.iter().map(|it| (it.place.as_str(), it.value.as_str())).collect();
    assert_eq!(shown, [("x-goog-api-key", KEY)]);
    assert!(!format!("{seen:?}").contains("mine"));
    // A15, A26: nothing but what is listed is there at all.
    for path in [
        "/openai/v1/files",
        "/openai/v1/organization/api_keys",
        "/openai/v1/chat/completions/../files",
        "/v1/batches",
        "/v1/%63hat/completions",
        "/openrouter/v1/chat/completions",
        "/sim/requests",
        "/",
    ] {
        let answer = world.ask(world.request(Method::POST, path, "{}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(world.providers.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a28_no_answer_and_no_error_has_the_platforms_key_in_it() {
    let world = World::new(Some(1_000)).await;
    let body = chat("openai/gpt-4.1-mini");
    let refuse = |status, message: &str| Behaviour {
        error: Some(rigbox_test_providers::Failure {
            status,
            message: Some(message.to_owned()),
            ..Default::default()
        }),
        ..Behaviour::default()
    };
    let echo = format!("the key {KEY} is not good enough");
    for (status, expected) in [(401, 502), (403, 502), (400, 400), (404, 404), (422, 422)] {
        world.providers.set_behaviour(refuse(status, &echo));
        let answer = world.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
        assert!(!answer.text().contains(KEY) && !answer.text().contains("canary"));
    }
    // No redirect is followed with a key.
    world
        .providers
        .set_behaviour(Behaviour { redirect: Some(String::new()), ..Behaviour::default() });
    let answer = world.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(world.providers.requests().iter().all(|it| !it.path.contains("trap")));
    assert_eq!(world.charged().await, 0);
    assert!(!world.metrics().await.unwrap().contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_shape_that_the_callers_sdk_knows() {
    let world = World::new(Some(1_000)).await;
    world.set(false, AiMode::Managed).await;
    let openai = world.post("/v1/chat/completions", &chat("x")).await.json();
    assert_eq!(openai["error"]["type"], "rigbox_gateway_error");
    let anthropic = world.post("/v1/messages", &chat("x")).await.json();
    assert_eq!(
        (&anthropic["type"], &anthropic["error"]["type"]),
        (&json!("error"), &json!("permission_error"))
    );
    let google = world.post("/google/v1beta/models/x:generateContent", &json!({})).await.json();
    assert_eq!(
        (&google["error"]["code"], &google["error"]["status"]),
        (&json!(403), &json!("PERMISSION_DENIED"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_what_has_no_price_is_refused_and_a_slug_leads_to_its_provider() {
    let world = World::new(Some(1_000)).await;
    for model in ["openai/gpt-99", "gpt-99", "meta/llama-9"] {
        let answer = world.post("/v1/chat/completions", &chat(model)).await;
        let code = &answer.json()["error"]["code"];
        assert_eq!(
            (answer.status, code),
            (StatusCode::NOT_FOUND, &json!("model_not_found")),
            "{model}"
        );
    }
    assert!(world.providers.requests().is_empty());
    for (model, path) in [
        ("rigbox/default", "/v1/messages"),
        ("claude-sonnet-4-5", "/v1/messages"),
        ("gpt-4.1-mini", "/v1/chat/completions"),
        ("google/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
    ] {
        let answer = world.post("/v1/chat/completions", &chat(model)).await;
        assert_eq!(answer.status, StatusCode::OK, "{model}: {}", answer.text());
        assert_eq!(answer.json()["object"], "chat.completion");
        assert_eq!(world.providers.requests().last().unwrap().path, path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_for_no_model_is_refused_with_what_does() {
    let world = World::new(Some(1_000)).await;
    let answer = world.post("/v1/chat/completions", &json!({ "model": "rigbox/none" })).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("ai.aliases") && message.contains("anthropic"), "{message}");
    for user in [json!(7), json!(["a"]), json!({ "id": "a" })] {
        let body = json!({ "model": "openai/gpt-4.1-mini", "user": user, "messages": [] });
        let answer = world.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.json()["error"]["details"]["field"], "user", "{}", answer.text());
    }
    assert!(world.providers.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_model_is_told_of_by_its_name() {
    let world = World::new(Some(1_000)).await;
    // The third is how SDKs write the first.
    for name in ["openai/gpt-4.1-mini", "gpt-4.1-mini", "openai%2Fgpt-4.1-mini"] {
        let request = world.request(Method::GET, &format!("/v1/models/{name}"), "");
        let answer = world.ask(request).await;
        assert_eq!(answer.json()["id"], "openai/gpt-4.1-mini", "{}", answer.text());
    }
    let request = world.request(Method::GET, "/v1/models/openai/gpt-0", "");
    let answer = world.ask(request).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
}
