//! AI calls, between a guest that speaks HTTP/1.1 by hand and a proxy of the test's own.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use rigbox_types::guest::refusal::Shape;
use tokio::sync::{Notify, mpsc};

use super::super::calls::stays_below;
use super::*;

/// A proxy that says what it was asked.
fn mirror() -> Router {
    Router::new().fallback(async |request: Request<Body>| {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return "cut off".to_owned() };
        let body = body.to_bytes();
        let mut lines = vec![format!("{} {}", head.method, head.uri)];
        lines.extend(
            head.headers.iter().map(|(name, value)| {
                format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
            }),
        );
        lines.push(format!("{} bytes", body.len()));
        lines.join("\n")
    })
}

/// A proxy whose answer is what is sent to it, one frame each.
fn told() -> (Router, mpsc::Sender<&'static str>) {
    let (say, said) = mpsc::channel(1);
    let said = Arc::new(std::sync::Mutex::new(Some(said)));
    let router = Router::new().fallback(async move || {
        let mut said = said.lock().unwrap().take().unwrap();
        let frames = stream::poll_fn(move |context| said.poll_recv(context));
        Response::new(Body::from_stream(frames.map(|text| Ok::<_, Infallible>(Bytes::from(text)))))
    });
    (router, say)
}

/// Says so when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A proxy that never answers, and tells that it was asked and that it was given up.
fn silent() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (asked, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, told) = (asked.clone(), dropped.clone());
    let router = Router::new().fallback(async move |request: Request<Body>| {
        let _told = Told(told.clone());
        tell.notify_one();
        drop(request.into_body().collect().await);
        std::future::pending::<()>().await;
    });
    (router, asked, dropped)
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn closing(request: &str) -> String {
    request.replacen("host: x\r\n", "host: x\r\nconnection: close\r\n", 1)
}

async fn connect(world: &World, request: &str) -> TcpStream {
    let mut guest = TcpStream::connect(world.gateway).await.unwrap();
    guest.write_all(request.as_bytes()).await.unwrap();
    guest
}

/// What the gateway says until it has said `end`.
async fn until(guest: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    let read = async {
        while !said.ends_with(end.as_bytes()) {
            let byte = guest.read_u8().await;
            said.push(byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said))));
        }
    };
    timeout(LIMIT, read).await.unwrap();
    String::from_utf8(said).unwrap()
}

/// What it says until it closes, in whatever way.
async fn rest(guest: &mut TcpStream) -> String {
    let mut said = Vec::new();
    drop(timeout(LIMIT, guest.read_to_end(&mut said)).await.unwrap());
    String::from_utf8(said).unwrap()
}

async fn happens(what: &Notify) {
    timeout(LIMIT, what.notified()).await.unwrap();
}

