//! The host agent as a whole: opens what it owns, takes over what a former agent left, runs until it
//! is told to end. Invariant: when it ends, however it ends, every VM runs on.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rigbox_fabric::{
    Address, Client, ClientAuth, Listener, MultiplexedClient, ServerAuth,
    dial::{self, DialListener},
    task,
};
use rigbox_types::{Desired, host::Assignment};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, DataLock, Drivers, Layout,
    admission::{self, Ledger},
    backup,
    cgroup::Cgroups,
    clock, control,
    disk::Disks,
    host::Host,
    metrics::{self, Metrics},
    net::{address, host_table, pool::Pool, relays::Upstreams},
    record::{Found, Record},
    relay::gateway::Ways,
    reports::Reports,
    salvage, serve, sweep,
    table::Table,
    trouble::StepError,
};

/// How often it is looked whether the clock jumped.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// After so many looks guests are told the time although nothing jumped: theirs drift. Ten minutes.
const CLOCK_LOOKS: u32 = 120;

/// A jump that guests are told of. Less is the business of whoever steers the host's clock slowly.
const CLOCK_JUMP: Duration = Duration::from_millis(500);

/// How long tasks may take to let go of what they hold.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Layout(#[from] crate::LayoutError),
    /// Another agent has the data directory.
    #[error(transparent)]
    Lock(#[from] crate::LockError),
    /// The records cannot be read.
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    /// Something that the host needs for all workspaces cannot be had.
    #[error("{what}")]
    Part {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HostError {
    pub(crate) fn part<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Part { what, source: source.into() }
    }
}

/// Runs the agent until `shutdown`.
///
/// # Errors
/// Where it cannot start. Once it runs it ends only when it is told to.
pub async fn run(
    config: Config,
    drivers: Drivers,
    shutdown: CancellationToken,
) -> Result<(), HostError> {
    let layout = Layout::open(&config.data)?;
    let lock = DataLock::take(&layout)?;
    let (host, records) = open(config, layout, drivers, &lock).await?;
    let listener = listen(&host).await?;
    let address = listener.address().to_string();
    start(&host, records, &shutdown);
    let dialer = Arc::new(serve::Dials::new(host.clone()));
    let router = serve::router(&host).merge(dial::router(dialer.clone()));
    task::spawn("host.listen", rigbox_fabric::serve(listener, router, shutdown.clone()));
    let dials = DialListener::bind(&host.config.dial_path(), host.config.control_uid)
        .await
        .map_err(HostError::part("open the socket for dials"))?;
    task::spawn("host.dials", dials.serve(dialer.clone(), shutdown.clone()));
    serve_parts(&host, &dialer, &shutdown).await?;
    task::spawn("host.control", control::follow(host.clone(), address, shutdown.clone()));
    task::spawn("host.report", control::report(host.clone(), shutdown.clone()));
    task::spawn("host.sweep", sweep_often(host.clone(), shutdown.clone()));
    task::spawn("host.clock", watch_clock(host.clone(), shutdown.clone()));
    tracing::info!(host = %host.config.id, tag = host.layout.tag(), "host agent runs");
    shutdown.cancelled().await;
    host.table.wait().await;
    control::report_last(&host).await;
    if let Err(error) = task::drain(DRAIN_LIMIT).await {
        tracing::warn!(%error, "ending all the same");
    }
    Ok(())
}

/// Opens a socket for dials for each other part of this machine that reaches into workspaces.
async fn serve_parts(
    host: &Host,
    dialer: &Arc<serve::Dials>,
    shutdown: &CancellationToken,
) -> Result<(), HostError> {
    let Config { dial_edge, edge_uid, dial_ssh, ssh_uid, .. } = &host.config;
    for (name, path, uid, failed) in [
        ("host.dials.edge", dial_edge, *edge_uid, "open the edge's socket for dials"),
        ("host.dials.ssh", dial_ssh, *ssh_uid, "open the SSH gateway's socket for dials"),
    ] {
        let Some(path) = path else { continue };
        let dials = DialListener::bind(path, uid).await.map_err(HostError::part(failed))?;
        task::spawn(name, dials.serve(dialer.clone(), shutdown.clone()));
    }
    Ok(())
}

/// Opens everything that all workspaces share, and reads the records.
pub(crate) async fn open(
    config: Config,
    layout: Layout,
    drivers: Drivers,
    lock: &DataLock,
) -> Result<(Arc<Host>, Vec<Record>), HostError> {
    let incarnation = lock.next_incarnation(&layout, clock::micros())?;
    let disks = Disks::open(&layout, &config.disk)
        .await
        .map_err(HostError::part("open the storage for disks"))?;
    if let Err(error) = backup::clear_left(&layout) {
        tracing::warn!(%error, "copies of a backup that is gone stay");
    }
    let cgroups = Cgroups::open(layout.cgroup(), disks.device())
        .map_err(HostError::part("find the cgroups"))?;
    let cidr = address::choose(&layout, &config.network)
        .await
        .map_err(HostError::part("choose addresses"))?;
    host_table::make(&layout).await.map_err(HostError::part("set the host's rules"))?;
    let capacity = admission::capacity(&config.capacity, &disks)
        .map_err(HostError::part("measure the machine"))?;
    let ledger = Ledger::new(capacity, config.network.first_uid);
    let records = load(&layout, &disks, &cgroups)?;
    let mut slots = BTreeSet::new();
    for record in &records {
        ledger.set(record);
        slots.extend(record.slot);
    }
    let pool = Pool::new(layout.clone(), cidr, config.network.pool_size, slots);
    let ways = Ways::new(config.id.clone(), client(&config)?, client_of_ai(&config)?);
    let resolvers = config.network.resolvers.clone();
    let host = Arc::new(Host {
        upstreams: Upstreams { resolvers, ways },
        reports: Reports::new(incarnation),
        metrics: Metrics::default(),
        table: Table::default(),
        clock_told: watch::Sender::new(0),
        config,
        layout,
        drivers,
        disks,
        cgroups,
        pool,
        ledger,
    });
    Ok((host, records))
}

/// Starts the workspaces that have a record, and what keeps the pool filled.
fn start(host: &Arc<Host>, records: Vec<Record>, shutdown: &CancellationToken) {
    for record in records {
        host.table.start(host, record, shutdown);
    }
    let (filled, shutdown) = (host.clone(), shutdown.clone());
    task::spawn("host.pool", async move {
        // What a former agent had in its pool is nobody's now; it goes before slots are given out.
        clear_pool(&filled).await;
        filled.pool.fill(shutdown).await;
    });
}

async fn clear_pool(host: &Host) {
    for slot in host.pool.strays().unwrap_or_default() {
        if let Err(error) = host.pool.remove_stray(slot).await {
            tracing::warn!(slot, error = %StepError::from(error).chain(), "namespace not removed");
        }
    }
}

/// Reads all records. One that is corrupt is set aside; if there is a disk, a record is made up
/// from it, so that nobody's work is taken for nothing.
fn load(layout: &Layout, disks: &Disks, cgroups: &Cgroups) -> Result<Vec<Record>, HostError> {
    let mut records = Vec::new();
    for found in Record::load_all(layout)? {
        match found {
            Found::Record(record) => records.push(record),
            Found::SetAside { workspace, path, reason } => {
                tracing::error!(%workspace, %path, %reason, "corrupt record set aside");
                records.extend(salvage::make_up(layout, disks, cgroups, &workspace));
            }
            Found::Nothing { workspace } => {
                // Its record was removed, the directory around it not yet. What was set aside stays.
                let dir = layout.workspace_dir(&workspace);
                tracing::debug!(%dir, "directory without a record");
            }
        }
    }
    Ok(records)
}

fn client(config: &Config) -> Result<Client, HostError> {
    let auth = match &config.control {
        Address::Unix(_) => ClientAuth::Local,
        Address::Tls { .. } => serve::client_identity(config)?,
    };
    Client::new(config.control.clone(), &auth)
        .map_err(HostError::part("prepare the way to control"))
}

/// The way to the AI proxy, where there is one. It is part of control, wherever it runs.
fn client_of_ai(config: &Config) -> Result<Option<MultiplexedClient>, HostError> {
    let Some(address) = &config.ai else { return Ok(None) };
    let auth = match address {
        Address::Unix(_) => ClientAuth::Local,
        Address::Tls { .. } => serve::client_identity(config)?,
    };
    let client = Client::multiplexed(address.clone(), &auth);
    client.map(Some).map_err(HostError::part("prepare the way to the AI proxy"))
}

async fn listen(host: &Host) -> Result<Listener, HostError> {
    let auth = match &host.config.listen {
        Address::Unix(_) => ServerAuth::Local { peer_uid: host.config.control_uid },
        Address::Tls { .. } => serve::server_identity(&host.config)?,
    };
    let listener = Listener::bind(host.config.listen.clone(), &auth).await;
    listener.map_err(HostError::part("open the listener"))
}

async fn sweep_often(host: Arc<Host>, shutdown: CancellationToken) {
    let mut ticks = interval(host.config.times.sweep());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, while workspaces are still being taken over.
    ticks.tick().await;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let revived = host.table.revive(&host, &shutdown).await;
        host.metrics.revivals_total.fetch_add(revived, Ordering::Relaxed);
        sweep::sweep(&host).await;
    }
}

/// Tells guests the time when the host's clock jumped, which theirs did not, and now and then.
async fn watch_clock(host: Arc<Host>, shutdown: CancellationToken) {
    let (mut last, mut looks) = (clock::ahead(), 0_u32);
    let mut ticks = interval(CLOCK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = clock::ahead();
        let jumped = now.abs_diff(last) > CLOCK_JUMP;
        if jumped {
            tracing::warn!("the clock jumped: telling the guests");
            metrics::count(&host.metrics.clock_jumps_total);
        }
        looks = looks.wrapping_add(1);
        if jumped || looks.is_multiple_of(CLOCK_LOOKS) {
            host.clock_told.send_modify(|told| *told = told.wrapping_add(1));
        }
        last = now;
    }
}

/// The same assignment, at rest: what `down` wants of every workspace. One that is being deleted
/// goes on being deleted.
pub(crate) fn at_rest(assignment: &Assignment) -> Assignment {
    let mut resting = assignment.clone();
    resting.desired = match assignment.desired {
        Desired::Running | Desired::Stopped | Desired::Suspended => Desired::Stopped,
        Desired::Deleted => Desired::Deleted,
    };
    resting
}
