//! The program inside a workspace. It takes no arguments there; tests give it another root and a
//! unix socket in place of the VM's devices.

use std::{env, process::ExitCode};

use rigbox_guest::agent::{Config, Listen, run};
use tracing::{Level, error};

/// What the program says of itself.
const VERSION: &str = concat!("rigbox-guest ", env!("CARGO_PKG_VERSION"), "\n");

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_ansi(false)
        // The journal has the time.
        .without_time()
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    let config = match config(env::args().skip(1)) {
        Ok(Some(config)) => config,
        Ok(None) => return print(VERSION),
        Err(message) => {
            error!("{message}");
            return ExitCode::from(2);
        }
    };
    // One thread: the agent waits nearly all the time, and every thread costs memory in each guest.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(BLOCKING_STACK_BYTES)
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "agent ended");
            ExitCode::FAILURE
        }
    }
}

/// Most threads for file calls. A file system of the user's own may hold up some of them for ever;
/// the others must be enough for the agent's own work. They end when they are idle.
const BLOCKING_THREADS: usize = 64;
/// Their stacks hold no buffer.
const BLOCKING_STACK_BYTES: usize = 512 * 1024;

/// None when only the version is asked for.
fn config(mut arguments: impl Iterator<Item = String>) -> Result<Option<Config>, String> {
    let mut config = Config { root: "/".into(), listen: Listen::default() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--version" => return Ok(None),
            "--root" => config.root = value()?.into(),
            "--listen" => {
                config.listen = value()?.parse().map_err(|error| format!("--listen {error}"))?;
            }
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(Some(config))
}

fn print(text: &str) -> ExitCode {
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
