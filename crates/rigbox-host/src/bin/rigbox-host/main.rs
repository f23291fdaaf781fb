//! The host agent's executable: runs the agent, takes an instance down, builds images.
//! Does nothing that the library does not do (see `rigbox_host`).

mod backup;
mod image;
mod output;

use std::{io::IsTerminal as _, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};
use rigbox_host::{Config, Drivers, Layout};
use rigbox_vmm::{Kvm, driver, probe};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Where the level of the log is set, such as `debug` or `rigbox_host=debug`.
const LOG_VARIABLE: &str = "RIGBOX_LOG";

/// The agent that runs workspaces on this machine.
#[derive(Debug, Parser)]
#[command(name = "rigbox-host", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is told to end. Workspaces run on.
    Run(OfHost),
    /// End all workspaces and remove every kernel object of this instance. Data stays.
    Down(OfHost),
    /// Show what of this instance is there while no agent runs.
    Sweep(OfHost),
    /// Copy all disks, keep the copies until standard input ends (started by `rigbox backup`).
    CopyDisks(OfHost),
    /// Put disks back that standard input names (started by `rigbox restore`).
    PutDisks(OfHost),
    /// Find out by booting whether KVM works here.
    Probe(OfHost),
    /// Build guest images and kernels.
    #[command(subcommand)]
    Image(image::Command),
}

#[derive(Debug, clap::Args)]
struct OfHost {
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Utf8PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Standard error is gone where the supervisor is, and the complaint about it would panic.
        .log_internal_errors(false)
        .init();
    match start(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Run(host) => Box::pin(run(&host)).await,
            Command::Down(host) => Box::pin(down(&host)).await,
            Command::Sweep(host) => sweep(&host).await,
            Command::CopyDisks(host) => backup::copy(&Config::read(&host.config)?).await,
            Command::PutDisks(host) => backup::put(&Config::read(&host.config)?).await,
            Command::Probe(host) => try_kvm(&host).await,
            Command::Image(command) => image::run(command).await,
        }
    })
}

async fn run(host: &OfHost) -> anyhow::Result<ExitCode> {
    rigbox_fabric::descriptors::raise_limit().context("raise the limit of open files")?;
    let shutdown = ended_by_signal()?;
    let config = Config::read(&host.config)?;
    let drivers = choose(&config).await?;
    rigbox_host::run(config, drivers, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

async fn down(host: &OfHost) -> anyhow::Result<ExitCode> {
    let config = Config::read(&host.config)?;
    let drivers = choose(&config).await?;
    left(&rigbox_host::down(config, drivers).await?.0)
}

async fn sweep(host: &OfHost) -> anyhow::Result<ExitCode> {
    let config = Config::read(&host.config)?;
    left(&rigbox_host::leftovers(&config).await?.0)
}

/// Nothing left is success.
fn left(leftovers: &[String]) -> anyhow::Result<ExitCode> {
    for line in leftovers {
        output::line(line)?;
    }
    Ok(if leftovers.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line: to standard output where KVM works, else to standard error, with status 1.
async fn try_kvm(host: &OfHost) -> anyhow::Result<ExitCode> {
    let config = Config::read(&host.config)?;
    let layout = Layout::open(&config.data)?;
    let report = probe(&config.driver(&layout)).await;
    match report.kvm {
        Kvm::Works => {
            output::line(&format!("a guest boots with it; {}", report.why))?;
            Ok(ExitCode::SUCCESS)
        }
        Kvm::Broken { reason } | Kvm::Absent { reason } => {
            output::note(&format!("{reason}; {}", report.why));
            Ok(ExitCode::FAILURE)
        }
        Kvm::Untried => {
            output::note(&format!("not tried; {}", report.why));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The driver that this machine gets, and where those are that it had before.
async fn choose(config: &Config) -> anyhow::Result<Drivers> {
    let layout = Layout::open(&config.data)?;
    let config = config.driver(&layout);
    let report = probe(&config).await;
    tracing::info!(driver = ?report.driver, why = %report.why, "driver chosen");
    let chosen = driver(&config, &report).context("no driver runs on this machine")?;
    Ok(Drivers::new(chosen, Arc::new(config)))
}

fn ended_by_signal() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let shutdown = shutdown.clone();
        rigbox_fabric::task::spawn("host.signal", async move {
            // The task must end with the others when the other signal came.
            if shutdown.run_until_cancelled(signals.recv()).await.is_some() {
                shutdown.cancel();
            }
        });
    }
    Ok(shutdown)
}
