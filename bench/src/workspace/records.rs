//! What workspaces cost that only exist: requests, boots and the platform's memory beside few and
//! beside many records.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::{Options, memory, memory::ROLES, product, world::World};
use crate::{
    output::note,
    procfs,
    raw::{Machine, Place},
    rows::{Rows, name, side},
};

/// Numbers of records at which requests are measured, with the most that were asked for.
const LEVELS: [u32; 3] = [1, 10, 100];

/// The number of records that boots and memory are compared with.
pub(crate) const FEW: u64 = 10;

/// How long the platform is watched while nothing happens, in seconds: longer than the hosts' and
/// control's own beats.
const IDLE_S: u32 = 10;

/// Creates records up to the most, and measures on the way.
///
/// # Errors
/// When a request is refused or a boot fails.
pub(super) async fn measure(world: &mut World, options: &Options, rows: &mut Rows) -> Result<()> {
    let mut levels: Vec<u32> = LEVELS.into_iter().filter(|&few| few < options.records).collect();
    levels.push(options.records);
    let place = Place::make(&world.recipe)?;
    // Both have disks that were booted before.
    let (id, _) = product::spawn(&mut world.api, "record-0").await?;
    product::stop(&mut world.api, &id).await?;
    Box::pin(Machine::boot(&place)).await?.0.shut_down().await?;

    let mut records = 1;
    for level in levels {
        note(&format!("{level} records"));
        while records < level {
            let begin = Instant::now();
            product::create(&mut world.api, &format!("record-{records}")).await?;
            rows.time(name::RECORDS_CREATE, side::PRODUCT, records.into(), begin.elapsed());
            records += 1;
        }
        memory::platform(world, rows, memory::Of::Records(level.into())).await?;
        requests(world, options, rows, (&id, level.into())).await?;
        if u64::from(level) == FEW || level == options.records {
            idle(world, rows, level.into()).await?;
            starts(world, options, rows, (&id, level.into()), &place).await?;
        }
    }
    Ok(())
}

/// Each kind of request in turns.
async fn requests(
    world: &mut World,
    options: &Options,
    rows: &mut Rows,
    (id, n): (&str, u64),
) -> Result<()> {
    let one = format!("/workspaces/{id}");
    let kinds = [
        (name::RECORDS_GET, one.as_str()),
        (name::RECORDS_LIST, "/workspaces"),
        (name::RECORDS_CAPACITY, "/capacity"),
    ];
    for _ in 0..options.requests {
        for (name, path) in kinds {
            let begin = Instant::now();
            world.api.get(path).await?;
            rows.time(name, side::PRODUCT, n, begin.elapsed());
        }
    }
    Ok(())
}

async fn idle(world: &World, rows: &mut Rows, n: u64) -> Result<()> {
    let before = executed(world)?;
    sleep(Duration::from_secs(IDLE_S.into())).await;
    for ((role, before), after) in ROLES.into_iter().zip(before).zip(executed(world)?) {
        let took = after.saturating_sub(before) / IDLE_S;
        rows.time(name::RECORDS_IDLE_CPU, role, n, took);
    }
    Ok(())
}

async fn starts(
    world: &mut World,
    options: &Options,
    rows: &mut Rows,
    (id, n): (&str, u64),
    place: &Place,
) -> Result<()> {
    let mut platform = [Duration::ZERO; ROLES.len()];
    for _ in 0..options.starts {
        let (machine, took) = Box::pin(Machine::boot(place)).await?;
        rows.time(name::RECORDS_START, side::RAW, n, took);
        machine.shut_down().await?;
        let before = executed(world)?;
        let took = product::start(&mut world.api, id).await?;
        rows.time(name::RECORDS_START, side::PRODUCT, n, took);
        product::stop(&mut world.api, id).await?;
        for ((sum, before), after) in platform.iter_mut().zip(before).zip(executed(world)?) {
            *sum += after.saturating_sub(before);
        }
    }
    for (role, sum) in ROLES.into_iter().zip(platform).filter(|_| options.starts > 0) {
        rows.time(name::RECORDS_START_CPU, role, n, sum / options.starts);
    }
    Ok(())
}

/// Time that each of the platform's processes was executed.
fn executed(world: &World) -> Result<Vec<Duration>> {
    ROLES.into_iter().map(|role| procfs::executed(world.role(role)?)).collect()
}
