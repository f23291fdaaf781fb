//! The role `host`, and everything else that the host agent does: in an executable of its own,
//! which this process becomes. So no code that handles keys is even linked into what runs as root.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::Context;
use camino::Utf8Path;

use crate::{layout::Install, role};

/// The host agent's executable.
pub(crate) const PROGRAM: &str = "rigbox-host";

/// Becomes the agent, for as long as the supervisor lives.
///
/// # Errors
/// Where the executable is not there.
pub(crate) fn run(
    install: &Install,
    config: &Utf8Path,
    parent: Option<u32>,
) -> anyhow::Result<std::convert::Infallible> {
    role::follow(parent)?;
    let arguments = ["run", "--config", config.as_str()].map(str::to_owned);
    become_agent(install, &arguments, &[])
}

/// Becomes the agent's executable with these arguments.
///
/// # Errors
/// Where the executable is not there.
pub(crate) fn become_agent(
    install: &Install,
    arguments: &[String],
    environment: &[(&str, String)],
) -> anyhow::Result<std::convert::Infallible> {
    let program = install.program(PROGRAM)?;
    let error = Command::new(&program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .exec();
    Err(error).with_context(|| format!("start {program}"))
}
