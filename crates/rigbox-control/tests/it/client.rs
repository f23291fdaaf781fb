//! A client of the API: plain HTTP, no types of ours.

use std::{pin::Pin, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

/// Nothing in a test takes longer, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One client with or without a key.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) base: String,
    pub(crate) key: Option<String>,
    pool: Pool<HttpConnector, Body>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    /// The page.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// Where it leads.
    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }

    /// The document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The document, if the status is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The error's code, if the status is the expected one.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        let value = self.expect(status);
        assert_eq!(value["error"]["code"], code, "{value}");
        assert!(value["error"]["message"].is_string(), "{value}");
        value["error"].clone()
    }
}

impl Answer {
    /// Checks that a refusal for what comes too fast has all its facts, in both places.
    #[track_caller]
    pub(crate) fn too_fast(self, class: &str, limit: u32, window_s: u32) -> Value {
        let headers = self.headers.clone();
        let error = self.refused(429, "rate_limited");
        let details = &error["details"];
        let found = (&details["class"], &details["limit"], &details["window_s"]);
        assert_eq!(found, (&class.into(), &limit.into(), &window_s.into()), "{error}");
        let retry = details["retry_after_s"].as_u64().unwrap().to_string();
        assert_eq!(headers[header::RETRY_AFTER], retry);
        assert_eq!(headers["ratelimit-limit"], limit.to_string());
        assert_eq!(headers["ratelimit-remaining"], "0");
        assert_eq!(headers["ratelimit-reset"], retry);
        error
    }
}

impl Client {
    pub(crate) fn new(base: String, key: Option<String>) -> Self {
        Self { base, key, pool: Pool::builder(TokioExecutor::new()).build_http() }
    }

    /// The same with another key.
    pub(crate) fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self.clone() }
    }

    /// The same of another control.
    pub(crate) fn with_base(&self, base: String) -> Self {
        Self { base, ..self.clone() }
    }

    /// The same from another address of this machine.
    pub(crate) fn from(&self, address: [u8; 4]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address.into()));
        Self { pool: Pool::builder(TokioExecutor::new()).build(connector), ..self.clone() }
    }

    /// The same without a key.
    pub(crate) fn stranger(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// A request with everything that every request has.
    pub(crate) fn request(&self, method: &str, path: &str, body: Body) -> Request<Body> {
        let whole = path.starts_with("/api/");
        let path = if whole { path.to_owned() } else { format!("/api/v1{path}") };
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        request.body(body).unwrap()
    }

    /// Sends a request; the answer's body is not read yet.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Incoming> {
        timeout(PATIENCE, self.pool.request(request)).await.expect("an answer in time").unwrap()
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let bytes = timeout(PATIENCE, body.collect()).await.expect("a body in time");
        let bytes = bytes.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// Sends bytes.
    pub(crate) async fn bytes(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send(self.request(method, path, body.into())).await
    }

    /// Sends a document.
    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.bytes(method, path, body.to_string()).await
    }

    /// Sends a document that many others are sent with: again, where all of them together were too many
    /// for the database.
    pub(crate) async fn json_among_many(&self, method: &str, path: &str, body: Value) -> Answer {
        loop {
            let answer = self.json(method, path, body.clone()).await;
            if answer.status != 503 || answer.json()["error"]["code"] != "unavailable" {
                return answer;
            }
        }
    }

    /// Sends nothing but the request's head.
    pub(crate) async fn call(&self, method: &str, path: &str) -> Answer {
        self.bytes(method, path, Body::empty()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.call("POST", path).await
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn events(&self, path: &str, last: Option<&str>) -> Events {
        let mut request = self.request("GET", path, Body::empty());
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        let response = self.open(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let chunks = response.into_body().into_data_stream();
        Events { chunks: Box::pin(chunks.map(|chunk| chunk.ok())), text: String::new() }
    }
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// A stream of them.
pub(crate) struct Events {
    chunks: Pin<Box<dyn futures_util::Stream<Item = Option<Bytes>> + Send>>,
    text: String,
}

impl Events {
    /// The next event; none at the end. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if let Some(event) = event {
                    return Some(event);
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.chunks.next()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk??).unwrap());
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", kind)) => event.kind = kind.to_owned(),
            Some(("id", id)) => event.id = id.to_owned(),
            Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
            _ => assert!(line.starts_with(':'), "{line}"),
        }
    }
    (!event.kind.is_empty()).then_some(event)
}
