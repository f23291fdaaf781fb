//! Control alone, over HTTP, beside stores of different sizes and on both engines: what a request
//! costs, how many there are in a second, and what memory control takes.
//! Invariants: control runs in a process of its own; its peers (a server that only says hello, a
//! query by key without a product) do the same work in the same run; latencies are taken from when a
//! request was due, not from when it could be sent.

mod fill;
mod load;
mod measure;
mod peers;
mod postgres;
mod server;
pub(crate) mod summary;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;
use rigbox_store::StoreUrl;

use crate::{
    options::{scratch, shown_as_option},
    output::note,
    procfs,
    report::{self, Facts},
    rows::Rows,
};

pub(crate) use peers::hello;
pub(crate) use server::{Serve, serve};

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many workspaces there are, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 10_000, 1_000_000])]
    pub(crate) sizes: Vec<u64>,
    /// On which databases.
    #[arg(long, value_delimiter = ',', default_values_t = [Engine::Sqlite, Engine::Postgres])]
    pub(crate) engines: Vec<Engine>,
    /// Seconds of each measurement of how many requests there are in a second.
    #[arg(long, default_value_t = 3)]
    pub(crate) full_s: u32,
    /// Seconds of each measurement of how long a request takes.
    #[arg(long, default_value_t = 6)]
    pub(crate) paced_s: u32,
    /// Connections at full load.
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: u32,
    /// Where the databases are made; the system's temporary directory when missing.
    #[arg(long)]
    pub(crate) scratch: Option<Utf8PathBuf>,
    /// Where the results go; a new folder of `bench/results/api` when missing.
    #[arg(long)]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Embedded.
    Sqlite,
    /// A server of the run's own.
    Postgres,
}

shown_as_option!(Engine);

/// Measures everything and writes the results.
///
/// # Errors
/// When something cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (load_before, mut rows, mut facts) = (procfs::load(), Rows::default(), Facts::of_machine());
    facts.driver = "control".to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        note("measuring a server that only says hello");
        measure::hello(options, &mut rows).await?;
        for engine in &options.engines {
            on_engine(options, *engine, &mut rows).await.with_context(|| engine.to_string())?;
        }
        anyhow::Ok(())
    })?;
    facts.add("repetitions", format!("{options:?}"));
    facts.add("load before and after", format!("{load_before}; {}", procfs::load()));
    report::write_api(&rows, &facts, options.out.as_deref())
}

async fn on_engine(options: &Options, engine: Engine, rows: &mut Rows) -> Result<()> {
    let (_dir, folder) = scratch(options.scratch.as_deref())?;
    let (server, url) = match engine {
        Engine::Sqlite => (None, format!("sqlite:{}", folder.join("rigbox.db"))),
        Engine::Postgres => {
            let server = postgres::Server::start(&folder)?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let store: StoreUrl = url.parse().context("the address of the database")?;
    // Makes the schema, the operator and its key.
    server::Control::start(&folder, &url).await?.end()?;
    let mut filled = fill::Filled::open(&store).await?;
    for size in &options.sizes {
        note(&format!("{engine}: filling up to {size} workspaces"));
        let took = filled.up_to(*size).await?;
        rows.time("fill", &engine.to_string(), *size, took);
        note(&format!("{engine}: measuring beside {size} workspaces"));
        let control = server::Control::start(&folder, &url).await?;
        let about = measure::About { engine, size: *size, options };
        measure::control(&about, (&control, &filled), rows).await?;
        measure::query(&about, (&url, &filled), rows).await?;
        control.end()?;
    }
    filled.close().await;
    drop(server);
    Ok(())
}
