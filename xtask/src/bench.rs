//! `bench`: builds what is measured, optimised, and hands over to the measurements, as root.

use std::{os::unix::process::CommandExt, process::ExitCode};

use anyhow::anyhow;

use crate::{build, platform, repo::Repo, shell};

/// Builds everything and becomes `rigbox-bench`.
pub(crate) fn run(repo: &Repo, arguments: &[String]) -> anyhow::Result<ExitCode> {
    // The API, the edge, the SSH gateway and the AI proxy are measured without hosts, each by its own code
    // in a process of the measurements.
    let alone = ["api", "edge", "ssh", "ai"];
    if arguments.first().is_none_or(|what| !alone.contains(&what.as_str())) {
        shell::stage("build the platform", || build::platform(repo))?;
        shell::stage("build the guest's programs", || build::guest(repo))?;
    }
    shell::stage("build the measurements", || {
        let build = ["build", "--locked", "--release", "-p", "rigbox-bench"];
        shell::run(&mut shell::command(repo, "cargo", &build))
    })?;
    let release = repo.target().join("release");
    let mut command = platform::as_root()?;
    // A configuration that is the caller's is not what is measured.
    command.current_dir(repo.root()).env_remove("RIGBOX_CONFIG");
    if let Some(tools) = shell::tools() {
        command.arg(format!("RIGBOX_TOOLS={tools}"));
    }
    command.arg(format!("RIGBOX_BIN={release}"));
    command.arg(format!("RIGBOX_IMAGES={}", repo.root().join("images")));
    command.arg(format!("RIGBOX_GUEST={}", build::guest_folder(repo)));
    command.arg(release.join("rigbox-bench")).args(arguments);
    Err(anyhow!(command.exec()).context("start rigbox-bench"))
}
