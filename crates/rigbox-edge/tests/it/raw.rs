//! Bytes that two readers could read differently: each is refused, or what reaches the app is beyond
//! doubt. The app notes every head that it gets.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::world::{World, echo, raw_app};

const NAME: &str = "a.apps.example";

/// A world whose app notes all bytes that it is sent, and answers every head.
async fn noted() -> (World, Arc<Mutex<String>>) {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    let seen = Arc::new(Mutex::new(String::new()));
    let notes = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let notes = notes.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    let heads = text.matches("HTTP/1.1\r\n").count();
                    notes.lock().unwrap().push_str(&text);
                    for _ in 0..heads {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (world, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_is_refused_and_reaches_nobody() {
    let (world, seen) = noted().await;
    let cases = [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n\r\n"),
        ("two hosts that differ", "GET / HTTP/1.1\r\nHost: {}\r\nHost: b.apps.example\r\n\r\n"),
        ("target and host differ", "GET http://b.apps.example/ HTTP/1.1\r\nHost: {}\r\n\r\n"),
        ("host with path", "GET / HTTP/1.1\r\nHost: {}/x\r\n\r\n"),
        ("host with query", "GET / HTTP/1.1\r\nHost: {}?x\r\n\r\n"),
        ("host with fragment", "GET / HTTP/1.1\r\nHost: {}#x\r\n\r\n"),
        ("host with user", "GET / HTTP/1.1\r\nHost: x@{}\r\n\r\n"),
        ("proxy", "CONNECT {}:443 HTTP/1.1\r\nHost: {}\r\n\r\n"),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        ("list of lengths", "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 1, 2\r\n\r\nab"),
        ("length with sign", "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: +1\r\n\r\na"),
        (
            "chunked and more",
            "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        ),
        (
            "more and chunked",
            "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "almost chunked",
            "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked in 1.0",
            "POST / HTTP/1.0\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "space before colon",
            "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        ("folded line", "POST / HTTP/1.1\r\nHost: {}\r\nX: a\r\n b\r\n\r\n"),
        ("control character", "GET / HTTP/1.1\r\nHost: {}\r\nX: a\0b\r\n\r\n"),
        ("space in target", "GET /a b HTTP/1.1\r\nHost: {}\r\n\r\n"),
        (
            "socket with a body",
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nGET ",
        ),
        ("two keys", "GET / HTTP/1.1\r\nHost: {}\r\nX-Rigbox-Key: a\r\nX-Rigbox-Key: b\r\n\r\n"),
    ];
    for (what, text) in cases {
        let answer = world.say(NAME, text.replace("{}", NAME).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert_eq!(*seen.lock().unwrap(), "", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_has_within_is_never_a_request() {
    let (world, seen) = noted().await;
    let inner = format!("GET /inner HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let cases = [
        // The length is of no account beside chunks; the connection ends after such a request.
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            inner.len() + 5
        ),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{inner}"),
        // Chunk sizes that are none.
        format!("Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n1;\n\r\na\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{inner}"),
    ];
    for lines in cases {
        let request = format!("POST /outer HTTP/1.1\r\nHost: {NAME}\r\n{lines}");
        world.say(NAME, request.as_bytes()).await;
        let seen = seen.lock().unwrap();
        assert!(!seen.contains("/inner"), "{lines:?}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_read_does_not_become_a_request() {
    let world = World::new().await;
    // Answers at once, without the body.
    world
        .serves("a", raw_app(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()).await)
        .await;
    let inner = format!("GET /inner HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let unfinished =
        format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000000\r\n\r\n{inner}");
    let mut stream = world.connect(NAME).await;
    stream.write_all(unfinished.as_bytes()).await.unwrap();
    let answer = crate::client::up_to(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stream);
    // The connection to the app still owes a body: the next visitor gets another one.
    let answer = world.ask(NAME, "/", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.host.dials(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_written_unusually_is_made_plain() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let cases = [
        ("bare line ends", "GET /x HTTP/1.1\nHost: {}\nConnection: close\n\n"),
        (
            "name in capitals",
            "GET /x HTTP/1.1\r\nHOST: A.APPS.Example\r\nConnection: close\r\n\r\n",
        ),
        ("last dot", "GET /x HTTP/1.1\r\nHost: {}.\r\nConnection: close\r\n\r\n"),
        ("port", "GET /x HTTP/1.1\r\nHost: {}:1\r\nConnection: close\r\n\r\n"),
        ("whole target", "GET http://{}/x HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"),
        ("fragment", "GET /x#y HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"),
    ];
    let host = format!("host: {NAME}:{}\r\n", world.https.port());
    for (what, text) in cases {
        let answer = world.say(NAME, text.replace("{}", NAME).as_bytes()).await;
        assert!(
            answer.contains("GET /x HTTP/1.1\r\n") && answer.contains(&host),
            "{what}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_protocol_nobody_asked_for_is_none() {
    let world = World::new().await;
    let to = raw_app(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            .to_vec()
    })
    .await;
    world.serves("a", to).await;
    for _ in 0..2 {
        let answer = world.ask(NAME, "/", &[]).await;
        assert!(answer.starts_with("HTTP/1.1 502") && !answer.contains("evil"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_sends_too_much_is_not_the_next_ones_answer() {
    let world = World::new().await;
    let to = raw_app(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            .to_vec()
    })
    .await;
    world.serves("a", to).await;
    for _ in 0..3 {
        let answer = world.ask(NAME, "/", &[]).await;
        assert!(answer.ends_with("ok"), "{answer}");
    }
    assert_eq!(world.host.dials(), 3, "none is used again");
}
