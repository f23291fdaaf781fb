//! The serial line through restarts of either side, and under load.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use bytes::Bytes;
use camino::Utf8PathBuf;
use http::Request;
use http_body_util::{BodyExt, Full};
use rigbox_guest::{
    agent::{Config, Listen, run},
    client::{Agent, BridgeError, ForwardLimits, bridge, connect},
};
use rigbox_types::guest::{ExecRequest, frame::Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World, command, file_system, mode, next, read_until, shell};

const LIMITS: ForwardLimits =
    ForwardLimits { head_timeout: PATIENCE, request_bytes: 0, response_bytes: usize::MAX };

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_hundred_streams_share_the_line() {
    let world = World::serial().await;
    let home = world.guest_path("/home/developer");
    for number in 0..100_u8 {
        fs::write(home.join(number.to_string()), vec![number; 300_000]).unwrap();
    }
    let mut downloads = JoinSet::new();
    for number in 0..100_u8 {
        let agent = world.agent.clone();
        downloads.spawn(async move {
            let answer =
                agent.forward(get(&format!("/files?path={number}")), LIMITS).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() == 300_000 && body.iter().all(|byte| *byte == number), "{number}");
        });
    }
    let all = tokio::time::timeout(PATIENCE, downloads.join_all()).await.unwrap();
    assert_eq!(all.len(), 100);
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other() {
    let world = World::serial().await;
    let request = ExecRequest { stream: true, ..shell("while :; do echo yes; done") };
    let body = Full::from(serde_json::to_vec(&request).unwrap());
    let request = Request::post("/exec").body(body).unwrap();
    let limits = ForwardLimits { request_bytes: 65_536, ..LIMITS };
    let _stuck = world.agent.forward(request, limits).await.unwrap();
    for _ in 0..50 {
        world.agent.hello().await.unwrap();
    }
}

#[tokio::test]
async fn a_bridge_that_is_killed_leaves_stale_bytes_and_the_next_begins_clean() {
    let mut world = World::serial().await;
    fs::write(world.guest_path("/home/developer/big"), vec![7; 30_000_000]).unwrap();
    let request = ExecRequest { detach: true, ..command(&["cat"]) };
    let mut stream = world.agent.exec_open(&request).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    for _ in 0..3 {
        // In the middle of a packet, in both directions.
        let download = world.agent.forward(get("/files?path=big"), LIMITS).await.unwrap();
        world.kill_bridge().await;
        assert!(download.into_body().collect().await.is_err(), "half a file is not a file");
        world.start_bridge();
        world.agent.hello_within(PATIENCE).await.unwrap();
    }
    let answer = world.agent.forward(get("/files?path=big"), LIMITS).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 30_000_000);
    let mut stream = world.agent.exec_attach(&started.id).await.unwrap();
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    stream.send(&Frame::Stdin(b"still here\n".to_vec())).await.unwrap();
    read_until(&mut stream, "still here").await;
}

#[tokio::test]
async fn a_vm_has_one_bridge_and_its_socket_is_private() {
    let mut world = World::serial().await;
    assert_eq!(mode(world.path("uds").as_std_path()), 0o600);
    let second = bridge(&world.path("serial"), &world.path("uds"), CancellationToken::new()).await;
    assert!(matches!(second, Err(BridgeError::Taken(_))), "{second:?}");
    world.agent.hello().await.unwrap();
    // What a killed one leaves is in nobody's way.
    world.kill_bridge().await;
    assert!(world.path("uds").exists());
    world.start_bridge();
    world.agent.hello_within(PATIENCE).await.unwrap();
}

/// The VMM's end of a serial line: keeps what the guest has not read, drops what no host hears.
struct Chardev {
    serial: Utf8PathBuf,
    agent: Utf8PathBuf,
}

