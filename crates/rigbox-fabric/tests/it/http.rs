use axum::{
    Extension, Json, Router,
    extract::{Path, Request},
    http::{Method, StatusCode, header},
    response::IntoResponse,
    routing::{any, get, post},
};
use hyper_util::rt::TokioIo;
use rigbox_fabric::{Body, FabricError, Peer};
use rigbox_types::api::error::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::serve_local;

fn router() -> Router {
    Router::new()
        .route(
            "/echo/{word}",
            any(|Path(word): Path<String>, Json(body): Json<Value>| async move {
                Json(json!({ "word": word, "body": body }))
            }),
        )
        .route("/nothing", post(|| async { StatusCode::NO_CONTENT }))
        .route("/peer", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }))
        .route(
            "/full",
            get(|| async {
                let error =
                    json!({ "code": "capacity_exhausted", "message": "no room", "details": 7 });
                (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error })))
            }),
        )
        .route("/long", get(|| async { vec![b' '; 17 * 1024 * 1024] }))
        .route("/upgrade", get(upgrade))
}

async fn upgrade(request: Request) -> impl IntoResponse {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes.reverse();
        stream.write_all(&bytes).await.unwrap();
    });
    (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, "x")])
}

#[tokio::test]
async fn a_document_goes_there_and_comes_back() {
    let served = serve_local(router()).await;
    let answer: Value =
        served.client.json(Method::PUT, "/echo/a%20b?c=d", &json!([1, "x"])).await.unwrap();
    assert_eq!(answer, json!({ "word": "a b", "body": [1, "x"] }));
    let () = served.client.json(Method::POST, "/nothing", &()).await.unwrap();
}

#[tokio::test]
async fn a_request_says_which_process_sent_it() {
    let served = serve_local(router()).await;
    let request = http::Request::get("/peer").body(Body::empty()).unwrap();
    let answer = served.client.request(request).await.unwrap();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 1_000).await.unwrap();
    let expected =
        Peer::Local { uid: rustix::process::geteuid().as_raw(), pid: std::process::id() };
    assert_eq!(String::from_utf8_lossy(&body), format!("{expected:?}"));
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_unchanged() {
    let served = serve_local(router()).await;
    let error = served.client.get::<Value>("/full").await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.api_code(), Some(ErrorCode::CapacityExhausted));
    assert_eq!((refusal.message.as_str(), &refusal.details), ("no room", &json!(7)));
    assert!(!error.is_unreachable());
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let served = serve_local(router()).await;
    let error = served.client.get::<Value>("/long").await.unwrap_err();
    assert!(matches!(error, FabricError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn an_upgrade_carries_bytes_both_ways() {
    let served = serve_local(router()).await;
    let request = http::Request::get("/upgrade")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "x")
        .body(Body::empty())
        .unwrap();
    let answer = served.client.request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"abcde").await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"edcba");
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let served = serve_local(router()).await;
    served.shutdown.cancel();
    served.ended.await.unwrap();
    let error = served.client.get::<Value>("/peer").await.unwrap_err();
    assert!(matches!(error, FabricError::Connect { .. }), "{error:?}");
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn a_client_outlives_a_restart_of_the_other_side() {
    let mut served = serve_local(router()).await;
    for round in 0..5 {
        let answer: Value = served.client.json(Method::POST, "/echo/w", &round).await.unwrap();
        assert_eq!(answer["body"], round);
        served = served.restart(router()).await;
    }
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let served = serve_local(router()).await;
    let requests = (0..200).map(|n| {
        let client = served.client.clone();
        tokio::spawn(async move { client.json::<_, Value>(Method::POST, "/echo/w", &n).await })
    });
    for (n, answer) in futures_util::future::join_all(requests).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap()["body"], n);
    }
}
