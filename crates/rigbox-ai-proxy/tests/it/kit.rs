//! A proxy of its own for each test, with a database of its own, before simulated providers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use rigbox_ai_proxy::{Config, Prices, ProviderConfig, ProviderSettings, RunError};
use rigbox_fabric::{Address, Client, ClientAuth, MultiplexedClient, ServerAuth};
use rigbox_store::{
    Clock, Store, StoreUrl, SystemClock,
    accounts::{Preferences, Profile},
    ledger::{Balance, Verdict},
    workspaces::{EnvVars, NewWorkspace, Wanted},
};
use rigbox_test_providers::{Options, Provider, Providers};
use rigbox_types::{
    AccountId, Desired, Generation, HostId, Quotas, Timestamp, WorkspaceId,
    api::{ai::AiMode, workspaces::Idle},
    host::{Capacity, DriverName, Egress, HostRegistration, Resources},
};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle, time::Duration};
use tokio_util::sync::CancellationToken;

/// The key of the platform at every provider.
pub(crate) const KEY: &str = "sk-canary-3f9d81c6a2";

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    folder: tempfile::TempDir,
    /// Where the proxy has its journal, from its next start on.
    pub(crate) journal: Utf8PathBuf,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) providers: Providers,
    pub(crate) store: Store,
    pub(crate) url: StoreUrl,
    pub(crate) account: AccountId,
    pub(crate) host: HostId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) client: MultiplexedClient,
    proxy: Option<Running>,
}

/// The time, and what a test has turned it by.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let turned = self.0.load(Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().as_micros() + turned)
    }
}

impl TestClock {
    pub(crate) fn turn(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// What the head says that it has cost.
    pub(crate) fn cost(&self) -> Option<i64> {
        Some(self.headers.get("x-rigbox-cost-micro")?.to_str().unwrap().parse().unwrap())
    }

    /// The documents of a stream of events, but for `[DONE]`.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.text().lines().filter_map(|line| line.strip_prefix("data: "));
        let documents = lines.filter(|line| *line != "[DONE]");
        documents.map(|document| serde_json::from_str(document).unwrap()).collect()
    }
}