#[tokio::test]
async fn a34_path_and_query_reach_the_proxy_as_they_came() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    for path in [
        "/v1/chat/completions",
        "/google/v1beta/models/a%2Fb:generateContent?key=%20x&u=https://a//b/../c?d",
        "/rig",
        "/?x",
    ] {
        let answer = said(&world, &closing(&post(path, "{}"))).await;
        let asked =
            format!("POST http://fabric/internal/v1/hosts/host-aaaaaaaa/ai/ws-aaaaaaaa{path}\n");
        assert!(answer.contains(&asked), "{answer}");
        assert!(answer.ends_with("\n2 bytes"), "{answer}");
    }
    let purge = said(&world, &closing("PURGE /x HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(purge.contains("\r\n\r\nPURGE http://fabric/"), "{purge}");
}

#[tokio::test]
async fn a_path_that_could_lead_elsewhere_is_refused() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    for path in ["/v1/../x", "/..", "//v1/x", "/v1//x", "/v1/%2E./x", "/.%2e"] {
        let answer = said(&world, &closing(&post(path, "{}"))).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    let long = said(&world, &closing(&post(&format!("/{}", "x".repeat(8 * 1024)), ""))).await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
    for line in ["OPTIONS *", "CONNECT x:1"] {
        let answer = said(&world, &closing(&format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n"))).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{line}: {answer}");
    }
    assert!(!stays_below("/a#b") && stays_below("/a...b/..c/.") && stays_below("/a?..//"));
}

#[tokio::test]
async fn a31_what_claims_an_identity_or_belongs_to_the_connection_stays_here() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    let dropped = "cookie: c\r\nforwarded: for=1\r\nx-forwarded-for: 1\r\nx-real-ip: 1\r\n\
        x-rigbox-workspace: ws-bbbbbbbb\r\nX-Rigbox-Cost-Micro: 1\r\nkeep-alive: 1\r\nte: gzip\r\n\
        upgrade: x\r\nproxy-authorization: p\r\nx-hop: 1\r\n";
    let kept = "authorization: Bearer a\r\nx-api-key: k\r\nanthropic-beta: one\r\n\
        anthropic-beta: two\r\nx-rigbox-subject: s\r\nx-rigbox-subject-budget: 5;period=1d\r\n\
        x-rigbox-subject-rate: 1req;window=1\r\nx-rigbox-subject-rate: 2req;window=9\r\n";
    let answer = said(
        &world,
        &format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close, X-Hop\r\n{dropped}{kept}\r\n"
        ),
    )
    .await;
    let (_, mirrored) = answer.split_once("\r\n\r\n").unwrap();
    let headers: Vec<_> = mirrored.lines().skip(1).filter(|line| line.contains(": ")).collect();
    let expected: Vec<_> = kept.trim_end().split("\r\n").collect();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn the_proxys_status_and_headers_come_back() {
    let router = Router::new().fallback(async || {
        let headers = [("x-rigbox-cost-micro", "7"), ("x-one", "a"), ("content-encoding", "br")];
        (http::StatusCode::PAYMENT_REQUIRED, headers, "broke").into_response()
    });
    let world = world_with(PATIENCE, Some(router)).await;
    let answer = said(&world, &closing(&post("/v1/messages", "{}"))).await;
    assert!(answer.starts_with("HTTP/1.1 402"), "{answer}");
    for line in ["x-rigbox-cost-micro: 7", "x-one: a", "content-encoding: br", "content-length: 5"]
    {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert!(answer.ends_with("\r\n\r\nbroke"), "{answer}");
}

#[tokio::test]
async fn an_answer_arrives_frame_by_frame() {
    let (router, say) = told();
    let world = world_with(PATIENCE, Some(router)).await;
    let mut guest = connect(&world, &post("/v1/chat/completions", "{}")).await;
    for text in ["data: one\n\n", "data: two\n\n"] {
        say.send(text).await.unwrap();
        until(&mut guest, text).await;
    }
    drop(say);
    until(&mut guest, "\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a10_a_guest_that_hangs_up_ends_its_call_at_once() {
    let (router, asked, dropped) = silent();
    let world = world_with(PATIENCE, Some(router)).await;
    let waiting = connect(&world, &post("/v1/chat/completions", "{}")).await;
    happens(&asked).await;
    drop(waiting);
    happens(&dropped).await;
    // In the middle of its body.
    let sending = connect(&world, &post("/v1/chat/completions", "{}").replace(": 2", ": 9")).await;
    happens(&asked).await;
    drop(sending);
    happens(&dropped).await;
    let all = timeout(LIMIT, world.calls[0].acquire_many(64)).await;
    assert!(all.is_ok(), "its places are free again");
}

#[tokio::test]
async fn a10_a_guest_that_hangs_up_in_the_answer_ends_it_at_once() {
    let (router, say) = told();
    let world = world_with(PATIENCE, Some(router)).await;
    let mut guest = connect(&world, &post("/v1/chat/completions", "{}")).await;
    say.send("first").await.unwrap();
    until(&mut guest, "first").await;
    drop(guest);
    timeout(LIMIT, say.closed()).await.expect("the proxy's answer is dropped");
}

#[tokio::test]
async fn a33_an_answer_that_is_cut_off_has_no_clean_end() {
    let (router, say) = told();
    let world = world_with(PATIENCE, Some(router)).await;
    let mut guest = connect(&world, &post("/v1/chat/completions", "{}")).await;
    say.send("first").await.unwrap();
    until(&mut guest, "first").await;
    world.ai.as_ref().unwrap().abort();
    let rest = rest(&mut guest).await;
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
}

#[tokio::test]
async fn who_is_refused_learns_it_in_the_words_of_its_client() {
    let nobody = world(PATIENCE).await;
    let dead = world_with(PATIENCE, Some(mirror())).await;
    dead.ai.as_ref().unwrap().abort();
    let message = "the platform does not answer; try again";
    for (path, key, document) in [
        ("/v1/chat/completions", "type", "rigbox_gateway_error"),
        ("/v1/messages/count_tokens", "type", "api_error"),
        ("/anthropic/v1/messages", "type", "api_error"),
        ("/google/v1beta/models/m:generateContent", "status", "UNAVAILABLE"),
    ] {
        for world in [&nobody, &dead] {
            let answer = said(world, &closing(&post(path, "{}"))).await;
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"][key], document, "{body}");
            assert!(body["error"]["message"].is_string(), "{body}");
        }
    }
    let answer = said(&dead, &closing(&post("/x", ""))).await;
    assert!(answer.contains(&format!(
        r#"{{"error":{{"code":"unavailable","message":"{message}","param":null,"type":"rigbox_gateway_error"}}}}"#
    )), "{answer}");
    assert_eq!(Shape::of("/v1/messagesx"), Shape::Anthropic);
    assert_eq!(Shape::of("/v1/models"), Shape::OpenAi);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_read_to_its_end() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    let huge = 34 * 1024 * 1024;
    let head = format!("POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: {huge}\r\n\r\n");
    let chunked = "POST /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    for (head, piece, pieces, end) in
        [(head.as_str(), "x".repeat(0x10_0000), 34, ""), (chunked, chunk.clone(), 34, "0\r\n\r\n")]
    {
        let mut guest = connect(&world, head).await;
        for _ in 0..pieces {
            guest.write_all(piece.as_bytes()).await.unwrap();
        }
        guest.write_all(end.as_bytes()).await.unwrap();
        let answer = until(&mut guest, "}}").await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        // What was sent of it is not taken for the next request.
        guest.write_all(closing(&post("/v1/y", "{}")).as_bytes()).await.unwrap();
        assert!(rest(&mut guest).await.starts_with("HTTP/1.1 200"));
    }
    let mut guest = connect(&world, chunked).await;
    for _ in 0..32 {
        guest.write_all(chunk.as_bytes()).await.unwrap();
    }
    guest.write_all(b"0\r\n\r\n").await.unwrap();
    until(&mut guest, "\n33554432 bytes").await;
}

#[tokio::test]
async fn a_guest_that_asks_first_is_told_to_go_on() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    let head = post("/v1/x", "").replace("length: 0", "length: 2\r\nexpect: 100-continue");
    let mut guest = connect(&world, &head).await;
    until(&mut guest, "HTTP/1.1 100 Continue\r\n\r\n").await;
    guest.write_all(b"{}").await.unwrap();
    until(&mut guest, "2 bytes").await;
    // Who would be refused is refused before it has sent anything.
    let all = world.calls[0].acquire_many(64).await.unwrap();
    guest.write_all(head.as_bytes()).await.unwrap();
    assert!(until(&mut guest, "}}").await.trim_start().starts_with("HTTP/1.1 429"));
    drop(all);
}

#[tokio::test]
async fn a13_calls_beyond_the_places_are_told_to_wait() {
    let (router, asked, _) = silent();
    let world = world_with(PATIENCE, Some(router)).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(connect(&world, &post("/v1/chat/completions", "{}")).await);
        happens(&asked).await;
    }
    for (path, word) in [
        ("/v1/chat/completions", r#""code":"rate_limited""#),
        ("/v1/messages", r#""type":"rate_limit_error""#),
        ("/google/x", r#""status":"RESOURCE_EXHAUSTED""#),
    ] {
        let answer = said(&world, &closing(&post(path, "{}"))).await;
        assert!(answer.starts_with("HTTP/1.1 429") && answer.contains(word), "{answer}");
        // Google's details are texts.
        let plain = answer.replace('"', "");
        let details = ["class:under_way", "limit:64", "window_s:1", "retry_after_s:1"];
        assert!(details.iter().all(|part| plain.contains(part)), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    }
    drop(open);
    // The same where it is the other workspaces of the host that have them all.
    let own = timeout(LIMIT, world.calls[0].acquire_many(64)).await.unwrap().unwrap();
    drop(own);
    let _all = world.calls[1].acquire_many(1_024).await.unwrap();
    let answer = said(&world, &closing(&post("/v1/models", ""))).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("host"), "{answer}");
}

#[tokio::test]
async fn a_provider_may_think_for_longer_than_a_guest_may_be_silent() {
    let router = Router::new().fallback(async || {
        sleep(QUICK.idle * 4).await;
        let slow = stream::once(async {
            sleep(QUICK.idle * 4).await;
            Ok::<_, Infallible>(Bytes::from("thought"))
        });
        Response::new(Body::from_stream(slow))
    });
    let patience = Patience { life: QUICK.idle, ..QUICK };
    let world = world_with(patience, Some(router)).await;
    let answer = said(&world, &post("/v1/chat/completions", "{}")).await;
    assert!(answer.ends_with("\r\nthought\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn silence_before_within_and_between_calls_is_cut() {
    let world = world_with(QUICK, Some(mirror())).await;
    let mut guest = connect(&world, &post("/v1/x", "{}")).await;
    let answer = rest(&mut guest).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("2 bytes"), "{answer}");
    let half = post("/v1/x", "{}").replace(": 2", ": 9");
    let cut = rest(&mut connect(&world, &half).await).await;
    assert!(cut.starts_with("HTTP/1.1 408"), "{cut}");
    assert_eq!(rest(&mut connect(&world, "POST /v1/x HTTP/1.1\r\nhos").await).await, "");
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_ends_the_call() {
    let world = world_with(QUICK, Some(mirror())).await;
    let half = post("/v1/messages", "").replace("length: 0", "length: 99");
    let (mut from, mut to) = connect(&world, &half).await.into_split();
    let drops = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            sleep(QUICK.idle / 6).await;
        }
    });
    let mut answer = Vec::new();
    timeout(LIMIT, from.read_buf(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    drop(from);
    drops.abort();
}

#[tokio::test]
async fn a_call_ends_with_its_time() {
    let (router, say) = told();
    let patience = Patience { call: Duration::from_millis(300), ..PATIENCE };
    let world = world_with(patience, Some(router)).await;
    let mut guest = connect(&world, &post("/v1/chat/completions", "{}")).await;
    say.send("first").await.unwrap();
    until(&mut guest, "first").await;
    let rest = rest(&mut guest).await;
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    timeout(LIMIT, say.closed()).await.unwrap();
}

#[tokio::test]
async fn requests_of_both_kinds_share_a_connection_in_their_order() {
    let world = world_with(PATIENCE, Some(mirror())).await;
    let all = [
        post("/v1/one", "{}"),
        get("whoami").replace("close", "keep-alive"),
        post("/v1/../two", "GET /v1/smuggled HTTP/1.1\r\n\r\n"),
        closing(&post("/v1/three", "{}{}")),
    ];
    let mut guest = connect(&world, &all.concat()).await;
    let answer = rest(&mut guest).await;
    let mut at = 0;
    for part in ["/v1/one", "2 bytes", "you", " 400 ", "/v1/three", "4 bytes"] {
        at += answer[at..].find(part).unwrap_or_else(|| panic!("{part}: {answer}"));
    }
    assert!(!answer.contains("smuggled"), "{answer}");
}

/// More than all buffers on the way hold is not taken from a proxy whose guest does not read.
#[tokio::test]
async fn a22_a_guest_that_reads_slowly_slows_the_proxy_down() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let router = Router::new().fallback(async move || {
        let chunks = stream::repeat_with(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 64 * 1024]))
        });
        Response::new(Body::from_stream(chunks.take(1_024)))
    });
    let world = world_with(PATIENCE, Some(router)).await;
    let mut guest = connect(&world, &closing(&post("/v1/x", "{}"))).await;
    until(&mut guest, "\r\n\r\n").await;
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != sent.load(std::sync::atomic::Ordering::Relaxed) {
        before = sent.load(std::sync::atomic::Ordering::Relaxed);
        sleep(Duration::from_millis(300)).await;
    }
    assert!(before < 512, "{before} of 1,024 chunks were taken");
    assert!(rest(&mut guest).await.len() > 64 * 1024 * 1024);
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Guests, gateways, the client, the server and its handlers together: what the gateways and the
/// client alone take is less.
#[tokio::test]
async fn a_thousand_open_answers_take_little_memory() {
    rigbox_fabric::descriptors::raise_limit().unwrap();
    let router = Router::new().fallback(async || {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
        Response::new(Body::from_stream(first.chain(stream::pending())))
    });
    let world = world_with(PATIENCE, Some(router)).await;
    let mut gateways = vec![world.gateway];
    for _ in 1..16 {
        let gateway = Gateway::new("ws-bbbbbbbb".parse().unwrap(), world.ways.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gateways.push(listener.local_addr().unwrap());
        tokio::spawn(gateway.serve(listener, world.stop.clone()));
    }
    let open = async |gateway: &std::net::SocketAddr| {
        let mut guest = TcpStream::connect(gateway).await.unwrap();
        guest.write_all(post("/v1/chat/completions", "{}").as_bytes()).await.unwrap();
        until(&mut guest, "first").await;
        guest
    };
    let mut guests = vec![open(&gateways[0]).await];
    let before = resident_bytes();
    while guests.len() < 1_001 {
        guests.push(open(&gateways[guests.len() % gateways.len()]).await);
    }
    let each = resident_bytes().saturating_sub(before) / 1_000;
    println!("{each} bytes for each open answer");
    assert!(each < 64 * 1024, "{each} bytes for each open answer");
}