impl Chardev {
    async fn run(self) {
        let listener = UnixListener::bind(&self.serial).unwrap();
        loop {
            let (mut host, _) = listener.accept().await.unwrap();
            let mut kept = Vec::new();
            // While there is no agent, bytes of the host wait.
            let mut guest = loop {
                if let Ok(guest) = UnixStream::connect(&self.agent).await {
                    break guest;
                }
                let mut bytes = [0; 4096];
                match host.try_read(&mut bytes) {
                    Ok(0) => break UnixStream::pair().unwrap().0,
                    Ok(count) => kept.extend_from_slice(&bytes[..count]),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            if guest.write_all(&kept).await.is_ok() {
                self.carry(&mut host, &mut guest).await;
            }
        }
    }

    /// Carries bytes until the host is gone; an agent that goes is waited for.
    async fn carry(&self, host: &mut UnixStream, guest: &mut UnixStream) {
        let (mut from_host, mut from_guest) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = host.read(&mut from_host) => match read {
                    Ok(0) | Err(_) => return,
                    // Bytes for an agent that dies are lost.
                    Ok(count) => { let _lost = guest.write_all(&from_host[..count]).await; }
                },
                read = guest.read(&mut from_guest) => match read {
                    Ok(0) | Err(_) => {
                        *guest = loop {
                            match UnixStream::connect(&self.agent).await {
                                Ok(guest) => break guest,
                                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                            }
                        };
                    }
                    Ok(count) => {
                        if host.write_all(&from_guest[..count]).await.is_err() {
                            return;
                        }
                    }
                },
            }
        }
    }
}

#[tokio::test]
async fn an_agent_that_restarts_is_reached_again_over_the_same_line() {
    let folder = file_system();
    let path = |name: &str| Utf8PathBuf::try_from(folder.path().join(name)).unwrap();
    let (serial, uds, device) = (path("serial"), path("uds"), path("device"));
    let chardev = tokio::spawn(Chardev { serial: serial.clone(), agent: device.clone() }.run());
    let shutdown = CancellationToken::new();
    let bridging = tokio::spawn({
        let (uds, shutdown) = (uds.clone(), shutdown.clone());
        async move { bridge(&serial, &uds, shutdown).await }
    });
    let agent = Agent::new(uds.clone());
    let config =
        Config { root: folder.path().join("root"), listen: Listen::Serial(device.clone().into()) };
    // The bridge says hello before there is an agent to hear it.
    let early = tokio::spawn({
        let agent = agent.clone();
        async move { agent.hello_within(PATIENCE).await }
    });
    tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>())
        .await
        .unwrap_err();
    for round in 0..3 {
        let running = tokio::spawn(run(config.clone()));
        agent.hello_within(PATIENCE).await.unwrap();
        // A request that the agent does not live to answer ends with an error, not with a hang.
        let waiting = tokio::spawn({
            let agent = agent.clone();
            async move { agent.exec(&command(&["sleep", "1000"])).await }
        });
        let asked = async { while agent.hello().await.is_err() {} };
        tokio::time::timeout(PATIENCE, asked).await.unwrap();
        running.abort();
        let _aborted = running.await;
        fs::remove_file(&device).unwrap();
        if round < 2 {
            let next = tokio::spawn(run(config.clone()));
            let ended = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
            assert!(ended.is_err());
            next.abort();
            let _aborted = next.await;
            fs::remove_file(&device).unwrap();
        } else {
            waiting.abort();
        }
    }
    early.await.unwrap().unwrap();
    shutdown.cancel();
    bridging.await.unwrap().unwrap();
    assert!(!uds.exists(), "a bridge that ends takes its socket along");
    chardev.abort();
}

#[tokio::test]
async fn a_bridge_ends_with_its_vmm() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str| Utf8PathBuf::try_from(folder.path().join(name)).unwrap();
    let (serial, uds) = (path("serial"), path("uds"));
    let listener = UnixListener::bind(&serial).unwrap();
    let bridging = tokio::spawn({
        let uds = uds.clone();
        async move { bridge(&serial, &uds, CancellationToken::new()).await }
    });
    let (line, _) = listener.accept().await.unwrap();
    // A client waits for an agent that never comes; it is not answered, and not forgotten.
    let silent = connect(&uds, 1024, Duration::from_millis(100)).await;
    assert!(matches!(silent, Err(rigbox_guest::client::ConnectError::Silent(_))), "{silent:?}");
    // A killed VMM leaves its socket file behind.
    drop(listener);
    drop(line);
    tokio::time::timeout(PATIENCE, bridging).await.unwrap().unwrap().unwrap();
    assert!(!uds.exists());
}
