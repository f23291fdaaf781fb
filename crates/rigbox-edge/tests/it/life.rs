//! How an edge ends, and what is seen of it from outside.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use rigbox_types::{api::app_requests::VisitorKind, edge::LATENCY_BUCKETS};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::{
    client::{rest, text},
    world::{World, app, echo, head, raw_app, until},
};

const NAME: &str = "a.apps.example";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_comes_to_its_end_when_the_edge_does() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    let idle = world.connect(NAME).await;
    let mut h1 = world.connect(NAME).await;
    h1.write_all(format!("GET /h1 HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    let asked = head(&mut first).await.unwrap();
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    let request = Request::get(format!("https://{NAME}/h2")).body(Empty::new()).unwrap();
    let answer = tokio::spawn(h2.send_request(request));
    let (mut second, _) = listener.accept().await.unwrap();
    let also = head(&mut second).await.unwrap();
    let ended = world.begin_stop();
    // A connection without a request ends at once: by then the edge has heard.
    drop({
        let mut idle = idle;
        rest(&mut idle).await
    });
    assert!(!ended.is_finished());
    first.write_all(&echo(&asked)).await.unwrap();
    second.write_all(&echo(&also)).await.unwrap();
    let answered = rest(&mut h1).await;
    assert!(answered.contains("GET /h1"), "{answered}");
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer.into_body()).await.contains("GET /h2"));
    ended.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(world.https).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_logged_and_told_to_control() {
    let mut world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    world.ask(NAME, "/x?secret=1", &["User-Agent: test", "X-Request-Id: id-1"]).await;
    world.routes([app(2, "closed", 9)]).await;
    world.ask("closed.apps.example", "/", &[]).await;
    until("both ended", async || world.metric("rigbox_edge_requests_open").await == 0).await;
    let metrics = world.metrics().await;
    assert!(metrics.contains("rigbox_edge_answers_total{class=\"2xx\"} 1\n"), "{metrics}");
    assert!(metrics.contains("rigbox_edge_answers_total{class=\"5xx\"} 1\n"), "{metrics}");
    world.begin_stop().await.unwrap().unwrap();
    let report = world.control.traffic();
    let first = &report.apps[&app(1, "a", 0).app];
    assert_eq!(first.answers, [0, 1, 0, 0, 0]);
    assert!(first.bytes_out > 0);
    assert_eq!(first.latency.iter().sum::<u64>(), 1);
    assert_eq!(first.latency.len(), LATENCY_BUCKETS);
    assert_eq!(report.apps[&app(2, "closed", 0).app].answers, [0, 0, 0, 0, 1]);
    let told = world.control.requests();
    let [first, second] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&first.app, &second.app), (&app(1, "a", 0).app, &app(2, "closed", 0).app));
    let request = &first.request;
    assert_eq!((request.path.as_str(), request.request_id.as_str()), ("/x", "id-1"));
    assert_eq!((request.method.as_str(), request.status, request.left_out), ("GET", 200, 0));
    assert!(request.bytes_out > 0 && request.duration_us >= request.began_us);
    assert!(request.client.is_loopback());
    assert_eq!(request.visitor, VisitorKind::Anyone);
    assert_eq!(second.request.status, 502);
    let path = world.folder.join("access.log");
    until("written", async || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 2)
    })
    .await;
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&line["id"], &line["path"]), (&"id-1".into(), &"/x".into()));
    assert_eq!((&line["status"], &line["agent"]), (&200.into(), &"test".into()));
    assert!(!text.contains("secret"), "{text}");
}
