//! What control is told at its start.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

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
    /// How long an entry of the audit record is kept.
    pub audit_kept: Duration,
    /// Proxies whose word on their clients' addresses is taken.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Providers by which people sign in.
    pub oidc: Vec<OidcProvider>,
    /// How apps are served.
    pub edge: EdgeConfig,
    /// How certificates are had.
    pub certificates: CertificateConfig,
    /// How long answers wait.
    pub patience: Patience,
}

/// How long an answer waits until what was decided is in effect. Not for operators: what is decided is
/// kept however long it takes, and only tests need other times than the default ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For edges that follow.
    pub edges: Duration,
    /// For one to come where none follows: longer than an edge takes to start, or to notice that control
    /// is there again after a short absence.
    pub any_edge: Duration,
    /// For guests. One with a processor of its own knows in a tenth of a second; one that is emulated
    /// takes ten times as long.
    pub guests: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            edges: Duration::from_secs(2),
            any_edge: Duration::from_secs(5),
            guests: Duration::from_secs(5),
        }
    }
}

/// How apps are served: what edges are told, and how they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    /// The domain under which apps have their names.
    pub domain: String,
    /// The public HTTPS port.
    pub https_port: u16,
    /// Where people sign in: scheme, name and port, without a slash behind.
    pub sign_in_origin: String,
    /// Host name of the sign-in origin, where the edge serves it by handing requests to control.
    pub dashboard_host: Option<String>,
    /// Where edges reach control; none where that is the internal listener for hosts.
    pub internal: Option<Address>,
    /// The user of the edge on this machine; none where any user that the internal listener lets in
    /// may be it.
    pub uid: Option<u32>,
    /// The socket on which the host of this machine passes connections into workspaces; where it is
    /// missing, `dial.sock` beside the socket that the host registers with.
    pub dial_socket: Option<Utf8PathBuf>,
    /// Addresses of the edge, to which custom domains may lead by an address record.
    pub addresses: Vec<IpAddr>,
    /// Whether an edge is meant to follow at any time, so that a change which none has put into effect is
    /// answered with a warning, also where none is there.
    pub expected: bool,
    /// The DNS resolver that custom domains are looked up with; that of the machine where missing.
    pub resolver: Option<SocketAddr>,
}

impl EdgeConfig {
    /// For an installation on one machine, of which this is the API's address.
    #[must_use]
    pub fn local(api_url: &str) -> Self {
        Self {
            domain: "rigbox.localhost".to_owned(),
            https_port: 443,
            sign_in_origin: api_url.trim_end_matches('/').to_owned(),
            dashboard_host: None,
            internal: None,
            uid: None,
            dial_socket: None,
            addresses: Vec::new(),
            expected: false,
            resolver: None,
        }
    }
}

/// The SSH gateway: where people reach it, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshGateway {
    /// The name or address that people connect to; where missing, `<region>.<domain>`.
    pub host: Option<String>,
    /// The installation's domain.
    pub domain: String,
    /// Its port.
    pub port: u16,
    /// Whether it serves.
    pub enabled: bool,
    /// Where gateways reach control; none where that is the internal listener for hosts.
    pub internal: Option<Address>,
    /// The gateway's user on this machine; none where any user that the internal listener lets in may be
    /// it.
    pub uid: Option<u32>,
    /// The socket on which the host of this machine passes connections to SSH servers; where it is
    /// missing, `dial.sock` beside the socket that the host registers with.
    pub dial_socket: Option<Utf8PathBuf>,
}

impl SshGateway {
    /// Where the gateway of a region is reached.
    #[must_use]
    pub fn host_of(&self, region: &RegionName) -> String {
        self.host.clone().unwrap_or_else(|| format!("{region}.{}", self.domain))
    }
}
