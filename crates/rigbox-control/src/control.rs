//! What all requests share.

use std::{
    fmt::Write as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderValue, Uri};
use rigbox_ai::vault::Vault;
use rigbox_fabric::{Client, ClientAuth};
use rigbox_store::{Store, StoreError, apps::AppRow, workspaces::WorkspaceRow};
use rigbox_types::{
    AccountId, AppId, Credential, Principal, RegionName, WorkspaceId, api::error::ErrorCode,
    endpoint::Operation, rate::RateLimits,
};
use tokio_util::sync::CancellationToken;

use crate::{
    access_control::Permits,
    audit::Auditor,
    authn::{Authenticator, Presented, check_enabled},
    certificates::Certificates,
    config::{EdgeConfig, Patience, SshGateway},
    edges::{Edges, RequestsKept, TrafficKept},
    error::{ApiError, ApiResult},
    guest::agent::{Agent, HostClients, check_running},
    hosts::OtherHostKeys,
    http::{access::ForWorkspace, params::Params, places::Places, proxies::Proxies},
    identity::password::Passwords,
    oidc::Oidc,
    rates::Rates,
    source::{NoRandom, now, random},
    ssh::SshAuthority,
    terminal::TerminalTokens,
};

/// What of the configuration requests need.
pub(crate) struct Facts {
    pub(crate) region: RegionName,
    pub(crate) api_url: String,
    pub(crate) ssh: SshGateway,
    pub(crate) rates: RateLimits,
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    pub(crate) edge: EdgeConfig,
    pub(crate) patience: Patience,
}

/// How callers are known and recorded, and we to hosts.
pub(crate) struct Known {
    pub(crate) authn: Authenticator,
    pub(crate) auditor: Auditor,
    pub(crate) host_auth: ClientAuth,
    pub(crate) oidc: Oidc,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) ssh: SshAuthority,
    pub(crate) vault: Vault,
}

/// See the module.
pub(crate) struct Control {
    pub(crate) store: Store,
    pub(crate) config: Facts,
    pub(crate) authn: Authenticator,
    pub(crate) audit: Auditor,
    pub(crate) passwords: Passwords,
    pub(crate) oidc: Oidc,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) ssh: SshAuthority,
    pub(crate) vault: Vault,
    pub(crate) hosts: HostClients,
    pub(crate) other_host_keys: OtherHostKeys,
    pub(crate) tokens: TerminalTokens,
    pub(crate) places: Places,
    pub(crate) permits: Permits,
    pub(crate) rates: Rates,
    pub(crate) proxies: Proxies,
    pub(crate) edges: Edges,
    pub(crate) traffic: TrafficKept,
    pub(crate) app_requests: RequestsKept,
    /// The OpenAPI document, made when it is first asked for.
    pub(crate) openapi: OnceLock<String>,
    pub(crate) shutdown: CancellationToken,
    /// Request ids: random at the start, then counting, so that they need no randomness each.
    start: String,
    requests: AtomicU64,
}

impl Control {
    pub(crate) fn new(
        store: Store,
        config: Facts,
        known: Known,
        shutdown: CancellationToken,
    ) -> Result<Self, NoRandom> {
        let mut start = String::from("req-");
        for byte in random::<4>()? {
            // Writing to a `String` cannot fail.
            write!(start, "{byte:02x}").unwrap_or_default();
        }
        Ok(Self {
            store,
            rates: Rates::new(config.rates),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            edges: Edges::new(config.edge.expected, config.patience),
            config,
            traffic: TrafficKept::new(),
            app_requests: RequestsKept::new(now()),
            authn: known.authn,
            audit: known.auditor,
            passwords: Passwords::new()?,
            oidc: known.oidc,
            certificates: known.certificates,
            ssh: known.ssh,
            vault: known.vault,
            hosts: HostClients::new(known.host_auth),
            other_host_keys: OtherHostKeys::default(),
            tokens: TerminalTokens::new(),
            places: Places::new(),
            permits: Permits::new(),
            openapi: OnceLock::new(),
            shutdown,
            start,
            requests: AtomicU64::new(0),
        })
    }

    /// A new request id.
    pub(crate) fn request_id(&self) -> HeaderValue {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let text = format!("{}-{number}", self.start);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("req"))
    }

    /// A workspace's row. Not a right to it.
    pub(crate) async fn workspace(&self, id: &WorkspaceId) -> ApiResult<WorkspaceRow> {
        match self.store.workspaces().get(id).await {
            Err(StoreError::NotFound { .. }) => Err(ApiError::not_found("workspace")),
            other => Ok(other?),
        }
    }

    /// An app's row. Not a right to it.
    pub(crate) async fn app(&self, id: &AppId) -> ApiResult<AppRow> {
        match self.store.apps().get(id).await {
            Err(StoreError::NotFound { .. }) => Err(ApiError::not_found("app")),
            other => Ok(other?),
        }
    }

    /// The agent of a workspace that runs.
    pub(crate) async fn agent(&self, about: &ForWorkspace, verb: &str) -> ApiResult<Agent> {
        check_running(about.row.status(), verb)?;
        Ok(Agent::new(self.host_client(&about.row).await?, &about.id))
    }

    /// The host that has a workspace.
    pub(crate) async fn host_client(&self, row: &WorkspaceRow) -> ApiResult<Client> {
        let host = self.store.hosts().get(&row.host).await?;
        self.hosts.client(&host.id, &host.address)
    }

    /// Believes a credential no more, nor what was made with it; none where none is named.
    pub(crate) fn forget(&self, credential: Option<Credential>) {
        self.authn.forget(credential);
        self.tokens.forget(credential);
    }

    /// A credential has ended: believes it no more, here or at the edges. Says so, in words for people,
    /// where an edge did not confirm it in time.
    pub(crate) async fn ended(&self, credential: Credential) -> Option<String> {
        self.forget(Some(credential));
        self.edges.forgotten().await
    }

    /// The same, of many credentials of an account.
    pub(crate) async fn ended_of(&self, account: AccountId) -> Option<String> {
        self.forget_account(account);
        self.edges.forgotten().await
    }

    /// Believes nothing of an account any more without looking: many of its credentials have ended.
    pub(crate) fn forget_account(&self, account: AccountId) {
        self.authn.forget_account(account);
        self.tokens.forget_account(account);
    }

    /// Who opens a terminal: by its token, else by the header.
    pub(crate) async fn terminal_principal(
        &self,
        uri: &Uri,
        presented: ApiResult<Presented>,
    ) -> ApiResult<Principal> {
        let params = Params::read(Operation::TerminalOpen.endpoint(), uri)?;
        let Some(token) = params.text("token") else {
            return Ok(self.authn.caller(&self.store, &presented?).await?.principal);
        };
        let last = uri.path().rsplit('/').next().unwrap_or_default();
        let taken = last.parse().ok().and_then(|id: WorkspaceId| self.tokens.take(token, &id));
        let gone = || {
            ApiError::new(ErrorCode::Unauthenticated, "this terminal token is not valid any more")
        };
        let principal = taken.ok_or_else(gone)?;
        let (Principal::Key { account, .. } | Principal::Guest { account, .. }) = &principal;
        check_enabled(&self.store, *account).await?;
        // A token opens nothing that its key would not open now.
        if self.authn.is_known(&self.store, &principal).await? {
            Ok(principal)
        } else {
            Err(gone())
        }
    }
}
