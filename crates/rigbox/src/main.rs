//! The server binary: configuration, roles, supervisor, operator commands.
//! Holds no logic that a role needs: `control` lives in its crate, `host` in its own executable.

mod ai_keys;
mod ai_proxy;
mod api;
mod audit;
mod backup;
mod cli;
mod config;
mod control;
mod credits;
mod data;
mod doctor;
mod down;
mod edge;
mod files;
mod host;
mod layout;
mod listen;
mod logs;
mod output;
mod password;
mod plan;
mod process;
mod restart;
mod role;
mod ssh;
mod state;
mod status;
mod supervise;
mod up;
mod user;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
