//! Many at once: raw QEMUs, then workspaces, in turns.

use std::time::Instant;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{Options, memory, product, world::World};
use crate::{
    api::Api,
    output::note,
    raw::{Machine, Place, vmm_of},
    rows::{Rows, name, side},
};

/// Fleets; each one begins with the other side.
///
/// # Errors
/// When one does not come up or go.
pub(super) async fn measure(world: &mut World, options: &Options, rows: &mut Rows) -> Result<()> {
    for fleet in 0..options.fleets {
        note(&format!("{} at once, {} of {}", options.at_once, fleet + 1, options.fleets));
        memory::platform(world, rows, memory::Of::Running(0)).await?;
        if fleet % 2 == 0 {
            raw(world, options.at_once, rows).await?;
            workspaces(world, options.at_once, rows).await?;
        } else {
            workspaces(world, options.at_once, rows).await?;
            raw(world, options.at_once, rows).await?;
        }
    }
    Ok(())
}

async fn raw(world: &World, count: u32, rows: &mut Rows) -> Result<()> {
    let n = u64::from(count);
    let places: Result<Vec<_>> = (0..count).map(|_| Place::make(&world.recipe)).collect();
    let begin = Instant::now();
    let mut boots = JoinSet::new();
    for place in places? {
        boots.spawn(async move {
            let (machine, took) = Box::pin(Machine::boot(&place)).await?;
            // In this order: QEMU ends before its place goes.
            Ok::<_, anyhow::Error>((machine, place, took))
        });
    }
    let mut machines = Vec::new();
    while let Some(booted) = boots.join_next().await {
        let (machine, place, took) = booted.context("a boot")??;
        rows.time(name::FLEET_EACH, side::RAW, n, took);
        machines.push((machine, place));
    }
    rows.time(name::FLEET_ALL, side::RAW, n, begin.elapsed());
    // As the product's guests have been by now: what they do then takes memory, too.
    for (machine, _) in &machines {
        machine.tell(&world.recipe).await?;
    }
    let pids: Result<Vec<_>> = machines.iter().map(|(machine, _)| machine.pid()).collect();
    memory::vmm(rows, side::RAW, n, &pids?).await?;
    for (machine, place) in machines {
        machine.kill().await?;
        drop(place);
    }
    Ok(())
}

async fn workspaces(world: &World, count: u32, rows: &mut Rows) -> Result<()> {
    let n = u64::from(count);
    let begin = Instant::now();
    let ids = boot_all(&world.api, count, rows).await?;
    rows.time(name::FLEET_ALL, side::PRODUCT, n, begin.elapsed());
    let pids: Result<Vec<_>> = ids.iter().map(|id| vmm_of(world.data(), id)).collect();
    memory::vmm(rows, side::PRODUCT, n, &pids?).await?;
    memory::platform(world, rows, memory::Of::Running(n)).await?;
    let begin = Instant::now();
    let mut ends = JoinSet::new();
    for id in ids {
        let mut api = world.api.another();
        ends.spawn(async move { product::delete(&mut api, &id).await });
    }
    while let Some(ended) = ends.join_next().await {
        ended.context("a delete")??;
    }
    rows.time(name::FLEET_DELETE, side::PRODUCT, n, begin.elapsed());
    Ok(())
}

async fn boot_all(api: &Api, count: u32, rows: &mut Rows) -> Result<Vec<String>> {
    let mut boots = JoinSet::new();
    for number in 0..count {
        let mut api = api.another();
        boots.spawn(async move { product::spawn(&mut api, &format!("fleet-{number}")).await });
    }
    let mut ids = Vec::new();
    while let Some(booted) = boots.join_next().await {
        let (id, took) = booted.context("a boot")??;
        rows.time(name::FLEET_EACH, side::PRODUCT, count.into(), took);
        ids.push(id);
    }
    Ok(ids)
}
