//! Rigbox between a caller in a workspace and a provider, as it runs: the host's gateways in one process,
//! the AI proxy in another, with the database and the journal on disk.
//! Invariants: neither process does anything else; all calls together were charged exactly what they cost,
//! or the run fails.
//! There is no micro-VM and no namespace: gateways listen at ports of the machine.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use camino::{Utf8Path, Utf8PathBuf};
use http::Request;
use http_body_util::BodyExt as _;
use rigbox_ai_proxy::{Config, Prices, ProviderConfig, ProviderSettings};
use rigbox_fabric::{Address, Client, ClientAuth, MultiplexedClient, ServerAuth, descriptors};
use rigbox_host::relay::gateway::{Gateway, Ways};
use rigbox_store::{
    Store, StoreError, StoreUrl, SystemClock,
    accounts::{Preferences, Profile},
    ai::AiSettings,
    workspaces::{EnvVars, NewWorkspace, Wanted},
};
use rigbox_types::{
    AccountId, Desired, Generation, HostId, Quotas, WorkspaceId,
    api::{ai::AiMode, workspaces::Idle},
    host::{Capacity, DriverName, Egress, HostRegistration, Resources},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::upstream::COST_MICRO;
use crate::{
    output::data,
    process::{Process, until_input_ends},
};

/// Accounts, and workspaces of each. A workspace may have 64 calls under way and an account 1,024.
const ACCOUNTS: u8 = 4;
const WORKSPACES: u8 = 8;

/// The proxy's socket and the database, below the folder.
const SOCKET: &str = "ai.sock";
const DATABASE: &str = "rigbox.db";
/// How long it may take until the proxy serves, and until all calls are in the ledger.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a file system in memory is known by.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// What the proxy is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeProxy {
    /// Directory of its own, with the database.
    folder: Utf8PathBuf,
    /// The provider.
    upstream: SocketAddr,
}

/// What the gateways are told on their command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeRelay {
    /// Directory with the proxy's socket.
    folder: Utf8PathBuf,
}

/// The proxy until standard input ends, as `rigbox ai-proxy` runs it.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn serve_proxy(options: ServeProxy) -> Result<()> {
    descriptors::raise_limit().context("raise the limit of open files")?;
    let base = format!("http://{}", options.upstream);
    let provider = ProviderConfig {
        name: "openai".parse().context("a provider's name")?,
        settings: ProviderSettings { base_url: Some(base), ..ProviderSettings::default() },
        key: Some("sk-of-nobody".to_owned().into()),
        authorities: None,
    };
    let folder = options.folder;
    let config = Config {
        store: database(&folder)?,
        clock: Arc::new(SystemClock),
        secrets: folder.clone(),
        journal: folder.join("journal"),
        listen: Address::Unix(folder.join(SOCKET)),
        auth: ServerAuth::Local { peer_uid: None },
        providers: vec![provider],
        aliases: BTreeMap::new(),
        prices: Prices { file: None, reload: Arc::new(Notify::new()) },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        data(folder.join(SOCKET).as_str());
        until_input_ends(shutdown.clone());
        Box::pin(rigbox_ai_proxy::run(config, shutdown)).await.context("serve")
    })
}

/// The gateways of all workspaces until standard input ends, as a host runs them.
///
/// # Errors
/// When they cannot serve.
pub(crate) fn serve_relay(options: &ServeRelay) -> Result<()> {
    descriptors::raise_limit().context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Nobody asks control here.
        let control = Address::Unix(options.folder.join("control.sock"));
        let control = Client::new(control, &ClientAuth::Local).context("a client of control")?;
        let ways = Ways::new(host(), control, Some(proxy_client(&options.folder)?));
        let shutdown = CancellationToken::new();
        let (mut serving, mut addresses) = (tokio::task::JoinSet::new(), Vec::new());
        for (_, workspace) in workspaces() {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen")?;
            addresses.push(listener.local_addr()?.to_string());
            serving.spawn(Gateway::new(workspace, ways.clone()).serve(listener, shutdown.clone()));
        }
        data(&addresses.join(","));
        until_input_ends(shutdown);
        while serving.join_next().await.is_some() {}
        Ok(())
    })
}

/// Both processes and what is around them.
pub(super) struct Product {
    pub(super) proxy: Process,
    pub(super) relay: Process,
    /// Of the gateways, one for each workspace.
    pub(super) addresses: Vec<SocketAddr>,
    folder: Utf8PathBuf,
}

impl Product {
    /// Starts everything in a folder of its own.
    pub(super) async fn start(folder: &Utf8Path, upstream: SocketAddr) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {folder}"))?;
        let kind = rustix::fs::statfs(folder.as_std_path()).context("look at the file system")?;
        ensure!(
            kind.f_type != TMPFS_MAGIC,
            "{folder} is in memory: name a directory on a disk with --scratch"
        );
        fill(folder).await.context("fill the database")?;
        let proxy = Process::start(&["serve-ai-proxy", folder.as_str(), &upstream.to_string()])?;
        let client = proxy_client(folder)?;
        let began = Instant::now();
        while metrics(&client).await.is_none() {
            ensure!(began.elapsed() < PATIENCE, "the AI proxy does not serve");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let relay = Process::start(&["serve-ai-relay", folder.as_str()])?;
        let addresses = relay.address.split(',').map(str::parse).collect::<Result<_, _>>();
        let addresses = addresses.context("the gateways' addresses")?;
        Ok(Self { proxy, relay, addresses, folder: folder.to_owned() })
    }

