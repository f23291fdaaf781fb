//! One line of JSON for each request, or for one of so many.
//! Invariants: writing never holds a request up: what does not fit into the queue is lost and counted;
//! nothing secret is written: no query (it may have a token), no header but the agent's name.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode, header};
use rigbox_fabric::task;
use serde::Serialize;
use tokio::{
    fs::OpenOptions,
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{clock, config::AccessLog, edge::Edge, error::EdgeError};

/// Lines that wait to be written.
const QUEUE: usize = 8_192;

/// Longest path and longest agent that is written.
const TEXT_MAX_LEN: usize = 512;

/// Bytes that are gathered before they are written.
const BATCH_BYTES: usize = 64 * 1024;

/// Where lines go.
pub(crate) struct Log {
    lines: mpsc::Sender<Vec<u8>>,
    sample: u32,
    count: AtomicU32,
    lost: Arc<crate::metrics::Number>,
}

/// What is known of a request when it begins.
pub(crate) struct Line {
    method: Method,
    host: Box<str>,
    path: Box<str>,
    version: http::Version,
    from: IpAddr,
    agent: Option<Box<str>>,
    id: HeaderValue,
    status: u16,
    began_micros: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    at_us: i64,
    id: &'a str,
    from: IpAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    protocol: &'a str,
    status: u16,
    bytes: u64,
    /// Until the answer began.
    began_us: u64,
    /// Until it ended.
    took_us: u64,
    app: Option<&'a str>,
    agent: Option<&'a str>,
}

impl Line {
    pub(crate) fn answered(&mut self, status: StatusCode, micros: u64) {
        (self.status, self.began_micros) = (status.as_u16(), micros);
    }
}

impl Log {
    /// Begins to write; none where nothing is to be written.
    pub(crate) async fn start(
        choice: &AccessLog,
        ended: CancellationToken,
    ) -> Result<Option<(Self, JoinHandle<()>)>, EdgeError> {
        let (sample, to): (u32, Box<dyn AsyncWrite + Send + Unpin>) = match choice {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout { sample } => (*sample, Box::new(tokio::io::stdout())),
            AccessLog::File { path, sample } => {
                let mut options = OpenOptions::new();
                options.create(true).append(true).mode(0o640);
                let opened = options.open(path);
                let file = opened
                    .await
                    .map_err(|source| EdgeError::State { path: path.clone(), source })?;
                (*sample, Box::new(file))
            }
        };
        let (lines, queue) = mpsc::channel(QUEUE);
        let writer = task::spawn("edge.access_log", write(queue, to, ended));
        let lost = Arc::default();
        let log = Self { lines, sample: sample.max(1), count: AtomicU32::new(0), lost };
        Ok(Some((log, writer)))
    }

    /// Begins a line, unless this request is none of those that are written.
    pub(crate) fn begin<B>(
        &self,
        request: &Request<B>,
        host: &str,
        from: IpAddr,
        id: &HeaderValue,
    ) -> Option<Box<Line>> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        if !count.is_multiple_of(self.sample) {
            return None;
        }
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Some(Box::new(Line {
            method: request.method().clone(),
            host: host.into(),
            path: short(request.uri().path()),
            version: request.version(),
            from,
            agent: agent.map(short),
            id: id.clone(),
            status: 0,
            began_micros: 0,
        }))
    }

    pub(crate) fn write(&self, line: &Line, app: Option<&str>, bytes: u64, took: Duration) {
        let document = Document {
            at_us: clock::now_micros(),
            id: line.id.to_str().unwrap_or_default(),
            from: line.from,
            method: line.method.as_str(),
            host: &line.host,
            path: &line.path,
            protocol: if line.version == http::Version::HTTP_2 { "h2" } else { "http/1.1" },
            status: line.status,
            bytes,
            began_us: line.began_micros,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            app,
            agent: line.agent.as_deref(),
        };
        let Ok(mut text) = serde_json::to_vec(&document) else { return };
        text.push(b'\n');
        if self.lines.try_send(text).is_err() {
            self.lost.add(1);
        }
    }
}

impl Edge {
    /// Tells how many lines were lost.
    pub(crate) fn count_lost_lines(&self) {
        if let Some(log) = &self.log {
            self.metrics.log_lines_lost_total.set(log.lost.now());
        }
    }
}

fn short(text: &str) -> Box<str> {
    let end = text.floor_char_boundary(TEXT_MAX_LEN);
    text.get(..end).unwrap_or_default().into()
}

/// Writes until the edge has ended, and what is there then.
async fn write(
    mut queue: mpsc::Receiver<Vec<u8>>,
    mut to: Box<dyn AsyncWrite + Send + Unpin>,
    ended: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    loop {
        let next = ended.run_until_cancelled(queue.recv()).await;
        let Some(line) = next.unwrap_or_else(|| queue.try_recv().ok()) else { return };
        batch.extend_from_slice(&line);
        while batch.len() < BATCH_BYTES
            && let Ok(line) = queue.try_recv()
        {
            batch.extend_from_slice(&line);
        }
        let written = async {
            to.write_all(&batch).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, "access log not written");
        }
        batch.clear();
    }
}
