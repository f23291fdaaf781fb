//! The terminal's WebSocket.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{client::PATIENCE, world::World};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(world: &World, id: &str, query: &str, key: bool) -> Result<Socket, u16> {
    let base = world.api.base.replace("http://", "ws://");
    let url = format!("{base}/api/ws/terminal/{id}?{query}");
    let mut request = url.into_client_request().unwrap();
    if key {
        let value = format!("Bearer {}", world.api.key.as_ref().unwrap());
        request.headers_mut().insert("authorization", value.parse().unwrap());
    }
    match timeout(PATIENCE, connect_async(request)).await.unwrap() {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// The next document, with the bytes that came before it.
async fn document(socket: &mut Socket) -> (Vec<u8>, Value) {
    let mut bytes = Vec::new();
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Binary(more) => bytes.extend_from_slice(&more),
            Message::Text(text) => return (bytes, serde_json::from_str(&text).unwrap()),
            _ => {}
        }
    }
}

async fn bytes_until(socket: &mut Socket, end: &[u8]) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        if let Message::Binary(more) =
            timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
        {
            bytes.extend_from_slice(&more);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_carries_bytes_sizes_and_the_exit() {
    let world = World::start().await;
    let id = world.running("a").await;
    let mut socket = connect(&world, &id, "cols=100&rows=40", true).await.unwrap();
    let (_, session) = document(&mut socket).await;
    assert_eq!(session, json!({ "session": "session-1" }));
    bytes_until(&mut socket, b"$ ").await;
    socket.send(Message::Text(r#"{"resize":{"cols":120,"rows":50}}"#.into())).await.unwrap();
    socket.send(Message::Text(r#"{"unknown":1}"#.into())).await.unwrap();
    // More than the guest's credit at once.
    let paste = vec![b'x'; 200_000];
    socket.send(Message::Binary(paste.into())).await.unwrap();
    let mut seen = 0;
    while seen < 200_000 {
        if let Message::Binary(more) =
            timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
        {
            seen += more.len();
        }
    }
    socket.send(Message::Binary(b"exit\n".to_vec().into())).await.unwrap();
    let (_, exit) = document(&mut socket).await;
    assert_eq!(exit["exit"]["exit_code"], 4);
    let last = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(matches!(last, Some(Ok(Message::Close(_))) | None), "{last:?}");
    assert_eq!(*world.host.agent.sizes.borrow(), vec![(120, 50)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_attached_again_by_its_session() {
    let world = World::start().await;
    let id = world.running("a").await;
    let mut socket = connect(&world, &id, "", true).await.unwrap();
    document(&mut socket).await;
    drop(socket);
    let query = "session=session-1&after=7&cols=90&rows=30";
    let mut socket = connect(&world, &id, query, true).await.unwrap();
    assert_eq!(document(&mut socket).await.1, json!({ "session": "session-1" }));
    let mut sizes = world.host.agent.sizes.subscribe();
    timeout(PATIENCE, sizes.wait_for(|sizes| sizes.contains(&(90, 30)))).await.unwrap().unwrap();
    assert!(world.host.agent.asked.lock().unwrap().iter().any(|line| line.ends_with("?after=7")));
    // A shell that was left lives on.
    assert!(world.host.agent.ended.borrow().is_empty());
    assert_eq!(connect(&world, &id, "session=other", true).await.err(), Some(404));
    assert_eq!(connect(&world, &id, "session=..%2f..%2fhello", true).await.err(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_token_works_once_and_for_its_workspace() {
    let world = World::start().await;
    let id = world.running("a").await;
    let other = world.running("b").await;
    let token = || async {
        let made = world.api.post(&format!("/workspaces/{id}/terminal-token")).await.expect(201);
        assert_eq!(made["expires_in_s"], 30);
        format!("token={}", made["token"].as_str().unwrap())
    };
    let query = token().await;
    let mut socket = connect(&world, &id, &query, false).await.unwrap();
    document(&mut socket).await;
    assert_eq!(connect(&world, &id, &query, false).await.err(), Some(401));
    let query = token().await;
    assert_eq!(connect(&world, &other, &query, false).await.err(), Some(401));
    assert_eq!(connect(&world, &id, "", false).await.err(), Some(401));
    assert_eq!(connect(&world, &id, "token=x", true).await.err(), Some(401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_needs_a_websocket_and_a_running_workspace() {
    let world = World::start().await;
    let id = world.create("a").await;
    let plain = world.api.get(&format!("/api/ws/terminal/{id}")).await;
    plain.refused(400, "invalid_request");
    assert_eq!(connect(&world, &id, "", true).await.err(), Some(400));
    assert_eq!(connect(&world, "ws-00000000", "", true).await.err(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_done_ends_its_shell() {
    let world = World::start().await;
    let id = world.running("a").await;
    let mut socket = connect(&world, &id, "", true).await.unwrap();
    document(&mut socket).await;
    let done = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.close(Some(done)).await.unwrap();
    let mut ended = world.host.agent.ended.subscribe();
    let is = |ended: &Vec<String>| *ended == ["session-1"];
    timeout(PATIENCE, ended.wait_for(is)).await.unwrap().unwrap();
}
