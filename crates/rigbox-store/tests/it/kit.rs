//! A database of its own for each test, a clock that the test turns, and makers of rows.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use camino::Utf8PathBuf;
use rigbox_store::{
    Clock, Store, StoreUrl,
    accounts::{Preferences, Profile},
    workspaces::{EnvVars, NewWorkspace, Wanted},
};
use rigbox_types::{
    AccountId, Desired, Generation, HostId, Observed, Quotas, Timestamp, WorkspaceId,
    api::workspaces::Idle,
    host::{Capacity, DriverName, Egress, HostRegistration, Observation, Resources, Sequence},
};

use crate::postgres::Server;

pub(crate) const SECOND: i64 = 1_000_000;

/// A clock that stands still until it is turned.
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000 * SECOND)))
    }

    pub(crate) fn turn(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

/// What holds the database.
pub(crate) enum Database {
    Sqlite { _dir: tempfile::TempDir },
    Postgres(Server),
}

/// An open store with one account and one host.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) url: StoreUrl,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) account: AccountId,
    pub(crate) host: HostId,
    pub(crate) database: Database,
    made: AtomicU64,
}

impl World {
    pub(crate) async fn on_sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("a dir/rigbox #1.db")).unwrap();
        Self::on(StoreUrl::Sqlite(path), Database::Sqlite { _dir: dir }).await
    }

    pub(crate) async fn on_postgres() -> Self {
        let server = Server::start();
        Self::on(server.url(), Database::Postgres(server)).await
    }

    async fn on(url: StoreUrl, database: Database) -> Self {
        let clock = TestClock::new();
        let store = Store::open(&url, clock.clone()).await.unwrap();
        let account = account(1);
        store.accounts().insert_user(account, &profile("operator"), None).await.unwrap();
        let host = host(1);
        store.hosts().register(&registration(&host)).await.unwrap();
        Self { store, url, clock, account, host, database, made: AtomicU64::new(0) }
    }

    /// Another process of the platform.
    pub(crate) async fn another_store(&self) -> Store {
        Store::open(&self.url, self.clock.clone()).await.unwrap()
    }

    /// Makes another account without a quota.
    pub(crate) async fn add_account(&self, n: u8) {
        let accounts = self.store.accounts();
        accounts.insert_user(account(n), &profile("operator"), None).await.unwrap();
    }

    /// Gives the world's account a plan and own numbers.
    pub(crate) async fn quota(&self, plan: &str, overrides: Quotas) {
        let edit = |_: &_, profile: &mut Profile| {
            profile.plan = plan.parse().unwrap();
            profile.overrides = overrides;
            Ok::<_, Infallible>(())
        };
        self.store.accounts().change(self.account, edit).await.unwrap();
    }

    /// A workspace that can be inserted, each time another one.
    pub(crate) fn new_workspace(&self) -> NewWorkspace {
        let n = self.made.fetch_add(1, Ordering::SeqCst);
        new_workspace(self.account, &self.host, n)
    }

    /// A connection past the store.
    pub(crate) async fn raw(&self) -> sqlx::AnyConnection {
        raw(&self.url).await
    }
}

pub(crate) async fn raw(url: &StoreUrl) -> sqlx::AnyConnection {
    use secrecy::ExposeSecret as _;
    use sqlx::Connection as _;
    sqlx::any::install_default_drivers();
    let address = match url {
        StoreUrl::Sqlite(path) => {
            format!("sqlite://{}?mode=rwc", path.as_str().replace(' ', "%20").replace('#', "%23"))
        }
        StoreUrl::Postgres(address) => address.expose_secret().to_owned(),
    };
    sqlx::AnyConnection::connect(&address).await.unwrap()
}

pub(crate) fn account(n: u8) -> AccountId {
    AccountId::from_random([n; 16])
}

/// A profile that says nothing but the plan.
pub(crate) fn profile(plan: &str) -> Profile {
    Profile {
        email: None,
        display_name: None,
        plan: plan.parse().unwrap(),
        overrides: Quotas::default(),
        disabled_at: None,
        preferences: Preferences::default(),
    }
}

pub(crate) fn host(n: u8) -> HostId {
    HostId::from_random([n; 8])
}

/// Room for 1,000 workspaces.
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

pub(crate) fn new_workspace(account: AccountId, host: &HostId, n: u64) -> NewWorkspace {
    NewWorkspace {
        id: workspace_id(n),
        account,
        name: format!("w-{n}").parse().unwrap(),
        region: "local".parse().unwrap(),
        host: host.clone(),
        image: "tiny".parse().unwrap(),
        template: None,
        wanted: wanted(),
    }
}

/// The n-th of 36^8 ids.
pub(crate) fn workspace_id(n: u64) -> WorkspaceId {
    let mut random = [0; 8];
    let mut rest = n;
    for byte in random.iter_mut().rev() {
        *byte = u8::try_from(rest % 36).unwrap();
        rest /= 36;
    }
    WorkspaceId::from_random(random)
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
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
    }
}

pub(crate) fn observation(
    workspace: &WorkspaceId,
    generation: u64,
    observed: Observed,
    (incarnation, count): (u64, u64),
) -> Observation {
    Observation {
        workspace: workspace.clone(),
        generation: Generation(generation),
        observed,
        sequence: Sequence { incarnation, count },
        failure: None,
        ready_at: None,
        setup: Vec::new(),
        ssh_host_key: None,
        observed_at: Timestamp::from_micros(1_700_000_000 * SECOND),
    }
}
