use serde_json::{Value, json};

use crate::client::{Came, Way, start};

/// The number at a path of each event that has one there.
fn told(came: &Came, path: &str) -> Vec<u64> {
    came.events().iter().filter_map(|event| event.pointer(path)?.as_u64()).collect()
}

async fn ask(way: Way, usage: &str, more: Value) -> Came {
    let mut behaviour = json!({ "input": 9, "output": 8, "pieces": 2, "usage": usage });
    behaviour.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    way.ask(&start().await, true, behaviour).await
}

async fn check(way: Way, path: &str, expected: &[(&str, &[u64])]) {
    for (usage, numbers) in expected {
        let came = ask(way, usage, json!({})).await;
        assert_eq!(told(&came, path), *numbers, "{way:?} {usage}: {}", came.text());
    }
}

#[tokio::test]
async fn a08_chat_tells_counts_once_at_the_end_or_as_it_is_told_to() {
    let expected: [(&str, &[u64]); 6] = [
        ("usual", &[8]),
        ("early", &[8]),
        ("late", &[8]),
        ("repeated", &[8, 8, 8, 8, 8]),
        ("cumulative", &[0, 4, 8, 8, 8]),
        ("missing", &[]),
    ];
    check(Way::Chat, "/usage/completion_tokens", &expected).await;
    let last = ask(Way::Chat, "usual", json!({})).await;
    let last = last.events().pop().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["prompt_tokens"]), (&json!([]), &json!(9)));
    let first = ask(Way::Chat, "early", json!({})).await.events().remove(0);
    assert_eq!(first["usage"]["total_tokens"], json!(17));
}

#[tokio::test]
async fn a08_chat_tells_no_counts_to_who_does_not_ask() {
    let providers = start().await;
    let (head, body) = Way::Chat.request(true, &json!({}));
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body.as_object_mut().unwrap().remove("stream_options");
    let stream = crate::client::send(&providers, &head, &body.to_string()).await;
    let came = crate::client::receive(stream).await;
    assert!(came.events().iter().all(|event| event.get("usage").is_none()), "{}", came.text());
    assert!(came.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a01_messages_tell_counts_at_the_start_and_again_at_the_end() {
    let start: [(&str, &[u64]); 3] = [("usual", &[9]), ("late", &[0]), ("missing", &[])];
    check(Way::Messages, "/message/usage/input_tokens", &start).await;
    let end: [(&str, &[u64]); 4] =
        [("usual", &[9]), ("late", &[9]), ("early", &[]), ("cumulative", &[9, 9, 9])];
    check(Way::Messages, "/usage/input_tokens", &end).await;
    let output: [(&str, &[u64]); 2] = [("usual", &[8]), ("cumulative", &[4, 8, 8])];
    check(Way::Messages, "/usage/output_tokens", &output).await;
}

#[tokio::test]
async fn a03_compatible_vendors_split_off_the_cached_at_the_end() {
    let came = ask(Way::Messages, "inclusive_first", json!({ "cached": 100 })).await;
    assert_eq!(told(&came, "/message/usage/input_tokens"), [109]);
    assert_eq!(told(&came, "/message/usage/cache_read_input_tokens"), [0]);
    assert_eq!(told(&came, "/usage/input_tokens"), [9]);
    assert_eq!(told(&came, "/usage/cache_read_input_tokens"), [100]);
}

#[tokio::test]
async fn a07_gemini_repeats_counts_and_thoughts_are_outside() {
    let more = json!({ "reasoning": 6, "cached": 4 });
    let came = ask(Way::Contents, "usual", more).await;
    assert_eq!(told(&came, "/usageMetadata/promptTokenCount"), [13; 5]);
    assert_eq!(told(&came, "/usageMetadata/thoughtsTokenCount"), [3, 6, 6, 6, 6]);
    assert_eq!(told(&came, "/usageMetadata/candidatesTokenCount"), [4, 8, 8]);
    assert_eq!(told(&came, "/usageMetadata/totalTokenCount"), [16, 19, 23, 27, 27]);
}

#[tokio::test]
async fn responses_tell_counts_with_the_last_event() {
    let expected: [(&str, &[u64]); 3] = [("usual", &[8]), ("missing", &[]), ("early", &[8, 8])];
    check(Way::Responses, "/response/usage/output_tokens", &expected).await;
    let came = ask(Way::Responses, "usual", json!({})).await;
    let numbers = told(&came, "/sequence_number");
    assert_eq!(numbers, (0..u64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a19_the_answer_says_in_which_tier_it_was_served() {
    for (way, path) in [
        (Way::Chat, "/service_tier"),
        (Way::Responses, "/service_tier"),
        (Way::Messages, "/usage/service_tier"),
        (Way::Contents, "/usageMetadata/serviceTier"),
    ] {
        let providers = start().await;
        let came = way.ask(&providers, false, json!({ "service_tier": "flex" })).await;
        assert_eq!(came.json().pointer(path), Some(&json!("flex")), "{way:?}");
        assert_eq!(providers.billed()[0].tier.as_deref(), Some("flex"));
    }
}

#[tokio::test]
async fn a19_openai_serves_in_the_tier_that_it_is_asked_for() {
    for (asked, served, billed) in
        [("priority", "priority", Some("priority")), ("auto", "default", None)]
    {
        let providers = start().await;
        let (head, body) = Way::Chat.request(false, &json!({}));
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["service_tier"] = asked.into();
        let stream = crate::client::send(&providers, &head, &body.to_string()).await;
        let came = crate::client::receive(stream).await;
        assert_eq!(came.json()["service_tier"], json!(served));
        assert_eq!(providers.billed()[0].tier.as_deref(), billed);
    }
}

#[tokio::test]
async fn audio_and_images_have_their_own_counts() {
    let providers = start().await;
    let behaviour =
        json!({ "audio_input": 3, "audio_output": 5, "image_output": 7, "input": 1, "output": 2 });
    let chat = Way::Chat.ask(&providers, false, behaviour.clone()).await.json();
    assert_eq!(chat["usage"]["prompt_tokens_details"]["audio_tokens"], json!(3));
    assert_eq!(chat["usage"]["completion_tokens_details"]["audio_tokens"], json!(5));
    assert!(chat["choices"][0]["message"]["audio"]["data"].is_string());
    let contents = Way::Contents.ask(&providers, false, behaviour).await.json();
    let expected = json!([
        { "modality": "TEXT", "tokenCount": 2 },
        { "modality": "AUDIO", "tokenCount": 5 },
        { "modality": "IMAGE", "tokenCount": 7 },
    ]);
    assert_eq!(contents["usageMetadata"]["candidatesTokensDetails"], expected);
}
