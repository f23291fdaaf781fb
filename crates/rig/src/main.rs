//! `rig`: the user's command line.
//! Outside a workspace it works on an account through the HTTP API; inside one on that workspace,
//! through the gateway and without a key. Data goes to standard output, all else to standard error.
//! Does not link any server crate.

mod browser;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod error;
mod expiry;
mod input;
mod inside;
mod kept_file;
mod output;
mod profile;
mod session;
mod size;
mod suggest;
mod terminal;
mod usage;
mod words;

use std::{env, process::ExitCode, rc::Rc};

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::{
    cli::Cli,
    error::{CommandError, CommandResult},
    inside::Mark,
    output::Output,
};

fn main() -> ExitCode {
    let output = Rc::new(Output::from_env());
    let words: Vec<_> = env::args_os().collect();
    let mark = Mark::find();
    let mut command = mark.as_ref().map_or_else(Cli::command, |_| cli::inside::command());
    let parsed = command.try_get_matches_from_mut(&words).and_then(|mut matches| {
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            return ExitCode::from(usage::report(&output, &error, &words, mark.as_ref()));
        }
    };
    let context = cli.global.context.clone();
    match run(cli, mark.as_ref(), &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut error) => {
            error.hint = error.hint.map(|hint| usage::in_context(&hint, context.as_deref()));
            output.error(&error);
            ExitCode::from(error.exit.code())
        }
    }
}

fn run(cli: Cli, mark: Option<&Mark>, output: &Rc<Output>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::file("start", &error))?;
    let result = runtime.block_on(commands::run(cli, mark, output));
    // What is left are connections that nobody waits for.
    runtime.shutdown_background();
    result
}
