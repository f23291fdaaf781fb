//! The API: who may ask for what, and what the store says of it.
//! Owns the public HTTP API, the internal one for hosts, authentication and placement. Invariants:
//! a request is answered after what it changed is on disk; every request is authenticated and
//! authorised by its row of the endpoint table; control never dials a host to change anything.
//! Does not run a VM, speak SQL or know how a host works.

mod access_control;
mod account;
mod ai;
mod api_keys;
mod apps;
mod audit;
mod authn;
pub mod backup;
mod certificates;
mod config;
mod control;
mod credits;
mod edges;
mod error;
mod guest;
mod hosts;
mod http;
mod identity;
mod keep;
mod metrics;
mod oidc;
mod pages;
mod rates;
mod service_specs;
mod setup_scripts;
mod source;
mod ssh;
mod ssh_keys;
mod terminal;
mod users;
mod validate;
mod workspaces;

use std::{sync::Arc, time::Duration};

use rigbox_ai::vault::{Vault, VaultError};
use rigbox_fabric::{Address, BindError, Listener, ServerAuth, serve, task};
use rigbox_store::{OpenError, Store, StoreError, api_keys::HasherError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use audit::{AuditError, AuditRecord, Verdict};
pub use authn::{Bootstrap, BootstrapError, bootstrap};
pub use certificates::{CertificateConfig, CertificateSettings, InvalidCertificateSettings};
pub use config::{Config, EdgeConfig, Patience, SshGateway};
pub use oidc::{InvalidSettings, OidcProvider, OidcSettings, ProviderError};
pub use rigbox_store::{Clock, StoreUrl, SystemClock};
pub use source::NoRandom;

use crate::{
    authn::Authenticator,
    certificates::Certificates,
    control::{Control, Facts, Known},
    identity::cookies::Cookies,
    oidc::Oidc,
    ssh::SshAuthority,
};

/// How long tasks may take to end once both listeners have.
const DRAIN: Duration = Duration::from_secs(10);

/// Why control did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database answered once and then no more.
    #[error("prepare the database")]
    Prepare(#[from] StoreError),
    /// The operator's account and key.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The hashing key of API keys.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// The internal listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A provider of sign-ins cannot be spoken to as it is configured.
    #[error(transparent)]
    Oidc(#[from] ProviderError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// Certificates, or what they are encrypted with.
    #[error("open certificates")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What keys of owners at AI providers are encrypted with.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The keys of SSH, or what they are encrypted with.
    #[error("open the keys of SSH")]
    Ssh(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves the API on `public`, and hosts on the internal listener, until `shutdown`; then lets
/// requests under way end. Everything that was answered is on disk.
///
/// # Errors
/// Where something that is needed cannot be opened. Once it serves it does not fail.
pub async fn run(
    config: Config,
    public: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::open(&config.store, config.clock).await?;
    if let Some(key_file) = &config.admin_key_file {
        let found = bootstrap(&store, &config.secrets, key_file).await?;
        if matches!(found, Bootstrap::Made(_)) {
            tracing::info!(file = %key_file, "a key for the operator was made");
        }
    }
    store.idempotency().release().await?;
    // Before a key is believed, so that the end of none is missed.
    let (wakes, ends) = (store.feed().subscribe(), store.feed().subscribe());
    let authn = Authenticator::new(authn::hasher(&config.secrets)?, Cookies::new(&config.api_url));
    let oidc = Oidc::new(config.oidc, authn::hasher(&config.secrets)?, &config.api_url)?;
    oidc.check_plans(&store).await?;
    let internal = Listener::bind(config.internal, &config.internal_auth).await?;
    let for_edges = bind_for(config.edge.internal.clone(), config.edge.uid).await?;
    let for_ssh = bind_for(config.ssh.internal.clone(), config.ssh.uid).await?;
    let certificates =
        Certificates::open(store.clone(), &config.secrets, &config.ssh.domain, config.certificates)
            .await
            .map_err(|error| RunError::Certificates(error.into()))?;
    let ssh = SshAuthority::open(&store, &config.secrets, &config.region)
        .await
        .map_err(|error| RunError::Ssh(error.into()))?;
    let facts = Facts {
        region: config.region,
        api_url: config.api_url,
        ssh: config.ssh,
        rates: config.rates,
        trusted_proxies: config.trusted_proxies,
        edge: config.edge,
        patience: config.patience,
    };
    let (auditor, writer) = audit::open(&config.secrets, config.audit_kept)?;
    let known = Known {
        authn,
        auditor,
        host_auth: config.host_auth,
        oidc,
        certificates: certificates.clone(),
        ssh,
        vault: Vault::open(&config.secrets)?,
    };
    let control = Arc::new(Control::new(store.clone(), facts, known, shutdown.clone())?);
    let audited = CancellationToken::new();
    let audit = task::spawn("control.audit", writer.run(store.clone(), audited.clone()));
    tracing::info!(internal = %internal.address(), "control serves");
    let keep = task::spawn("control.keep", keep::run(control.clone()));
    let metrics = task::spawn("control.metrics", metrics::run(control.clone()));
    let revoke = task::spawn("control.revoke", authn::revoke(control.clone(), wakes));
    let permits = task::spawn("control.permits", access_control::watch(control.clone(), ends));
    let edges = Arc::new(control.edges.clone());
    let kept = certificates::run(certificates, Arc::new(store.clone()), edges, shutdown.clone());
    let kept = task::spawn("control.certificates", kept);
    tokio::join!(
        http::server::serve(public, control.clone(), shutdown.clone()),
        serve_internally(control, internal, [for_edges, for_ssh], shutdown),
    );
    audited.cancel();
    let all = async { tokio::join!(keep, metrics, audit, kept) };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("housekeeping did not end in time");
    }
    store.close().await;
    let fed = async { tokio::join!(revoke, permits) };
    if tokio::time::timeout(DRAIN, fed).await.is_err() {
        tracing::warn!("the feed of the store did not end in time");
    }
    Ok(())
}

/// A listener of their own for processes of one user, where they have one.
async fn bind_for(
    address: Option<Address>,
    uid: Option<u32>,
) -> Result<Option<Listener>, BindError> {
    match address {
        Some(address) => {
            Listener::bind(address, &ServerAuth::Local { peer_uid: uid }).await.map(Some)
        }
        None => Ok(None),
    }
}

/// Serves hosts, edges and SSH gateways: those that have a listener of their own on no other, the rest on
/// that of hosts.
async fn serve_internally(
    control: Arc<Control>,
    internal: Listener,
    of_their_own: [Option<Listener>; 2],
    shutdown: CancellationToken,
) {
    let mut shared = hosts::http::router();
    let mut all = Vec::new();
    for (listener, router) in
        of_their_own.into_iter().zip([edges::http::router(), ssh::http::router()])
    {
        match listener {
            Some(listener) => all.push((listener, router)),
            None => shared = shared.merge(router),
        }
    }
    all.push((internal, shared));
    let served = all.into_iter().map(|(listener, router)| {
        serve(listener, hosts::http::complete(router, control.clone()), shutdown.clone())
    });
    futures_util::future::join_all(served).await;
}
