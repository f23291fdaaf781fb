//! Control with a database of its own and one host, for one test.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{
    Clock, Config, EdgeConfig, OidcProvider, Patience, SshGateway, SystemClock, run,
};
use rigbox_fabric::{Address, ClientAuth, ServerAuth};
use rigbox_store::StoreUrl;
use rigbox_types::{Timestamp, rate::RateLimits};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, PATIENCE},
    host::Host,
    postgres::Server,
};

/// No test that is not about rates meets one.
const PLENTY: RateLimits = RateLimits {
    authentication: 1_000_000,
    workspaces: 1_000_000,
    apps: 1_000_000,
    open: 1_000_000,
};

/// Longer than a client waits for an answer: one that comes was not given because the time was over.
const UNTIL_IT_IS_SO: Patience = Patience {
    edges: Duration::from_secs(600),
    any_edge: Duration::from_secs(600),
    guests: Duration::from_secs(600),
};

/// For those who are waited for in vain.
const IN_VAIN: Patience = Patience {
    edges: Duration::from_secs(1),
    any_edge: Duration::from_secs(1),
    guests: Duration::from_secs(1),
};

/// The machine's clock, which tests turn on.
#[derive(Default)]
pub(crate) struct TestClock {
    ahead: AtomicI64,
    /// Where it stands still; zero while it goes.
    stopped: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::SeqCst);
        let base = match self.stopped.load(Ordering::SeqCst) {
            0 => SystemClock.now().as_micros(),
            stopped => stopped,
        };
        Timestamp::from_micros(base + ahead)
    }
}

impl TestClock {
    /// From here on it goes only as it is turned, however slow the machine is.
    pub(crate) fn stop(&self) {
        self.stopped.store(SystemClock.now().as_micros(), Ordering::SeqCst);
    }

    pub(crate) fn turn(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) api: Client,
    pub(crate) host: Host,
    pub(crate) store: StoreUrl,
    pub(crate) clock: Arc<TestClock>,
    /// What holds the database, where that is no file.
    _server: Option<Server>,
    pub(crate) rates: RateLimits,
    providers: Vec<OidcProvider>,
    resolver: Option<SocketAddr>,
    patience: Patience,
    /// Ends control only.
    pub(crate) shutdown: CancellationToken,
    pub(crate) control: Option<JoinHandle<()>>,
    /// Ends everything else.
    pub(crate) end: CancellationToken,
}

impl World {
    /// Control and a host that has registered and watches.
    pub(crate) async fn start() -> Self {
        Self::without_host().await.with_host().await
    }

    /// The same over PostgreSQL.
    pub(crate) async fn on_postgres() -> Self {
        Self::without_host_on(Some(Server::start()), PLENTY).await.with_host().await
    }

    /// Control, and a host that has not registered.
    pub(crate) async fn without_host() -> Self {
        Self::without_host_on(None, PLENTY).await
    }

    /// The same with providers by which people sign in.
    pub(crate) async fn with_providers(providers: Vec<OidcProvider>) -> Self {
        Self::of(None, PLENTY, providers).await
    }

    /// The same over PostgreSQL.
    pub(crate) async fn with_providers_on_postgres(providers: Vec<OidcProvider>) -> Self {
        Self::of(Some(Server::start()), PLENTY, providers).await
    }

    /// The same with the rate limits that users meet.
    pub(crate) async fn limited() -> Self {
        Self::without_host_on(None, RateLimits::default()).await
    }

    /// The same over PostgreSQL.
    pub(crate) async fn limited_on_postgres() -> Self {
        Self::without_host_on(Some(Server::start()), RateLimits::default()).await
    }

    async fn with_host(self) -> Self {
        self.host.register().await;
        self.host.watch(None, &self.end);
        self
    }

    async fn without_host_on(server: Option<Server>, rates: RateLimits) -> Self {
        Self::of(server, rates, Vec::new()).await
    }

    /// Control that answers only when what was decided is in effect.
    pub(crate) async fn patient() -> Self {
        Self::waits(None, UNTIL_IT_IS_SO).await
    }

    /// The same over PostgreSQL.
    pub(crate) async fn patient_on_postgres() -> Self {
        Self::waits(Some(Server::start()), UNTIL_IT_IS_SO).await
    }

    /// Control that does not wait for long until it is.
    pub(crate) async fn impatient() -> Self {
        Self::waits(None, IN_VAIN).await
    }

    /// The same over PostgreSQL.
    pub(crate) async fn impatient_on_postgres() -> Self {
        Self::waits(Some(Server::start()), IN_VAIN).await
    }

    async fn waits(server: Option<Server>, patience: Patience) -> Self {
        Self::of_all(server, PLENTY, (Vec::new(), None, patience)).await.with_host().await
    }

    /// Control that looks custom domains up there.
    pub(crate) async fn with_resolver(resolver: SocketAddr) -> Self {
        Self::of_all(None, PLENTY, (Vec::new(), Some(resolver), Patience::default()))
            .await
            .with_host()
            .await
    }

    async fn of(server: Option<Server>, rates: RateLimits, providers: Vec<OidcProvider>) -> Self {
        Self::of_all(server, rates, (providers, None, Patience::default())).await
    }

