//! Measures the product, each part beside its peer in the same run on the same machine.
//! Invariant: what is reported is computed from the rows that are kept; a run that fails reports
//! nothing. Starts a platform of its own and leaves nothing of it behind.

mod ai;
mod api;
mod edge;
mod endpoints;
mod options;
mod output;
mod process;
mod procfs;
mod raw;
mod report;
mod rows;
mod running;
mod ssh;
mod stats;
mod summary;
mod table;
mod workspace;

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Parser;

/// What is measured.
#[derive(Debug, Parser)]
#[command(name = "rigbox-bench", about = "Measurements of Rigbox, each beside its peer")]
enum Cli {
    /// Boot, stop, exec, ten at once and memory beside raw QEMU; requests beside 1,000 records.
    Workspace(workspace::Options),
    /// Requests to control beside a store of 10, 10,000 and 1,000,000 workspaces, on both engines.
    Api(endpoints::Options),
    /// The edge beside nginx, HAProxy and Caddy: requests, handshakes, WebSockets, memory, routes.
    Edge(edge::Options),
    /// The SSH gateway beside OpenSSH direct and through a jump host.
    Ssh(ssh::Options),
    /// The AI proxy beside nginx, Portkey and LiteLLM: latency, calls by core, streams, memory.
    Ai(ai::Options),
    /// Control in a process of its own, for `api`.
    #[command(hide = true)]
    ServeControl(endpoints::Serve),
    /// A server that says hello to everything, for `api`.
    #[command(hide = true)]
    ServeHello,
    /// The edge in a process of its own, for `edge`.
    #[command(hide = true)]
    ServeEdge(edge::Serve),
    /// The SSH gateway in a process of its own, for `ssh`.
    #[command(hide = true)]
    ServeSsh(ssh::Serve),
    /// A provider in a process of its own, for `ai`.
    #[command(hide = true)]
    ServeAiProvider,
    /// The AI proxy in a process of its own, for `ai`.
    #[command(hide = true)]
    ServeAiProxy(ai::ServeProxy),
    /// The gateways of workspaces in a process of their own, for `ai`.
    #[command(hide = true)]
    ServeAiRelay(ai::ServeRelay),
    /// Computes the summary of a folder with results again.
    Summary {
        /// The folder, with its `rows.csv` and `machine.txt`.
        folder: Utf8PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Workspace(options) => workspace::run(&options),
        Cli::Api(options) => endpoints::run(&options),
        Cli::Edge(options) => edge::run(&options),
        Cli::Ssh(options) => ssh::run(&options),
        Cli::Ai(options) => ai::run(&options),
        Cli::ServeControl(options) => endpoints::serve(options),
        Cli::ServeHello => endpoints::hello(),
        Cli::ServeEdge(options) => edge::serve(options),
        Cli::ServeSsh(options) => ssh::serve(&options),
        Cli::ServeAiProvider => ai::serve_provider(),
        Cli::ServeAiProxy(options) => ai::serve_proxy(options),
        Cli::ServeAiRelay(options) => ai::serve_relay(&options),
        Cli::Summary { folder } => report::summarise(&folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
