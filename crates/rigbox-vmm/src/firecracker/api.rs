//! Speaks Firecracker's HTTP on its unix socket.
//!
//! Its peculiarities: the status line has no reason phrase; calls are served strictly one after
//! another, even across connections, so a question may wait for a snapshot to be written; at most
//! ten connections; errors come in two shapes, one of which is not JSON; after an error of the HTTP
//! layer the rest of the body would be parsed as requests. So every call has a connection of its
//! own, closed after the answer, and a long time-out.
//! Does not know what the calls mean (see `documents` and `driver`).

use std::{os::fd::AsRawFd, time::Duration};

use bytes::Bytes;
use camino::Utf8PathBuf;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustix::fs::OFlags;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use super::{
    documents::{API_SOCKET, Action, ActionType, InstanceInfo, InstanceState},
    jail::open_inside,
};
use crate::VmmError;

/// The API of one Firecracker.
#[derive(Debug)]
pub(super) struct Api {
    /// The jail's root on the host.
    root: Utf8PathBuf,
}

impl Api {
    /// Of the Firecracker in this jail.
    pub(super) fn new(root: Utf8PathBuf) -> Self {
        Self { root }
    }

    /// Whether it can be asked. Firecracker's socket exists for a moment before it listens.
    pub(super) async fn is_listening(&self) -> bool {
        self.listening().await.is_ok()
    }

    /// The same, with the reason why not.
    pub(super) async fn listening(&self) -> Result<(), VmmError> {
        self.connect().await.map(drop)
    }

    /// Configures something.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), VmmError> {
        self.put_within(path, body, CALL_TIMEOUT).await
    }

    /// Does something that may take long.
    pub(super) async fn put_within(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<(), VmmError> {
        self.call(Method::PUT, path, encode(path, body)?, limit).await.map(drop)
    }

    /// Changes something.
    pub(super) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<(), VmmError> {
        self.call(Method::PATCH, path, encode(path, body)?, CALL_TIMEOUT).await.map(drop)
    }

    /// Does an action.
    pub(super) async fn act(&self, action_type: ActionType) -> Result<(), VmmError> {
        self.put("/actions", &Action { action_type }).await
    }

    /// What the VM does.
    pub(super) async fn state(&self) -> Result<InstanceState, VmmError> {
        self.get::<InstanceInfo>("/").await.map(|info| info.state)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, VmmError> {
        let body = self.call(Method::GET, path, Bytes::new(), CALL_TIMEOUT).await?;
        serde_json::from_slice(&body).map_err(|error| protocol(path, &error))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, VmmError> {
        let name = format!("{method} {path}");
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "localhost")
            .header("Content-Type", "application/json")
            .body(Full::new(body))
            .map_err(|error| protocol(&name, &error))?;
        timeout(limit, self.exchange(&name, request))
            .await
            .unwrap_or(Err(VmmError::TimedOut { what: "an answer of Firecracker", limit_ms }))
    }

    async fn exchange(&self, name: &str, request: Request<Full<Bytes>>) -> Result<Bytes, VmmError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ended_or_protocol(name, &error))?;
        // It ends when `sender` and the answer are dropped, at the end of this function.
        let connection = tokio::spawn(connection);
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            Ok::<_, hyper::Error>((status, body))
        };
        let (status, body) = answer.await.map_err(|error| ended_or_protocol(name, &error))?;
        connection.abort();
        let body = body.map_err(|error| protocol(name, &error))?.to_bytes();
        if status == StatusCode::OK || status == StatusCode::NO_CONTENT {
            return Ok(body);
        }
        Err(VmmError::Refused { request: name.to_owned(), reason: reason(status, &body) })
    }

    async fn connect(&self) -> Result<UnixStream, VmmError> {
        let path = self.root.join(API_SOCKET.trim_start_matches('/'));
        let control = |source| VmmError::Control { path, source };
        let socket = match open_inside(&self.root, API_SOCKET, OFlags::PATH) {
            Ok(socket) => socket,
            Err(error) => return Err(control(error)),
        };
        // Through the descriptor: it is the socket that was looked up, and the path may be longer
        // than a socket's address holds.
        UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await.map_err(control)
    }
}

fn encode(path: &str, body: &impl Serialize) -> Result<Bytes, VmmError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| protocol(path, &error))
}

/// The reason in either shape of error: `{"fault_message":"…"}` of the API, or `{ "error": "…" }` of
/// the HTTP layer, whose text holds a raw line feed and so is not JSON.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let fault = serde_json::from_str::<Value>(&text).ok().and_then(|document| {
        let text = document.get("fault_message").or_else(|| document.get("error"));
        text.and_then(Value::as_str).map(str::to_owned)
    });
    let words = fault.unwrap_or_else(|| {
        let inner = text.split_once(r#""error": ""#).and_then(|(_, rest)| rest.rsplit_once('"'));
        inner.map_or_else(|| text.trim().to_owned(), |(inner, _)| inner.to_owned())
    });
    let words: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_MAX_CHARS)
        .collect();
    if words.is_empty() { format!("status {}", status.as_u16()) } else { words }
}

/// A connection that breaks is a Firecracker that ended; anything else is not its protocol.
fn ended_or_protocol(request: &str, error: &hyper::Error) -> VmmError {
    if error.is_parse() {
        protocol(request, error)
    } else {
        VmmError::Ended { output: String::new() }
    }
}

fn protocol(request: &str, reason: &impl ToString) -> VmmError {
    VmmError::Protocol { request: request.to_owned(), reason: reason.to_string() }
}

/// Calls take milliseconds, but wait for a snapshot that is being written: 64 GiB at 500 MB/s.
const CALL_TIMEOUT: Duration = Duration::from_secs(140);
/// The largest answer, `/vm/config`, has under 4 KiB.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// The longest text of the reference has 300 characters.
const REASON_MAX_CHARS: usize = 1024;

#[cfg(test)]
mod tests;