impl World {
    /// With so many credits a month; none for no limit.
    pub(crate) async fn new(credits: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let url: StoreUrl = format!("sqlite:{}", path.join("rigbox.db")).parse().unwrap();
        let clock = Arc::new(TestClock::default());
        let store = Store::open(&url, clock.clone()).await.unwrap();
        let account = AccountId::from_random([1; 16]);
        store.accounts().insert_user(account, &profile(credits), None).await.unwrap();
        let host = HostId::from_random([1; 8]);
        store.hosts().register(&registration(&host)).await.unwrap();
        let workspace = WorkspaceId::from_random([2; 8]);
        let new = new_workspace(account, &host, &workspace);
        store.workspaces().insert(&new, None).await.unwrap();
        let options = Options { key: Some(KEY.to_owned()), ..Options::default() };
        let providers = Providers::start(options).await.unwrap();
        let address: Address = format!("unix:{}", path.join("ai.sock")).parse().unwrap();
        let client = Client::multiplexed(address, &ClientAuth::Local).unwrap();
        let journal = path.join("journal");
        let mut world = Self {
            folder,
            journal,
            clock,
            providers,
            store,
            url,
            account,
            host,
            workspace,
            client,
            proxy: None,
        };
        world.set(true, AiMode::Managed).await;
        world.start().await;
        world
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    /// Switches AI on or off, and says who pays.
    pub(crate) async fn set(&self, enabled: bool, mode: AiMode) {
        let edit = |settings: &mut rigbox_store::ai::AiSettings| {
            settings.choice.enabled = Some(enabled);
            settings.choice.mode = Some(mode);
            Ok::<_, rigbox_store::StoreError>(Vec::new())
        };
        self.store.ai().workspace_change(&self.workspace, edit).await.unwrap();
    }

    fn config(&self) -> Config {
        Config {
            journal: self.journal.clone(),
            clock: self.clock.clone(),
            ..config(&self.path(""), self.url.clone(), &bases(&self.providers))
        }
    }

    pub(crate) async fn start(&mut self) {
        let (stop, config) = (CancellationToken::new(), self.config());
        let task = tokio::spawn(rigbox_ai_proxy::run(config, stop.clone()));
        self.proxy = Some(Running { stop, task });
        let serves = async {
            while self.metrics().await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, serves).await.unwrap();
    }

    /// Starts the proxy, which is to fail.
    pub(crate) async fn fail(&mut self) -> RunError {
        let run = rigbox_ai_proxy::run(self.config(), CancellationToken::new());
        tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap_err()
    }

    /// Ends the proxy in order.
    pub(crate) async fn stop(&mut self) {
        let running = self.proxy.take().unwrap();
        running.stop.cancel();
        running.task.await.unwrap().unwrap();
    }

    pub(crate) async fn metrics(&self) -> Option<String> {
        let request = Request::get("/internal/v1/ai/metrics").body(Body::empty()).unwrap();
        let answer = self.client.request(request).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    /// A request of the workspace, as the host's relay passes it on.
    pub(crate) fn request(&self, method: Method, path: &str, body: &str) -> Request<Body> {
        let (host, workspace) = (&self.host, &self.workspace);
        let uri = format!("/internal/v1/hosts/{host}/ai/{workspace}{path}");
        Request::builder().method(method).uri(uri).body(Body::from(body.to_owned())).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        tokio::time::timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap();
        let body = body.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.request(Method::POST, path, &body.to_string())).await
    }

    pub(crate) async fn balance(&self) -> Balance {
        self.store.ledger().balance(self.account).await.unwrap()
    }

    /// What was charged in all, once nothing is held or waits any more.
    pub(crate) async fn charged(&self) -> i64 {
        let settled = async {
            loop {
                let waits = self.metrics().await.is_some_and(|text| {
                    !text.contains("rigbox_ai_calls_to_be_posted 0\n")
                        || !text.contains("rigbox_ai_calls_under_way 0\n")
                });
                if !waits {
                    return self.balance().await.used.micro();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.unwrap()
    }

    /// The ledger adds up.
    pub(crate) async fn is_whole(&self) {
        let verdict = self.store.ledger().verify().await.unwrap();
        assert!(matches!(verdict, Verdict::Whole(_)), "{verdict:?}");
    }

    pub(crate) async fn limit(&self, credits: Option<u64>) {
        let edit = |_: &_, profile: &mut Profile| {
            profile.overrides = quotas(credits);
            Ok::<_, Infallible>(())
        };
        self.store.accounts().change(self.account, edit).await.unwrap();
    }
}

/// Below the directory of a proxy: a file of prices of its own.
pub(crate) const PRICES: &str = "prices.toml";

/// Where each provider is.
pub(crate) fn bases(providers: &Providers) -> BTreeMap<String, String> {
    let names = [
        ("openai", Provider::OpenAi),
        ("anthropic", Provider::Anthropic),
        ("google", Provider::Google),
        ("openrouter", Provider::OpenRouter),
        ("brave", Provider::Brave),
    ];
    let base = |provider| match provider {
        Provider::OpenRouter => format!("{}/api", providers.base(provider)),
        _ => providers.base(provider),
    };
    names.map(|(name, provider)| (name.to_owned(), base(provider))).into()
}

/// A proxy that has all its files in one directory; prices of its own are read where there are some.
pub(crate) fn config(path: &Utf8Path, store: StoreUrl, bases: &BTreeMap<String, String>) -> Config {
    let provider = |(name, base): (&String, &String)| ProviderConfig {
        name: name.parse().unwrap(),
        settings: ProviderSettings { base_url: Some(base.clone()), ..ProviderSettings::default() },
        key: Some(KEY.to_owned().into()),
        authorities: None,
    };
    let file = Some(path.join(PRICES)).filter(|file| file.exists());
    Config {
        store,
        clock: Arc::new(SystemClock),
        secrets: path.to_owned(),
        journal: path.join("journal"),
        listen: format!("unix:{}", path.join("ai.sock")).parse().unwrap(),
        auth: ServerAuth::Local { peer_uid: None },
        providers: bases.iter().map(provider).collect(),
        aliases: BTreeMap::from([(
            "rigbox/default".to_owned(),
            "anthropic/claude-sonnet-4-5".to_owned(),
        )]),
        prices: Prices { file, reload: Arc::new(Notify::new()) },
    }
}

pub(crate) fn quotas(credits: Option<u64>) -> Quotas {
    Quotas { max_ai_credits_per_month: credits, ..Quotas::default() }
}

pub(crate) fn profile(credits: Option<u64>) -> Profile {
    Profile {
        email: None,
        display_name: None,
        plan: "operator".parse().unwrap(),
        overrides: quotas(credits),
        disabled_at: None,
        preferences: Preferences::default(),
    }
}

pub(crate) fn registration(id: &HostId) -> HostRegistration {
    HostRegistration {
        id: id.clone(),
        region: "local".parse().unwrap(),
        address: "unix:/run/host.sock".to_owned(),
        version: "1.2.3".to_owned(),
        driver: DriverName::QemuTcg,
        capacity: Capacity { vcpus: 2_000, memory_mib: 512_000, disk_mib: 1_024_000 },
    }
}

pub(crate) fn new_workspace(account: AccountId, host: &HostId, id: &WorkspaceId) -> NewWorkspace {
    NewWorkspace {
        id: id.clone(),
        account,
        name: id.as_str().parse().unwrap(),
        region: "local".parse().unwrap(),
        host: host.clone(),
        image: "tiny".parse().unwrap(),
        template: None,
        wanted: Wanted {
            desired: Desired::Stopped,
            restart_generation: Generation(0),
            retry_generation: Generation(0),
            force: false,
            resources: Resources { vcpus: 2, memory_mib: 512, disk_mib: 1_024 },
            egress: Egress::default(),
            idle: Idle::default(),
            env: Some(EnvVars(BTreeMap::new())),
            setup_scripts: Vec::new(),
            service_specs: Vec::new(),
            creation_attempts: 0,
            creation_started_at: None,
        },
    }
}