    /// Ends it, and compares what the ledger has charged with what so many calls cost.
    pub(super) async fn end(mut self, calls: u64) -> Result<()> {
        let client = proxy_client(&self.folder)?;
        let began = Instant::now();
        while !is_settled(&metrics(&client).await.context("the AI proxy is gone")?) {
            ensure!(began.elapsed() < PATIENCE, "calls are not posted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.relay.end().context("end the gateways")?;
        self.proxy.end().context("end the AI proxy")?;
        let store = Store::open(&database(&self.folder)?, Arc::new(SystemClock)).await?;
        let mut used = 0;
        for account in (0..ACCOUNTS).map(account) {
            used += store.ledger().balance(account).await?.used.micro();
        }
        let verdict = store.ledger().verify().await?;
        ensure!(
            matches!(verdict, rigbox_store::ledger::Verdict::Whole(_)),
            "the ledger does not add up: {verdict:?}"
        );
        store.close().await;
        let due = i64::try_from(calls)?.saturating_mul(COST_MICRO);
        ensure!(used == due, "{calls} calls cost {due} micro-credits, and {used} were charged");
        Ok(())
    }
}

fn is_settled(metrics: &str) -> bool {
    ["rigbox_ai_calls_to_be_posted 0\n", "rigbox_ai_calls_under_way 0\n"]
        .iter()
        .all(|line| metrics.contains(line))
}

async fn metrics(client: &MultiplexedClient) -> Option<String> {
    let request = Request::get("/internal/v1/ai/metrics").body(Body::empty()).ok()?;
    let answer = client.request(request).await.ok()?;
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    String::from_utf8(body.to_vec()).ok()
}

fn proxy_client(folder: &Utf8Path) -> Result<MultiplexedClient> {
    let address = Address::Unix(folder.join(SOCKET));
    Client::multiplexed(address, &ClientAuth::Local).context("a client of the AI proxy")
}

fn database(folder: &Utf8Path) -> Result<StoreUrl> {
    format!("sqlite:{}", folder.join(DATABASE)).parse().context("the address of the database")
}

fn host() -> HostId {
    HostId::from_random([1; 8])
}

fn account(nth: u8) -> AccountId {
    AccountId::from_random([nth + 1; 16])
}

/// All workspaces, each with whose it is.
fn workspaces() -> impl Iterator<Item = (AccountId, WorkspaceId)> {
    // Neighbours are of different accounts.
    let all = (0..WORKSPACES).flat_map(|at| (0..ACCOUNTS).map(move |nth| (nth, at)));
    all.map(|(nth, at)| (account(nth), WorkspaceId::from_random([nth * WORKSPACES + at; 8])))
}

/// A database with everybody who calls, for whom the platform pays without a limit.
async fn fill(folder: &Utf8Path) -> Result<()> {
    let store = Store::open(&database(folder)?, Arc::new(SystemClock)).await?;
    store.hosts().register(&registration()?).await?;
    for nth in 0..ACCOUNTS {
        store.accounts().insert_user(account(nth), &profile()?, None).await?;
    }
    for (account, workspace) in workspaces() {
        store.workspaces().insert(&new_workspace(account, &workspace)?, None).await?;
        let edit = |settings: &mut AiSettings| {
            settings.choice.enabled = Some(true);
            settings.choice.mode = Some(AiMode::Managed);
            Ok::<_, StoreError>(Vec::new())
        };
        store.ai().workspace_change(&workspace, edit).await?;
    }
    store.close().await;
    Ok(())
}

fn profile() -> Result<Profile> {
    Ok(Profile {
        email: None,
        display_name: None,
        plan: "operator".parse().context("a plan")?,
        overrides: Quotas { max_ai_credits_per_month: None, ..Quotas::default() },
        disabled_at: None,
        preferences: Preferences::default(),
    })
}

fn registration() -> Result<HostRegistration> {
    Ok(HostRegistration {
        id: host(),
        region: "local".parse().context("a region")?,
        address: "unix:/run/host.sock".to_owned(),
        version: "1.2.3".to_owned(),
        driver: DriverName::QemuTcg,
        capacity: Capacity { vcpus: 2_000, memory_mib: 512_000, disk_mib: 1_024_000 },
    })
}

fn new_workspace(account: AccountId, id: &WorkspaceId) -> Result<NewWorkspace> {
    Ok(NewWorkspace {
        id: id.clone(),
        account,
        name: id.as_str().parse().context("a name")?,
        region: "local".parse().context("a region")?,
        host: host(),
        image: "tiny".parse().context("an image")?,
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
    })
}
