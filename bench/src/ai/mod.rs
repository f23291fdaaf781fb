//! The AI proxy beside other gateways: the same upstream, callers and calls, in turns in the same run, and
//! beside the upstream alone: what a side adds is what a call takes beyond that.
//! Invariants: Rigbox runs as it does in production, from the port that a workspace sees to the provider,
//! with metering on disk, and the run fails where calls were not charged exactly; each round measures every
//! side once before the next begins; an answer that is not whole is no measurement.

mod client;
mod clock;
mod load;
mod measure;
mod peers;
mod product;
mod side;
pub(crate) mod summary;
mod upstream;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::descriptors;

use crate::{
    options::{scratch, shown_as_option},
    output::note,
    process::Process,
    procfs,
    report::{self, Facts},
    rows::Rows,
};

use measure::Stage;
use peers::Peer;

pub(crate) use product::{ServeProxy, ServeRelay, serve_proxy, serve_relay};
pub(crate) use upstream::serve as serve_provider;

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Beside whom, and beside the upstream alone.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Nginx, Peer::Portkey, Peer::Litellm])]
    pub(crate) peers: Vec<Peer>,
    /// What is measured, in this order. Memory is that of processes that have done little before.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    pub(crate) parts: Vec<Part>,
    /// How often each side is measured.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Calls that are due in a second.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000])]
    pub(crate) rates: Vec<u32>,
    /// Connections at full load.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: u32,
    /// Streams whose pieces are timed.
    #[arg(long, default_value_t = 50)]
    pub(crate) listeners: u32,
    /// Streams that are open and say nothing.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) streams: u32,
    /// Where the database and the journal are made; the system's temporary directory when missing.
    #[arg(long)]
    pub(crate) scratch: Option<Utf8PathBuf>,
    /// Where the results go; a new folder of `bench/results/ai` when missing.
    #[arg(long)]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Memory with streams that are open.
    Memory,
    /// Calls that are due at fixed times.
    Paced,
    /// As many calls as go.
    Full,
    /// Delay of a stream's pieces.
    Chunks,
}

impl Part {
    const ALL: [Self; 4] = [Self::Memory, Self::Paced, Self::Full, Self::Chunks];
}

shown_as_option!(Part, Peer);

/// Measures everything and writes the results.
///
/// # Errors
/// When something cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (load_before, mut rows, mut facts) = (procfs::load(), Rows::default(), Facts::of_machine());
    facts.driver = "gateways".to_owned();
    for peer in &options.peers {
        facts.add(peer.name(), peer.version()?);
    }
    descriptors::raise_limit().context("raise the limit of open files")?;
    let (_dir, folder) = scratch(options.scratch.as_deref())?;
    // One thread: what callers do between themselves is nobody's time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    runtime.block_on(Box::pin(all(options, &folder, &mut rows)))?;
    facts.add("repetitions", format!("{options:?}"));
    facts.add("load before and after", format!("{load_before}; {}", procfs::load()));
    report::write_ai(&rows, &facts, options.out.as_deref())
}

async fn all(options: &Options, folder: &Utf8Path, rows: &mut Rows) -> Result<()> {
    let mut provider = Process::start(&["serve-ai-provider"])?;
    let upstream = provider.address.parse().context("the upstream's address")?;
    let mut stage = Stage::start(options, (folder, upstream), rows).await?;
    for part in &options.parts {
        note(&format!("measuring {part}"));
        match part {
            Part::Memory => Box::pin(stage.memory()).await,
            Part::Paced => Box::pin(stage.paced()).await,
            Part::Full => Box::pin(stage.full()).await,
            Part::Chunks => Box::pin(stage.chunks()).await,
        }
        .with_context(|| part.to_string())?;
    }
    Box::pin(stage.end()).await?;
    provider.end().context("end the upstream")
}
