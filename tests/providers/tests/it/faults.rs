use std::process::Stdio;

use rigbox_test_providers::{Ended, Options, Provider, Providers, Tls};
use serde_json::json;
use tokio::process::Command;

use crate::client::{WAYS, Way, receive, send, start};

#[tokio::test]
async fn a22_bytes_are_written_as_they_are_to_be_split() {
    for way in WAYS {
        let providers = start().await;
        let ask = |more| way.ask(&providers, true, more);
        let plain = ask(json!({ "text": "Grüße", "split_at": 1 })).await;
        assert!(plain.chunks.iter().all(|length| *length == 1), "{way:?}: {:?}", plain.chunks);
        let events = plain.events().len();
        let other = json!({
            "text": "Grüße", "crlf": true, "no_space": true, "comments": 2, "huge": 5_000,
        });
        let other = ask(other).await;
        assert_eq!(other.events().len(), events, "{way:?}");
        if !matches!(way, Way::ContentsArray) {
            let text = other.text();
            assert!(text.contains("\r\n\r\n") && text.contains("data:{") && text.contains(": "));
            assert!(text.len() > 5_000 && !text.contains("data: "));
        }
    }
}

#[tokio::test]
async fn a33_an_error_inside_a_stream_is_the_last_thing_that_it_tells() {
    for way in WAYS {
        let providers = start().await;
        let came = way.ask(&providers, true, json!({ "error_after": 2, "pieces": 9 })).await;
        assert!(came.status == 200 && came.is_whole, "{way:?}");
        let last = came.text();
        let last = last.rsplit_once("error").map_or("", |(_, last)| last);
        assert!(!last.is_empty() && !last.contains("word"), "{way:?}: {}", came.text());
        assert_eq!(providers.requests()[0].ended, Ended::Refused);
        assert!(!providers.billed()[0].is_whole);
    }
}

#[tokio::test]
async fn a_body_is_cut_at_the_byte_that_was_told() {
    for way in WAYS {
        for is_stream in [false, true] {
            let providers = start().await;
            let came = way.ask(&providers, is_stream, json!({ "cut_after": 100 })).await;
            assert!(came.body.len() == 100 && !came.is_whole, "{way:?}: {came:?}");
            let requests = providers.requests_when(|all| all[0].ended == Ended::Cut).await;
            assert_eq!((requests[0].ended, requests[0].sent_bytes), (Ended::Cut, 100));
        }
    }
}

#[tokio::test]
async fn a23_the_first_requests_of_a_series_fail_and_the_next_does_not() {
    let providers = start().await;
    let error = json!({ "status": 429, "retry_after": 7 });
    let behaviour = json!({ "fail_first": 2, "error": error });
    let mut seen = Vec::new();
    for _ in 0..4 {
        let came = Way::Chat.ask(&providers, true, behaviour.clone()).await;
        seen.push((came.status, came.head.contains("retry-after: 7")));
    }
    assert_eq!(seen, [(429, true), (429, true), (200, false), (200, false)]);
    assert_eq!(providers.billed().len(), 2);
}

#[tokio::test]
async fn a_client_that_gets_no_answer_leaves() {
    for behaviour in [json!({ "hang": true }), json!({ "first_ms": 3_600_000 })] {
        let providers = start().await;
        let (head, body) = Way::Messages.request(true, &behaviour);
        let stream = send(&providers, &head, &body).await;
        assert_eq!(providers.requests_when(|all| all.len() == 1).await[0].ended, Ended::Open);
        drop(stream);
        let requests = providers.requests_when(|all| all[0].ended == Ended::Left).await;
        assert_eq!((requests[0].ended, requests[0].status), (Ended::Left, 0));
    }
    let providers = start().await;
    let came = Way::Messages.ask(&providers, true, json!({ "hang_up": true })).await;
    assert_eq!((came.status, came.body.len()), (0, 0));
}

#[tokio::test]
async fn a30_a_redirect_shows_whether_a_key_follows_it() {
    let providers = start().await;
    let came = Way::Chat.ask(&providers, false, json!({ "redirect": "" })).await;
    assert!(came.status == 302 && came.head.contains("location: /sim/trap"), "{}", came.head);
    assert!(providers.billed().is_empty());
    let head = "GET /sim/trap HTTP/1.1\r\nauthorization: Bearer leaked\r\n";
    receive(send(&providers, head, "").await).await;
    let trapped = providers.requests().pop().unwrap();
    assert_eq!((trapped.provider, trapped.path.as_str()), (None, "/sim/trap"));
    assert_eq!(trapped.credentials[0].value, "leaked");
}

