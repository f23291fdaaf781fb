use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::Request,
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use camino::Utf8PathBuf;
use futures_util::{StreamExt as _, future::join_all, stream};
use http_body_util::BodyExt as _;
use rigbox_fabric::{
    Accepts, Address, Body, Client, ClientAuth, FabricError, Listener, MultiplexedClient, Peer,
    ServerAuth, identity::PeerName, serve, serve_multiplexed,
};
use rigbox_types::HostId;
use tokio::{
    io::AsyncReadExt as _,
    net::UnixListener,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    kit::dir,
    tls::{ca, host, identity, now},
};

/// Longest that the other side may take; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

const LOCAL: ServerAuth = ServerAuth::Local { peer_uid: None };

struct Served {
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

async fn serve_at(path: &Utf8PathBuf, router: Router) -> Served {
    let listener = Listener::bind(Address::Unix(path.clone()), &LOCAL).await.unwrap();
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(serve_multiplexed(listener, router, shutdown.clone()));
    Served { shutdown, ended }
}

fn client_at(path: &Utf8PathBuf) -> MultiplexedClient {
    Client::multiplexed(Address::Unix(path.clone()), &ClientAuth::Local).unwrap()
}

async fn ask(client: &MultiplexedClient, path: &str) -> Result<Response, FabricError> {
    let request = http::Request::get(path).body(Body::empty()).unwrap();
    timeout(LIMIT, client.request(request)).await.expect("an answer in time")
}

async fn text(answer: Response) -> String {
    let whole = timeout(LIMIT, answer.into_body().collect()).await.expect("a body in time");
    String::from_utf8(whole.unwrap().to_bytes().to_vec()).unwrap()
}

async fn endless() -> Response {
    let chunks = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 16 * 1024])));
    Response::new(Body::from_stream(chunks))
}

/// One chunk, then nothing more.
fn open_answer() -> Response {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
    Response::new(Body::from_stream(first.chain(stream::pending())))
}

async fn first_chunk(answer: &mut Response) -> Bytes {
    let frame = timeout(LIMIT, answer.body_mut().frame()).await.unwrap().unwrap().unwrap();
    frame.into_data().unwrap()
}

#[tokio::test]
async fn streams_that_nobody_reads_keep_no_other_waiting() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let half_mib = || async { vec![b'y'; 512 * 1024] };
    let router = Router::new().route("/endless", get(endless)).route("/half", get(half_mib));
    let _served = serve_at(&path, router).await;
    let client = client_at(&path);
    let unread = join_all((0..500).map(|_| ask(&client, "/endless"))).await;
    let read =
        join_all((0..500).map(|_| async { text(ask(&client, "/half").await.unwrap()).await }));
    for body in timeout(LIMIT, read).await.unwrap() {
        assert_eq!(body.len(), 512 * 1024);
    }
    // They were open all the while.
    for answer in unread {
        assert_eq!(first_chunk(&mut answer.unwrap()).await[0], b'x');
    }
}

#[tokio::test]
async fn the_next_request_works_once_the_other_side_was_restarted() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let router = || Router::new().route("/", get(|| async { "hello" }));
    let client = client_at(&path);
    for _ in 0..10 {
        let served = serve_at(&path, router()).await;
        assert_eq!(text(ask(&client, "/").await.unwrap()).await, "hello");
        served.shutdown.cancel();
        served.ended.await.unwrap();
        let error = ask(&client, "/").await.unwrap_err();
        assert!(matches!(error, FabricError::Connect { .. }), "{error:?}");
    }
}

