//! One edge of its own for each test, with everything around it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use rigbox_edge::{ControlClient, Dialers, EdgeConfig, EdgeError, Limits, Listen};
use rigbox_test_ports::free_address;
use rigbox_types::{
    AccountId, Generation, Revision, Timestamp,
    edge::{
        Admission, EdgeCertificate, EdgeEvent, EdgeSettings, Route, RouteState, TicketKey,
        Visibility, Visitor,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{control::Control, host::Host};

/// The apps' domain.
pub(crate) const DOMAIN: &str = "apps.example";

pub(crate) struct World {
    pub(crate) folder: Utf8PathBuf,
    pub(crate) control: Control,
    pub(crate) host: Host,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) authority: String,
    pub(crate) limits: Limits,
    pub(crate) dashboard: Option<SocketAddr>,
    edge: Option<(Runtime, JoinHandle<Result<(), EdgeError>>)>,
    shutdown: CancellationToken,
    _outer: CancellationToken,
    _dir: Arc<tempfile::TempDir>,
}

/// An app that anyone may see, whose names are `NAME.apps.example`.
pub(crate) fn app(number: u32, name: &str, port: u16) -> Route {
    Route {
        app: format!("app-{number:08}").parse().unwrap(),
        names: vec![format!("{name}.{DOMAIN}")],
        workspace: format!("ws-{number:08}").parse().unwrap(),
        owner: account(1),
        generation: Generation(1),
        host: None,
        port,
        state: RouteState::Serving,
        visibility: Visibility::Public,
        allowed_emails: Vec::new(),
    }
}

pub(crate) fn account(number: u8) -> AccountId {
    AccountId::from_random([number; 16])
}

/// An account's answer of control.
pub(crate) fn visitor(number: u8, email: &str) -> Admission {
    Admission::Account(Box::new(Visitor {
        account: account(number),
        email: Some(email.parse().unwrap()),
        standing: rigbox_types::authz::Standing::User,
        key: Some(rigbox_types::ApiKeyId::from_random([number; 16])),
        session: None,
        scopes: rigbox_types::KeyScopes::full(),
        granted: None,
        expires_at: None,
    }))
}

pub(crate) fn told(route: Route) -> EdgeEvent {
    EdgeEvent::Route { revision: Revision(0), route: Box::new(route) }
}

pub(crate) fn certificate(id: &str, names: &[&str]) -> EdgeCertificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
    EdgeCertificate {
        id: id.to_owned(),
        names,
        chain_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        not_after: Timestamp::from_micros(i64::MAX / 4),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default(), None).await
    }

    pub(crate) async fn with(limits: Limits, dashboard: Option<SocketAddr>) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let outer = CancellationToken::new();
        let control = Control::start(&folder).await;
        let host = Host::start(&folder, outer.clone()).await;
        let certificate = certificate("wildcard", &["*.apps.example", DOMAIN]);
        let authority = certificate.chain_pem.clone();
        std::fs::write(folder.join("ca.pem"), &authority).unwrap();
        let mut world = Self {
            folder,
            control,
            host,
            https: free_address().unwrap(),
            http: free_address().unwrap(),
            authority,
            limits,
            dashboard,
            edge: None,
            shutdown: CancellationToken::new(),
            _outer: outer,
            _dir: dir,
        };
        world.start().await;
        world.tell_basics(certificate).await;
        world
    }

    async fn tell_basics(&self, certificate: EdgeCertificate) {
        let settings = EdgeSettings {
            domain: DOMAIN.to_owned(),
            sign_in_origin: format!("https://{DOMAIN}:{}", self.https.port()),
            dashboard_host: Some(DOMAIN.to_owned()),
            https_port: self.https.port(),
        };
        let key = TicketKey { secret: "5a".repeat(32), created_at: Timestamp::from_micros(0) };
        self.control
            .tell([
                EdgeEvent::Settings(settings),
                EdgeEvent::Certificate(Box::new(certificate)),
                EdgeEvent::TicketKeys { keys: vec![key] },
            ])
            .await;
    }

    /// Starts the edge, with what its folder has.
    pub(crate) async fn start(&mut self) {
        self.shutdown = CancellationToken::new();
        let config = EdgeConfig {
            name: "edge-1".to_owned(),
            dns: None,
            https: Listen::Address(self.https),
            http: Some(Listen::Address(self.http)),
            control: ControlClient(self.control.client.clone()),
            dashboard: self.dashboard,
            state: self.folder.join("edge"),
            dialers: Dialers::local(),
            metrics: Some(rigbox_edge::MetricsListen::Unix(self.folder.join("metrics.sock"))),
            access_log: rigbox_edge::AccessLog::File {
                path: self.folder.join("access.log"),
                sample: 1,
            },
            limits: self.limits,
        };
        // A runtime of its own, so that all of it can be killed at once.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let edge = runtime.spawn(Box::pin(rigbox_edge::run(config, self.shutdown.clone())));
        self.edge = Some((runtime, edge));
        // Listening is the first thing that it does.
        until("the edge listens", async || TcpStream::connect(self.https).await.is_ok()).await;
    }

    /// Tells the edge to end; what it ends with.
    pub(crate) fn begin_stop(&mut self) -> JoinHandle<Result<(), EdgeError>> {
        self.shutdown.cancel();
        let (runtime, edge) = self.edge.take().unwrap();
        tokio::spawn(async move {
            let ended = edge.await.unwrap();
            end(runtime).await;
            ended
        })
    }

    /// Ends the edge between any two lines.
    pub(crate) async fn kill(&mut self) {
        let (runtime, _) = self.edge.take().unwrap();
        end(runtime).await;
    }

    /// Tells routes and waits until they are in effect.
    pub(crate) async fn routes(&self, routes: impl IntoIterator<Item = Route>) {
        let routes: Vec<_> = routes.into_iter().map(|route| self.route(route)).collect();
        self.control.tell(routes).await;
    }

    /// The event that tells of a route to this world's host.
    pub(crate) fn route(&self, route: Route) -> EdgeEvent {
        told(Route { host: Some(format!("unix:{}", self.host.path)), ..route })
    }

    /// One app at `port`, played by `to`.
    pub(crate) async fn serves(&self, name: &str, to: SocketAddr) {
        self.host.port(3_000, to);
        self.routes([app(1, name, 3_000)]).await;
    }

    pub(crate) async fn metrics(&self) -> String {
        let socket = self.folder.join("metrics.sock");
        let mut stream = None;
        // An edge that has just been started listens here last.
        until("the edge shows metrics", async || {
            stream = tokio::net::UnixStream::connect(&socket).await.ok();
            stream.is_some()
        })
        .await;
        let mut stream = stream.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// One number of the metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

/// Ends what runs, and waits until it is gone.
async fn end(runtime: Runtime) {
    let end = move || runtime.shutdown_timeout(Duration::from_secs(20));
    tokio::task::spawn_blocking(end).await.unwrap();
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((runtime, _)) = self.edge.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until something is so. Fails after a time that is far too long.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok(), "never: {what}");
}

/// An app that reads one request head at a time and answers each with what `answer` makes of it,
/// over as many connections as come.
pub(crate) async fn raw_app(
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    if stream.write_all(&answer(&head)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads up to the end of a head.
pub(crate) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers with the request's head as its body.
pub(crate) fn echo(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()).into_bytes()
}
