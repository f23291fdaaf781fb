//! One request and its answer.

use std::{error::Error as _, io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use super::{
    Client, ClientError, Document, Io, Path, Refusal,
    connect::connect,
    patience::{Next, Patience, Repeat},
};

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A connection that became something else.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Longest wait for an answer to begin.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Longest upload. A server that takes nothing for minutes ends it, and so does a dead connection.
const UPLOAD_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Longest time for a document to arrive once it has begun.
const DOCUMENT_LIMIT: Duration = Duration::from_secs(60);
/// Largest document: a full page of everything is under a tenth of it.
const DOCUMENT_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A request to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: Path,
    json: Option<Bytes>,
    idempotency_key: Option<String>,
    upgrade: Option<&'static str>,
    last_event: Option<String>,
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: Method, path: Path) -> Self {
        let (json, idempotency_key, upgrade, last_event) = (None, None, None, None);
        Self { method, path, json, idempotency_key, upgrade, last_event }
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| {
            ClientError::Unsendable(format!("cannot write the request as JSON: {error}"))
        })?;
        self.json = Some(Bytes::from(body));
        Ok(self)
    }

    /// With a key that makes a repeat harmless.
    pub(crate) fn idempotent(mut self) -> Result<Self, ClientError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| {
            ClientError::Unsendable(format!("the system gives no random numbers: {error}"))
        })?;
        let key = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.idempotency_key = Some(key);
        Ok(self)
    }

    /// Asks for the connection to become `protocol`.
    pub(crate) fn upgrade(mut self, protocol: &'static str) -> Self {
        self.upgrade = Some(protocol);
        self
    }

    /// Goes on after the event with this id.
    pub(crate) fn after_event(mut self, id: Option<String>) -> Self {
        self.last_event = id;
        self
    }

    /// What may be done twice.
    fn repeat(&self) -> Repeat {
        match self.method {
            _ if self.upgrade.is_some() => Repeat::Never,
            _ if self.idempotency_key.is_some() => Repeat::Keyed,
            Method::GET => Repeat::Lost,
            // A repeat of what was done may be refused, which is not how the first one ended.
            Method::PUT | Method::DELETE => Repeat::Refused,
            _ => Repeat::Never,
        }
    }

    fn body(&self) -> Body {
        match &self.json {
            Some(json) => Full::new(json.clone()).map_err(|never| match never {}).boxed_unsync(),
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        }
    }
}

