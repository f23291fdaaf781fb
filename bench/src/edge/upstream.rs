//! What all sides pass requests on to: an nginx with two files, and a server that agrees to be a
//! WebSocket and sends back what it gets.
//! Does not look at frames, and neither does anything in between.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use camino::Utf8Path;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::running::{Running, free_port, nginx};

/// The key that every client sends, and its answer (RFC 6455, 1.3).
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Paths of bodies and their sizes.
pub(super) const BODIES: [(&str, usize); 2] = [("1KiB", 1024), ("1MiB", 1024 * 1024)];

/// Where they are; gone when it is dropped.
pub(super) struct Upstreams {
    pub(super) files: SocketAddr,
    pub(super) echo: SocketAddr,
    _nginx: Running,
}

impl Upstreams {
    pub(super) async fn start(folder: &Utf8Path) -> Result<Self> {
        let folder = folder.join("upstream");
        std::fs::create_dir_all(folder.join("files")).context("make the upstream's folder")?;
        for (name, size) in BODIES {
            std::fs::write(folder.join("files").join(name), vec![b'x'; size])?;
        }
        let port = free_port()?;
        let config = format!(
            "keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;\n\
             open_file_cache max=10; \
             server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files; }}"
        );
        let files = nginx(&folder, 1, &config, port)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for echo")?;
        let echo = listener.local_addr()?;
        tokio::spawn(serve_echo(listener));
        Ok(Self { files: files.address, echo, _nginx: files })
    }
}

async fn serve_echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // Clients that go away end it.
        tokio::spawn(async move { echo(stream).await.ok() });
    }
}

async fn echo(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        anyhow::ensure!(stream.read_line(&mut line).await? > 0, "no request");
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.get_mut().write_all(answer.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        let Some(came) = buffer.get(..read).filter(|came| !came.is_empty()) else { return Ok(()) };
        stream.get_mut().write_all(came).await?;
    }
}
