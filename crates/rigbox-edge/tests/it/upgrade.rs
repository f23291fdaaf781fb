//! WebSockets over both versions.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rigbox_types::edge::Visibility;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use crate::{
    client::{rest, up_to},
    world::{World, app, head, until, visitor},
};

const NAME: &str = "a.apps.example";

const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Named\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\nX-Named: 1\r\nKeep-Alive: 5\r\n\r\n";

/// An app that says what it was asked, agrees when it is told to, then sends back what it gets.
async fn socket_app() -> (std::net::SocketAddr, mpsc::Receiver<String>, mpsc::Sender<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, asked) = mpsc::channel(16);
    let (answers, mut answer) = mpsc::channel::<Vec<u8>>(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(head) = head(&mut stream).await else { continue };
            heads.send(head).await.unwrap();
            let Some(answer) = answer.recv().await else { return };
            // Nothing may have come before the answer.
            let early = stream.try_read(&mut [0; 1]);
            assert!(early.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
            stream.write_all(&answer).await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    (address, asked, answers)
}

fn opening(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {NAME}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: key\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_once_the_app_has_agreed_and_none_before() {
    let world = World::new().await;
    let (to, mut asked, answers) = socket_app().await;
    world.serves("a", to).await;
    let mut stream = world.connect(NAME).await;
    let early = opening("") + "GET /inner HTTP/1.1\r\n\r\n";
    stream.write_all(early.as_bytes()).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.contains("upgrade: websocket\r\n") && !head.contains("inner"), "{head}");
    answers.send(AGREED.to_vec()).await.unwrap();
    let answer = up_to(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    for gone in ["x-named", "keep-alive: 5", "X-Named"] {
        assert!(!answer.contains(gone), "{answer}");
    }
    assert_eq!(up_to(&mut stream, "\r\n\r\n").await, "GET /inner HTTP/1.1\r\n\r\n", "came back");
    let large = vec![b'x'; 3_000_000];
    let (mut read, mut write) = tokio::io::split(stream);
    let sent = large.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write
    });
    let mut back = vec![0; large.len()];
    read.read_exact(&mut back).await.unwrap();
    assert!(back == large);
    assert_eq!(world.metric("rigbox_edge_upgrades_open").await, 1);
    drop((writing.await.unwrap(), read));
    until("it ends", async || world.metric("rigbox_edge_upgrades_open").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_does_not_agree_answers_and_what_follows_is_no_request_to_it() {
    let header_timeout = std::time::Duration::from_secs(1);
    let limits = rigbox_edge::Limits { header_timeout, ..rigbox_edge::Limits::default() };
    let world = World::with(limits, None).await;
    let (to, mut asked, answers) = socket_app().await;
    world.serves("a", to).await;
    let inner = format!("GET /inner HTTP/1.1\r\nHost: {NAME}\r\nX: y\r\n\r\n");
    let mut stream = world.connect(NAME).await;
    stream.write_all((opening("") + &inner).as_bytes()).await.unwrap();
    asked.recv().await.unwrap();
    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    answers.send(no.as_bytes().to_vec()).await.unwrap();
    let answer = up_to(&mut stream, "no").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    // What follows is a request of its own, on another connection, or nothing at all.
    answers.send(no.as_bytes().to_vec()).await.unwrap();
    drop(rest(&mut stream).await);
    drop(world);
    let inner = asked.try_recv();
    assert!(inner.is_err() || inner.is_ok_and(|head| head.starts_with("GET /inner")));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_it_is_the_same_to_the_app() {
    let world = World::new().await;
    let (to, mut asked, answers) = socket_app().await;
    world.serves("a", to).await;
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    // The edge has said that it takes this once it has answered anything.
    let first = Request::get(format!("https://{NAME}/.rigbox/")).body(Empty::new()).unwrap();
    assert_eq!(h2.send_request(first).await.unwrap().status(), StatusCode::NOT_FOUND);
    let request = |protocol: &'static str| {
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("https://{NAME}/ws?x=1"))
            .header("sec-websocket-version", "13")
            .extension(hyper::ext::Protocol::from_static(protocol))
            .body(Empty::new())
            .unwrap()
    };
    let answer = h2.send_request(request("connect-udp")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    answers.send(AGREED.to_vec()).await.unwrap();
    let answer = h2.send_request(request("websocket")).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{head}");
    for line in ["connection: Upgrade", "upgrade: websocket", "sec-websocket-key: "] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(answer.status(), StatusCode::OK);
    for gone in ["connection", "upgrade", "sec-websocket-accept", "x-named", "keep-alive"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    // An answer that means yes in HTTP/2 and is none in HTTP/1.1.
    answers.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()).await.unwrap();
    let answer = h2.send_request(request("websocket")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_use_a_visitors_cookie() {
    let world = World::new().await;
    let (to, mut asked, answers) = socket_app().await;
    world.host.port(3_000, to);
    let mut route = app(1, "a", 3_000);
    route.visibility = Visibility::Private;
    world.routes([route]).await;
    world.control.admit("value", visitor(1, "owner@example.com"));
    let own = format!("https://{NAME}:{}", world.https.port());
    let try_from = async |origin: Option<&str>| {
        let mut more = "Cookie: __Host-rigbox-app=value\r\n".to_owned();
        if let Some(origin) = origin {
            more.push_str(&format!("Origin: {origin}\r\n"));
        }
        let mut stream = world.connect(NAME).await;
        stream.write_all(opening(&more).as_bytes()).await.unwrap();
        up_to(&mut stream, "\r\n").await
    };
    for origin in [
        None,
        Some("null"),
        Some("https://b.apps.example"),
        Some("https://a.apps.example.evil.example"),
        Some(&format!("https://evil{NAME}:{}", world.https.port())),
        Some(&format!("http://{NAME}:{}", world.https.port())),
        Some(&format!("https://{NAME}")),
    ] {
        assert!(try_from(origin).await.starts_with("HTTP/1.1 403"), "{origin:?}");
    }
    assert_eq!(world.host.dials(), 0);
    answers.send(AGREED.to_vec()).await.unwrap();
    assert!(try_from(Some(&own)).await.starts_with("HTTP/1.1 101"));
    let head = asked.recv().await.unwrap();
    assert!(head.contains("x-rigbox-user-id") && !head.contains("__Host"), "{head}");
}