/// As after `kill -9`: the client learns it from the kernel alone.
#[tokio::test]
async fn a_request_is_not_sent_to_one_who_was_killed() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let client = client_at(&path);
    for _ in 0..20 {
        let served = serve_at(&path, Router::new().route("/", get(|| async { "hello" }))).await;
        assert_eq!(text(ask(&client, "/").await.unwrap()).await, "hello");
        served.ended.abort();
        assert!(served.ended.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let echo = |request: Request| async { Response::new(request.into_body()) };
    let _served = serve_at(&path, Router::new().route("/", post(echo))).await;
    let client = client_at(&path);
    let exchanges = (0..4_u8).map(|n| {
        let client = client.clone();
        async move {
            let chunks =
                stream::repeat(Ok::<_, Infallible>(Bytes::from(vec![n; 100_000]))).take(80);
            let request = http::Request::post("/").body(Body::from_stream(chunks)).unwrap();
            let answer = client.request(request).await.unwrap();
            let back = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(back.len(), 8_000_000);
            assert!(back.iter().all(|byte| *byte == n));
        }
    });
    timeout(LIMIT, join_all(exchanges)).await.unwrap();
}

/// Says so when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_its_handler_and_its_answer() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, told) = (entered.clone(), dropped.clone());
    let waiting = move || async move {
        let _told = Told(told);
        seen.notify_one();
        pending::<()>().await;
    };
    let told = dropped.clone();
    let streaming = move || async move {
        let told = Told(told);
        let first = stream::once(async move { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
        let rest = stream::pending().map(move |chunk| {
            let _told = &told;
            chunk
        });
        Response::new(Body::from_stream(first.chain(rest)))
    };
    let router = Router::new().route("/waiting", get(waiting)).route("/streaming", get(streaming));
    let _served = serve_at(&path, router).await;
    let client = client_at(&path);
    let other = client.clone();
    let asking = tokio::spawn(async move { ask(&other, "/waiting").await.map(drop) });
    timeout(LIMIT, entered.notified()).await.unwrap();
    asking.abort();
    timeout(LIMIT, dropped.notified()).await.expect("the handler is dropped");
    let mut answer = ask(&client, "/streaming").await.unwrap();
    first_chunk(&mut answer).await;
    drop(answer);
    timeout(LIMIT, dropped.notified()).await.expect("the answer's body is dropped");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_taken_for_a_short_one() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let (results, mut seen) = mpsc::channel(1);
    let (entered, inside) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (signal, mark) = (entered.clone(), inside.clone());
    let handler = move |request: Request| async move {
        let mut body = request.into_body();
        // Outlives the handler, which ends with its request.
        tokio::spawn(async move {
            body.frame().await.unwrap().unwrap();
            mark.store(true, Ordering::Relaxed);
            signal.notify_one();
            results.send(body.collect().await.is_ok()).await.unwrap();
        });
        pending::<Response>().await
    };
    let _served = serve_at(&path, Router::new().route("/", post(handler))).await;
    let client = client_at(&path);
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
    let body = Body::from_stream(first.chain(stream::pending()));
    let request = http::Request::post("/").body(body).unwrap();
    let asking = tokio::spawn(async move { client.request(request).await.map(drop) });
    timeout(LIMIT, entered.notified()).await.unwrap();
    asking.abort();
    assert_eq!(timeout(LIMIT, seen.recv()).await.unwrap(), Some(false));
}

#[tokio::test]
async fn streams_of_one_who_vanishes_end_with_an_error() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let served = serve_at(&path, Router::new().route("/", get(|| async { open_answer() }))).await;
    let client = client_at(&path);
    let mut answer = ask(&client, "/").await.unwrap();
    first_chunk(&mut answer).await;
    served.ended.abort();
    let rest = timeout(LIMIT, answer.into_body().collect()).await.unwrap();
    assert!(rest.is_err(), "{rest:?}");
}

/// The end was announced, which the protocol library takes for the end of the body.
#[tokio::test(start_paused = true)]
async fn streams_that_are_cut_at_shutdown_end_with_an_error() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let served = serve_at(&path, Router::new().route("/", get(|| async { open_answer() }))).await;
    let client = client_at(&path);
    let mut answer = ask(&client, "/").await.unwrap();
    first_chunk(&mut answer).await;
    served.shutdown.cancel();
    let rest = timeout(LIMIT, answer.into_body().collect()).await.unwrap();
    assert!(rest.is_err(), "{rest:?}");
    served.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_who_says_nothing_any_more_is_taken_for_gone() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mute = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
    });
    let error = ask(&client_at(&path), "/").await.unwrap_err();
    assert!(matches!(error, FabricError::Broken { .. }), "{error:?}");
    timeout(LIMIT, mute).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_greet_is_closed() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let _served = serve_at(&path, Router::new()).await;
    let mut silent = tokio::net::UnixStream::connect(&path).await.unwrap();
    let mut said = Vec::new();
    timeout(LIMIT, silent.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(said.is_empty());
}

