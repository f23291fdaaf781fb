use std::time::Duration;

use axum::{Router, response::Response, routing::get};
use futures_util::{StreamExt, stream};
use rigbox_fabric::{Body, FabricError, watch};
use tokio::time::{Instant, timeout};

use crate::kit::serve_local;

/// A body of these pieces, as they are.
fn pieces(pieces: &'static [&'static str]) -> Body {
    Body::from_stream(stream::iter(pieces).map(|piece| Ok::<_, std::io::Error>(*piece)))
}

/// The documents before the end, and what ended them.
async fn read(body: fn() -> Body) -> (Vec<u32>, Option<FabricError>) {
    let served = serve_local(Router::new().route("/", get(move || async move { body() }))).await;
    let mut watch = served.client.watch::<u32>("/").await.unwrap();
    let mut documents = Vec::new();
    loop {
        match watch.next().await {
            Ok(Some(document)) => documents.push(document),
            Ok(None) => return (documents, None),
            Err(error) => return (documents, Some(error)),
        }
    }
}

#[tokio::test]
async fn documents_arrive_whole_however_they_are_cut() {
    let (documents, error) = read(|| pieces(&["1", "2", "\n3\n4", "5\n", "6\n"])).await;
    assert_eq!(documents, [12, 3, 45, 6]);
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_talks_nonsense_is_an_error() {
    let (documents, error) = read(|| pieces(&["1\n", "2"])).await;
    assert_eq!(documents, [1]);
    assert!(matches!(error, Some(FabricError::Malformed { .. })), "{error:?}");
    let (documents, error) = read(|| pieces(&["1\n", "x\n"])).await;
    assert_eq!(documents, [1]);
    assert!(matches!(error, Some(FabricError::Malformed { .. })), "{error:?}");
}

#[tokio::test]
async fn a_line_without_end_is_not_collected() {
    let endless = || {
        let chunk = bytes::Bytes::from(vec![b'1'; 1024 * 1024]);
        Body::from_stream(stream::repeat(chunk).map(Ok::<_, std::io::Error>))
    };
    let (documents, error) = read(endless).await;
    assert!(documents.is_empty());
    assert!(matches!(error, Some(FabricError::Malformed { .. })), "{error:?}");
}

#[tokio::test]
async fn what_is_refused_says_so_before_the_first_document() {
    let served = serve_local(Router::new()).await;
    let error = served.client.watch::<u32>("/").await.err().unwrap();
    assert_eq!(error.refusal().unwrap().status, 404);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_fill_the_silence() {
    async fn documents() -> Response {
        watch::response(stream::once(async { 7 }).chain(stream::pending()), 0)
    }
    let served = serve_local(Router::new().route("/", get(documents))).await;
    let mut watch = served.client.watch::<u32>("/").await.unwrap();
    let since = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(watch.next().await.unwrap().unwrap());
    }
    assert_eq!(seen, [7, 0, 0, 0]);
    assert_eq!(since.elapsed().as_secs(), 3 * watch::HEARTBEAT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_given_up() {
    let silent = || async { Body::from_stream(stream::pending::<Result<&str, std::io::Error>>()) };
    let served = serve_local(Router::new().route("/", get(silent))).await;
    let mut watch = served.client.watch::<u32>("/").await.unwrap();
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, FabricError::TimedOut { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_waiting_loses_nothing() {
    let slow = || async {
        let pieces = stream::iter(["1", "2\n", "3\n"]).then(|piece| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok::<_, std::io::Error>(piece)
        });
        Body::from_stream(pieces)
    };
    let served = serve_local(Router::new().route("/", get(slow))).await;
    let mut watch = served.client.watch::<u32>("/").await.unwrap();
    let mut documents = Vec::new();
    loop {
        match timeout(Duration::from_secs(1), watch.next()).await {
            Err(_) => {}
            Ok(next) => match next.unwrap() {
                Some(document) => documents.push(document),
                None => break,
            },
        }
    }
    assert_eq!(documents, [12, 3]);
}
