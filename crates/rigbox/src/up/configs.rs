//! Writes the configuration of each role, so that a role can also be looked at, or started by hand,
//! with the same words. Pure apart from the writing.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use camino::Utf8PathBuf;
use rigbox_types::{HostId, RegionName};
use serde::Serialize;

use super::Up;
use crate::{
    config::DriverChoice,
    control::ControlFile,
    data::Platform,
    files,
    layout::{Layout, Role},
};

/// Writes both files.
///
/// # Errors
/// Names the file.
pub(crate) fn write(up: &Up<'_>, platform: &Platform, api: SocketAddr) -> anyhow::Result<()> {
    let control = toml::to_string(&control_file(up, platform, api)).context("control.toml")?;
    write_role(up.layout, Role::Control, &control)?;
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

fn control_file(up: &Up<'_>, platform: &Platform, api: SocketAddr) -> ControlFile {
    let layout = up.layout;
    ControlFile {
        uid: platform.control_uid,
        region: up.config.region.clone(),
        domain: up.config.domain.clone(),
        ssh_port: up.config.ssh.port,
        rates: up.config.rates,
        trusted_proxies: up.config.api.trusted_proxies.clone(),
        api_url: up.config.api.url.clone().unwrap_or_else(|| format!("http://{api}")),
        listen: api,
        internal: format!("unix:{}", layout.control_socket()),
        secrets: layout.control(),
        admin_key_file: layout.admin_key(),
        database: layout.control().join("rigbox.db"),
        database_url_file: up.config.control.database_url_file.clone(),
        oidc: up.config.oidc.clone(),
        certificates: up.config.certificates.clone(),
    }
}

/// What the host agent reads: its own keys, which it refuses to be misspelt.
#[derive(Debug, Serialize)]
struct HostFile {
    data: Utf8PathBuf,
    id: HostId,
    region: RegionName,
    control: String,
    listen: String,
    control_uid: u32,
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
        listen: format!("unix:{}", layout.host_socket()),
        control_uid: platform.control_uid,
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
