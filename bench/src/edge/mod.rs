//! The edge beside other proxies: the same certificate, upstream, clients and number of workers, in
//! turns in the same run.
//! Invariants: the edge runs in a process of its own as `rigbox edge` runs it, and gets its
//! connections to the upstream as descriptors from a host; each round measures every side once before
//! the next begins; rates are also given by processor time of the side, which other load on the
//! machine hardly changes.

mod certificate;
mod control;
mod found;
mod h2load;
mod measure;
mod peers;
mod product;
mod sockets;
pub(crate) mod summary;
mod upstream;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::descriptors;

use crate::{
    options::{scratch, shown_as_option},
    output::note,
    procfs,
    report::{self, Facts},
    rows::Rows,
};

use certificate::Certificate;
use measure::Stage;
use peers::Peer;
use upstream::Upstreams;

pub(crate) use product::{Serve, serve};

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Beside whom.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Nginx, Peer::Haproxy, Peer::Caddy])]
    pub(crate) peers: Vec<Peer>,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    pub(crate) parts: Vec<Part>,
    /// How often each side is measured.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Seconds of each measurement, longer than its warming up.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// Connections of clients, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1_000])]
    pub(crate) connections: Vec<u32>,
    /// Routes that the edge knows, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 100_000])]
    pub(crate) routes: Vec<u64>,
    /// Connections that do nothing, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 5_000])]
    pub(crate) idle: Vec<usize>,
    /// Changes of routes that are timed beside each number of routes.
    #[arg(long, default_value_t = 50)]
    pub(crate) changes: u64,
    /// Where the results go; a new folder of `bench/results/edge` when missing.
    #[arg(long)]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Requests at full load, and paced.
    Requests,
    /// Connections that begin anew.
    Handshakes,
    /// WebSockets.
    Echo,
    /// Memory of idle connections.
    Memory,
    /// Requests and changes beside routes.
    Routes,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::Requests, Self::Handshakes, Self::Echo, Self::Memory, Self::Routes];
}

shown_as_option!(Part, Peer);

/// Measures everything and writes the results.
///
/// # Errors
/// When something cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (load_before, mut rows, mut facts) = (procfs::load(), Rows::default(), Facts::of_machine());
    facts.driver = "proxies".to_owned();
    for peer in &options.peers {
        facts.add(peer.name(), peer.version()?);
    }
    descriptors::raise_limit().context("raise the limit of open files")?;
    let (_dir, folder) = scratch(None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    runtime.block_on(Box::pin(all(options, &folder, &mut rows)))?;
    facts.add("repetitions", format!("{options:?}"));
    facts.add("load before and after", format!("{load_before}; {}", procfs::load()));
    report::write_edge(&rows, &facts, options.out.as_deref())
}

async fn all(options: &Options, folder: &Utf8Path, rows: &mut Rows) -> Result<()> {
    let certificate = Certificate::make(folder)?;
    let upstreams = Upstreams::start(folder).await?;
    let mut stage =
        Stage { options, folder, certificate: &certificate, upstreams: &upstreams, rows };
    for part in &options.parts {
        note(&format!("measuring {part}"));
        match part {
            Part::Requests => Box::pin(stage.requests()).await,
            Part::Handshakes => Box::pin(stage.handshakes()).await,
            Part::Echo => Box::pin(stage.echo()).await,
            Part::Memory => Box::pin(stage.memory()).await,
            Part::Routes => Box::pin(stage.routes()).await,
        }
        .with_context(|| part.to_string())?;
    }
    Ok(())
}
