//! HTTP by hand: what goes over the wire, as it is.

use std::time::Duration;

use camino::Utf8Path;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// An answer, in parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) status_line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One call on a connection of its own.
pub(crate) async fn call(socket: &Utf8Path, method: &str, path: &str, body: &str) -> Raw {
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read(&mut stream).await
}

/// Reads one answer.
pub(crate) async fn read(stream: &mut UnixStream) -> Raw {
    let mut text = Vec::new();
    loop {
        if let Some(raw) = whole(&String::from_utf8_lossy(&text)) {
            return raw;
        }
        let mut chunk = [0; 4096];
        let count = timeout(ANSWER_TIMEOUT, stream.read(&mut chunk)).await.unwrap().unwrap();
        assert!(count > 0, "cut off after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..count]);
    }
}

fn whole(text: &str) -> Option<Raw> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (status_line, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    (body.len() >= length).then(|| Raw {
        status_line: status_line.to_owned(),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
