//! The role `edge`: reads its file, takes its sockets, gives root up and serves apps to visitors.
//! Invariant: no thread is started and no byte of a visitor is read before root is given up.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_edge::{
    AccessLog, ControlClient, Dialers, Dns, EdgeConfig, Limits, Listen, MetricsListen, Zone,
};
use rigbox_fabric::{Client, ClientAuth, descriptors};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use crate::role;

/// Streams of authorities that the kernel keeps until they are accepted.
const DNS_BACKLOG: i32 = 128;

/// The file that `rigbox up` writes for this role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeFile {
    /// The user that the role becomes.
    pub(crate) uid: u32,
    /// Where it listens for TLS, where no socket is handed over.
    pub(crate) listen: SocketAddr,
    /// Where it listens without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Where it answers authorities by DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<SocketAddr>,
    /// The zone that is delegated to it.
    pub(crate) dns_zone: String,
    /// The domain, which is the name server's name as well.
    pub(crate) domain: String,
    /// Where it reaches control.
    pub(crate) control: String,
    /// Control's API, for the dashboard's host name.
    pub(crate) dashboard: SocketAddr,
    /// Directory of what survives a restart.
    pub(crate) state: Utf8PathBuf,
    /// Where it tells its metrics.
    pub(crate) metrics: Utf8PathBuf,
    /// The access log, and of how many requests one is written there; 0 for none.
    pub(crate) access_log: Utf8PathBuf,
    /// See above.
    pub(crate) access_log_sample: u32,
}

/// Runs the role until SIGTERM.
///
/// # Errors
/// Says which step of the start failed, or why it ended.
pub(crate) fn run(config: &Utf8Path, parent: Option<u32>) -> anyhow::Result<()> {
    role::follow(parent)?;
    descriptors::raise_limit().context("raise the limit of open files")?;
    let text = std::fs::read_to_string(config).with_context(|| format!("read {config}"))?;
    let file: EdgeFile = toml::from_str(&text).with_context(|| format!("read {config}"))?;
    let https = listener(role::handed_over(std::io::stdin().as_fd())?, file.listen)?;
    let http = match (role::handed_over(std::io::stdout().as_fd())?, file.http) {
        (None, None) => None,
        (handed_over, address) => Some(listener(handed_over, address.unwrap_or(file.listen))?),
    };
    let dns = file.dns.map(|address| dns(address, &file)).transpose()?;
    role::give_root_up("the edge", file.uid, &[])?;
    // Becoming another user undoes it.
    role::follow(parent)?;
    /// One for each of the machine's, which all do the same.
    const THREADS_MAX: usize = 64;
    role::serve(THREADS_MAX, async |shutdown| {
        let config = edge_config(file, (https, http, dns))?;
        Box::pin(rigbox_edge::run(config, shutdown)).await.context("run the edge")
    })
}

fn listener(handed_over: Option<TcpListener>, address: SocketAddr) -> anyhow::Result<TcpListener> {
    match handed_over {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address).with_context(|| format!("listen on {address}")),
    }
}

/// Opens the sockets of the DNS. They are shared with an edge that this one follows, which goes only when
/// this one serves; that nobody else has them, the supervisor has checked.
fn dns(address: SocketAddr, file: &EdgeFile) -> anyhow::Result<Dns> {
    let open = || -> io::Result<(UdpSocket, TcpListener)> {
        let udp = shared(address, SocketType::DGRAM)?;
        let tcp = shared(address, SocketType::STREAM)?;
        rustix::net::listen(&tcp, DNS_BACKLOG)?;
        Ok((udp.into(), tcp.into()))
    };
    let (udp, tcp) = open().with_context(|| format!("listen on {address} (edge.dns)"))?;
    let zone = Zone::new(&file.dns_zone, &file.domain).context("the zone of challenges")?;
    Ok(Dns { udp, tcp, zones: vec![zone] })
}

/// A socket whose address another one of the same user may have too.
fn shared(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // As the standard library does: connections that have just ended do not hold the port.
    sockopt::set_socket_reuseaddr(&socket, kind == SocketType::STREAM)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn edge_config(
    file: EdgeFile,
    (https, http, dns): (TcpListener, Option<TcpListener>, Option<Dns>),
) -> anyhow::Result<EdgeConfig> {
    let control = file.control.parse().context("control")?;
    let control = Client::new(control, &ClientAuth::Local).context("a client of control")?;
    let path = file.access_log;
    Ok(EdgeConfig {
        name: format!("edge-{}", std::process::id()),
        https: Listen::Bound(https),
        http: http.map(Listen::Bound),
        dns,
        control: ControlClient(control),
        dashboard: Some(file.dashboard),
        state: file.state,
        dialers: Dialers::local(),
        metrics: Some(MetricsListen::Unix(file.metrics)),
        access_log: match file.access_log_sample {
            0 => AccessLog::Off,
            sample => AccessLog::File { path, sample },
        },
        limits: Limits::default(),
    })
}
