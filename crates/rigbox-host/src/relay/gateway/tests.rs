//! The gateway between a guest of the test's own, and a control and an AI proxy of the test's own.

use axum::{Router, routing};
use rigbox_fabric::{Address, ClientAuth, Listener, ServerAuth};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::{
    platform::{ANSWER_MAX_BYTES, inner_path, inner_query},
    *,
};

mod calls;

/// Longest that the other side may take; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(20);

const QUICK: Patience = Patience {
    head: Duration::from_secs(20),
    body: Duration::from_millis(100),
    upload: Duration::from_millis(600),
    call: Duration::from_secs(20),
    idle: Duration::from_millis(300),
    life: Duration::from_secs(20),
};

struct World {
    _folder: TempDir,
    gateway: std::net::SocketAddr,
    requests: Arc<Semaphore>,
    /// Places for calls, of the workspace and of the host.
    calls: [Arc<Semaphore>; 2],
    ai: Option<JoinHandle<()>>,
    ways: Ways,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn world(patience: Patience) -> World {
    world_with(patience, None).await
}

/// A gateway whose AI proxy is this router.
async fn world_with(patience: Patience, ai: Option<Router>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> Address {
        format!("unix:{}", folder.path().join(name).to_str().unwrap()).parse().unwrap()
    };
    let bind =
        async |name| Listener::bind(at(name), &ServerAuth::Local { peer_uid: None }).await.unwrap();
    let stop = CancellationToken::new();
    let base = "/internal/v1/hosts/{host}/guest-api/{workspace}/rig/v1";
    let router = Router::new()
        .route(&format!("{base}/whoami"), routing::any(async || "you"))
        .route(&format!("{base}/usage"), routing::any(async |uri: http::Uri| uri.to_string()))
        .route(&format!("{base}/large"), routing::any(async || vec![b'x'; ANSWER_MAX_BYTES]))
        .route(&format!("{base}/endless"), routing::any(async || vec![b'x'; ANSWER_MAX_BYTES + 1]));
    tokio::spawn(rigbox_fabric::serve(bind("control.sock").await, router, stop.clone()));
    let control = Client::new(at("control.sock"), &ClientAuth::Local).unwrap();
    let way = ai.is_some().then(|| Client::multiplexed(at("ai.sock"), &ClientAuth::Local).unwrap());
    let served = match ai {
        Some(router) => {
            let listener = bind("ai.sock").await;
            let serve = rigbox_fabric::serve_multiplexed(listener, router, stop.clone());
            Some(tokio::spawn(serve))
        }
        None => None,
    };
    let mut ways = Ways::new("host-aaaaaaaa".parse().unwrap(), control, way);
    let requests = Arc::new(Semaphore::new(1));
    ways.requests = requests.clone();
    let of_host = ways.calls.clone();
    let mut gateway = Gateway::new("ws-aaaaaaaa".parse().unwrap(), ways.clone());
    gateway.patience = patience;
    let calls = [gateway.calls.clone(), of_host];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(gateway.serve(listener, stop.clone()));
    World { _folder: folder, gateway: at, requests, calls, ai: served, ways, stop }
}

/// All that the gateway says to these bytes until it closes.
async fn said(world: &World, request: &str) -> String {
    let mut guest = TcpStream::connect(world.gateway).await.unwrap();
    guest.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(LIMIT, guest.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(path: &str) -> String {
    format!("GET /rig/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn an_answer_of_control_is_passed_on_whole_or_not_at_all() {
    let world = world(PATIENCE).await;
    let whoami = said(&world, &get("whoami")).await;
    assert!(whoami.starts_with("HTTP/1.1 200") && whoami.ends_with("\r\n\r\nyou"), "{whoami}");
    let large = said(&world, &get("large")).await;
    assert!(large.starts_with("HTTP/1.1 200") && large.len() > ANSWER_MAX_BYTES);
    let endless = said(&world, &get("endless")).await;
    assert!(endless.starts_with("HTTP/1.1 503"), "{}", endless.len());
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let world = world(QUICK).await;
    let head = "POST /rig/v1/whoami HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx";
    let answer = said(&world, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_moves_nothing_is_cut() {
    let world = world(QUICK).await;
    assert_eq!(said(&world, "GET /rig/v1/who").await, "");
}

#[tokio::test]
async fn a_guest_that_does_not_read_is_cut() {
    let world = world(QUICK).await;
    let mut guest = TcpStream::connect(world.gateway).await.unwrap();
    let asking = async {
        // More than all buffers hold of answers that nobody reads.
        while guest.write_all(get("large").replace("close", "keep-alive").as_bytes()).await.is_ok()
        {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, asking).await.unwrap();
}

#[tokio::test]
async fn a_connection_ends_with_its_time() {
    let patience = Patience { life: Duration::from_millis(100), ..PATIENCE };
    let world = world(patience).await;
    let began = tokio::time::Instant::now();
    let answer = said(&world, &get("whoami").replace("close", "keep-alive")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() < PATIENCE.head, "it ended before its next head was missed");
}

#[tokio::test]
async fn a_request_waits_for_its_place_on_the_host() {
    let world = world(PATIENCE).await;
    let place = world.requests.acquire().await.unwrap();
    let request = get("whoami");
    let mut asking = std::pin::pin!(said(&world, &request));
    assert!(timeout(Duration::from_millis(200), asking.as_mut()).await.is_err());
    drop(place);
    assert!(asking.await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let world = world(PATIENCE).await;
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        open.push(TcpStream::connect(world.gateway).await.unwrap());
    }
    let mut surplus = TcpStream::connect(world.gateway).await.unwrap();
    assert!(!matches!(timeout(LIMIT, surplus.read(&mut [0])).await.unwrap(), Ok(1..)));
    drop(open);
}

#[test]
fn a_path_stays_below_the_workspaces_own_api() {
    assert_eq!(inner_path("/rig/v1/whoami"), Some("whoami"));
    for bad in ["/", "/rig/v1/", "/rig/v2/whoami", "/rig/v1/../x", "/rig/v1//x", "/rig/v1/a%2f"] {
        assert_eq!(inner_path(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn a_query_reaches_control() {
    let world = world(PATIENCE).await;
    let usage = said(&world, &get("usage?subject=a%20b&window=86400")).await;
    let expected = "/internal/v1/hosts/host-aaaaaaaa/guest-api/ws-aaaaaaaa/rig/v1/usage\
        ?subject=a%20b&window=86400";
    assert!(usage.ends_with(expected), "{usage}");
    let long = said(&world, &get(&format!("usage?{}", "x".repeat(1_025)))).await;
    assert!(long.starts_with("HTTP/1.1 400"), "{long}");
}

#[test]
fn a_query_of_control_is_plain_text() {
    assert_eq!(inner_query(None).as_deref(), Some(""));
    assert_eq!(inner_query(Some("a=b&c=%20")).as_deref(), Some("?a=b&c=%20"));
    for bad in ["a b", "a#b", "\u{e4}", &"x".repeat(1_025)] {
        assert_eq!(inner_query(Some(bad)), None, "{bad}");
    }
}
