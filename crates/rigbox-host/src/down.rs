//! Takes an instance down: every VM ends in order, and no kernel object of the instance is left.
//! Disks, images and records stay; the next start goes on from them.
//! Invariant: may be repeated, and works after any crash; uses the same steps as a stop.

use std::time::Duration;

use rigbox_fabric::task;
use rigbox_types::Observed;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, DataLock, Drivers, Layout, LockError,
    agent::{self, HostError},
    cgroup::Cgroups,
    config::PoolChoice,
    disk,
    host::Host,
    image::{Store, end_builds},
    net::{host_table, pool},
    process::Ours,
    sweep,
    task::blocking,
};

/// Beyond the time of a shutdown and the power button: for kills, and for removing what is left.
const MARGIN: Duration = Duration::from_secs(60);

/// How long an agent that is just ending is waited for.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// What `down` left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers(pub Vec<String>);

/// Takes the instance down.
///
/// # Errors
/// Where another agent has the data directory, or something cannot be removed.
pub async fn down(mut config: Config, drivers: Drivers) -> Result<Leftovers, HostError> {
    if !Layout::exists(&config.data) {
        return Ok(Leftovers(Vec::new()));
    }
    let layout = Layout::open(&config.data)?;
    let builds = end_builds(&Store::below(&config.data)).await;
    builds.map_err(HostError::part("end the build of an image"))?;
    let lock = take_lock(&layout).await?;
    if !layout.pool_file().exists() {
        // Nothing is made only to be unmounted.
        config.disk.pool = PoolChoice::Never;
    }
    let first_uid = config.network.first_uid;
    let limit = config.times.shutdown() + config.times.power() + MARGIN;
    let (host, mut records) = agent::open(config, layout.clone(), drivers, &lock).await?;
    for record in &mut records {
        record.assignment = record.assignment.as_ref().map(agent::at_rest);
    }
    let stop = CancellationToken::new();
    for record in records {
        host.table.start(&host, record, &stop);
    }
    rest(&host, Instant::now() + limit).await;
    stop.cancel();
    host.table.wait().await;
    remove_objects(&host).await?;
    drop(host);
    drop(task::drain(MARGIN).await);
    disk::unmount(&layout).await.map_err(HostError::part("unmount the pool"))?;
    Ok(Leftovers(sweep::leftovers(&layout, first_uid).await))
}

/// What of an instance is there. Changes nothing.
///
/// # Errors
/// Where the data directory cannot be used.
pub async fn leftovers(config: &Config) -> Result<Leftovers, HostError> {
    if !Layout::exists(&config.data) {
        return Ok(Leftovers(Vec::new()));
    }
    let layout = Layout::open(&config.data)?;
    Ok(Leftovers(sweep::leftovers(&layout, config.network.first_uid).await))
}

/// Removes what has a name of this instance, whether a record names it or not.
async fn remove_objects(host: &Host) -> Result<(), HostError> {
    let layout = &host.layout;
    for (pid, name) in Ours::new(layout, host.config.network.first_uid).all() {
        tracing::warn!(pid, %name, "ending a process without a record");
        if let Ok(process) = rigbox_vmm::ProcessId::of(pid) {
            process.kill().await.map_err(HostError::part("end a process"))?;
        }
    }
    for slot in pool::there(layout).map_err(HostError::part("list namespaces"))? {
        host.pool.remove(slot).await.map_err(HostError::part("remove a namespace"))?;
    }
    let cgroups = host.cgroups.clone();
    blocking(move || remove_cgroups(&cgroups)).await?;
    host_table::remove(layout).await.map_err(HostError::part("remove the host's rules"))
}

fn remove_cgroups(cgroups: &Cgroups) -> Result<(), HostError> {
    for name in cgroups.names().map_err(HostError::part("list cgroups"))? {
        cgroups.remove(&name).map_err(HostError::part("remove a cgroup"))?;
    }
    cgroups.remove_parent().map_err(HostError::part("remove the cgroup"))
}

/// Waits until all workspaces are at rest.
async fn rest(host: &Host, deadline: Instant) {
    for mut view in host.table.watch() {
        let resting = view.wait_for(|view| match view.observed {
            Observed::Absent | Observed::Stopped | Observed::Suspended | Observed::Failed => true,
            Observed::Preparing
            | Observed::Booting
            | Observed::Running
            | Observed::Stopping
            | Observed::Deleting => false,
        });
        if timeout_at(deadline, resting).await.is_err() {
            tracing::error!("a workspace does not come to rest; what it holds is removed");
        }
    }
}

async fn take_lock(layout: &Layout) -> Result<DataLock, LockError> {
    let mut tries = 0;
    loop {
        match DataLock::take(layout) {
            Err(LockError::Held { .. }) if tries < LOCK_TRIES => {
                tries += 1;
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            taken => return taken,
        }
    }
}
