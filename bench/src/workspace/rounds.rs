//! One life after another, raw and product in turns.

use std::time::Instant;

use anyhow::Result;

use super::{Options, memory, product, world::World};
use crate::{
    output::note,
    procfs,
    raw::{Machine, Place, vmm_of},
    rows::{Rows, name, side},
};

/// Lives; each round begins with the other side.
///
/// # Errors
/// When one does not go as it should.
pub(super) async fn measure(world: &mut World, options: &Options, rows: &mut Rows) -> Result<()> {
    for round in 0..options.rounds {
        note(&format!("life {} of {}", round + 1, options.rounds));
        if round % 2 == 0 {
            raw(world, rows).await?;
            workspace(world, options, rows, round).await?;
        } else {
            workspace(world, options, rows, round).await?;
            raw(world, rows).await?;
        }
    }
    Ok(())
}

async fn raw(world: &World, rows: &mut Rows) -> Result<()> {
    let place = Place::make(&world.recipe)?;
    for (name, setup) in
        [(name::BOOT_FRESH, name::SETUP_FRESH), (name::BOOT_AGAIN, name::SETUP_AGAIN)]
    {
        let (machine, took) = Box::pin(Machine::boot(&place)).await?;
        rows.time(name, side::RAW, 1, took);
        // Both sides' guests have been told what they are from here on.
        rows.time(setup, side::RAW, 1, machine.tell(&world.recipe).await?);
        if name == name::BOOT_FRESH {
            rows.time(name::BOOT_FRESH_CPU, side::RAW, 1, procfs::executed(machine.pid()?)?);
            memory::vmm(rows, side::RAW, 1, &[machine.pid()?]).await?;
        }
        rows.time(name::STOP, side::RAW, 1, machine.shut_down().await?);
    }
    Ok(())
}

async fn workspace(
    world: &mut World,
    options: &Options,
    rows: &mut Rows,
    round: u32,
) -> Result<()> {
    let asked_at = procfs::uptime()?;
    let (id, took) = product::spawn(&mut world.api, &format!("life-{round}")).await?;
    let vmm = vmm_of(world.data(), &id)?;
    rows.time(name::BOOT_FRESH, side::PRODUCT, 1, took);
    let before = procfs::started_at(vmm)?.saturating_sub(asked_at);
    rows.time(name::BOOT_FRESH_BEFORE, side::PRODUCT, 1, before);
    rows.time(name::BOOT_FRESH_CPU, side::PRODUCT, 1, procfs::executed(vmm)?);
    memory::vmm(rows, side::PRODUCT, 1, &[vmm]).await?;
    memory::platform(world, rows, memory::Of::Running(1)).await?;
    exec(world, options, rows, &id).await?;
    rows.time(name::STOP, side::PRODUCT, 1, product::stop(&mut world.api, &id).await?);

    let asked_at = procfs::uptime()?;
    rows.time(name::BOOT_AGAIN, side::PRODUCT, 1, product::start(&mut world.api, &id).await?);
    let before = procfs::started_at(vmm_of(world.data(), &id)?)?.saturating_sub(asked_at);
    rows.time(name::BOOT_AGAIN_BEFORE, side::PRODUCT, 1, before);
    rows.time(name::STOP, side::PRODUCT, 1, product::stop(&mut world.api, &id).await?);
    rows.time(name::DELETE, side::PRODUCT, 1, product::delete(&mut world.api, &id).await?);
    Ok(())
}

/// The same command through the API and straight over the channel of the same guest, in turns.
async fn exec(world: &mut World, options: &Options, rows: &mut Rows, id: &str) -> Result<()> {
    let (request, agent) = (product::nothing(), world.channel(id));
    let body = serde_json::to_value(&request)?;
    for _ in 0..options.execs {
        let through_api = product::exec(&mut world.api, id, &body).await?;
        rows.time(name::EXEC, side::API, 1, through_api);
        let begin = Instant::now();
        agent.exec(&request).await?;
        rows.time(name::EXEC, side::CHANNEL, 1, begin.elapsed());
        let begin = Instant::now();
        agent.hello().await?;
        rows.time(name::HELLO, side::CHANNEL, 1, begin.elapsed());
    }
    Ok(())
}
