//! The supervisor and the operator's commands as clients of their own API: just enough HTTP to see
//! that it answers, to make the first workspace and to manage accounts.
//! Invariant: every request has a time limit and an answer a size limit. The key is never logged.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rigbox_types::{
    api::{
        accounts::CapacityResponse,
        api_keys::ApiKeySecretResponse,
        credits::{
            AiCredits, ChangeCreditsRequest, ChangeCreditsResponse, CreditStatementResponse,
        },
        error::ApiErrorBody,
        users::{
            CreatePlanRequest, CreateUserKeyRequest, CreateUserRequest, CreateUserResponse,
            GetAccountResponse, GetUserResponse, ListPlansResponse, ListUsersResponse,
            PlanResponse, SignInLinkResponse, UpdatePlanRequest, UpdateUserRequest,
        },
        workspaces::{GetWorkspaceResponse, ListWorkspacesResponse, MessageResponse},
    },
    id::{AccountId, WorkspaceId},
    name::PlanName,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

/// How long the API may take to answer anything that is asked here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer that is read: a page of workspaces with their environments left out.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Where every path begins.
const BASE: &str = "/api/v1";

/// Why the API did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nothing answered, or not in time.
    #[error("no answer from the API at {address}: {reason}")]
    Silent {
        /// Where it should be.
        address: SocketAddr,
        /// What happened instead.
        reason: String,
    },
    /// It said no.
    #[error("the API refuses {what}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status of the answer.
        status: StatusCode,
        /// Why not.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("the API's answer to {what} cannot be read")]
    Unreadable {
        /// What was asked.
        what: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// The API, as whoever installed the platform.
pub(crate) struct Api {
    address: SocketAddr,
    key: Option<SecretString>,
}

impl Api {
    /// At an address, with a key where there is one yet.
    pub(crate) fn new(address: SocketAddr, key: Option<SecretString>) -> Self {
        Self { address, key }
    }

    /// What there is room for. Needs no key.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn capacity(&self) -> Result<CapacityResponse, CallError> {
        self.call(Method::GET, "/capacity", None).await
    }

    /// The newest workspaces.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn workspaces(&self) -> Result<ListWorkspacesResponse, CallError> {
        self.call(Method::GET, "/workspaces?max_results=200", None).await
    }

    /// One workspace.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn workspace(
        &self,
        id: &WorkspaceId,
    ) -> Result<GetWorkspaceResponse, CallError> {
        self.call(Method::GET, &format!("/workspaces/{id}"), None).await
    }

    /// Makes a workspace, not started yet.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn workspace_create(
        &self,
        name: &str,
        template: &str,
    ) -> Result<GetWorkspaceResponse, CallError> {
        let body = json!({ "name": name, "template_id": template });
        self.call(Method::POST, "/workspaces", Some(body)).await
    }

    /// Starts a workspace.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn workspace_start(
        &self,
        id: &WorkspaceId,
    ) -> Result<GetWorkspaceResponse, CallError> {
        self.call(Method::POST, &format!("/workspaces/{id}/start"), None).await
    }

    /// Whether the guest of a workspace answers. Its status is what was last seen of it, which may be
    /// from before the platform was started.
    pub(crate) async fn workspace_answers(&self, id: &WorkspaceId) -> bool {
        let path = format!("/workspaces/{id}/metrics");
        self.call::<Value>(Method::GET, &path, None).await.is_ok()
    }

    /// A page of accounts, newest first.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn users(&self, cursor: Option<&str>) -> Result<ListUsersResponse, CallError> {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        self.call(Method::GET, &format!("/users?max_results=200{after}"), None).await
    }

    /// One account.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user(&self, id: AccountId) -> Result<GetUserResponse, CallError> {
        self.call(Method::GET, &format!("/users/{id}"), None).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_create(
        &self,
        request: &CreateUserRequest,
    ) -> Result<CreateUserResponse, CallError> {
        self.call(Method::POST, "/users", Some(json!(request))).await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_update(
        &self,
        id: AccountId,
        change: &UpdateUserRequest,
    ) -> Result<GetUserResponse, CallError> {
        self.call(Method::PATCH, &format!("/users/{id}"), Some(json!(change))).await
    }

    /// Makes a key for an account.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_key_create(
        &self,
        id: AccountId,
        request: CreateUserKeyRequest,
    ) -> Result<ApiKeySecretResponse, CallError> {
        let path = format!("/users/{id}/api-keys");
        self.call(Method::POST, &path, Some(json!(request))).await
    }

    /// Makes a one-time link by which an account sets its password.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_link_create(
        &self,
        id: AccountId,
    ) -> Result<SignInLinkResponse, CallError> {
        self.call(Method::POST, &format!("/users/{id}/sign-in-link"), None).await
    }

    /// Sets an account's password.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_password_update(
        &self,
        id: AccountId,
        password: &SecretString,
    ) -> Result<MessageResponse, CallError> {
        let body = json!({ "password": password.expose_secret() });
        self.call(Method::PUT, &format!("/users/{id}/password"), Some(body)).await
    }

    /// What an account has left.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_credits(&self, id: AccountId) -> Result<AiCredits, CallError> {
        self.call(Method::GET, &format!("/users/{id}/credits"), None).await
    }

    /// Gives an account credits, or puts them right; once for a key, where there is one.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_credits_change(
        &self,
        id: AccountId,
        request: &ChangeCreditsRequest,
        key: Option<&str>,
    ) -> Result<ChangeCreditsResponse, CallError> {
        let path = format!("/users/{id}/credits");
        self.call_once(Method::POST, &path, (Some(json!(request)), key)).await
    }

    /// A page of what became of an account's credits, newest first.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_statement(
        &self,
        id: AccountId,
        cursor: Option<&str>,
    ) -> Result<CreditStatementResponse, CallError> {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/users/{id}/credits/statement?max_results=200{after}");
        self.call(Method::GET, &path, None).await
    }

    /// Takes the second factor of an account away.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn user_factor_delete(
        &self,
        id: AccountId,
    ) -> Result<MessageResponse, CallError> {
        self.call(Method::DELETE, &format!("/users/{id}/second-factor"), None).await
    }

    /// The account of whoever installed the platform.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn own_account(&self) -> Result<GetAccountResponse, CallError> {
        self.call(Method::GET, "/users/me", None).await
    }

    /// The plans.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn plans(&self) -> Result<ListPlansResponse, CallError> {
        self.call(Method::GET, "/plans", None).await
    }

    /// Adds a plan.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn plan_create(
        &self,
        request: &CreatePlanRequest,
    ) -> Result<PlanResponse, CallError> {
        self.call(Method::POST, "/plans", Some(json!(request))).await
    }

    /// Changes a plan.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn plan_update(
        &self,
        name: &PlanName,
        request: &UpdatePlanRequest,
    ) -> Result<PlanResponse, CallError> {
        self.call(Method::PATCH, &format!("/plans/{name}"), Some(json!(request))).await
    }

    /// Deletes a plan.
    ///
    /// # Errors
    /// As [`CallError`].
    pub(crate) async fn plan_delete(&self, name: &PlanName) -> Result<MessageResponse, CallError> {
        self.call(Method::DELETE, &format!("/plans/{name}"), None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, CallError> {
        self.call_once(method, path, (body, None)).await
    }

    /// The same with a key, by which a repeat is known.
    async fn call_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        (body, key): (Option<Value>, Option<&str>),
    ) -> Result<T, CallError> {
        let what = format!("{method} {path}");
        let silent = |reason: String| CallError::Silent { address: self.address, reason };
        let exchange = timeout(ANSWER_TIMEOUT, self.exchange(method, path, (body, key))).await;
        let (status, bytes) = exchange
            .map_err(|_| silent(format!("none within {} s", ANSWER_TIMEOUT.as_secs())))?
            .map_err(|error| silent(format!("{error:#}")))?;
        if !status.is_success() {
            let message = serde_json::from_slice::<ApiErrorBody>(&bytes)
                .map_or_else(|_| status.to_string(), |body| body.error.message);
            return Err(CallError::Refused { what, status, message });
        }
        serde_json::from_slice(&bytes).map_err(|source| CallError::Unreadable { what, source })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        (body, once): (Option<Value>, Option<&str>),
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(header::HOST, self.address.to_string());
        if let Some(key) = &self.key {
            let value = format!("Bearer {}", key.expose_secret());
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let answer = async {
            let response = sender.send_request(request.body(Full::new(bytes))?).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?;
            drop(sender);
            Ok::<_, anyhow::Error>((status, body.to_bytes()))
        };
        let (answer, ended) = tokio::join!(answer, connection);
        // What the connection says matters only where there is no answer.
        answer.or_else(|error| ended.map_err(Into::into).and(Err(error)))
    }
}
