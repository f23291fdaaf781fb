//! The role `control`: reads its file, takes the API's socket, gives root up and runs.
//! Invariant: no thread is started and no byte of a client is read before root is given up.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::AsFd as _,
};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{
    CertificateConfig, CertificateSettings, EdgeConfig, OidcProvider, OidcSettings, SshGateway,
    StoreUrl, SystemClock,
};
use rigbox_fabric::{ClientAuth, ServerAuth, descriptors};
use rigbox_types::{RegionName, rate::RateLimits};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::{config::KeepDays, role};

/// The file that `rigbox up` writes for this role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlFile {
    /// The user that the role becomes.
    pub(crate) uid: u32,
    /// The region of the installation.
    pub(crate) region: RegionName,
    /// The domain of the installation.
    pub(crate) domain: String,
    /// How fast accounts and addresses may ask.
    pub(crate) rates: RateLimits,
    /// How many days an entry of the audit record is kept.
    pub(crate) audit_keep_days: KeepDays,
    /// Proxies whose word on their clients' addresses is taken.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    /// Where clients reach the API.
    pub(crate) api_url: String,
    /// Where it listens, where no socket is handed over.
    pub(crate) listen: SocketAddr,
    /// Where hosts reach it.
    pub(crate) internal: String,
    /// Directory of the installation's own secrets.
    pub(crate) secrets: Utf8PathBuf,
    /// Where the first API key goes.
    pub(crate) admin_key_file: Utf8PathBuf,
    /// The embedded database.
    pub(crate) database: Utf8PathBuf,
    /// File with the URL of a PostgreSQL database, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database_url_file: Option<Utf8PathBuf>,
    /// Providers by which people sign in, by name.
    #[serde(default)]
    pub(crate) oidc: BTreeMap<String, OidcSettings>,
    /// How apps are served.
    pub(crate) edge: EdgePart,
    /// How workspaces are reached by SSH.
    pub(crate) ssh: SshPart,
    /// How certificates are had.
    #[serde(default)]
    pub(crate) certificates: CertificateSettings,
}

/// How apps are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgePart {
    /// The user of the edge.
    pub(crate) uid: u32,
    /// Where the edge reaches control.
    pub(crate) internal: String,
    /// The port that visitors see.
    pub(crate) https_port: u16,
    /// Host name of the API's address, where the edge serves it by handing requests to control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dashboard_host: Option<String>,
    /// The socket on which the host passes connections to apps.
    pub(crate) dial_socket: Utf8PathBuf,
    /// Addresses of the edge, to which custom domains may lead.
    pub(crate) addresses: Vec<IpAddr>,
    /// The DNS resolver that custom domains are looked up with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resolver: Option<SocketAddr>,
}

/// How workspaces are reached by SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshPart {
    /// The user of the gateway.
    pub(crate) uid: u32,
    /// Where the gateway reaches control.
    pub(crate) internal: String,
    /// The name or address that people connect to; without it <region>.<domain>.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The port that people connect to.
    pub(crate) port: u16,
    /// The socket on which the host passes connections to SSH servers.
    pub(crate) dial_socket: Utf8PathBuf,
}

impl SshPart {
    fn config(self, domain: String) -> anyhow::Result<SshGateway> {
        Ok(SshGateway {
            host: self.host,
            domain,
            port: self.port,
            // `rigbox up` keeps one running.
            enabled: true,
            internal: Some(self.internal.parse().context("ssh.internal")?),
            uid: Some(self.uid),
            dial_socket: Some(self.dial_socket),
        })
    }
}

impl EdgePart {
    fn config(self, domain: &str, api_url: &str) -> anyhow::Result<EdgeConfig> {
        Ok(EdgeConfig {
            domain: domain.to_owned(),
            https_port: self.https_port,
            sign_in_origin: api_url.trim_end_matches('/').to_owned(),
            dashboard_host: self.dashboard_host,
            internal: Some(self.internal.parse().context("edge.internal")?),
            uid: Some(self.uid),
            dial_socket: Some(self.dial_socket),
            addresses: self.addresses,
            // `rigbox up` keeps one running.
            expected: true,
            resolver: self.resolver,
        })
    }
}

