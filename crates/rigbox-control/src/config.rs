//! What control is told at its start.

use std::sync::Arc;

use camino::Utf8PathBuf;
use rigbox_fabric::{Address, ClientAuth, ServerAuth};
use rigbox_store::{Clock, StoreUrl};
use rigbox_types::{RegionName, rate::RateLimits};

use crate::{certificates::CertificateConfig, oidc::OidcProvider};

/// Everything that [`run`](crate::run) needs besides its public listener.
pub struct Config {
    /// The database.
    pub store: StoreUrl,
    /// By which rows are kept and end.
    pub clock: Arc<dyn Clock>,
    /// Directory of the installation's own secrets; only this process may read it.
    pub secrets: Utf8PathBuf,
    /// Where the operator's first key is written, if it is not there yet; none where somebody else
    /// has called [`bootstrap`](crate::bootstrap).
    pub admin_key_file: Option<Utf8PathBuf>,
    /// Where hosts reach us.
    pub internal: Address,
    /// How hosts are known there.
    pub internal_auth: ServerAuth,
    /// How we are known to hosts.
    pub host_auth: ClientAuth,
    /// The region of a workspace whose maker does not say.
    pub region: RegionName,
    /// The API's public address, as clients and guests write it.
    pub api_url: String,
    /// The SSH gateway.
    pub ssh: SshGateway,
    /// How fast accounts and addresses may ask.
    pub rates: RateLimits,
    /// Proxies whose word on their clients' addresses is taken.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Providers by which people sign in.
    pub oidc: Vec<OidcProvider>,
    /// How certificates are had.
    pub certificates: CertificateConfig,
}

/// Where the SSH gateway is: `<region>.<domain>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshGateway {
    /// The installation's domain.
    pub domain: String,
    /// Its port.
    pub port: u16,
    /// Whether it serves.
    pub enabled: bool,
}