/// A workspace with many calls under way that stops takes nobody's connection with it.
#[tokio::test]
async fn many_that_give_up_at_once_do_not_cost_the_connection() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/waiting", get(pending::<()>))
        .route("/open", get(|| async { open_answer() }));
    let _served = serve_at(&path, router).await;
    let client = client_at(&path);
    let mut kept = ask(&client, "/open").await.unwrap();
    first_chunk(&mut kept).await;
    for _ in 0..6 {
        // Those whose answers are on their way, and those that have none yet.
        drop(join_all((0..400).map(|_| ask(&client, "/endless"))).await);
        let waiting: Vec<_> = (0..400)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { ask(&client, "/waiting").await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        for asking in waiting {
            asking.abort();
        }
    }
    assert_eq!(first_chunk(&mut ask(&client, "/open").await.unwrap()).await, "first");
    let more = timeout(Duration::from_millis(200), kept.body_mut().frame()).await;
    assert!(more.is_err(), "the first stream is still open: {more:?}");
}

#[tokio::test]
async fn parts_on_other_machines_are_known_as_before() {
    let ca = ca();
    let who = |Extension(peer): Extension<Peer>| async move { format!("{peer:?}") };
    let router = Router::new().route("/", get(who));
    let control = identity(&ca, &PeerName::Control, now());
    let bind = async || {
        let auth = ServerAuth::Tls { identity: control.clone(), accepts: Accepts::Hosts };
        Listener::bind("https://127.0.0.1:0".parse().unwrap(), &auth).await.unwrap()
    };
    let listener = bind().await;
    let address = listener.address().clone();
    tokio::spawn(serve_multiplexed(listener, router.clone(), CancellationToken::new()));
    let auth = |expect| ClientAuth::Tls { identity: identity(&ca, &host(7), now()), expect };
    let client = Client::multiplexed(address.clone(), &auth(PeerName::Control)).unwrap();
    let expected = Peer::Host(HostId::from_random([7; 8]));
    assert_eq!(text(ask(&client, "/").await.unwrap()).await, format!("{expected:?}"));

    let wrong = Client::multiplexed(address.clone(), &auth(host(8))).unwrap();
    let error = ask(&wrong, "/").await.unwrap_err();
    assert!(matches!(error, FabricError::Connect { .. }), "{error:?}");

    // One that speaks the other protocol is told by the handshake, on both sides.
    let single = Client::new(address, &auth(PeerName::Control)).unwrap();
    let error = single.get::<String>("/").await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let listener = bind().await;
    let address = listener.address().clone();
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    let client = Client::multiplexed(address, &auth(PeerName::Control)).unwrap();
    let error = ask(&client, "/").await.unwrap_err();
    assert!(matches!(error, FabricError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_process_of_this_machine_is_known_by_its_user() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let who = |Extension(peer): Extension<Peer>| async move { format!("{peer:?}") };
    let _served = serve_at(&path, Router::new().route("/", get(who))).await;
    let expected =
        Peer::Local { uid: rustix::process::geteuid().as_raw(), pid: std::process::id() };
    assert_eq!(text(ask(&client_at(&path), "/").await.unwrap()).await, format!("{expected:?}"));
}
