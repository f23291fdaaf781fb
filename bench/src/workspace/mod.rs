//! A workspace's life beside a raw QEMU: boot, stop, exec, ten at once, memory, and what a thousand
//! records cost.
//! Invariant: both sides of a comparison are measured in turns, within seconds of each other, and
//! never at the same time.

mod fleet;
mod memory;
mod product;
mod records;
mod rounds;
mod stage;
mod world;

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    output::note,
    procfs,
    report::{self, Facts},
    rows::Rows,
};

use stage::{Ground, Stage};
use world::World;

pub(crate) use memory::ROLES;
pub(crate) use records::FEW as FEW_RECORDS;

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Lives of a workspace, each beside a raw QEMU's.
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: u32,
    /// Commands in each life, through the API and over the channel.
    #[arg(long, default_value_t = 30)]
    pub(crate) execs: u32,
    /// How often many are started at once, on both sides.
    #[arg(long, default_value_t = 2)]
    pub(crate) fleets: u32,
    /// How many at once.
    #[arg(long, default_value_t = 10)]
    pub(crate) at_once: u32,
    /// Most records of workspaces.
    #[arg(long, default_value_t = 1000)]
    pub(crate) records: u32,
    /// Requests of each kind beside 1, 10, 100 and that many records.
    #[arg(long, default_value_t = 300)]
    pub(crate) requests: u32,
    /// Boots beside few and beside all records, on both sides.
    #[arg(long, default_value_t = 6)]
    pub(crate) starts: u32,
    /// What runs the workspaces: `qemu` (with KVM where it works) or `qemu_tcg` (always emulation).
    #[arg(long, default_value = "qemu", value_parser = ["qemu", "qemu_tcg"])]
    pub(crate) driver: String,
    /// Where the results go; a new folder of `bench/results/workspace` when missing.
    #[arg(long)]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// Measures everything and writes the results.
///
/// # Errors
/// When something cannot be measured, or the platform leaves something behind.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (load_before, mut rows, mut facts) = (procfs::load(), Rows::default(), Facts::of_machine());
    on_platform(options, Ground::Machine, async |world| {
        facts.driver = format!("qemu-{}", world.recipe.accelerator());
        facts.add("driver", facts.driver.clone());
        facts.add("VMM", world.vmm_version()?);
        memory::platform(world, &mut rows, memory::Of::Running(0)).await?;
        rounds::measure(world, options, &mut rows).await?;
        fleet::measure(world, options, &mut rows).await
    })?;
    on_platform(options, Ground::Sparse, async |world| {
        records::measure(world, options, &mut rows).await
    })?;
    facts.add("repetitions", format!("{options:?}"));
    facts.add("load before and after", format!("{load_before}; {}", procfs::load()));
    report::write(&rows, &facts, options.out.as_deref())
}

/// Does a part of the run on a platform of its own.
fn on_platform(
    options: &Options,
    ground: Ground,
    work: impl AsyncFnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    let mut stage = Stage::make(options, ground)?;
    let platform = stage.platform();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let measured = runtime.block_on(async {
        let measure = async {
            note("starting a platform; KVM is tried first");
            work(&mut World::start(platform.clone()).await?).await
        };
        tokio::select! {
            measured = Box::pin(measure) => measured.with_context(|| platform.story()),
            interrupted = interruption() => interrupted.and_then(|()| bail!("interrupted")),
        }
    });
    // Waits for what still runs in its threads; after that nobody else has the platform.
    drop(runtime);
    note("ending the platform");
    let ended = stage.end();
    measured.and(ended)
}

/// Returns when somebody wants the run to end, so that it is cleaned up after.
async fn interruption() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
