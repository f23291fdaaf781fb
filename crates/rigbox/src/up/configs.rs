//! Writes the configuration of each role, so that a role can also be looked at, or started by hand,
//! with the same words. Pure apart from the writing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use camino::Utf8PathBuf;
use ipnet::IpNet;
use rigbox_types::{HostId, RegionName};
use serde::Serialize;

use super::{Sockets, Up};
use crate::{
    ai_proxy::AiProxyFile,
    config::{Config, DriverChoice},
    control::{ControlFile, EdgePart, SshPart},
    data::Platform,
    edge::EdgeFile,
    files,
    layout::{Layout, Role},
    ssh::SshFile,
};

/// Writes the files of all roles.
///
/// # Errors
/// Names the file.
pub(super) fn write(up: &Up<'_>, platform: &Platform, sockets: &Sockets) -> anyhow::Result<()> {
    let api = sockets.api.local_addr().context("the API's address")?;
    let https = sockets.https.local_addr().context("the edge's address")?;
    let ssh = sockets.ssh.local_addr().context("the SSH gateway's address")?;
    let control = control_file(up, platform, (api, sockets.https_port(up)?, ssh));
    let control = toml::to_string(&control).context("control.toml")?;
    let edge = toml::to_string(&edge_file(up, platform, (api, https))).context("edge.toml")?;
    write_role(up.layout, Role::Edge, &edge)?;
    let ssh = toml::to_string(&ssh_file(up, platform, ssh)).context("ssh.toml")?;
    write_role(up.layout, Role::Ssh, &ssh)?;
    write_role(up.layout, Role::Control, &control)?;
    let ai_proxy = toml::to_string(&ai_proxy_file(up, platform)).context("ai-proxy.toml")?;
    write_role(up.layout, Role::AiProxy, &ai_proxy)?;
    write_host(up, platform)
}

/// Writes the host's file alone, for what runs without control.
///
/// # Errors
/// Names the file.
pub(crate) fn write_host(up: &Up<'_>, platform: &Platform) -> anyhow::Result<()> {
    let host = toml::to_string(&host_file(up, platform)?).context("host.toml")?;
    write_role(up.layout, Role::Host, &host)
}

/// Writes the host's configuration beside the one of a host that may run.
///
/// # Errors
/// Names the file.
pub(crate) fn write_backup(up: &Up<'_>, platform: &Platform) -> anyhow::Result<Utf8PathBuf> {
    let text = toml::to_string(&host_file(up, platform)?).context("backup.toml")?;
    let path = up.layout.backup_config();
    files::write(&path, text.as_bytes(), files::SECRET, None)?;
    Ok(path)
}

fn write_role(layout: &Layout, role: Role, text: &str) -> anyhow::Result<()> {
    let text =
        format!("# Written by `rigbox up` at every start; edit rigbox.toml instead.\n{text}");
    files::write(&layout.role_config(role), text.as_bytes(), files::SECRET, None)
}

fn control_file(
    up: &Up<'_>,
    platform: &Platform,
    (api, https_port, ssh): (SocketAddr, u16, SocketAddr),
) -> ControlFile {
    let layout = up.layout;
    let mut trusted_proxies = up.config.api.trusted_proxies.clone();
    // The edge hands on requests for the API's own name, and says who asked.
    trusted_proxies.extend(up.config.api.url.as_ref().map(|_| IpNet::from(api.ip())));
    ControlFile {
        uid: platform.control_uid,
        region: up.config.region.clone(),
        domain: up.config.domain.clone(),
        rates: up.config.rates,
        audit_keep_days: up.config.audit.keep_days,
        trusted_proxies,
        api_url: up.config.api.url.clone().unwrap_or_else(|| format!("http://{api}")),
        listen: api,
        internal: format!("unix:{}", layout.control_socket()),
        secrets: layout.control(),
        admin_key_file: layout.admin_key(),
        database: layout.database(),
        database_url_file: up.config.control.database_url_file.clone(),
        oidc: up.config.oidc.clone(),
        edge: EdgePart {
            uid: platform.edge_uid,
            internal: format!("unix:{}", layout.control_edge_socket()),
            https_port,
            dashboard_host: dashboard_host(up.config.api.url.as_deref()),
            dial_socket: layout.dial_edge_socket(),
            addresses: up.config.edge.addresses.clone(),
            resolver: up.config.edge.resolver,
        },
        ssh: SshPart {
            uid: platform.ssh_uid,
            internal: format!("unix:{}", layout.control_ssh_socket()),
            host: ssh_host(up.config, ssh),
            port: ssh_port(up.config, ssh),
            dial_socket: layout.dial_ssh_socket(),
        },
        certificates: up.config.certificates.clone(),
    }
}

fn ai_proxy_file(up: &Up<'_>, platform: &Platform) -> AiProxyFile {
    let (layout, ai) = (up.layout, &up.config.ai);
    AiProxyFile {
        uid: platform.control_uid,
        listen: format!("unix:{}", layout.ai_proxy_socket()),
        secrets: layout.control(),
        journal: layout.ai_proxy(),
        database: layout.database(),
        database_url_file: up.config.control.database_url_file.clone(),
        prices_file: ai.prices_file.clone(),
        aliases: ai.aliases.clone(),
        providers: ai.providers.clone(),
    }
}

