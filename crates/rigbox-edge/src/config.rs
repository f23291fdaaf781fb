//! What an edge is started with. Invariant: every limit has a name, a unit and a default with its
//! reason. Reads no file and no environment.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use rigbox_dns::Zone;
use rigbox_fabric::{Address, Client, dial::DialClient};
use rigbox_types::rate::Rate;

/// An edge: where it listens, whom it asks, what it allows.
#[derive(Debug)]
pub struct EdgeConfig {
    /// The edge's name, the same for the life of one process, of letters, digits and hyphens:
    /// control tells edges apart by it.
    pub name: String,
    /// Where visitors come with TLS.
    pub https: Listen,
    /// Where they come without, to be sent to TLS; nowhere if none.
    pub http: Option<Listen>,
    /// Where authorities ask for TXT records of challenges; nowhere if none.
    pub dns: Option<Dns>,
    /// Control's internal address.
    pub control: ControlClient,
    /// Control's plain API, to which requests for the dashboard's host name go.
    pub dashboard: Option<SocketAddr>,
    /// Folder of what survives a restart. Holds private keys: made with mode 0700.
    pub state: Utf8PathBuf,
    /// How hosts are reached.
    pub dialers: Dialers,
    /// Where `/metrics` is answered; nowhere if none.
    pub metrics: Option<MetricsListen>,
    /// What is written of each request.
    pub access_log: AccessLog,
    /// What is allowed.
    pub limits: Limits,
}

/// The authoritative DNS of challenges.
#[derive(Debug)]
pub struct Dns {
    /// Where questions come as datagrams.
    pub udp: std::net::UdpSocket,
    /// Where they come as streams.
    pub tcp: std::net::TcpListener,
    /// The zones that are delegated to this edge.
    pub zones: Vec<Zone>,
}

/// A client towards control that does not show itself in `Debug`.
#[derive(Clone)]
pub struct ControlClient(pub Client);

impl fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ControlClient").field(self.0.address()).finish()
    }
}

/// A place to listen at.
#[derive(Debug)]
pub enum Listen {
    /// To be bound.
    Address(SocketAddr),
    /// Bound by a supervisor that keeps it open while an edge restarts.
    Bound(std::net::TcpListener),
}

/// Where metrics are asked for: never a public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsListen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A unix socket, mode 0600.
    Unix(Utf8PathBuf),
}

/// What is written of requests, as JSON, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nothing.
    #[default]
    Off,
    /// To standard output, one request of every `sample`.
    Stdout {
        /// 1 writes all of them.
        sample: u32,
    },
    /// To the end of a file.
    File {
        /// Which.
        path: Utf8PathBuf,
        /// 1 writes all of them.
        sample: u32,
    },
}

/// Makes the client of a host's address. Called once for each address that a route names.
#[derive(Clone)]
pub struct Dialers(Arc<Make>);

type Make = dyn Fn(&Address) -> Option<DialClient> + Send + Sync;

impl Dialers {
    /// Hosts of this machine only, by the sockets that they pass connections over.
    #[must_use]
    pub fn local() -> Self {
        Self::new(|address| address.as_unix().map(|path| DialClient::Local(path.to_owned())))
    }

    /// As `make` says; none where an address cannot be reached.
    pub fn new(make: impl Fn(&Address) -> Option<DialClient> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn make(&self, address: &Address) -> Option<DialClient> {
        (self.0)(address)
    }
}

impl fmt::Debug for Dialers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialers")
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of visitors in all. One costs some 30 KiB: 20,000 are 600 MiB.
    pub connections: usize,
    /// Open connections of one client address (of one /64 with IPv6): many people share one.
    pub connections_per_client: u32,
    /// Requests of one app that are under way, upgrades included.
    pub in_flight_per_app: u32,
    /// Requests of one client address under way, WebSockets included: fewer than an app may have, so
    /// that no one client takes all of them.
    pub in_flight_per_client: u32,
    /// Requests of one client address.
    pub client_rate: Rate,
    /// Requests to one app.
    pub app_rate: Rate,
    /// For the TLS handshake, and at most twice at once: once for what the client never sends.
    pub handshake_timeout: Duration,
    /// For a request's head, from the end of the one before: so also how long an HTTP/1.1
    /// connection may idle.
    pub header_timeout: Duration,
    /// For an HTTP/2 connection without a request.
    pub idle_timeout: Duration,
    /// For the next part of a request's body.
    pub body_timeout: Duration,
    /// For a visitor to take anything of what is being sent.
    pub write_timeout: Duration,
    /// For the app to begin its answer; a long poll has to fit in.
    pub answer_timeout: Duration,
    /// How long an idle connection to a workspace is kept.
    pub upstream_idle_timeout: Duration,
    /// Idle connections that are kept to one app.
    pub upstream_idle_per_app: usize,
    /// Largest head of a request in bytes.
    pub header_bytes: usize,
    /// Most headers of a request.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long requests under way may take once the edge is told to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_client: 1_024,
            in_flight_per_app: 2_048,
            in_flight_per_client: 1_024,
            // Far above what people do; below what hurts the neighbours.
            client_rate: Rate { limit: 60_000, window_s: 60 },
            app_rate: Rate { limit: 600_000, window_s: 60 },
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(300),
            upstream_idle_timeout: Duration::from_secs(30),
            upstream_idle_per_app: 512,
            header_bytes: 64 * 1024,
            headers: 100,
            streams: 128,
            drain: Duration::from_secs(30),
        }
    }
}
