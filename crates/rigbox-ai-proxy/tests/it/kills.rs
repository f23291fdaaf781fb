//! The proxy as a process of its own that is killed with -9 again and again while it is called, and with
//! it, or without it, PostgreSQL and whoever changes credits as control does: no charge is lost and none is
//! made twice, by what the providers know, and no change of credits either.

mod changes;
mod load;

use std::{
    collections::BTreeMap,
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::body::Body;
use camino::{Utf8Path, Utf8PathBuf};
use http::Request;
use http_body_util::BodyExt as _;
use rigbox_fabric::{Address, Client, ClientAuth, MultiplexedClient};
use rigbox_store::{
    Store, StoreUrl, SystemClock,
    ledger::{Change, Stale, Verdict},
};
use rigbox_test_providers::{Ended, Options, Providers};
use rigbox_types::{
    AccountId, Credits, HostId, Timestamp, WorkspaceId,
    api::{ai::AiMode, credits::CreditChangeKind},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::changes::Changes;
use self::load::{Dice, Done, Kind, Load, Outcome, Who};
use crate::{
    kit::{KEY, bases, config, new_workspace, profile, registration},
    postgres::Server,
};

/// What a child of these tests is started with: see [`Start`].
const START: &str = "RIGBOX_TEST_AI_PROXY";

/// How many rounds there are instead of [`ROUNDS`].
const ROUNDS_ASKED: &str = "RIGBOX_TEST_AI_KILLS";

/// The same load again.
const SEED: &str = "RIGBOX_TEST_AI_KILLS_SEED";

const ROUNDS: u64 = 20;

/// Calls at once.
const CALLERS: u64 = 24;

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// All that a proxy in a process of its own must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Start {
    path: Utf8PathBuf,
    store: String,
    bases: BTreeMap<String, String>,
}

/// The proxy's process. Killed where it is dropped.
struct Process(Child);

impl Process {
    fn start(start: &Start) -> Self {
        // It ends with this thread, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "kills::serve_until_killed", "--nocapture"]);
        command.env(START, serde_json::to_string(start).unwrap());
        // That one ends because its database is away is told by its end.
        command.env("RUST_BACKTRACE", "0").stderr(Stdio::null());
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Ends it in order.
    fn stop(&mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The child of these tests; of no use by itself. It ends in order once nobody holds its input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_until_killed() {
    let Ok(start) = std::env::var(START) else { return };
    let start: Start = serde_json::from_str(&start).unwrap();
    let stop = CancellationToken::new();
    let config = config(&start.path, start.store.parse().unwrap(), &start.bases);
    let ends = stop.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        ends.cancel();
    });
    rigbox_ai_proxy::run(config, stop).await.unwrap();
}

struct Platform {
    folder: tempfile::TempDir,
    server: Option<Server>,
    store: Store,
    providers: Providers,
    client: MultiplexedClient,
    host: HostId,
    who: Vec<Who>,
    start: Start,
    proxy: Option<Process>,
    topped_up: AccountId,
    changes: Changes,
    /// What that one has got.
    given: Credits,
    serves: watch::Sender<bool>,
    begun: Arc<AtomicUsize>,
    /// All that was ever charged, by the calls.
    charged: i128,
}

impl Platform {
    async fn new(server: Option<Server>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let url: StoreUrl = server.as_ref().map_or_else(
            || format!("sqlite:{}", path.join("rigbox.db")).parse().unwrap(),
            Server::url,
        );
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let host = HostId::from_random([1; 8]);
        store.hosts().register(&registration(&host)).await.unwrap();
        let mut who = Vec::new();
        // Enough, no limit, and too little: what it lacks it gets in each round.
        for (n, credits) in [(1, Some(1_000_000)), (2, None), (3, Some(1))] {
            let account = AccountId::from_random([n; 16]);
            store.accounts().insert_user(account, &profile(credits), None).await.unwrap();
            for m in [0, 3] {
                let workspace = WorkspaceId::from_random([n + m; 8]);
                let new = new_workspace(account, &host, &workspace);
                store.workspaces().insert(&new, None).await.unwrap();
                let edit = |settings: &mut rigbox_store::ai::AiSettings| {
                    settings.choice.enabled = Some(true);
                    settings.choice.mode = Some(AiMode::Managed);
                    Ok::<_, rigbox_store::StoreError>(Vec::new())
                };
                store.ai().workspace_change(&workspace, edit).await.unwrap();
                who.push(Who { account, workspace });
            }
        }
        let options = Options { key: Some(KEY.to_owned()), ..Options::default() };
        let providers = Providers::start(options).await.unwrap();
        let address: Address = format!("unix:{}", path.join("ai.sock")).parse().unwrap();
        let client = Client::multiplexed(address, &ClientAuth::Local).unwrap();
        let store_url = match &url {
            StoreUrl::Sqlite(path) => format!("sqlite:{path}"),
            StoreUrl::Postgres(address) => address.expose_secret().to_owned(),
        };
        // No call of it is paid: what it has is what it got.
        let topped_up = AccountId::from_random([4; 16]);
        store.accounts().insert_user(topped_up, &profile(Some(0)), None).await.unwrap();
        let changes = Changes::start(&store_url, topped_up);
        let start = Start { path, store: store_url, bases: bases(&providers) };
        let (serves, _) = watch::channel(false);
        let (proxy, begun, charged) = (None, Arc::default(), 0);
        Self {
            folder,
            server,
            store,
            providers,
            client,
            host,
            who,
            start,
            proxy,
            topped_up,
            changes,
            given: Credits::ZERO,
            serves,
            begun,
            charged,
        }
    }

    /// Starts the proxy, again as often as it ends by itself, until it serves.
    async fn serve(&mut self) {
        let serving = async {
            loop {
                if self.proxy.as_mut().is_none_or(Process::has_ended) {
                    self.proxy = Some(Process::start(&self.start));
                }
                self.changes.keep();
                if self.is_serving().await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, serving).await.unwrap();
        self.serves.send_replace(true);
    }

    async fn is_serving(&self) -> bool {
        let request = Request::get("/internal/v1/ai/metrics").body(Body::empty()).unwrap();
        let Ok(answer) = self.client.request(request).await else { return false };
        answer.status().is_success() && answer.into_body().collect().await.is_ok()
    }

    fn kill_proxy(&mut self) {
        self.serves.send_replace(false);
        if let Some(mut proxy) = self.proxy.take() {
            proxy.kill();
        }
    }

    /// Kills the proxy, PostgreSQL or both, with whoever changes credits or without, and brings back what
    /// was killed.
    async fn kill(&mut self, dice: &mut Dice) {
        if dice.below(2) == 0 {
            self.changes.kill();
        }
        let kills_server = self.server.is_some() && dice.below(3) > 0;
        let kills_proxy = !kills_server || dice.below(2) == 0;
        let server_first = dice.below(2) == 0;
        if kills_proxy && !server_first {
            self.kill_proxy();
        }
        if kills_server {
            self.server.as_mut().unwrap().kill();
        }
        if kills_proxy && server_first {
            self.kill_proxy();
        }
        if kills_server {
            // One that starts while its database is away ends, and is started again.
            self.proxy.get_or_insert_with(|| Process::start(&self.start));
            self.server.as_mut().unwrap().start_again();
        }
        // Also in the middle of recovering.
        while kills_proxy && dice.below(3) == 0 {
            let mut proxy = self.proxy.take().unwrap_or_else(|| Process::start(&self.start));
            tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
            proxy.kill();
        }
        self.serve().await;
    }

    /// One round: calls, kills among them, and what is left is what it must be.
    async fn round(&mut self, mut dice: Dice) {
        self.providers.reset();
        for (n, who) in self.who.iter().enumerate().skip(4) {
            let key = format!("top-up-{}-{n}", self.begun.load(Ordering::SeqCst));
            let change = Change {
                account: who.account,
                kind: CreditChangeKind::TopUp,
                amount: Credits::from_micro(1_000_000).unwrap(),
                reason: "as agreed",
                actor: "key:1",
                key: &key,
            };
            self.store.ledger().change(&change).await.unwrap();
        }
        self.serve().await;
        let load = Arc::new(Load {
            client: self.client.clone(),
            host: self.host.clone(),
            who: self.who.clone(),
            serves: self.serves.subscribe(),
            ends: AtomicBool::new(false),
            begun: self.begun.clone(),
            done: Mutex::default(),
            answered: Notify::new(),
        });
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(load.clone().call_on(Dice(dice.below(u64::MAX) | 1))))
            .collect();
        for _ in 0..=dice.below(2) {
            let calls = dice.index(120);
            timeout(PATIENCE, load.after(calls)).await.unwrap();
            self.kill(&mut dice).await;
        }
        timeout(PATIENCE, load.after(40)).await.unwrap();
        load.ends.store(true, Ordering::SeqCst);
        if dice.below(2) == 0 {
            // The last ones in the middle of their calls, too.
            self.kill_proxy();
            self.serve().await;
        }
        for caller in callers {
            timeout(PATIENCE, caller).await.unwrap().unwrap();
        }
        self.stop(&mut dice).await;
        let done = std::mem::take(&mut *load.done.lock().unwrap());
        self.check(&done).await;
    }

    /// Ends the proxy in order, or kills it and lets the next one find what it has left.
    async fn stop(&mut self, dice: &mut Dice) {
        self.serves.send_replace(false);
        if dice.below(3) > 0 {
            self.kill_proxy();
            self.serve().await;
            self.serves.send_replace(false);
            let names = self.journal();
            assert_eq!(names.len(), 1, "{names:?}");
            let held = self.store.ledger().stale(Stale::NotOf("")).await.unwrap();
            assert!(held.is_empty(), "{held:?}");
        }
        self.proxy.take().unwrap().stop();
    }

    /// Segments of the journal.
    fn journal(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path().join("journal")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    /// Compares with what the providers know.
    async fn check(&mut self, done: &[Done]) {
        let is_over = |it: &rigbox_test_providers::Request| it.ended != Ended::Open;
        let requests = self.providers.requests_when(|all| all.iter().all(is_over)).await;
        assert!(requests.iter().all(is_over), "the simulator still works");
        let names: BTreeMap<u64, &str> = requests
            .iter()
            .map(|it| (it.id, it.header("user-agent").unwrap_or_default()))
            .collect();
        let mut billed = BTreeMap::new();
        for bill in self.providers.billed() {
            let name = names[&bill.request];
            let before = billed.insert(name, bill.counts);
            assert_eq!(before, None, "{name} was billed twice by its provider");
        }
        for call in done {
            let since = Timestamp::from_micros(0);
            let spent =
                self.store.ai_calls().spent(call.account, &call.name, (since, &[])).await.unwrap();
            let truth = billed.remove(call.name.as_str()).map(|counts| {
                let [read, made] =
                    [counts.read(), counts.made()].map(|it| i64::try_from(it).unwrap());
                read * call.prices.0 + made * call.prices.1
            });
            let asked = names.values().any(|name| *name == call.name);
            compare(call, (spent.requests, spent.charged.micro()), (truth, asked));
            self.charged += i128::from(spent.charged.micro());
        }
        assert!(billed.is_empty(), "billed to nobody: {billed:?}");
        let held = self.store.ledger().stale(Stale::NotOf("")).await.unwrap();
        assert!(held.is_empty(), "{held:?}");
        for who in &self.who {
            let balance = self.store.ledger().balance(who.account).await.unwrap();
            assert_eq!(balance.held, Credits::ZERO, "{balance:?}");
        }
        let given = self.changes.end(&self.store).await;
        let balance = self.store.ledger().balance(self.topped_up).await.unwrap();
        assert_eq!(balance.total(), given);
        self.given = given;
        self.changes.keep();
        match self.store.ledger().verify().await.unwrap() {
            Verdict::Whole(totals) => assert_eq!(totals.books["revenue"], self.charged),
            broken @ Verdict::Broken { .. } => panic!("{broken:?}"),
        }
    }
}

/// A call, how often and how much was charged for it, what its provider has billed, and whether that ever
/// saw it.
fn compare(call: &Done, (times, charged): (u64, i64), (truth, asked): (Option<i64>, bool)) {
    let said =
        || format!("{call:?} charged {times} times, {charged}, truth {truth:?}, asked {asked}");
    assert!(times <= 1, "twice: {}", said());
    assert!(truth.is_none() || times == 1, "free: {}", said());
    assert!((0..=call.most).contains(&charged), "more than was held: {}", said());
    match (call.outcome, call.kind) {
        (Outcome::Whole, _) => assert_eq!(Some(charged), truth, "not the price: {}", said()),
        (Outcome::Refused(_), Kind::HungUp) if asked => {
            assert!(charged > 0, "free: {}", said());
        }
        (Outcome::Refused(_), _) => assert_eq!(times, 0, "refused: {}", said()),
        // Settled by what was seen, or by what was held where it was killed.
        (Outcome::Broken, Kind::Cut | Kind::HungUp) | (Outcome::Left, _) => {}
        (Outcome::Broken, _) => {
            assert!(charged >= truth.unwrap_or(0), "less than the truth: {}", said());
        }
    }
}

async fn rounds(server: Option<Server>) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number(SEED).unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos()) | 1
    });
    let mut dice = Dice(seed);
    let mut platform = Platform::new(server).await;
    let rounds = number(ROUNDS_ASKED).unwrap_or(ROUNDS);
    for round in 0..rounds {
        eprintln!("round {round} of seed {seed}");
        platform.round(Dice(dice.below(u64::MAX) | 1)).await;
    }
    // Each round ends with one that this test makes itself.
    assert!(platform.given.micro() > i64::try_from(2 * rounds).unwrap(), "{}", platform.given);
    eprintln!("{} calls", platform.begun.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_proxy_loses_no_charge_and_makes_none_twice() {
    rounds(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn neither_does_one_whose_postgresql_is_killed() {
    rounds(Some(Server::start())).await;
}
