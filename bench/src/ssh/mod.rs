//! The SSH gateway beside OpenSSH without anything between, and beside OpenSSH through a jump host: the
//! same client, the same server in a network namespace, in turns in the same run.
//! Invariants: the gateway runs in a process of its own; each round measures every side once before the
//! next begins; nothing is left of processes and namespace.

mod certificate;
mod gateway;
mod measure;
mod place;
pub(crate) mod summary;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;

use crate::{
    options::scratch,
    output::note,
    procfs,
    report::{self, Facts},
    rows::Rows,
};

use measure::Stage;
use place::Place;

pub(crate) use gateway::{Serve, serve};

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How often each side is measured.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// MiB of each transfer.
    #[arg(long, default_value_t = 512)]
    pub(crate) mib: u64,
    /// Keys pressed in each round.
    #[arg(long, default_value_t = 500)]
    pub(crate) keys: u32,
    /// Connections of each round, one after the other, and as many by several at once.
    #[arg(long, default_value_t = 40)]
    pub(crate) connections: u32,
    /// Sessions that do nothing.
    #[arg(long, default_value_t = 500)]
    pub(crate) idle: u64,
    /// Where the results go; a new folder of `bench/results/ssh` when missing.
    #[arg(long)]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// Measures everything and writes the results.
///
/// # Errors
/// When something cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (load_before, mut rows, mut facts) = (procfs::load(), Rows::default(), Facts::of_machine());
    facts.driver = "openssh".to_owned();
    facts.add("openssh", place::version()?);
    let (_dir, folder) = scratch(None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        let place = Place::make(&folder)?;
        let mut stage = Stage { options, place: &place, rows: &mut rows };
        note("measuring transfers");
        Box::pin(stage.bulk()).await.context("transfers")?;
        note("measuring keys");
        Box::pin(stage.echo()).await.context("keys")?;
        note("measuring connections");
        Box::pin(stage.connections()).await.context("connections")?;
        note("measuring memory");
        Box::pin(stage.idle()).await.context("memory")
    })?;
    facts.add("repetitions", format!("{options:?}"));
    facts.add("load before and after", format!("{load_before}; {}", procfs::load()));
    report::write_ssh(&rows, &facts, options.out.as_deref())
}
