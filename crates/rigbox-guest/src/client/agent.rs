//! Calls of the agent. Each opens a stream of its own, so that one that hangs holds up no other.

use std::time::Duration;

use bytes::Bytes;
use camino::Utf8PathBuf;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rigbox_types::{
    Timestamp,
    api::error::ApiErrorBody,
    guest::{
        AGENT_PORT, EXEC_UPGRADE, ExecList, ExecRequest, ExecResult, FreezeRequest, GuestMetrics,
        Hello, ListListeningPortsResponse, ServicesResponse, SetupAnswer, SetupRequest,
        ShutdownKind, ShutdownRequest, ThawAnswer, TimeRequest, exec::ATTACH_SEGMENT,
        hello::HELLO_WAIT_MAX_MS, hello::HELLO_WAIT_PARAM,
    },
    limits::EXEC_TIMEOUT_MAX_S,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{ConnectError, ExecStream, connect};

/// Longest wait for a stream. Under emulation a busy guest may need a second to take one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the answer to a short call. Emulated guests start programs slowly.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for set-up: it starts `systemctl` and `ssh-keygen`.
const SETUP_TIMEOUT: Duration = Duration::from_secs(120);

/// Added to the time of a command for its start and its answer.
const EXEC_MARGIN: Duration = Duration::from_secs(30);

/// One try of [`Agent::hello_within`], and the wait before the next. A driver that is not up yet
/// is silent, so a try must be short.
const HELLO_TRY: Duration = Duration::from_millis(1000);
const HELLO_WAIT: Duration = Duration::from_millis(20);

/// Largest answer of a call: 32 setup scripts with 8 KiB of output each, of which each byte may need
/// six as JSON, are 1.5 MiB.
const ANSWER_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Largest answer with the output of a command: two streams of 4 MiB, of which each byte may need
/// six as JSON.
const OUTPUT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Longest text of a refusal that is kept, in characters.
const REASON_MAX_LEN: usize = 300;

/// Largest header of an answer.
const HEADER_MAX_BYTES: usize = 16 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No stream to the agent.
    #[error("reach the agent")]
    Connect(#[from] ConnectError),
    /// The agent refused.
    #[error("the agent refused: {}", .body.error.message)]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// Its document.
        body: Box<ApiErrorBody>,
    },
    /// The answer took too long.
    #[error("the agent did not answer within {0:?}")]
    TimedOut(Duration),
    /// The exchange broke.
    #[error("the stream to the agent was cut")]
    Http(#[from] hyper::Error),
    /// The answer is not what the protocol says, or is too large.
    #[error("the agent broke the protocol: {0}")]
    Protocol(&'static str),
    /// The request cannot be sent.
    #[error("malformed request to the agent")]
    Request(#[from] http::Error),
}

impl AgentError {
    /// Whether the agent was there and said no, as opposed to not being reachable.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Bounds of a call.
#[derive(Debug, Clone, Copy)]
struct CallLimits {
    time: Duration,
    answer_bytes: usize,
}

impl From<Duration> for CallLimits {
    fn from(time: Duration) -> Self {
        Self { time, answer_bytes: ANSWER_MAX_BYTES }
    }
}

/// Bounds of a forwarded exchange.
#[derive(Debug, Clone, Copy)]
pub struct ForwardLimits {
    /// Longest wait for the head of the answer.
    pub head_timeout: Duration,
    /// Most bytes of the request's body.
    pub request_bytes: usize,
    /// Most bytes of the answer's body.
    pub response_bytes: usize,
}

/// The agent of one guest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agent {
    uds: Utf8PathBuf,
}

impl Agent {
    /// The agent behind this hybrid-vsock socket.
    pub fn new(uds: impl Into<Utf8PathBuf>) -> Self {
        Self { uds: uds.into() }
    }

    /// `GET /hello`.
    ///
    /// # Errors
    /// See [`AgentError`]; so for every call here.
    pub async fn hello(&self) -> Result<Hello, AgentError> {
        self.call(Method::GET, "/hello", CALL_TIMEOUT).await
    }

    /// Asks until the agent answers: for a guest that boots or was just restored.
    ///
    /// # Errors
    /// The last failure, when `limit` is over.
    pub async fn hello_within(&self, limit: Duration) -> Result<Hello, AgentError> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let failed = match self.call(Method::GET, "/hello", HELLO_TRY).await {
                Ok(hello) => return Ok(hello),
                Err(failed) => failed,
            };
            if tokio::time::Instant::now() + HELLO_WAIT >= end {
                return Err(failed);
            }
            tokio::time::sleep(HELLO_WAIT).await;
        }
    }

    /// `GET /hello`, answered when the setup scripts are done or `wait` (30 s at most) is over.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn setup_done(&self, wait: Duration) -> Result<Hello, AgentError> {
        let wait = wait.min(Duration::from_millis(HELLO_WAIT_MAX_MS));
        let path = format!("/hello?{HELLO_WAIT_PARAM}={}", wait.as_millis());
        self.call(Method::GET, &path, wait.saturating_add(CALL_TIMEOUT)).await
    }

    /// `PUT /setup`. Afterwards the workspace is usable; scripts may still run.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn setup(&self, setup: &SetupRequest) -> Result<SetupAnswer, AgentError> {
        self.send(Method::PUT, "/setup", setup, SETUP_TIMEOUT).await
    }

    /// `PUT /time`.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn time_set(&self, now: Timestamp) -> Result<(), AgentError> {
        self.send(Method::PUT, "/time", &TimeRequest { now }, CALL_TIMEOUT).await.map(done)
    }

    /// `POST /reseed`: mixes 32 to 512 random bytes into the guest's generator. Needed whenever
    /// one memory image is resumed more than once.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn reseed(&self, random: &[u8]) -> Result<(), AgentError> {
        let body = Full::new(Bytes::copy_from_slice(random));
        let request = Request::post("/reseed").body(body)?;
        self.exchange(request, CALL_TIMEOUT.into()).await.map(done)
    }

    /// `POST /freeze`: nothing is written to the guest's disk from the answer on, for `limit` or
    /// until [`Agent::thaw`].
    ///
    /// # Errors
    /// See [`AgentError`]. An agent that is too old refuses.
    pub async fn freeze(&self, limit: Duration) -> Result<(), AgentError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let request = FreezeRequest { limit_ms };
        self.send(Method::POST, "/freeze", &request, CALL_TIMEOUT).await.map(done)
    }

    /// `POST /thaw`: whether nothing was written since the answer to [`Agent::freeze`].
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn thaw(&self) -> Result<bool, AgentError> {
        let answer: ThawAnswer = self.call(Method::POST, "/thaw", CALL_TIMEOUT).await?;
        Ok(answer.held)
    }

    /// `POST /shutdown`. Answered before the guest begins to end.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn shutdown(&self, kind: ShutdownKind) -> Result<(), AgentError> {
        self.send(Method::POST, "/shutdown", &ShutdownRequest { kind }, CALL_TIMEOUT)
            .await
            .map(done)
    }

    /// `GET /metrics`.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn metrics(&self) -> Result<GuestMetrics, AgentError> {
        self.call(Method::GET, "/metrics", CALL_TIMEOUT).await
    }

    /// `GET /ports`.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn ports(&self) -> Result<ListListeningPortsResponse, AgentError> {
        self.call(Method::GET, "/ports", CALL_TIMEOUT).await
    }

    /// `GET /services`.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn services(&self) -> Result<ServicesResponse, AgentError> {
        self.call(Method::GET, "/services", CALL_TIMEOUT).await
    }

    /// `POST /exec`: runs a command to its end.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn exec(&self, request: &ExecRequest) -> Result<ExecResult, AgentError> {
        let seconds = request.timeout_s.unwrap_or(EXEC_TIMEOUT_MAX_S);
        let time = Duration::from_secs(seconds.into()).saturating_add(EXEC_MARGIN);
        let limits = CallLimits { time, answer_bytes: OUTPUT_MAX_BYTES };
        self.send(Method::POST, "/exec", request, limits).await
    }

    /// `GET /exec`: the commands that can be attached to.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn exec_list(&self) -> Result<ExecList, AgentError> {
        self.call(Method::GET, "/exec", CALL_TIMEOUT).await
    }

    /// `POST /exec` with an upgrade: runs a command and talks to it.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn exec_open(&self, request: &ExecRequest) -> Result<ExecStream, AgentError> {
        let body = json(request)?;
        self.upgrade("/exec", body).await
    }

    /// `POST /exec/{id}/attach`: takes up a command that was left.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn exec_attach(&self, id: &str) -> Result<ExecStream, AgentError> {
        let path = format!("/exec/{}/{ATTACH_SEGMENT}", command_id(id)?);
        self.upgrade(&path, Full::default()).await
    }

    /// `DELETE /exec/{id}`: ends a command and forgets it.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn exec_end(&self, id: &str) -> Result<(), AgentError> {
        let path = format!("/exec/{}", command_id(id)?);
        self.call::<serde_json::Value>(Method::DELETE, &path, CALL_TIMEOUT).await.map(drop)
    }

    /// Sends any request (its path is the agent's) and gives the answer as it comes. For an
    /// upgrade use `hyper::upgrade::on` on the answer. The caller decides which paths it lets
    /// through, and how long it reads the body.
    ///
    /// # Errors
    /// See [`AgentError`]; a refusal is an answer here, not an error.
    pub async fn forward<B>(
        &self,
        request: Request<B>,
        limits: ForwardLimits,
    ) -> Result<Response<Limited<Incoming>>, AgentError>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = request.map(|body| Box::pin(Limited::new(body, limits.request_bytes)));
        let response = self.respond(request, limits.head_timeout).await?;
        Ok(response.map(|body| Limited::new(body, limits.response_bytes)))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<T, AgentError> {
        let request = Request::builder().method(method).uri(path).body(Full::default())?;
        self.exchange(request, limit.into()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        document: &impl Serialize,
        limits: impl Into<CallLimits>,
    ) -> Result<T, AgentError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(json(document)?)?;
        self.exchange(request, limits.into()).await
    }

    async fn upgrade(&self, path: &str, body: Full<Bytes>) -> Result<ExecStream, AgentError> {
        let request = Request::post(path)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, EXEC_UPGRADE)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let response = self.respond(request, CALL_TIMEOUT).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        Ok(ExecStream::new(hyper::upgrade::on(response).await?))
    }

    /// One exchange of documents, all of it within its limits.
    async fn exchange<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
        limits: CallLimits,
    ) -> Result<T, AgentError> {
        let limit = limits.time;
        let exchange = async {
            let response = self.respond(request, limit).await?;
            if !response.status().is_success() {
                return Err(refusal(response).await);
            }
            let body = body(response, limits.answer_bytes).await?;
            serde_json::from_slice(&body)
                .map_err(|_| AgentError::Protocol("the answer is not the document it should be"))
        };
        let timed = tokio::time::timeout(limit, Box::pin(exchange)).await;
        timed.map_err(|_| AgentError::TimedOut(limit))?
    }

    async fn respond<B>(
        &self,
        mut request: Request<B>,
        limit: Duration,
    ) -> Result<Response<Incoming>, AgentError>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("agent"));
        let stream = connect(&self.uds, AGENT_PORT, limit.min(CONNECT_TIMEOUT)).await?;
        let answering = async {
            let (mut sender, connection) = http1::Builder::new()
                .max_buf_size(HEADER_MAX_BYTES)
                .handshake(TokioIo::new(stream))
                .await?;
            // Ends with the body of the answer, or with the stream that it is upgraded to.
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "stream to the agent ended");
                }
            });
            sender.send_request(request).await
        };
        let timed = tokio::time::timeout(limit, answering).await;
        Ok(timed.map_err(|_| AgentError::TimedOut(limit))??)
    }
}

