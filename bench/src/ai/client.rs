//! The caller, the same for all sides: HTTP/1.1 over connections that stay open.
//! Invariant: an answer that is not the whole of what was asked for is an error; what is found in it is its
//! time alone. Nothing is parsed while it is timed but marks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinHandle};

use super::{
    clock::now_ns,
    side::Side,
    upstream::{DONE, MARK, MODEL, Wish},
};

/// Where chat completions are.
const PATH: &str = "/v1/chat/completions";
/// Least that a whole answer has.
const WHOLE_LEAST_BYTES: usize = 900;
/// How much of a stream's end is looked at: its last event, and the empty line behind it.
const TAIL_BYTES: usize = 24;
/// Letters of what is asked, as a short prompt has them.
const PROMPT_LEN: usize = 900;

/// A call that is made over and over.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    headers: HeaderMap,
    body: Bytes,
    is_stream: bool,
    chunks: u32,
}

/// When an answer's body began, and when it was whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Came {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

impl Ask {
    /// For an answer in one piece.
    pub(super) fn whole(side: &Side, wish: Wish) -> Result<Self> {
        Self::new(side, wish, false)
    }

    /// For a stream of the wish's pieces.
    pub(super) fn stream(side: &Side, wish: Wish) -> Result<Self> {
        Self::new(side, wish, true)
    }

