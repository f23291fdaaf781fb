use rigbox_test_providers::{Behaviour, Counts, Ended};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::client::{WAYS, Way, charged, receive, send, start};

#[tokio::test]
async fn an_answer_is_charged_what_it_was_to_have() {
    let counts = Counts {
        input: 11,
        cached: 7,
        cache_write_5m: 5,
        cache_write_1h: 3,
        audio_input: 2,
        output: 13,
        reasoning: 17,
        web_searches: 2,
        ..Counts::default()
    };
    let behaviour = json!({
        "input": 11, "cached": 7, "cache_write_5m": 5, "cache_write_1h": 3, "audio_input": 2,
        "output": 13, "reasoning": 17, "web_searches": 2,
    });
    for way in WAYS {
        for is_stream in [false, true] {
            let providers = start().await;
            let came = way.ask(&providers, is_stream, behaviour.clone()).await;
            assert!(came.status == 200 && came.is_whole, "{way:?}: {came:?}");
            assert_eq!(charged(&providers), counts, "{way:?}");
            let [request] = providers.requests().try_into().unwrap();
            assert_eq!((request.ended, request.is_stream), (Ended::Whole, is_stream));
            assert_eq!(request.provider, Some(way.provider()));
            assert!(providers.billed()[0].is_whole);
        }
    }
}

#[tokio::test]
async fn a10_a_client_that_leaves_is_noticed_and_charged_for_what_was_written() {
    let behaviour = json!({ "input": 10, "output": 1_000, "pieces": 1_000, "gap_ms": 5 });
    for way in WAYS {
        let providers = start().await;
        let (head, body) = way.request(true, &behaviour);
        let mut stream = send(&providers, &head, &body).await;
        let mut came = Vec::new();
        while memchr::memmem::find_iter(&came, b"word").count() < 4 {
            assert!(stream.read_buf(&mut came).await.unwrap() > 0);
        }
        drop(stream);
        let requests = providers.requests_when(|all| all[0].ended == Ended::Left).await;
        assert_eq!(requests[0].ended, Ended::Left, "{way:?}");
        assert!(requests[0].ended_ms >= requests[0].at_ms);
        let counts = charged(&providers);
        assert!(counts.input == 10 && (4..1_000).contains(&counts.output), "{way:?}: {counts:?}");
        assert!(!providers.billed()[0].is_whole);
    }
}

#[tokio::test]
async fn what_an_answer_that_was_cut_is_charged_can_be_chosen() {
    for (bill, output) in [("so_far", Some(40)), ("all", Some(100)), ("nothing", None)] {
        let providers = start().await;
        // The start, and four of ten pieces.
        let behaviour = json!({ "output": 100, "pieces": 10, "error_after": 5, "bill": bill });
        Way::Chat.ask(&providers, true, behaviour).await;
        let billed = providers.billed();
        assert_eq!(billed.first().map(|billed| billed.counts.output), output, "{bill}");
    }
}

#[tokio::test]
async fn a23_a_refusal_is_charged_only_where_that_is_asked_for() {
    for (is_billed, count) in [(false, 0), (true, 1)] {
        let providers = start().await;
        let behaviour = json!({ "error": { "status": 500, "billed": is_billed } });
        let came = Way::Messages.ask(&providers, true, behaviour).await;
        assert_eq!((came.status, providers.billed().len()), (500, count));
        assert_eq!(providers.requests()[0].ended, Ended::Refused);
    }
}

#[tokio::test]
async fn nothing_is_charged_for_models_and_counting() {
    let providers = start().await;
    let head = "POST /anthropic/v1/messages/count_tokens HTTP/1.1\r\nx-api-key: key\r\n\
                anthropic-version: 2023-06-01\r\n";
    let body = json!({ "model": "m", "messages": [{ "content": "[[sim {\"input\": 12}]]" }] });
    let came = receive(send(&providers, head, &body.to_string()).await).await;
    assert_eq!(came.json(), json!({ "input_tokens": 12 }));
    let head = "GET /google/v1beta/models?key=key HTTP/1.1\r\n";
    assert_eq!(receive(send(&providers, head, "").await).await.status, 200);
    assert!(providers.billed().is_empty());
    let shown: Vec<_> =
        providers.requests().into_iter().flat_map(|each| each.credentials).collect();
    let shown: Vec<_> =
        shown.iter().map(|each| (each.place.as_str(), each.value.as_str())).collect();
    assert_eq!(shown, [("x-api-key", "key"), ("?key", "key")]);
}

#[tokio::test]
async fn a_model_has_a_behaviour_of_its_own_which_a_directive_changes() {
    let providers = start().await;
    let fast = Behaviour { input: Some(5), output: Some(6), ..Behaviour::default() };
    providers.set_model_behaviour("m", fast);
    Way::Chat.ask(&providers, false, json!({ "output": 7 })).await;
    let counts = charged(&providers);
    assert_eq!((counts.input, counts.output), (5, 7));
    providers.reset();
    assert!(providers.requests().is_empty() && providers.billed().is_empty());
}

#[tokio::test]
async fn what_openrouter_says_of_money_is_what_it_charges() {
    let providers = start().await;
    let came = Way::Router.ask(&providers, true, json!({ "cost": 0.000_012_3 })).await;
    assert!(came.text().starts_with(": OPENROUTER PROCESSING\n\n"), "{}", came.text());
    let last = came.events().pop().unwrap();
    assert_eq!(last["usage"]["cost"], json!(0.000_012_3));
    assert_eq!(providers.billed()[0].cost, Some(0.000_012_3));
}
