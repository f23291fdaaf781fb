//! What h2load does not do: connections that begin anew for each request, WebSockets, and
//! connections that do nothing.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

use super::{
    certificate::connect,
    found::Found,
    product::{ECHO, NAME},
    upstream::{BODIES, KEY},
};

/// Clients that shake hands at once.
pub(super) const SHAKING: u32 = 16;
/// Bytes of a message over a WebSocket: a small frame of a client, with its mask.
const MESSAGE: [u8; 131] = [0x82; 131];
/// Idle connections that are opened at once.
const OPENING: usize = 32;

/// A connection for each request, for so long.
pub(super) async fn shake(
    config: Arc<ClientConfig>,
    to: SocketAddr,
    time: Duration,
) -> Result<Found> {
    let request = format!("GET /1KiB HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    repeat(SHAKING, time, |until| shakes(config.clone(), (to, request.clone()), until)).await
}

async fn shakes(
    config: Arc<ClientConfig>,
    (to, request): (SocketAddr, String),
    until: Instant,
) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let mut stream = connect(config.clone(), to, NAME).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(2 * 1024);
        // Some close without a word of TLS; the answer has its length.
        stream.read_to_end(&mut answer).await.ok();
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "no answer");
        took.push(micros(began));
    }
    Ok(took)
}

/// Messages there and back over so many WebSockets, for so long.
pub(super) async fn echo(
    config: Arc<ClientConfig>,
    to: SocketAddr,
    (connections, time): (u32, Duration),
) -> Result<Found> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {ECHO}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    repeat(connections, time, |until| echoes(config.clone(), (to, request.clone()), until)).await
}

async fn echoes(
    config: Arc<ClientConfig>,
    (to, request): (SocketAddr, String),
    until: Instant,
) -> Result<Vec<u64>> {
    let mut stream = connect(config.clone(), to, ECHO).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("the answer's head")?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let (mut took, mut came) = (Vec::new(), MESSAGE);
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(&MESSAGE).await?;
        stream.read_exact(&mut came).await?;
        took.push(micros(began));
    }
    Ok(took)
}

/// The same of so many tasks, for so long.
async fn repeat<F>(tasks: u32, time: Duration, work: impl Fn(Instant) -> F) -> Result<Found>
where
    F: Future<Output = Result<Vec<u64>>> + Send + 'static,
{
    let (began, mut all) = (Instant::now(), JoinSet::new());
    for _ in 0..tasks {
        all.spawn(work(began + time));
    }
    let mut took_us = Vec::new();
    while let Some(took) = all.join_next().await {
        took_us.extend(took.context("a client's task")??);
    }
    took_us.sort_unstable();
    let per_second = f64::from(u32::try_from(took_us.len())?) / began.elapsed().as_secs_f64();
    Ok(Found { per_second, took_us })
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Connections that have done what they had to.
pub(super) type Idle = Vec<TlsStream<TcpStream>>;

/// Opens so many more connections, each of which asks once (HTTP/1.1), or greets (HTTP/2).
pub(super) async fn idle(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    (is_h2, more): (bool, usize),
    open: &mut Idle,
) -> Result<()> {
    let (mut begun, mut tasks) = (0, JoinSet::new());
    while begun < more || !tasks.is_empty() {
        while begun < more && tasks.len() < OPENING {
            let config = config.clone();
            tasks.spawn(async move {
                let stream = connect(config, to, NAME).await?;
                if is_h2 { greeted(stream).await } else { asked(stream).await }
            });
            begun += 1;
        }
        if let Some(stream) = tasks.join_next().await {
            open.push(stream.context("a client's task")??);
        }
    }
    Ok(())
}

async fn asked(mut stream: TlsStream<TcpStream>) -> Result<TlsStream<TcpStream>> {
    let request = format!("GET /1KiB HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let [(_, body), _] = BODIES;
    let mut answer = Vec::new();
    loop {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + body) {
            return Ok(stream);
        }
        ensure!(stream.read_buf(&mut answer).await? > 0, "an answer broke off");
    }
}

async fn greeted(mut stream: TlsStream<TcpStream>) -> Result<TlsStream<TcpStream>> {
    // An empty SETTINGS frame: 9 bytes of head.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    stream.write_all(&settings).await?;
    stream.flush().await?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

/// Asks over one connection until the answer is the one that is wanted; how often it was asked.
pub(super) async fn until_served(
    stream: &mut TlsStream<TcpStream>,
    name: &str,
    limit: Duration,
) -> Result<Duration> {
    let request = format!("HEAD /1KiB HTTP/1.1\r\nHost: {name}\r\n\r\n");
    let began = Instant::now();
    loop {
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut head).await? > 0, "the connection was closed");
        }
        if head.starts_with(b"HTTP/1.1 200") {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < limit, "never served: {}", String::from_utf8_lossy(&head));
    }
}