fn done(_: serde_json::Value) {}

/// An id that cannot become another path.
fn command_id(id: &str) -> Result<&str, AgentError> {
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then_some(id).ok_or(AgentError::Protocol("this is not the id of a command"))
}

fn json(document: &impl Serialize) -> Result<Full<Bytes>, AgentError> {
    let bytes = serde_json::to_vec(document);
    bytes.map(Full::from).map_err(|_| AgentError::Protocol("a document does not serialise"))
}

async fn body(response: Response<Incoming>, max_bytes: usize) -> Result<Bytes, AgentError> {
    let limited = Limited::new(response.into_body(), max_bytes);
    let collected = limited.collect().await;
    let body = collected.map_err(|_| AgentError::Protocol("the answer was cut or is too large"))?;
    Ok(body.to_bytes())
}

async fn refusal(response: Response<Incoming>) -> AgentError {
    let status = response.status();
    match body(response, ANSWER_MAX_BYTES).await.map(|body| serde_json::from_slice(&body)) {
        Ok(Ok(body)) => {
            let mut body: Box<ApiErrorBody> = Box::new(body);
            body.error.message = printable(&body.error.message);
            AgentError::Refused { status, body }
        }
        _ => AgentError::Protocol("a refusal without its document"),
    }
}

/// A text of the guest's that can go to a log: short, and nothing in it moves a cursor or begins
/// another line.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(REASON_MAX_LEN).map(plain).collect()
}