/// What people connect to: what was configured, or the address where the domain leads nowhere for them.
fn ssh_host(config: &Config, listen: SocketAddr) -> Option<String> {
    let is_local = config.domain == "localhost" || config.domain.ends_with(".localhost");
    let address = match listen.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    config.ssh.host.clone().or_else(|| is_local.then(|| address.to_string()))
}

fn ssh_port(config: &Config, listen: SocketAddr) -> u16 {
    config.ssh.port.unwrap_or_else(|| listen.port())
}

fn ssh_file(up: &Up<'_>, platform: &Platform, listen: SocketAddr) -> SshFile {
    SshFile {
        uid: platform.ssh_uid,
        listen,
        control: format!("unix:{}", up.layout.control_ssh_socket()),
        ready: up.layout.ssh_ready(),
    }
}

/// The host name under which the edge serves the API, where that has an address with TLS.
fn dashboard_host(api_url: Option<&str>) -> Option<String> {
    let authority = api_url?.strip_prefix("https://")?.parse::<http::uri::Authority>().ok()?;
    Some(authority.host().to_ascii_lowercase())
}

/// The zone whose TXT records prove that the domain is ours.
fn challenge_zone(config: &Config) -> String {
    let alias = config.certificates.dns_alias.clone();
    alias.unwrap_or_else(|| format!("_acme-challenge.{}", config.domain))
}

fn edge_file(up: &Up<'_>, platform: &Platform, (api, https): (SocketAddr, SocketAddr)) -> EdgeFile {
    let layout = up.layout;
    EdgeFile {
        uid: platform.edge_uid,
        listen: https,
        http: up.config.edge.http,
        dns: up.config.edge.dns,
        dns_zone: challenge_zone(up.config),
        domain: up.config.domain.clone(),
        control: format!("unix:{}", layout.control_edge_socket()),
        dashboard: api,
        state: layout.edge(),
        metrics: layout.edge_metrics(),
        access_log: layout.edge().join("access.log"),
        access_log_sample: up.config.edge.access_log,
    }
}

/// What the host agent reads: its own keys, which it refuses to be misspelt.
#[derive(Debug, Serialize)]
struct HostFile {
    data: Utf8PathBuf,
    id: HostId,
    region: RegionName,
    control: String,
    ai: String,
    listen: String,
    control_uid: u32,
    dial: Utf8PathBuf,
    dial_edge: Utf8PathBuf,
    edge_uid: u32,
    dial_ssh: Utf8PathBuf,
    ssh_uid: u32,
    vmm: VmmPart,
    network: NetworkPart,
    disk: DiskPart,
    capacity: CapacityPart,
    limits: LimitsPart,
    times: TimesPart,
}

#[derive(Debug, Serialize)]
struct VmmPart {
    driver: DriverChoice,
    qemu: Utf8PathBuf,
    firecracker: Utf8PathBuf,
    jailer: Utf8PathBuf,
    launcher: Utf8PathBuf,
}

#[derive(Debug, Serialize)]
struct NetworkPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr: Option<String>,
    resolvers: Vec<Ipv4Addr>,
}

#[derive(Debug, Serialize)]
struct DiskPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_gib: Option<u32>,
}

#[derive(Debug, Serialize)]
struct CapacityPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mib: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LimitsPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_iops: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_bps: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TimesPart {
    boot_ms: u64,
    shutdown_ms: u64,
    sweep_ms: u64,
}

fn host_file(up: &Up<'_>, platform: &Platform) -> anyhow::Result<HostFile> {
    let (layout, host) = (up.layout, &up.config.host);
    let milliseconds = |seconds: u32| u64::from(seconds) * 1_000;
    Ok(HostFile {
        data: layout.data().to_owned(),
        id: platform.host.clone(),
        region: up.config.region.clone(),
        control: format!("unix:{}", layout.control_socket()),
        ai: format!("unix:{}", layout.ai_proxy_socket()),
        listen: format!("unix:{}", layout.host_socket()),
        control_uid: platform.control_uid,
        dial: layout.dial_socket(),
        dial_edge: layout.dial_edge_socket(),
        edge_uid: platform.edge_uid,
        dial_ssh: layout.dial_ssh_socket(),
        ssh_uid: platform.ssh_uid,
        vmm: VmmPart {
            driver: host.driver,
            qemu: host.qemu.clone(),
            firecracker: host.firecracker.clone(),
            jailer: host.jailer.clone(),
            launcher: up.install.program("rigbox-launch")?,
        },
        network: NetworkPart { cidr: host.network.clone(), resolvers: host.resolvers.clone() },
        disk: DiskPart { pool_gib: host.pool_gib },
        capacity: CapacityPart { vcpus: host.vcpus, memory_mib: host.memory_mib },
        limits: LimitsPart {
            disk_bps: host.disk_bps,
            disk_iops: host.disk_iops,
            net_bps: host.net_bps,
        },
        times: TimesPart {
            boot_ms: milliseconds(host.boot_s),
            shutdown_ms: milliseconds(host.shutdown_s),
            sweep_ms: milliseconds(host.sweep_s),
        },
    })
}
