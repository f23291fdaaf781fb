use std::{os::unix::fs::PermissionsExt, process::Command, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use rigbox_fabric::{Address, BindError, Listener, ServerAuth};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Notify,
    time::Instant,
};

use crate::kit::{dir, serve_local};

const LOCAL: ServerAuth = ServerAuth::Local { peer_uid: None };

#[tokio::test]
async fn a_socket_is_its_owners_and_goes_with_the_listener() {
    let served = serve_local(Router::new()).await;
    let mode = std::fs::metadata(&served.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.shutdown.cancel();
    served.ended.await.unwrap();
    assert!(!served.path.exists());
}

#[tokio::test]
async fn a_socket_left_behind_is_taken_over_and_a_live_one_is_not() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Listener::bind(Address::Unix(path.clone()), &LOCAL).await.unwrap();
    let second = Listener::bind(Address::Unix(path.clone()), &LOCAL).await;
    assert!(matches!(second, Err(BindError::InUse { .. })));
    assert!(UnixStream::connect(&path).await.is_ok());
    drop(first);
}

#[tokio::test]
async fn the_file_of_another_listener_is_left_alone() {
    let (_dir, path) = dir();
    let path = path.join("s.sock");
    let first = Listener::bind(Address::Unix(path.clone()), &LOCAL).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = Listener::bind(Address::Unix(path.clone()), &LOCAL).await.unwrap();
    drop(first);
    assert!(UnixStream::connect(&path).await.is_ok());
}

/// The mode keeps others out already; this is what holds if the mode is changed.
#[tokio::test]
async fn another_user_is_not_answered() {
    assert!(rustix::process::geteuid().is_root(), "needs root, to become another user");
    let served = serve_local(Router::new().route("/", get(|| async { "hello" }))).await;
    let parent = served.path.parent().unwrap();
    for (path, mode) in [(served.path.as_path(), 0o666), (parent, 0o755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let path = served.path.clone();
    let ask = move |user: &str| {
        let output = Command::new("setpriv")
            .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"])
            .args(["curl", "-s", "--unix-socket", path.as_str(), "http://x/"])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (stranger, root) =
        tokio::task::spawn_blocking(move || (ask("65534"), ask("0"))).await.unwrap();
    assert_eq!(root, (true, "hello".to_owned()));
    assert_eq!(stranger, (false, String::new()));
}

#[tokio::test]
async fn a_request_under_way_ends_before_the_listener_does() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, leave) = (entered.clone(), leave.clone());
        move || async move {
            entered.notify_one();
            leave.notified().await;
            "\"done\""
        }
    };
    let served = serve_local(Router::new().route("/", get(handler))).await;
    let client = served.client.clone();
    let answer = tokio::spawn(async move { client.get::<String>("/").await });
    entered.notified().await;
    served.shutdown.cancel();
    leave.notify_one();
    assert_eq!(answer.await.unwrap().unwrap(), "done");
    served.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_cut_after_a_while() {
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = entered.clone();
        move || async move {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let served = serve_local(Router::new().route("/", get(handler))).await;
    let client = served.client.clone();
    let answer = tokio::spawn(async move { client.get::<String>("/").await });
    entered.notified().await;
    served.shutdown.cancel();
    served.ended.await.unwrap();
    assert!(answer.await.unwrap().unwrap_err().is_unreachable());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let served = serve_local(Router::new()).await;
    for said in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = UnixStream::connect(&served.path).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let since = Instant::now();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(since.elapsed() <= Duration::from_secs(31), "{:?}", since.elapsed());
    }
}
