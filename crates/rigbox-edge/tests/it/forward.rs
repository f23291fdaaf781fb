//! Requests and answers on their way through.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, channel::Channel};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    client::{rest, text, up_to},
    world::{World, echo, head, raw_app, until},
};

const NAME: &str = "a.apps.example";

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_the_apps_answer_over_both_versions() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    for version in ["--http1.1", "--http2"] {
        let answer = world.curl(NAME, "/x?y=%2F", &[version, "--include"]).await;
        assert!(answer.contains(" 200"), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert!(answer.contains("GET /x?y=%2F HTTP/1.1\r\n"), "{answer}");
        let port = world.https.port();
        assert!(answer.contains(&format!("host: {NAME}:{port}\r\n")), "{answer}");
        assert!(answer.contains("x-forwarded-for: 127.0.0.1\r\n"), "{answer}");
        assert!(answer.contains("x-forwarded-proto: https\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_workspace_is_used_again_by_the_next_visitor() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    for _ in 0..5 {
        world.ask(NAME, "/", &[]).await;
    }
    assert_eq!(world.host.dials(), 1);
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    for _ in 0..5 {
        let request = Request::get(format!("https://{NAME}/")).body(Empty::new()).unwrap();
        let answer = h2.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        text(answer.into_body()).await;
    }
    assert_eq!(world.host.dials(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_answer_was_not_taken_is_not_used_again() {
    let world = World::new().await;
    let to = raw_app(|head| match head.contains(" /long ") {
        true => {
            [b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n".to_vec(), vec![b'x'; 1_000_000]]
                .concat()
        }
        false => echo(head),
    })
    .await;
    world.serves("a", to).await;
    let mut stream = world.connect(NAME).await;
    let request = format!("GET /long HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    up_to(&mut stream, "\r\n\r\n").await;
    drop(stream);
    until("the request ends", async || world.metric("rigbox_edge_requests_open").await == 0).await;
    let answer = world.ask(NAME, "/", &[]).await;
    assert!(answer.contains("GET / HTTP/1.1"), "{answer}");
    assert_eq!(world.host.dials(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_again_when_an_idle_connection_had_ended_and_only_if_it_changes_nothing() {
    let world = World::new().await;
    // Answers once, then takes the next request and closes without an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let first = head(&mut stream).await.unwrap();
                stream.write_all(&echo(&first)).await.unwrap();
                head(&mut stream).await;
            });
        }
    });
    for expected in [1, 2, 3] {
        let answer = world.ask(NAME, "/", &[]).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(world.host.dials(), expected);
    }
    let post = format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    let answer = world.say(NAME, post.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_passes_as_it_comes_in_both_directions() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    // Sends back each part of the body when it is there.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = head(&mut stream).await.unwrap();
        assert!(asked.contains("transfer-encoding: chunked"), "{asked}");
        let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(begin).await.unwrap();
        let mut bytes = [0; 1024];
        loop {
            let read = stream.read(&mut bytes).await.unwrap();
            stream.write_all(&bytes[..read]).await.unwrap();
            if read == 0 || bytes[..read].ends_with(b"0\r\n\r\n") {
                return;
            }
        }
    });
    let mut h2 = world.h2(NAME).await;
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let request = Request::post(format!("https://{NAME}/")).body(body).unwrap();
    let mut answer = h2.send_request(request).await.unwrap().into_body();
    for part in ["one", "two", "three"] {
        sender.send_data(part.into()).await.unwrap();
        // The next part is sent only after this one came back.
        let frame = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, part);
    }
    drop(sender);
    let end = answer.frame().await;
    // HTTP/2 ends with an empty frame.
    assert!(end.is_none_or(|end| end.unwrap().into_data().unwrap().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_come_through_whole() {
    let world = World::new().await;
    let large = 30_000_000;
    let to = raw_app(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; large]].concat()
    })
    .await;
    world.serves("a", to).await;
    for version in ["--http1.1", "--http2"] {
        let answer = world.curl(NAME, "/", &[version]).await;
        assert_eq!(answer.len(), large);
    }
    assert_eq!(world.host.dials(), 1, "and the connection is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_a_connection_does_not_pass() {
    let world = World::new().await;
    let to = raw_app(|head| {
        let more = "Connection: X-Named\r\nX-Named: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
                    Set-Cookie: __Host-rigbox-app=evil; Path=/; Secure\r\nSet-Cookie: a=b\r\n\
                    X-Request-Id: evil\r\nContent-Length: ";
        format!("HTTP/1.1 200 OK\r\n{more}{}\r\n\r\n{head}", head.len()).into_bytes()
    })
    .await;
    world.serves("a", to).await;
    let lines = [
        "X-Rigbox-User-Id: evil",
        "X_Rigbox_User_Email: evil",
        "X-Forwarded-For: 1.2.3.4",
        "Cookie: a=b; __Host-rigbox-state=x",
        "Proxy-Authorization: secret",
        "Upgrade: h2c",
        "X-Request-Id: mine-1",
    ];
    let answer = world.ask(NAME, "/", &lines).await;
    for gone in ["evil", "1.2.3.4", "__Host", "secret", "h2c", "x-named", "keep-alive"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
    assert!(answer.contains("set-cookie: a=b\r\n"), "{answer}");
    assert!(answer.contains("cookie: a=b\r\n"), "{answer}");
    assert_eq!(answer.matches("x-request-id: mine-1\r\n").count(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_length_and_without_body_is_whole() {
    let world = World::new().await;
    let to = raw_app(|head| {
        let answer = if head.starts_with("HEAD") {
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
        } else {
            "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"
        };
        answer.as_bytes().to_vec()
    })
    .await;
    world.serves("a", to).await;
    let head = format!("HEAD / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    let answer = world.say(NAME, head.as_bytes()).await;
    assert!(answer.contains("content-length: 7") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = world.ask(NAME, "/", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 304") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(world.host.dials(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_as_http_2_with_its_trailers() {
    let world = World::new().await;
    world.serves("a", grpc_app().await).await;
    let mut h2 = world.h2(NAME).await;
    for _ in 0..3 {
        let request = Request::post(format!("https://{NAME}/svc/Call"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from("message")))
            .unwrap();
        let answer = h2.send_request(request).await.unwrap();
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "message");
    }
    assert_eq!(world.host.dials(), 1, "all share one connection");
}

async fn grpc_app() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [http_body::Frame::data(bytes), http_body::Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let executor = hyper_util::rt::TokioExecutor::new();
            let io = hyper_util::rt::TokioIo::new(stream);
            let served = hyper::server::conn::http2::Builder::new(executor);
            tokio::spawn(served.serve_connection(io, service));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn control_answers_at_the_dashboards_name_with_what_it_was_shown() {
    let dashboard = raw_app(echo).await;
    let world = World::with(rigbox_edge::Limits::default(), Some(dashboard)).await;
    let name = "apps.example";
    let lines = ["X-Rigbox-Key: rb_key", "Cookie: session=1", "X-Rigbox-User-Id: evil"];
    let answer = world.ask(name, "/api/v1/x", &lines).await;
    assert!(answer.contains("GET /api/v1/x HTTP/1.1"), "{answer}");
    assert!(answer.contains("x-rigbox-key: rb_key") && answer.contains("session=1"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1"), "{answer}");
    assert!(!answer.contains("evil"), "{answer}");
    assert_eq!(world.host.dials(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_has_its_status_and_its_page() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let mut stopped = crate::world::app(3, "stopped", 3_000);
    stopped.state = rigbox_types::edge::RouteState::WorkspaceStopped;
    let routes = [crate::world::app(2, "closed", 9), stopped, crate::world::app(4, "down", 1)];
    world.routes(routes).await;
    for (name, status, code) in [
        ("none", "404", "not_found"),
        ("closed", "502", "unavailable"),
        ("stopped", "503", "unavailable"),
        ("down", "503", "unavailable"),
    ] {
        let name = format!("{name}.apps.example");
        let answer = world.ask(&name, "/", &[]).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["error"]["code"], code);
        assert!(answer.contains("x-request-id: "), "{answer}");
        let page = world.ask(&name, "/x?%3Cscript%3E", &["Accept: text/html,*/*"]).await;
        assert!(page.contains("text/html") && page.contains("<!doctype html>"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_that_goes_away_ends_the_request_at_the_app() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    let mut visitor = world.connect(NAME).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    visitor.write_all(request.as_bytes()).await.unwrap();
    let (mut app, _) = listener.accept().await.unwrap();
    head(&mut app).await.unwrap();
    drop(visitor);
    assert_eq!(app.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_are_answered_in_order() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let mut stream = world.connect(NAME).await;
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n");
    let both = one("/1", "") + &one("/2", "Connection: close\r\n");
    stream.write_all(both.as_bytes()).await.unwrap();
    let answers = rest(&mut stream).await;
    let (first, second) = (answers.find("GET /1").unwrap(), answers.find("GET /2").unwrap());
    assert!(first < second, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_body_says_nothing_of_its_visitor() {
    let world = World::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.host.port(3_000, app.local_addr().unwrap());
    world.routes([crate::world::app(1, "a", 3_000)]).await;
    let mut stream = world.connect("a.apps.example").await;
    let request = "POST / HTTP/1.1\r\nHost: a.apps.example\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: X-Rigbox-User-Email, X_Rigbox_User_Id, X-Sum\r\n\r\n2\r\nhi\r\n0\r\n\
                   X-Rigbox-User-Email: owner@example.com\r\nX_Rigbox_User_Id: 1\r\nX-Sum: 7\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut at_app, _) = app.accept().await.unwrap();
    let (mut seen, mut bytes) = (String::new(), [0; 4_096]);
    while !seen.contains("x-sum: 7\r\n\r\n") {
        let count = at_app.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase());
    }
    assert!(!seen.contains("owner@example.com") && !seen.contains("user_id: 1"), "{seen}");
}