    fn new(side: &Side, wish: Wish, is_stream: bool) -> Result<Self> {
        let mut document = json!({
            "model": MODEL,
            "messages": [
                { "role": "system", "content": "be brief ".repeat(PROMPT_LEN / 9) },
                { "role": "user", "content": wish.words() },
            ],
            "max_tokens": 200,
        });
        if let Some(document) = document.as_object_mut().filter(|_| is_stream) {
            document.insert("stream".to_owned(), true.into());
            document.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        let mut headers = side.headers.clone();
        headers.insert(header::HOST, HeaderValue::from_str(&side.address(0)?.to_string())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !headers.contains_key(header::AUTHORIZATION) {
            let key = HeaderValue::from_static("Bearer sk-of-nobody");
            headers.insert(header::AUTHORIZATION, key);
        }
        let body = document.to_string().into();
        Ok(Self { headers, body, is_stream, chunks: wish.chunks })
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::from_static(PATH);
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Whether this is all that was asked for.
    fn check(&self, seen: &Seen) -> Result<()> {
        let marks = if self.is_stream { 2 * u64::from(self.chunks) } else { 2 };
        ensure!(seen.marks == marks, "{} marks came of {marks}", seen.marks);
        if self.is_stream {
            let ends = seen.tail.windows(DONE.len()).any(|window| window == DONE);
            ensure!(ends, "a stream broke off: {}", String::from_utf8_lossy(&seen.tail));
        } else {
            ensure!(seen.bytes >= WHOLE_LEAST_BYTES, "only {} bytes came", seen.bytes);
        }
        Ok(())
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Seen {
    bytes: usize,
    marks: u64,
    tail: Vec<u8>,
}

impl Seen {
    fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.marks += piece.iter().map(|byte| u64::from(*byte == MARK)).sum::<u64>();
        self.tail.extend_from_slice(last(piece));
        let more = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..more);
    }
}

fn last(piece: &[u8]) -> &[u8] {
    piece.get(piece.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default()
}

/// What each piece of a stream took from when it was written.
#[derive(Debug, Default)]
pub(super) struct Delays {
    pub(super) ns: Vec<u64>,
    /// A moment that is being read: what has come of it.
    open: Option<u64>,
}

impl Delays {
    fn take(&mut self, piece: &[u8], now: u64) {
        for byte in piece {
            self.open = match (self.open, *byte) {
                (None, MARK) => Some(0),
                (Some(written), MARK) => {
                    self.ns.push(now.saturating_sub(written));
                    None
                }
                (Some(written), digit) => {
                    let digit = digit.wrapping_sub(b'0').into();
                    Some(written.wrapping_mul(10).wrapping_add(digit))
                }
                (None, _) => None,
            };
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Opens one.
    pub(super) async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("connect")?;
        // How it ended is seen by who asks over it.
        let driver = tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(Self { sender, driver })
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Came> {
        self.begin(ask).await?.finish(ask).await
    }

    /// The same of a stream, each piece of which is timed.
    pub(super) async fn listen(&mut self, ask: &Ask, delays: &mut Delays) -> Result<Came> {
        let mut answer = self.begin(ask).await?;
        while answer.piece(Some(delays)).await? {}
        answer.finish(ask).await
    }

    /// Asks, and waits for the head of the answer.
    pub(super) async fn begin(&mut self, ask: &Ask) -> Result<Answer> {
        self.sender.ready().await.context("a connection was closed")?;
        let answer = self.sender.send_request(ask.request()).await.context("ask")?;
        let body = accepted(answer).await?;
        Ok(Answer { body, seen: Seen::default(), came: Came::default() })
    }

    /// Whether another call can be made.
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// An answer with another status.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    said: String,
}

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.said)
    }
}

async fn accepted(answer: Response<Incoming>) -> Result<Incoming> {
    let (head, body) = answer.into_parts();
    if head.status == StatusCode::OK {
        return Ok(body);
    }
    let said = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (status, said) = (head.status, String::from_utf8_lossy(&said).into_owned());
    Err(Refused { status, said }.into())
}

/// An answer that is coming.
pub(super) struct Answer {
    body: Incoming,
    seen: Seen,
    came: Came,
}

impl Answer {
    /// Waits for more of it; whether there is any.
    pub(super) async fn piece(&mut self, delays: Option<&mut Delays>) -> Result<bool> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        let frame = frame.context("an answer broke off")?;
        let Some(piece) = frame.data_ref().filter(|piece| !piece.is_empty()) else {
            return Ok(true);
        };
        let now = now_ns();
        if self.came.first_ns == 0 {
            self.came.first_ns = now;
        }
        if let Some(delays) = delays {
            delays.take(piece, now);
        }
        self.seen.take(piece);
        Ok(true)
    }

    /// Reads the rest.
    pub(super) async fn finish(mut self, ask: &Ask) -> Result<Came> {
        while self.piece(None).await? {}
        self.came.last_ns = now_ns();
        ask.check(&self.seen)?;
        Ok(self.came)
    }
}

/// Connections to one side, as many as are needed at once.
pub(super) struct Pool {
    pub(super) side: Arc<Side>,
    pub(super) ask: Ask,
    idle: Mutex<Vec<Connection>>,
    opened: AtomicUsize,
}

impl Pool {
    /// Without any yet.
    pub(super) fn new(side: &Arc<Side>, ask: Ask) -> Self {
        let (idle, opened) = (Mutex::default(), AtomicUsize::new(0));
        Self { side: side.clone(), ask, idle, opened }
    }

    /// Asks over the connection that was used last, or a new one.
    pub(super) async fn ask(&self) -> Result<Came> {
        let (connection, answer) = self.begin().await?;
        let came = answer.finish(&self.ask).await?;
        self.side.answered.fetch_add(1, Ordering::Relaxed);
        self.keep(connection);
        Ok(came)
    }

    async fn begin(&self) -> Result<(Connection, Answer)> {
        // As every client does: a connection that was kept may be closed just as it is used again.
        if let Some(mut connection) = self.idle() {
            match connection.begin(&self.ask).await {
                Ok(answer) => return Ok((connection, answer)),
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(_) => {}
            }
        }
        let mut connection = self.open().await?;
        let answer = connection.begin(&self.ask).await?;
        Ok((connection, answer))
    }

    /// Opens connections until there are so many.
    pub(super) async fn fill(&self, count: usize) -> Result<()> {
        while self.opened.load(Ordering::Relaxed) < count {
            let connection = self.open().await?;
            self.keep(connection);
        }
        Ok(())
    }

    async fn open(&self) -> Result<Connection> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        Connection::open(self.side.address(nth)?).await
    }

    fn idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            // Some servers close what was not used for a few seconds.
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_however_it_comes() {
        let mut delays = Delays::default();
        delays.take(b"data: {\"content\":\"@10", 5);
        delays.take(b"00@ \"}\n\ndata: @1700@", 2_000);
        assert_eq!(delays.ns, [1_000, 300]);
    }

    #[test]
    fn the_end_of_a_stream_is_seen_in_pieces() {
        let mut seen = Seen::default();
        for piece in
            [&b"data: @1@ and much more than is kept of it\n\n"[..], b"data: [DO", b"NE]\n\n"]
        {
            seen.take(piece);
        }
        assert!(seen.tail.windows(DONE.len()).any(|window| window == DONE));
        assert_eq!((seen.marks, seen.tail.len()), (2, TAIL_BYTES));
    }
}
