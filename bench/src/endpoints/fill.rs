//! Fills a store: one account with a thousand workspaces, which is the one that asks, and the rest
//! spread over a thousand others and a hundred hosts. Through the store, many in one transaction.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rigbox_store::{
    Store, StoreUrl, SystemClock,
    accounts::{Preferences, Profile},
    workspaces::{EnvVars, NewWorkspace, Wanted},
};
use rigbox_types::{
    AccountId, Desired, Generation, HostId, Quotas, WorkspaceId,
    api::workspaces::Idle,
    host::{Capacity, DriverName, Egress, HostRegistration, Resources},
};

/// Workspaces of the account that asks.
pub(super) const OWN: u64 = 1_000;
/// Accounts of the others.
const OTHERS: u64 = 1_000;
const HOSTS: u64 = 100;
/// Workspaces of one transaction.
const AT_ONCE: u64 = 5_000;

/// A store and what is in it.
pub(crate) struct Filled {
    store: Store,
    operator: AccountId,
    count: u64,
    /// Of the account that asks.
    pub(crate) own: Vec<WorkspaceId>,
}

impl Filled {
    /// Opens a store that has an operator and nothing else.
    pub(crate) async fn open(url: &StoreUrl) -> Result<Self> {
        let store = Store::open(url, Arc::new(SystemClock)).await.context("open the store")?;
        // The operator is there: another one is not made.
        let operator = store.accounts().ensure_operator(account(u64::MAX)).await?.id;
        for number in 0..OTHERS {
            store.accounts().insert_user(account(number), &profile()?, None).await?;
        }
        Ok(Self { store, operator, count: 0, own: Vec::new() })
    }

    /// Adds workspaces until there are `size`; says how long it took.
    pub(crate) async fn up_to(&mut self, size: u64) -> Result<Duration> {
        let began = Instant::now();
        self.hosts_are_heard().await?;
        while self.count < size {
            let end = size.min(self.count + AT_ONCE);
            let all: Result<Vec<NewWorkspace>> =
                (self.count..end).map(|n| self.workspace(n)).collect();
            let all = all?;
            self.store.workspaces().insert_all(&all).await?;
            let own = all.iter().filter(|new| new.account == self.operator);
            self.own.extend(own.map(|new| new.id.clone()));
            self.count = end;
        }
        Ok(began.elapsed())
    }

    /// A host that is silent for a minute gets no workspaces.
    pub(crate) async fn hosts_are_heard(&self) -> Result<()> {
        for number in 0..HOSTS {
            self.store.hosts().register(&registration(number)?).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.store.close().await;
    }

    fn workspace(&self, n: u64) -> Result<NewWorkspace> {
        let account = if n < OWN { self.operator } else { account(n % OTHERS) };
        Ok(NewWorkspace {
            id: WorkspaceId::from_random(spread(n)),
            account,
            name: format!("w-{n}").parse()?,
            region: "local".parse()?,
            host: host(n % HOSTS),
            image: "tiny".parse()?,
            template: Some("tiny".parse()?),
            wanted: Wanted {
                desired: Desired::Stopped,
                restart_generation: Generation::default(),
                retry_generation: Generation::default(),
                force: false,
                resources: Resources { vcpus: 1, memory_mib: 128, disk_mib: 512 },
                egress: Egress::default(),
                idle: Idle::default(),
                env: Some(EnvVars(BTreeMap::from([("KEY".to_owned(), "value".to_owned())]))),
                setup_scripts: Vec::new(),
                service_specs: Vec::new(),
                creation_attempts: 0,
                creation_started_at: None,
            },
        })
    }
}

/// Eight bytes, another eight for each number below 36^8, in no order: ids of a real platform are
/// random, and so are the places of their rows.
fn spread(n: u64) -> [u8; 8] {
    // Odd, so that no two numbers below the modulus meet; the golden ratio's share of it.
    const MODULUS: u64 = 36_u64.pow(8);
    const STEP: u64 = 1_743_566_107_177;
    let mut rest = u128::from(n) * u128::from(STEP) % u128::from(MODULUS);
    std::array::from_fn(|_| {
        let digit = u8::try_from(rest % 36).unwrap_or_default();
        rest /= 36;
        digit
    })
}

fn account(n: u64) -> AccountId {
    let mut bytes = [7; 16];
    bytes.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
    AccountId::from_random(bytes)
}

fn host(n: u64) -> HostId {
    HostId::from_random(spread(n))
}

fn profile() -> Result<Profile> {
    Ok(Profile {
        email: None,
        display_name: None,
        plan: "operator".parse()?,
        overrides: Quotas::default(),
        disabled_at: None,
        preferences: Preferences::default(),
    })
}

/// Room for all that is made.
fn registration(n: u64) -> Result<HostRegistration> {
    Ok(HostRegistration {
        id: host(n),
        region: "local".parse()?,
        address: "unix:/nowhere.sock".to_owned(),
        version: "0".to_owned(),
        driver: DriverName::QemuTcg,
        capacity: Capacity { vcpus: 1 << 20, memory_mib: 1 << 32, disk_mib: 1 << 40 },
    })
}
