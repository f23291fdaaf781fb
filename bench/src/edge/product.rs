//! The edge in a process of its own, as `rigbox edge` runs it, and what is around it: control, which
//! tells routes, and a host, which opens connections and passes their descriptors.
//! Invariant: the edge's process does nothing else, so its memory and time are the edge's alone.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_edge::{AccessLog, ControlClient, Dialers, EdgeConfig, Limits, Listen};
use rigbox_fabric::{
    Client, ClientAuth, Peer, descriptors,
    dial::{DialListener, DialRefusal, DialRefused, DialRequest, Dialer},
};
use rigbox_types::{
    AccountId, Generation, Revision, Timestamp,
    edge::{EdgeCertificate, EdgeEvent, EdgeSettings, Route, RouteState, TicketKey, Visibility},
    rate::Rate,
};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    certificate::Certificate,
    control::{self, Control},
    upstream::Upstreams,
};
use crate::{
    output::data,
    process::{Process, until_input_ends},
};

/// The apps' domain.
pub(super) const DOMAIN: &str = "apps.example";
/// The name that requests are for, and the one for WebSockets.
pub(super) const NAME: &str = "app0.apps.example";
pub(super) const ECHO: &str = "echo.apps.example";

const PORT: u16 = 3_000;
const ECHO_PORT: u16 = 3_001;
/// The host's socket.
const DIAL: &str = "dial.sock";

/// What the edge is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Directory with control's socket.
    folder: Utf8PathBuf,
    /// Threads.
    threads: usize,
}

/// The edge until standard input ends.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn serve(options: Serve) -> Result<()> {
    /// All load comes from one address: what protects from one that asks this much is counted, and
    /// is far away.
    const PLENTY: Rate = Rate { limit: 1_000_000_000, window_s: 60 };
    const CONNECTIONS: u32 = 20_000;
    descriptors::raise_limit().context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listen")?;
        let address = listener.local_addr()?;
        let socket = rigbox_fabric::Address::Unix(options.folder.join(control::SOCKET));
        let control = Client::new(socket, &ClientAuth::Local).context("a client of control")?;
        let config = EdgeConfig {
            dns: None,
            name: "edge-1".to_owned(),
            https: Listen::Bound(listener),
            http: None,
            control: ControlClient(control),
            dashboard: None,
            state: options.folder.join("edge"),
            dialers: Dialers::local(),
            metrics: None,
            access_log: AccessLog::Off,
            limits: Limits {
                connections_per_client: CONNECTIONS,
                client_rate: PLENTY,
                app_rate: PLENTY,
                ..Limits::default()
            },
        };
        let shutdown = CancellationToken::new();
        data(&address.to_string());
        until_input_ends(shutdown.clone());
        Box::pin(rigbox_edge::run(config, shutdown)).await.context("serve")
    })
}

/// An edge with everything around it. Gone when it is dropped.
pub(super) struct Product {
    pub(super) process: Process,
    pub(super) control: Control,
    pub(super) address: SocketAddr,
    host: String,
    _shutdown: DropGuard,
}

impl Product {
    /// Starts an edge that knows so many apps.
    pub(super) async fn start(
        folder: &Utf8Path,
        certificate: &Certificate,
        upstreams: &Upstreams,
        routes: u64,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {folder}"))?;
        let (path, shutdown) = (folder.join(DIAL), CancellationToken::new());
        let listener = DialListener::bind(&path, None).await.context("listen as a host")?;
        let to = [(PORT, upstreams.files), (ECHO_PORT, upstreams.echo)];
        let workspaces = Arc::new(Workspaces(to.into_iter().collect()));
        tokio::spawn(listener.serve(workspaces, shutdown.clone()));
        let host = format!("unix:{path}");
        let mut events = basics(certificate);
        events.push(told(Revision(1), echo_route(&host)?));
        for number in 0..routes {
            events.push(told(Revision(1), route(number, &host)?));
        }
        let control = Control::start(folder, events).await?;
        let threads = crate::procfs::processors().to_string();
        let process = Process::start(&["serve-edge", folder.as_str(), &threads])?;
        let address = process.address.parse().context("the edge's address")?;
        control.all_acked().await?;
        Ok(Self { process, control, address, host, _shutdown: shutdown.drop_guard() })
    }

    /// Tells of a new app; the revision.
    pub(super) async fn add(&self, number: u64) -> Result<u64> {
        let route = route(number, &self.host)?;
        self.control.tell(|revision| told(revision, route)).await
    }

    /// The name of an app.
    pub(super) fn name(number: u64) -> String {
        format!("app{number}.{DOMAIN}")
    }
}

/// What an edge has to know besides routes.
fn basics(certificate: &Certificate) -> Vec<EdgeEvent> {
    let key = TicketKey { secret: "5a".repeat(32), created_at: Timestamp::from_micros(0) };
    vec![
        EdgeEvent::Settings(EdgeSettings {
            domain: DOMAIN.to_owned(),
            sign_in_origin: format!("https://{DOMAIN}"),
            dashboard_host: None,
            https_port: 443,
        }),
        EdgeEvent::Certificate(Box::new(EdgeCertificate {
            id: "wildcard".to_owned(),
            names: vec![format!("*.{DOMAIN}")],
            chain_pem: certificate.chain_pem.clone(),
            key_pem: certificate.key_pem.clone(),
            not_after: Timestamp::from_micros(i64::MAX / 4),
        })),
        EdgeEvent::TicketKeys { keys: vec![key] },
    ]
}

fn told(revision: Revision, route: Route) -> EdgeEvent {
    EdgeEvent::Route { revision, route: Box::new(route) }
}

/// An app that anyone may see.
fn route(number: u64, host: &str) -> Result<Route> {
    Ok(Route {
        app: format!("app-{number:08}").parse().context("an app's id")?,
        names: vec![Product::name(number)],
        workspace: format!("ws-{number:08}").parse().context("a workspace's id")?,
        owner: AccountId::from_random([1; 16]),
        generation: Generation(1),
        host: Some(host.to_owned()),
        port: PORT,
        state: RouteState::Serving,
        visibility: Visibility::Public,
        allowed_emails: Vec::new(),
    })
}

fn echo_route(host: &str) -> Result<Route> {
    let base = route(99_999_999, host)?;
    Ok(Route { names: vec![ECHO.to_owned()], port: ECHO_PORT, ..base })
}

/// Ports of every workspace.
struct Workspaces(HashMap<u16, SocketAddr>);

#[async_trait::async_trait]
impl Dialer for Workspaces {
    async fn dial(&self, _: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused> {
        let refused =
            || DialRefused { code: DialRefusal::PortClosed, message: "closed".to_owned() };
        let to = self.0.get(&request.port.number()).ok_or_else(refused)?;
        let stream = TcpStream::connect(to).await.map_err(|_| refused())?;
        stream.set_nodelay(true).map_err(|_| refused())?;
        Ok(stream)
    }
}
