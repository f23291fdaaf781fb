//! What an operator may choose: typed, every key with a default that `default.toml` explains.
//! Invariant: a value of these types was checked; no later code refuses it for its form.
//! Does not find the data directory (see `layout`) and holds no secret, only files with secrets.

mod check;
mod load;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use camino::Utf8PathBuf;
use ipnet::IpNet;
use rigbox_ai_proxy::ProviderSettings;
use rigbox_control::{CertificateSettings, OidcSettings};
use rigbox_types::{ImageName, RegionName, limits::AUDIT_DAYS, rate::RateLimits};
use serde::{Deserialize, Serialize};

pub(crate) use check::run as check;
pub(crate) use load::{Source, load};

/// The documented file of all defaults.
pub(crate) const DOCUMENTED: &str = include_str!("default.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The region that this machine serves.
    pub(crate) region: RegionName,
    /// The domain of the installation.
    pub(crate) domain: String,
    /// The HTTP API.
    pub(crate) api: ApiConfig,
    /// Where apps are served.
    pub(crate) edge: EdgeConfig,
    /// The SSH gateway.
    pub(crate) ssh: SshConfig,
    /// Calls of AI providers.
    pub(crate) ai: AiConfig,
    /// How fast accounts and addresses may ask.
    pub(crate) rates: RateLimits,
    /// The audit record.
    pub(crate) audit: AuditConfig,
    /// The role `control`.
    pub(crate) control: ControlConfig,
    /// The role `host`.
    pub(crate) host: HostConfig,
    /// What new workspaces start from.
    pub(crate) images: ImagesConfig,
    /// The first workspace.
    pub(crate) first: FirstConfig,
    /// Providers by which people sign in, by name.
    pub(crate) oidc: BTreeMap<String, OidcSettings>,
    /// How certificates are had.
    pub(crate) certificates: CertificateSettings,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Proxies whose word on their clients' addresses is taken.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Where people and workspaces reach it, when that is not where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

/// Where apps are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EdgeConfig {
    /// Where visitors come with TLS.
    pub(crate) listen: SocketAddr,
    /// Where visitors come without, to be sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Where authorities ask for TXT records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<SocketAddr>,
    /// The port that visitors see, when something passes it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https_port: Option<u16>,
    /// Log filter.
    pub(crate) log: String,
    /// Of how many requests one is written to the access log; 0 for none.
    pub(crate) access_log: u32,
    /// The user that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// Addresses that custom domains may lead to.
    pub(crate) addresses: Vec<IpAddr>,
    /// The DNS resolver that custom domains are looked up with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resolver: Option<SocketAddr>,
}

/// The SSH gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SshConfig {
    /// Where people come.
    pub(crate) listen: SocketAddr,
    /// The name or address that they connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The port that they connect to, when something passes it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// Log filter.
    pub(crate) log: String,
    /// The user that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
}

/// Calls of AI providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AiConfig {
    /// Log filter.
    pub(crate) log: String,
    /// Prices over those that are compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prices_file: Option<Utf8PathBuf>,
    /// Names of models that stand for others.
    pub(crate) aliases: BTreeMap<String, String>,
    /// Providers, by name.
    pub(crate) providers: BTreeMap<String, ProviderSettings>,
}

/// The audit record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditConfig {
    /// How long an entry is kept.
    pub(crate) keep_days: KeepDays,
}

/// Days that something is kept: from one to a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct KeepDays(u32);

impl KeepDays {
    const MAX: u32 = 36_525;

    /// The time they last.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 24 * 3600)
    }
}

impl Default for KeepDays {
    fn default() -> Self {
        Self(AUDIT_DAYS)
    }
}

impl TryFrom<u32> for KeepDays {
    type Error = String;

    fn try_from(days: u32) -> Result<Self, Self::Error> {
        if (1..=Self::MAX).contains(&days) {
            Ok(Self(days))
        } else {
            Err(format!("{days} days: must be from 1 to {}", Self::MAX))
        }
    }
}

/// The role `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ControlConfig {
    /// Log filter.
    pub(crate) log: String,
    /// The user that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// File with the URL of a PostgreSQL database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database_url_file: Option<Utf8PathBuf>,
}