    async fn of_all(
        server: Option<Server>,
        rates: RateLimits,
        (providers, resolver, patience): (Vec<OidcProvider>, Option<SocketAddr>, Patience),
    ) -> Self {
        // Fails where another test of this process has set it up already.
        drop(tracing_subscriber::fmt().with_test_writer().try_init());
        let dir = TempDir::with_prefix("rb").unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        let (shutdown, end) = (CancellationToken::new(), CancellationToken::new());
        let file = || format!("sqlite:{}", path.join("rigbox.db")).parse().unwrap();
        let store = server.as_ref().map_or_else(file, Server::url);
        let clock = Arc::new(TestClock::default());
        let database = (store.clone(), clock.clone());
        let (base, control) = start_control(
            &path,
            database,
            internal(&path),
            (rates, &providers, (resolver, patience), &shutdown),
        )
        .await;
        let key = read_key(&path).await;
        let host = Host::start(&path, internal(&path), 7, &end).await;
        let api = Client::new(base, Some(key));
        Self {
            dir,
            api,
            host,
            store,
            clock,
            _server: server,
            rates,
            providers,
            resolver,
            patience,
            shutdown,
            control: Some(control),
            end,
        }
    }

    /// Another control on the same data, with the same caller.
    pub(crate) async fn another_control(&self) -> Client {
        let (path, store) = (self.path(), (self.store.clone(), self.clock.clone()));
        let internal = Address::Unix(path.join("c2.sock"));
        let beyond = (self.resolver, self.patience);
        let how = (self.rates, self.providers.as_slice(), beyond, &self.end);
        let (base, _) = start_control(&path, store, internal, how).await;
        Client::new(base, self.api.key.clone())
    }

    pub(crate) fn path(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().to_owned()
    }

    /// Ends control politely and waits until it is gone.
    pub(crate) async fn stop_control(&mut self) {
        self.shutdown.cancel();
        let control = self.control.take().unwrap();
        timeout(PATIENCE, control).await.expect("control ends").unwrap();
    }

    /// Starts control again on the same data.
    pub(crate) async fn start_control(&mut self) {
        self.shutdown = CancellationToken::new();
        let (path, store) = (self.path(), (self.store.clone(), self.clock.clone()));
        let beyond = (self.resolver, self.patience);
        let how = (self.rates, self.providers.as_slice(), beyond, &self.shutdown);
        let (base, control) = start_control(&path, store, internal(&path), how).await;
        self.api.base = base;
        self.control = Some(control);
    }

    /// Makes a workspace and gives its id.
    pub(crate) async fn create(&self, name: &str) -> String {
        let body = json!({ "name": name, "template_id": "tiny" });
        id(&self.api.json("POST", "/workspaces", body).await.expect(201))
    }

    /// Makes a workspace that runs and gives its id.
    pub(crate) async fn running(&self, name: &str) -> String {
        let id = self.create(name).await;
        self.api.post(&format!("/workspaces/{id}/start")).await.expect(200);
        self.host.run(&id).await;
        assert_eq!(self.status(&id).await, "running");
        id
    }

    /// The status of a workspace.
    pub(crate) async fn status(&self, id: &str) -> String {
        let value = self.api.get(&format!("/workspaces/{id}")).await.expect(200);
        value["vm"]["status"].as_str().unwrap().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.end.cancel();
    }
}

/// The id of a workspace that an answer is about.
pub(crate) fn id(answer: &Value) -> String {
    answer["vm"]["id"].as_str().unwrap().to_owned()
}

pub(crate) fn internal(dir: &Utf8Path) -> Address {
    Address::Unix(dir.join("c.sock"))
}

async fn read_key(dir: &Utf8Path) -> String {
    tokio::fs::read_to_string(dir.join("admin.key")).await.unwrap().trim().to_owned()
}

/// Starts control and waits until it answers.
async fn start_control(
    dir: &Utf8Path,
    (store, clock): (StoreUrl, Arc<TestClock>),
    internal: Address,
    (rates, providers, (resolver, patience), shutdown): (
        RateLimits,
        &[OidcProvider],
        (Option<SocketAddr>, Patience),
        &CancellationToken,
    ),
) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let config = Config {
        store,
        clock,
        secrets: dir.join("secrets"),
        admin_key_file: Some(dir.join("admin.key")),
        internal,
        internal_auth: ServerAuth::Local { peer_uid: None },
        host_auth: ClientAuth::Local,
        region: "here".parse().unwrap(),
        api_url: base.clone(),
        ssh: SshGateway {
            host: None,
            domain: "rigbox.test".to_owned(),
            port: 2222,
            enabled: true,
            internal: None,
            uid: None,
            dial_socket: None,
        },
        rates,
        audit_kept: Duration::from_secs(396 * 24 * 3600),
        trusted_proxies: Vec::new(),
        oidc: providers.to_vec(),
        edge: EdgeConfig { https_port: 8443, resolver, ..EdgeConfig::local(&base) },
        certificates: rigbox_control::CertificateConfig::default(),
        patience,
    };
    let running = run(config, listener, shutdown.clone());
    let control = tokio::spawn(async move { running.await.unwrap() });
    // The listener queues connections until control serves, so one answer means it is there.
    Client::new(base.clone(), None).get("/capacity").await.expect(200);
    (base, control)
}
