//! A guest that lies, and a host that does: neither may hang, grow or fail because of the other.

use std::time::Duration;

use camino::Utf8PathBuf;
use http::Request;
use http_body_util::{BodyExt, Full};
use rigbox_guest::client::{Agent, AgentError, ConnectError, ForwardLimits, bridge, connect};
use rigbox_types::guest::mux::{Event, Mux, Role};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World, command};

/// A hybrid-vsock socket behind which a stranger does what it likes after the greeting.
fn stranger<F, Fut>(serve: F) -> (TempDir, Agent)
where
    F: Fn(UnixStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let uds = Utf8PathBuf::try_from(folder.path().join("uds")).unwrap();
    let listener = UnixListener::bind(&uds).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (folder, Agent::new(uds))
}

async fn greet(stream: &mut UnixStream) {
    let mut line = [0; 13];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"CONNECT 1024\n");
    stream.write_all(b"OK 1\n").await.unwrap();
}

/// Answers every request with these bytes, and then goes on with those for ever.
fn answers(head: &'static str, body: &'static [u8]) -> (TempDir, Agent) {
    stranger(move |mut stream| async move {
        greet(&mut stream).await;
        let mut request = [0; 4096];
        let _read = stream.read(&mut request).await;
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        while !body.is_empty() && stream.write_all(body).await.is_ok() {}
    })
}

#[tokio::test]
async fn an_answer_to_connect_that_is_none_is_a_refusal() {
    for answer in ["", "NO\n", "OK", "OKAY 1\n", "\n", "OK 1                                    \n"]
    {
        let (folder, _agent) = stranger(move |mut stream| async move {
            let _written = stream.write_all(answer.as_bytes()).await;
        });
        let uds = Utf8PathBuf::try_from(folder.path().join("uds")).unwrap();
        let refused = connect(&uds, 1024, PATIENCE).await;
        assert!(matches!(refused, Err(ConnectError::Refused(1024))), "{answer:?}: {refused:?}");
    }
}

#[tokio::test]
async fn silence_ends_with_the_time() {
    let (folder, agent) = stranger(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    });
    let uds = Utf8PathBuf::try_from(folder.path().join("uds")).unwrap();
    let limit = Duration::from_millis(50);
    assert!(matches!(connect(&uds, 1024, limit).await, Err(ConnectError::Silent(_))));
    assert!(agent.hello_within(limit).await.is_err());
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_errors() {
    let check = async |head: &'static str, body: &'static [u8]| {
        let (_folder, agent) = answers(head, body);
        let failed = tokio::time::timeout(PATIENCE, agent.hello()).await.unwrap();
        assert!(matches!(failed, Err(AgentError::Protocol(_) | AgentError::Http(_))), "{failed:?}");
    };
    check("garbage\r\n\r\n", b"").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"").await;
    check("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", b"").await;
    // A head and a body without end.
    check("HTTP/1.1 200 OK\r\n", b"x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await;
    check("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65_536]).await;
}

#[tokio::test]
async fn only_the_output_of_a_command_may_be_long() {
    const LONG: usize = 3 * 1024 * 1024;
    let head: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {LONG}\r\n\r\n")
            .into_boxed_str(),
    );
    let spaces: &'static [u8] = Box::leak(vec![b' '; LONG].into_boxed_slice());
    let (_folder, agent) = answers(head, spaces);
    let failed = format!("{:?}", agent.metrics().await.unwrap_err());
    assert!(failed.contains("too large"), "{failed}");
    // All of it is read, and only then found to be none.
    let (_folder, agent) = answers(head, spaces);
    let failed = format!("{:?}", agent.exec(&command(&["true"])).await.unwrap_err());
    assert!(failed.contains("not the document"), "{failed}");
}

#[tokio::test]
async fn the_text_of_a_refusal_is_short_and_plain() {
    let message = format!("no\u{1b}[2J\nERROR all is lost {}", "x".repeat(10_000));
    let body = serde_json::json!({"error": {"code": "unavailable", "message": message}});
    let body: &'static [u8] = Box::leak(body.to_string().into_bytes().into_boxed_slice());
    let head = format!("HTTP/1.1 503 No\r\ncontent-length: {}\r\n\r\n", body.len());
    let (_folder, agent) = answers(Box::leak(head.into_boxed_str()), body);
    let said = agent.hello().await.unwrap_err().to_string();
    assert!(said.contains("no\u{fffd}[2J\u{fffd}ERROR"), "{said}");
    assert!(said.chars().count() < 350, "{said}");
}

