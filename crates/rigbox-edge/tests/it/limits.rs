//! What is too much, too large or too slow.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use rigbox_edge::Limits;
use rigbox_types::rate::Rate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::{Tls, rest, text, up_to},
    world::{World, app, echo, head, raw_app, until},
};

const NAME: &str = "a.apps.example";

const SHORT: Duration = Duration::from_millis(300);

/// Of a limit that others of the test must stay within, also on a busy machine.
const FAIR: Duration = Duration::from_secs(3);

async fn world(limits: Limits) -> World {
    let world = World::with(limits, None).await;
    world.serves("a", raw_app(echo).await).await;
    world
}

/// Two requests to an app that does not answer, as the visitor has each and as the app does; a third one
/// is too many.
async fn two_wait(world: &World) -> Vec<(Tls, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.host.port(3_001, listener.local_addr().unwrap());
    world.routes([app(2, "slow", 3_001)]).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut stream = world.connect("slow.apps.example").await;
        let text = b"GET / HTTP/1.1\r\nHost: slow.apps.example\r\n\r\n";
        stream.write_all(text).await.unwrap();
        waiting.push((stream, listener.accept().await.unwrap().0));
    }
    let answer = world.ask("slow.apps.example", "/", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_not_waited_for() {
    let limits = Limits { handshake_timeout: FAIR, header_timeout: FAIR, ..Limits::default() };
    let world = world(limits).await;
    let mut silent = TcpStream::connect(world.https).await.unwrap();
    let mut slow = world.connect(NAME).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
    let mut idle = world.connect(NAME).await;
    idle.write_all(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    // Each of these ends, and only the edge can end it.
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
    rest(&mut slow).await;
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert!(world.metric("rigbox_edge_handshakes_failed_total").await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_go_on_and_an_app_that_does_not_answer_end() {
    let limits = Limits { body_timeout: SHORT, answer_timeout: SHORT * 4, ..Limits::default() };
    let world = World::with(limits, None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            head(&mut stream).await;
            kept.push(stream);
        }
    });
    let begun = format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 10\r\n\r\nabc");
    let answer = world.say(NAME, begun.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 502"), "{answer}");
    let answer = world.ask(NAME, "/", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_let_go() {
    let limits = Limits { write_timeout: FAIR, ..Limits::default() };
    let world = World::with(limits, None).await;
    let large = 100_000_000;
    let to = raw_app(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; large]].concat()
    })
    .await;
    world.serves("a", to).await;
    let mut stream = world.connect(NAME).await;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    until("it is begun", async || world.metric("rigbox_edge_requests_open").await == 1).await;
    until("it is let go", async || world.metric("rigbox_edge_connections_open").await == 0).await;
    // With HTTP/2 the client just does not open its window.
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    let request = Request::get(format!("https://{NAME}/")).body(Empty::new()).unwrap();
    let answer = h2.send_request(request).await.unwrap();
    until("it is let go", async || world.metric("rigbox_edge_connections_open").await == 0).await;
    drop(answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_a_largest_size_and_a_largest_number_of_lines() {
    let limits = Limits { headers: 20, header_bytes: 8_192, ..Limits::default() };
    let world = world(limits).await;
    let long = format!("X-Long: {}", "x".repeat(9_000));
    assert!(world.ask(NAME, "/", &[&long]).await.starts_with("HTTP/1.1 431"));
    let many: Vec<String> = (0..30).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(world.ask(NAME, "/", &many).await.starts_with("HTTP/1.1 431"));
    assert_eq!(world.host.dials(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_so_many_connections() {
    let world = world(Limits { connections_per_client: 2, ..Limits::default() }).await;
    // The one that the world was built with may still be counted.
    until("none", async || world.metric("rigbox_edge_connections_open").await == 0).await;
    let first = world.connect(NAME).await;
    let _second = world.connect(NAME).await;
    let config = Arc::new(world.tls(&["http/1.1"]));
    assert!(world.shake(config.clone(), NAME).await.is_err());
    drop(first);
    until("a place is free", async || world.shake(config.clone(), NAME).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_and_an_app_have_a_rate() {
    let rate = Rate { limit: 2, window_s: 3_600 };
    for limits in [
        Limits { client_rate: rate, ..Limits::default() },
        Limits { app_rate: rate, ..Limits::default() },
    ] {
        let world = world(limits).await;
        for expected in ["200", "200", "429"] {
            let answer = world.ask(NAME, "/", &[]).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
            let retry = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
            let retry = retry.map(|seconds| seconds.parse::<u32>().unwrap());
            // A little less than half of the window, by the time that it took to ask.
            let is_right = retry.is_some_and(|seconds| (1_700..=1_800).contains(&seconds));
            assert_eq!(is_right, expected == "429", "{answer}");
            assert_eq!(retry.is_some(), is_right, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_app_does_not_keep_another_from_answering() {
    let world = world(Limits { in_flight_per_app: 2, ..Limits::default() }).await;
    let mut waiting = two_wait(&world).await;
    assert!(world.ask(NAME, "/", &[]).await.starts_with("HTTP/1.1 200"));
    let (mut stream, mut at_app) = waiting.pop().unwrap();
    let text = head(&mut at_app).await.unwrap();
    at_app.write_all(&echo(&text)).await.unwrap();
    up_to(&mut stream, "GET / HTTP/1.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resets_one_request_after_another_is_let_go() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.serves("a", listener.local_addr().unwrap()).await;
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    let reset = async {
        for _ in 0..20_000 {
            let request = Request::get(format!("https://{NAME}/")).body(Empty::new()).unwrap();
            if h2.ready().await.is_err() {
                return;
            }
            // Begun and given up at once.
            let mut answer = Box::pin(h2.send_request(request));
            let _pending = futures_util::poll!(&mut answer);
            drop(answer);
            tokio::task::yield_now().await;
        }
    };
    reset.await;
    until("nothing is left", async || world.metric("rigbox_edge_requests_open").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_not_take_all_places_of_an_app() {
    let limits = Limits { in_flight_per_app: 3, in_flight_per_client: 2, ..Limits::default() };
    let world = world(limits).await;
    drop(two_wait(&world).await);
    until("its places are free", async || {
        world.ask(NAME, "/", &[]).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_ends_beside_others_that_are() {
    let world = World::with(Limits { write_timeout: FAIR, ..Limits::default() }, None).await;
    let to = raw_app(|head| {
        let length = if head.starts_with("GET /large") { 20_000_000 } else { 1 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; length]].concat()
    })
    .await;
    world.serves("a", to).await;
    let mut h2 = world.h2::<Empty<Bytes>>(NAME).await;
    let ask = |path: &str| {
        Request::get(format!("https://{NAME}{path}")).body(Empty::<Bytes>::new()).unwrap()
    };
    let stalled = h2.send_request(ask("/large")).await.unwrap();
    until("it is let go", async || {
        // So the connection is never still.
        let small = h2.send_request(ask("/small")).await.unwrap();
        assert_eq!(text(small.into_body()).await, "x");
        world.metric("rigbox_edge_requests_open").await == 0
    })
    .await;
    assert!(stalled.into_body().collect().await.is_err(), "it does not come to its end");
    let small = h2.send_request(ask("/small")).await.unwrap();
    assert_eq!(text(small.into_body()).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_there_are_so_many_connections_and_they_take_none_of_the_others() {
    let world = world(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(world.http).await.unwrap());
    }
    let text = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let ask = async |mut stream: TcpStream| {
        let mut answer = String::new();
        // One that is turned away at once may not even take the question.
        drop(stream.write_all(text.as_bytes()).await);
        drop(stream.read_to_string(&mut answer).await);
        answer
    };
    assert_eq!(ask(TcpStream::connect(world.http).await.unwrap()).await, "");
    assert!(world.ask(NAME, "/", &[]).await.starts_with("HTTP/1.1 200"));
    let answer = ask(held.remove(0)).await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
}