#[tokio::test]
async fn a30_keys_are_asked_for_and_a_wrong_one_is_shown_in_part() {
    let options = Options { key: Some("right".to_owned()), ..Options::default() };
    let providers = Providers::start(options).await.unwrap();
    let body = json!({ "model": "m", "messages": [] }).to_string();
    for (key, status) in [("", 401), ("authorization: Bearer sk-wrong-0123456789\r\n", 401)] {
        let head = format!("POST /openai/v1/chat/completions HTTP/1.1\r\n{key}");
        let came = receive(send(&providers, &head, &body).await).await;
        assert_eq!(came.status, status);
        assert_eq!(came.text().contains("sk-wrong***"), !key.is_empty(), "{}", came.text());
    }
    let head = "POST /openai/v1/chat/completions HTTP/1.1\r\nauthorization: Bearer right\r\n";
    assert_eq!(receive(send(&providers, head, &body).await).await.status, 200);
}

#[tokio::test]
async fn a_misspelt_directive_is_refused() {
    let providers = start().await;
    for way in WAYS {
        let came = way.ask(&providers, true, json!({ "outputs": 1 })).await;
        assert!(came.status == 400 && came.text().contains("outputs"), "{}", came.text());
    }
}

/// What curl gets, with the status after it.
async fn curl(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20"]).args(arguments).stderr(Stdio::inherit());
    String::from_utf8(curl.output().await.unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a21_an_answer_is_compressed_when_brave_is_asked_to_or_when_told_to() {
    let providers = start().await;
    let base = providers.base(Provider::Brave);
    let url = format!("{base}/res/v1/web/search?q=one");
    let key = "x-subscription-token: key";
    let found = curl(&["--compressed", "-H", key, "-D", "-", &url]).await;
    assert!(found.contains("content-encoding: gzip") && found.contains("\"original\":\"one\""));
    assert!(!curl(&["-H", key, "-D", "-", &url]).await.contains("content-encoding"));
    assert_eq!(providers.billed().len(), 2);

    let came = Way::Chat.ask(&providers, true, json!({ "gzip": true })).await;
    assert!(came.head.contains("content-encoding: gzip") && came.body.starts_with(&[0x1f, 0x8b]));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken_with_tls_and_without() {
    let options = Options { tls: Tls::Made(vec!["api.test".to_owned()]), ..Options::default() };
    let secured = Providers::start(options).await.unwrap();
    let folder = std::env::temp_dir().join(format!("providers-{}", std::process::id()));
    std::fs::write(&folder, secured.authority_pem().unwrap()).unwrap();
    let authority = folder.to_str().unwrap();
    let key = "authorization: Bearer key";
    for version in ["--http1.1", "--http2"] {
        let url = format!("{}/v1/models", secured.base(Provider::OpenAi));
        let listed = curl(&[version, "--cacert", authority, "-H", key, &url]).await;
        assert!(listed.contains("gpt-sim-large"), "{listed}");
    }
    std::fs::remove_file(&folder).unwrap();
    let plain = start().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("{}/v1/models", plain.base(Provider::OpenAi));
        assert!(curl(&[version, "-H", key, &url]).await.contains("gpt-sim-large"));
    }
    for providers in [secured, plain] {
        let versions = providers.requests().into_iter().map(|request| request.version);
        assert_eq!(versions.collect::<Vec<_>>(), ["HTTP/1.1", "HTTP/2.0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_can_be_had_and_changed_by_http() {
    let providers = start().await;
    let at = |path: &str| format!("http://{}/sim/{path}", providers.address());
    let told = curl(&["-X", "PUT", "-d", "{\"input\": 4}", &at("behaviour?model=m")]).await;
    assert_eq!(told, "{}");
    assert!(curl(&["-X", "PUT", "-d", "{\"in\": 4}", &at("behaviour")]).await.contains("`in`"));
    Way::Chat.ask(&providers, false, json!({})).await;
    let billed: serde_json::Value = serde_json::from_str(&curl(&[&at("billed")]).await).unwrap();
    assert_eq!(billed["billed"][0]["counts"]["input"], json!(4));
    assert!(curl(&[&at("requests")]).await.contains("\"path\":\"/v1/chat/completions\""));
    curl(&["-X", "POST", &at("reset")]).await;
    let totals: serde_json::Value = serde_json::from_str(&curl(&[&at("totals")]).await).unwrap();
    assert_eq!((&totals["requests"], &totals["open"]), (&json!(0), &json!(0)));
}