/// Runs the role until SIGTERM.
///
/// # Errors
/// Says which step of the start failed, or why it ended.
pub(crate) fn run(config: &Utf8Path, parent: Option<u32>) -> anyhow::Result<()> {
    role::follow(parent)?;
    descriptors::raise_limit().context("raise the limit of open files")?;
    let text = std::fs::read_to_string(config).with_context(|| format!("read {config}"))?;
    let file: ControlFile = toml::from_str(&text).with_context(|| format!("read {config}"))?;
    let listener = listener(&file)?;
    // Read as root: the file of a secret need not be readable for the role's user.
    let secrets = Secrets {
        database_url: file.database_url_file.as_deref().map(role::secret).transpose()?,
        oidc: file.oidc.iter().map(provider).collect::<Result<_, _>>()?,
        certificates: certificates(&file.certificates)?,
    };
    role::give_root_up("control", file.uid, &[file.edge.uid, file.ssh.uid])?;
    // Becoming another user undoes it.
    role::follow(parent)?;
    serve(file, listener, secrets)
}

/// What was read from files of the operator.
struct Secrets {
    database_url: Option<secrecy::SecretString>,
    oidc: Vec<OidcProvider>,
    certificates: CertificateConfig,
}

/// How certificates are had, with what files hold.
fn certificates(settings: &CertificateSettings) -> anyhow::Result<CertificateConfig> {
    let read = |path: &Utf8PathBuf| std::fs::read(path).with_context(|| format!("read {path}"));
    Ok(CertificateConfig {
        settings: settings.clone(),
        account_key: settings.acme_account_key_file.as_deref().map(role::secret).transpose()?,
        authorities: settings.acme_ca_file.as_ref().map(read).transpose()?,
    })
}

/// A provider with what its files hold.
fn provider((name, settings): (&String, &OidcSettings)) -> anyhow::Result<OidcProvider> {
    let read = |path: &Utf8PathBuf| std::fs::read(path).with_context(|| format!("read {path}"));
    Ok(OidcProvider {
        name: name.clone(),
        settings: settings.clone(),
        client_secret: settings.client_secret_file.as_deref().map(role::secret).transpose()?,
        authorities: settings.ca_file.as_ref().map(read).transpose()?,
    })
}

/// The socket that was handed over as standard input, or a new one.
fn listener(file: &ControlFile) -> anyhow::Result<TcpListener> {
    match role::handed_over(std::io::stdin().as_fd())? {
        Some(listener) => Ok(listener),
        None => {
            TcpListener::bind(file.listen).with_context(|| format!("listen on {}", file.listen))
        }
    }
}

/// Which database an installation has: the embedded one, or that of the file.
///
/// # Errors
/// Names the file that cannot be read or holds no URL.
pub(crate) fn store_url(
    embedded: &Utf8Path,
    url_file: Option<&Utf8Path>,
) -> anyhow::Result<StoreUrl> {
    parse_url(embedded, url_file.map(role::secret).transpose()?.as_ref())
}

fn parse_url(embedded: &Utf8Path, url: Option<&secrecy::SecretString>) -> anyhow::Result<StoreUrl> {
    let url =
        url.map_or_else(|| format!("sqlite:{embedded}").parse(), |url| url.expose_secret().parse());
    url.context("control.database_url_file")
}

/// Starts threads, serves until SIGTERM, and ends in order.
fn serve(file: ControlFile, listener: TcpListener, secrets: Secrets) -> anyhow::Result<()> {
    /// The API waits more than it works: four threads serve thousands of requests a second, and each
    /// costs memory.
    const THREADS_MAX: usize = 4;
    role::serve(THREADS_MAX, async |shutdown| {
        listener.set_nonblocking(true).context("make the API's socket non-blocking")?;
        let listener = tokio::net::TcpListener::from_std(listener).context("the API's socket")?;
        let config = config(file, secrets)?;
        Box::pin(rigbox_control::run(config, listener, shutdown)).await.context("run control")
    })
}

fn config(file: ControlFile, secrets: Secrets) -> anyhow::Result<rigbox_control::Config> {
    let domain = file.domain.clone();
    Ok(rigbox_control::Config {
        store: parse_url(&file.database, secrets.database_url.as_ref())?,
        clock: std::sync::Arc::new(SystemClock),
        secrets: file.secrets,
        admin_key_file: Some(file.admin_key_file),
        internal: file.internal.parse().context("internal")?,
        // Root, which the host agent is, may always come.
        internal_auth: ServerAuth::Local { peer_uid: None },
        host_auth: ClientAuth::Local,
        region: file.region,
        api_url: file.api_url.clone(),
        ssh: file.ssh.config(file.domain)?,
        edge: file.edge.config(&domain, &file.api_url)?,
        rates: file.rates,
        audit_kept: file.audit_keep_days.duration(),
        trusted_proxies: file.trusted_proxies,
        oidc: secrets.oidc,
        certificates: secrets.certificates,
        patience: rigbox_control::Patience::default(),
    })
}
