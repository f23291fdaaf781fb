//! The way to the agent of one workspace: through the fabric listener of its host.
//! Owns the clients of hosts. Does not repeat a request.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use rigbox_fabric::{Address, Client, ClientAuth, FabricError, Refusal};
use rigbox_types::{
    Authorised, HostId, Status, WorkspaceId, api::error::ErrorCode, guest::EXEC_UPGRADE,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::error::{ApiError, ApiResult};

/// How long the agent may take to answer a question about the guest. An emulated guest is slow, and
/// the request itself ends a little later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(50);
/// Largest document of the agent: what the host lets pass.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Longest text of a guest's refusal that is handed on.
const MESSAGE_MAX_LEN: usize = 1_024;
/// When to come again where the host or the agent does not answer.
const RETRY_S: u32 = 2;

/// Clients of the hosts, made when they are first needed.
pub(crate) struct HostClients {
    auth: ClientAuth,
    clients: Mutex<HashMap<HostId, Client>>,
}

impl HostClients {
    pub(crate) fn new(auth: ClientAuth) -> Self {
        Self { auth, clients: Mutex::new(HashMap::new()) }
    }

    /// A client of `host`, which now listens at `address`.
    pub(crate) fn client(&self, host: &HostId, address: &str) -> ApiResult<Client> {
        let address: Address = address.parse().map_err(ApiError::internal)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(host).filter(|client| *client.address() == address) {
            return Ok(client.clone());
        }
        let client = Client::new(address, &self.auth).map_err(ApiError::internal)?;
        clients.insert(host.clone(), client.clone());
        Ok(client)
    }
}

/// The agent of one running workspace.
pub(crate) struct Agent {
    client: Client,
    workspace: WorkspaceId,
}

/// Refuses unless the workspace runs.
pub(crate) fn check_running(status: Status, verb: &str) -> ApiResult<()> {
    if status == Status::Running {
        return Ok(());
    }
    Err(ApiError::state(status, verb, &[Status::Running]))
}

impl Agent {
    /// The agent of a workspace that the caller has a right to.
    pub(crate) fn new(client: Client, workspace: &Authorised<WorkspaceId>) -> Self {
        Self { client, workspace: workspace.target().clone() }
    }

    /// A request to the agent; `path` begins with a slash and may have a query.
    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let uri = format!("/v1/workspaces/{}/guest{path}", self.workspace);
        // Paths are literals of this crate with encoded queries.
        *request.uri_mut() = uri.parse().unwrap_or_default();
        request
    }

    /// The same, asking for the frames of an exec.
    pub(crate) fn upgrade(&self, path: &str, body: Body) -> Request<Body> {
        let mut request = self.request(Method::POST, path, body);
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(EXEC_UPGRADE));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// Sends a request whose answer may take as long as it wants. A refusal is an error.
    pub(crate) async fn open(&self, request: Request<Body>) -> ApiResult<Response<Incoming>> {
        let response = self.client.request(request).await.map_err(from_fabric)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(match self.client.accepted(response).await {
            Ok(_) => ApiError::internal("a refusal was accepted"),
            Err(error) => from_fabric(error),
        })
    }

    /// Sends a request whose answer must begin soon.
    pub(crate) async fn open_soon(&self, request: Request<Body>) -> ApiResult<Response<Incoming>> {
        timely(self.open(request)).await
    }

    /// Asks for a document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> ApiResult<T> {
        let request = self.request(Method::GET, path, Body::empty());
        timely(async { document(self.open(request).await?).await }).await
    }

    /// Tells something, and waits for what became of it.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        told: &impl Serialize,
    ) -> ApiResult<T> {
        let body = serde_json::to_vec(told).map_err(ApiError::internal)?;
        let mut request = self.request(Method::POST, path, Body::from(body));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        timely(async { document(self.open(request).await?).await }).await
    }
}

/// Waits for an answer as long as a question about the guest may take.
pub(super) async fn timely<T>(answer: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// Reads an answer as a document.
pub(crate) async fn document<T: DeserializeOwned>(response: Response<Incoming>) -> ApiResult<T> {
    let read = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
    let bytes = read.map_err(|error| broken().because(error))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::unavailable("the workspace answered something that cannot be read", RETRY_S)
            .because(error)
    })
}

pub(super) fn silent() -> ApiError {
    ApiError::unavailable("the workspace does not answer in time", RETRY_S)
}

fn broken() -> ApiError {
    ApiError::unavailable("the connection to the workspace broke", RETRY_S)
}

/// What a failed exchange with a host means to the user.
pub(crate) fn from_fabric(error: FabricError) -> ApiError {
    if let FabricError::Refused(refusal) = &error {
        return from_refusal(refusal);
    }
    match &error {
        FabricError::Connect { .. } => {
            ApiError::unavailable("the workspace's host does not answer", RETRY_S).because(error)
        }
        FabricError::TimedOut { .. } => silent().because(error),
        _ => broken().because(error),
    }
}

fn from_refusal(refusal: &Refusal) -> ApiError {
    // The guest may say anything; what blames the caller's credentials or us is not its to say.
    let code = match refusal.api_code() {
        Some(
            code @ (ErrorCode::InvalidRequest
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::InvalidState
            | ErrorCode::Unsupported
            | ErrorCode::TooLarge
            | ErrorCode::QuotaExceeded
            | ErrorCode::Forbidden),
        ) => code,
        _ => ErrorCode::Unavailable,
    };
    let message: String = refusal.message.chars().take(MESSAGE_MAX_LEN).collect();
    let error = ApiError::new(code, message).with(refusal.details.clone());
    let error = match (code, refusal.status) {
        // The same code can come with 400 or 409.
        (ErrorCode::InvalidState, status @ StatusCode::CONFLICT) => error.status(status),
        _ => error,
    };
    if code == ErrorCode::Unavailable { error.retry_after(RETRY_S) } else { error }
}