/// The role `host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostConfig {
    /// Log filter.
    pub(crate) log: String,
    /// What runs micro-VMs.
    pub(crate) driver: DriverChoice,
    /// QEMU's full system emulator.
    pub(crate) qemu: Utf8PathBuf,
    /// Firecracker.
    pub(crate) firecracker: Utf8PathBuf,
    /// Firecracker's jailer.
    pub(crate) jailer: Utf8PathBuf,
    /// Memory that may be promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_mib: Option<u64>,
    /// Virtual CPUs that may be promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vcpus: Option<u32>,
    /// Size of the pool file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pool_gib: Option<u32>,
    /// The network between namespaces and the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    /// DNS servers that workspaces ask; empty: the machine's.
    pub(crate) resolvers: Vec<Ipv4Addr>,
    /// Most bytes a second to and from the disk of one workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_bps: Option<u64>,
    /// Most operations a second on the disk of one workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_iops: Option<u64>,
    /// Most bytes a second, each way, on the network of one workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) net_bps: Option<u64>,
    /// How long a workspace may take to be ready.
    pub(crate) boot_s: u32,
    /// How long a guest may take to shut down.
    pub(crate) shutdown_s: u32,
    /// Time between two sweeps.
    pub(crate) sweep_s: u32,
}

/// Which driver the host uses. The words are those of its own configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DriverChoice {
    /// Firecracker where it is installed and KVM works, else QEMU.
    #[default]
    Auto,
    /// Firecracker or nothing.
    Firecracker,
    /// QEMU, with KVM where it works.
    Qemu,
    /// QEMU with emulation.
    QemuTcg,
}

/// What new workspaces start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ImagesConfig {
    /// Made ready before the platform starts.
    pub(crate) ready: Vec<ImageName>,
    /// Folder of recipes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipes: Option<Utf8PathBuf>,
    /// Folder of the guest's programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guest: Option<Utf8PathBuf>,
}

/// The workspace that the first start ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FirstConfig {
    /// Its name; empty for none.
    pub(crate) workspace: String,
    /// Its template.
    pub(crate) template: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: "local".parse().expect("a lower-case word is a region name"),
            domain: "rigbox.localhost".to_owned(),
            api: ApiConfig::default(),
            edge: EdgeConfig::default(),
            ssh: SshConfig::default(),
            ai: AiConfig::default(),
            rates: RateLimits::default(),
            audit: AuditConfig::default(),
            control: ControlConfig::default(),
            host: HostConfig::default(),
            images: ImagesConfig::default(),
            first: FirstConfig::default(),
            oidc: BTreeMap::new(),
            certificates: CertificateSettings::default(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 7070).into(), trusted_proxies: Vec::new(), url: None }
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8443).into(),
            http: None,
            dns: None,
            https_port: None,
            log: "info".to_owned(),
            access_log: 0,
            uid: None,
            addresses: Vec::new(),
            resolver: None,
        }
    }
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 2222).into(),
            host: None,
            port: None,
            log: "info".to_owned(),
            uid: None,
        }
    }
}

impl Default for AiConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            prices_file: None,
            aliases: BTreeMap::new(),
            providers: BTreeMap::new(),
        }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), uid: None, database_url_file: None }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            driver: DriverChoice::default(),
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            firecracker: "/usr/local/bin/firecracker".into(),
            jailer: "/usr/local/bin/jailer".into(),
            memory_mib: None,
            vcpus: None,
            pool_gib: None,
            network: None,
            resolvers: Vec::new(),
            disk_bps: None,
            disk_iops: None,
            net_bps: None,
            boot_s: 180,
            shutdown_s: 30,
            sweep_s: 60,
        }
    }
}

impl Default for ImagesConfig {
    fn default() -> Self {
        let base = "base".parse().expect("a lower-case word is an image name");
        Self { ready: vec![base], recipes: None, guest: None }
    }
}

impl Default for FirstConfig {
    fn default() -> Self {
        Self { workspace: "hello".to_owned(), template: "base".to_owned() }
    }
}

#[cfg(test)]
mod tests;