impl Client {
    /// GETs a document.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: Path,
    ) -> Result<Document<T>, ClientError> {
        self.fetch(Call::new(Method::GET, path)).await
    }

    /// Sends a request and reads the document that answers it. What may be repeated is, for a
    /// while: after a broken connection, and when asked to come again within seconds.
    pub(crate) async fn fetch<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<Document<T>, ClientError> {
        let begun = Instant::now();
        let mut patience = Patience::new(call.repeat());
        loop {
            let error = match self.fetch_once(&call).await {
                Ok(raw) => return self.parsed(raw),
                Err(error) => error,
            };
            let Next::Again { pause, tell } = patience.next(&error, begun.elapsed()) else {
                return Err(error);
            };
            if tell {
                self.output.notice(format!("waiting for {}: {error}", self.server));
            }
            self.output.during(sleep(pause)).await;
        }
    }

    async fn fetch_once(&self, call: &Call) -> Result<Value, ClientError> {
        let whole = async {
            let response = self.send(call, call.body()).await?;
            self.document(response).await
        };
        let bytes = self.output.during(whole).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unexpected(error.to_string()))
    }

    /// Sends a request and hands out its answer, refusals as errors.
    pub(crate) async fn open(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        self.output.during(self.send(call, call.body())).await
    }

    /// Sends a request with a body that is made while it is sent; the answer may take as long as
    /// the body does.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        call: &Call,
        body: Body,
    ) -> Result<Document<T>, ClientError> {
        let response = self.exchange(call, body, UPLOAD_LIMIT).await?;
        let response = self.accepted(response).await?;
        let bytes = self.document(response).await?;
        let raw =
            serde_json::from_slice(&bytes).map_err(|error| self.unexpected(error.to_string()))?;
        self.parsed(raw)
    }

    /// Sends a request and hands out its answer whatever its status.
    pub(crate) async fn raw(
        &self,
        call: &Call,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        let body = match body {
            Some(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            None => call.body(),
        };
        self.exchange(call, body, ANSWER_LIMIT).await
    }

    /// Sends a request that asks for an upgrade: the upgraded connection, or the plain answer.
    pub(crate) async fn upgraded(
        &self,
        call: &Call,
    ) -> Result<Result<Upgraded, Response<Incoming>>, ClientError> {
        let response = self.open(call).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(response));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| self.broken(&error))?;
        Ok(Ok(TokioIo::new(upgraded)))
    }

    /// Opens a WebSocket. A refusal is read like any other.
    pub(crate) async fn web_socket(
        &self,
        path: Path,
    ) -> Result<WebSocketStream<Upgraded>, ClientError> {
        let call = Call::new(Method::GET, path).upgrade("websocket");
        match self.upgraded(&call).await? {
            Ok(stream) => Ok(WebSocketStream::from_raw_socket(
                stream,
                tungstenite::protocol::Role::Client,
                None,
            )
            .await),
            Err(_) => Err(self.unexpected("it does not open a WebSocket".to_owned())),
        }
    }

    async fn send(&self, call: &Call, body: Body) -> Result<Response<Incoming>, ClientError> {
        let response = self.exchange(call, body, ANSWER_LIMIT).await?;
        self.accepted(response).await
    }

    /// One request over the kept connection, or over a new one where that has ended.
    async fn exchange(
        &self,
        call: &Call,
        body: Body,
        limit: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = self.request(call, body)?;
        let begun = Instant::now();
        self.output.verbose(|| format!("> {} {}", call.method, call.path.as_str()));
        let kept = self.idle.borrow_mut().take();
        if let Some(mut sender) = kept.filter(http1::SendRequest::is_ready) {
            match self.within(limit, sender.try_send_request(request)).await? {
                Ok(response) => return Ok(self.answered(call, begun, response, sender)),
                Err(mut error) => match error.take_message() {
                    // The server closed the connection before it took the request.
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(&error.into_error())),
                },
            }
        }
        let mut sender = self.handshake().await?;
        let sent = self.within(limit, sender.send_request(request)).await?;
        let response = sent.map_err(|error| self.broken(&error))?;
        Ok(self.answered(call, begun, response, sender))
    }

    fn answered(
        &self,
        call: &Call,
        begun: Instant,
        response: Response<Incoming>,
        sender: http1::SendRequest<Body>,
    ) -> Response<Incoming> {
        self.output.verbose(|| {
            let id = header_text(&response, "x-request-id").unwrap_or_default();
            let passed = begun.elapsed().as_millis();
            format!("< {} in {passed} ms {id}", response.status())
        });
        if let Some(warning) = header_text(&response, WARNING) {
            self.output.warning(warning, None);
        }
        if call.upgrade.is_none() {
            self.idle.borrow_mut().replace(sender);
        }
        response
    }

    async fn within<F: Future>(&self, limit: Duration, work: F) -> Result<F::Output, ClientError> {
        let slow = |_| ClientError::Slow { server: self.server.clone(), seconds: limit.as_secs() };
        timeout(limit, work).await.map_err(slow)
    }

    async fn handshake(&self) -> Result<http1::SendRequest<Body>, ClientError> {
        let stream: Box<dyn Io> = connect(&self.server, self.authorities.as_ref()).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // Ends with the connection; what goes wrong there reaches whoever waits for an answer.
        let _detached = tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    fn request(&self, call: &Call, body: Body) -> Result<Request<Body>, ClientError> {
        let unsendable = |what: &str| ClientError::Unsendable(format!("{what} cannot be sent"));
        let path = format!("{}{}", self.server.prefix(), call.path.as_str());
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = path.parse().map_err(|_| unsendable("this path"))?;
        let host = HeaderValue::try_from(self.server.authority())
            .map_err(|_| unsendable("this host name"))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if call.json.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = &self.key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| unsendable("this API key"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let optional = [
            (IDEMPOTENCY_KEY, call.idempotency_key.as_deref()),
            ("last-event-id", call.last_event.as_deref()),
            ("connection", call.upgrade.map(|_| "upgrade")),
            ("upgrade", call.upgrade),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value).map_err(|_| unsendable(name))?;
                headers.insert(name, value);
            }
        }
        if call.upgrade == Some("websocket") {
            let key = tungstenite::handshake::client::generate_key();
            let key = HeaderValue::try_from(key).map_err(|_| unsendable("a WebSocket key"))?;
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        Ok(request)
    }

    /// The answer, unless it is a refusal.
    pub(crate) async fn accepted(
        &self,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, ClientError> {
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let retry_after_s =
            header_text(&response, "retry-after").and_then(|text| text.parse().ok());
        let request_id = header_text(&response, "x-request-id");
        let bytes = self.document(response).await?;
        #[derive(serde::Deserialize)]
        struct Body {
            error: Refusal,
        }
        let Ok(Body { error }) = serde_json::from_slice(&bytes) else {
            return Err(self.unexpected(format!("status {status} without an error document")));
        };
        let status = status.as_u16();
        Err(ClientError::Refused(Box::new(Refusal { status, retry_after_s, request_id, ..error })))
    }

    async fn document(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), DOCUMENT_MAX_BYTES);
        match timeout(DOCUMENT_LIMIT, body.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) => {
                Err(ClientError::Broken { server: self.server.clone(), reason: error.to_string() })
            }
            Err(_) => Err(ClientError::Slow {
                server: self.server.clone(),
                seconds: DOCUMENT_LIMIT.as_secs(),
            }),
        }
    }

    /// The connection broke.
    pub(crate) fn broken(&self, error: &hyper::Error) -> ClientError {
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        ClientError::Broken { server: self.server.clone(), reason }
    }

    /// The answer is not one of the API's.
    pub(crate) fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Unexpected { server: self.server.clone(), reason }
    }
}

const USER_AGENT: &str = concat!("rig/", env!("CARGO_PKG_VERSION"));
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What the server says beside an answer that is good: that something is not in effect everywhere
/// yet. Documents that have it, too, say the same.
const WARNING: &str = "x-rigbox-warning";

/// A header as text.
pub(crate) fn header_text<B>(response: &Response<B>, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}
