//! `rig`: the user's command line.
//! Outside a workspace it works on an account through the HTTP API; inside one on that workspace,
//! through the gateway and without a key. Data goes to standard output, all else to standard error.
//! Does not link any server crate.

mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod error;
mod input;
mod inside;
mod output;
mod profile;
mod session;
mod size;
mod suggest;
mod terminal;
mod usage;
mod words;

use std::{env, process::ExitCode, rc::Rc};

use clap::Parser as _;

use crate::{
    cli::Cli,
    error::{CommandError, CommandResult},
    output::Output,
};

fn main() -> ExitCode {
    let output = Rc::new(Output::from_env());
    let words: Vec<_> = env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage::report(&output, &error, &words)),
    };
    let context = cli.global.context.clone();
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut error) => {
            error.hint = error.hint.map(|hint| usage::in_context(&hint, context.as_deref()));
            output.error(&error);
            ExitCode::from(error.exit.code())
        }
    }
}

fn run(cli: Cli, output: &Rc<Output>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::file("start", &error))?;
    let result = runtime.block_on(commands::run(cli, output));
    // What is left are connections that nobody waits for.
    runtime.shutdown_background();
    result
}