#[tokio::test]
async fn a_forwarded_answer_without_end_stops_at_its_limit() {
    let (_folder, agent) = answers("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]);
    let limits =
        ForwardLimits { head_timeout: PATIENCE, request_bytes: 0, response_bytes: 100_000 };
    let request = Request::get("/files?path=x").body(Full::<bytes::Bytes>::default()).unwrap();
    let answer = agent.forward(request, limits).await.unwrap();
    let collected = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.unwrap();
    assert!(collected.is_err());
}

/// A serial line with a stranger at the guest's end, and a bridge over it.
struct Serial {
    _folder: TempDir,
    uds: Utf8PathBuf,
    line: UnixStream,
    bridging: JoinHandle<()>,
}

async fn serial() -> Serial {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Utf8PathBuf::try_from(folder.path().join(name)).unwrap();
    let (serial, uds) = (path("serial"), path("uds"));
    let listener = UnixListener::bind(&serial).unwrap();
    let bridging = tokio::spawn({
        let uds = uds.clone();
        async move { bridge(&serial, &uds, CancellationToken::new()).await.unwrap() }
    });
    let (line, _) = listener.accept().await.unwrap();
    // The listener stays open in the stranger's process, as a VMM's does.
    std::mem::forget(listener);
    Serial { _folder: folder, uds, line, bridging }
}

/// Speaks the multiplexer as the guest's end until something has happened.
async fn play(line: &mut UnixStream, mux: &mut Mux, mut is_over: impl FnMut(&Event) -> bool) {
    let mut bytes = [0; 4096];
    loop {
        let output = mux.output().to_vec();
        line.write_all(&output).await.unwrap();
        mux.output_taken(output.len());
        let count = line.read(&mut bytes).await.unwrap();
        assert!(count > 0, "the line was cut");
        mux.receive(&bytes[..count]);
        while let Some(event) = mux.next_event() {
            if let Event::Incoming(id, _) = event {
                mux.accept(id);
            }
            if is_over(&event) {
                let output = mux.output().to_vec();
                line.write_all(&output).await.unwrap();
                mux.output_taken(output.len());
                return;
            }
        }
    }
}

#[tokio::test]
async fn nonsense_on_the_line_is_survived() {
    let mut serial = serial().await;
    let noise: Vec<u8> =
        (0..1_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    serial.line.write_all(&noise).await.unwrap();
    // The guest's own next packet begins with the mark that ends whatever there was.
    let mut mux = Mux::new(Role::Guest);
    mux.line_up([0; 16]);
    let client = tokio::spawn({
        let uds = serial.uds.clone();
        async move { connect(&uds, 1024, PATIENCE).await }
    });
    play(&mut serial.line, &mut mux, |event| matches!(event, Event::Incoming(..))).await;
    client.await.unwrap().unwrap();
    assert!(!serial.bridging.is_finished());
}

#[tokio::test]
async fn a_guest_that_resets_finishes_and_overruns_streams_harms_only_them() {
    let mut serial = serial().await;
    let mut mux = Mux::new(Role::Guest);
    mux.line_up([0; 16]);
    for round in 0..4 {
        let client = tokio::spawn({
            let uds = serial.uds.clone();
            async move { connect(&uds, 1024, PATIENCE).await }
        });
        let mut opened = None;
        play(&mut serial.line, &mut mux, |event| {
            if let Event::Incoming(id, _) = event {
                opened = Some(*id);
            }
            opened.is_some()
        })
        .await;
        let mut client = client.await.unwrap().unwrap();
        let id = opened.unwrap();
        match round {
            0 => mux.reset(id),
            1 => mux.finish(id),
            _ => {
                // More than anybody takes: it stops at the window.
                while mux.send(id, &[1; 16_384]).unwrap() > 0 {}
                mux.reset(id);
            }
        }
        let output = mux.output().to_vec();
        serial.line.write_all(&output).await.unwrap();
        mux.output_taken(output.len());
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut bytes)).await.unwrap();
        assert!(read.is_err() || bytes.len() <= 65_536, "{} bytes", bytes.len());
    }
    assert!(!serial.bridging.is_finished());
}

#[tokio::test]
async fn a_client_of_the_bridge_that_says_nonsense_is_cut() {
    let world = World::serial().await;
    for request in ["GET / HTTP/1.1\r\n\r\n", "CONNECT\n", "CONNECT x\n", "CONNECT 99999999999\n"] {
        let mut client = UnixStream::connect(world.path("uds")).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_err() || answer.is_empty(), "{request:?}: {answer:?}");
    }
    // Nothing but the agent listens in the guest.
    let refused = connect(&world.path("uds"), 22, PATIENCE).await;
    assert!(matches!(refused, Err(ConnectError::Refused(22))), "{refused:?}");
    world.agent.hello().await.unwrap();
}

#[tokio::test]
async fn a_host_that_says_nonsense_does_not_end_the_agent() {
    let mut world = World::serial().await;
    world.kill_bridge().await;
    for noise in [&[0_u8; 100_000][..], &[0xff; 100_000], b"GET / HTTP/1.1\r\n\r\n\0\0\0\x01"] {
        let mut line = UnixStream::connect(world.path("serial")).await.unwrap();
        line.write_all(noise).await.unwrap();
    }
    world.start_bridge();
    world.agent.hello_within(PATIENCE).await.unwrap();
    // And within a stream.
    for noise in
        [&b"\0\0\0"[..], b"POST /exec HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n{"]
    {
        let mut stream = connect(&world.path("uds"), 1024, PATIENCE).await.unwrap();
        stream.write_all(noise).await.unwrap();
    }
    world.agent.hello().await.unwrap();
}
