//! Repository automation: everything that `make` does besides installing what a machine lacks.
//! Invariant: a task prints what it does to stderr and fails with the reason in its last lines.
//! Holds no product logic: `up` and `down` only build and start the `rigbox` executable.
#![expect(clippy::print_stderr, reason = "a task talks to the person who started it")]

mod bench;
mod build;
mod deny;
mod kvm;
mod platform;
mod repo;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::bail;

use crate::repo::Repo;

const USAGE: &str = "usage: cargo xtask <task> [arguments]
  up [arguments]     build, then `rigbox up`
  down [arguments]   `rigbox down`
  test [filter]      every check, then every test (all arguments go to nextest)
  kvm [filter]       product and driver tests in an emulated machine with KVM
  bench <what>       measurements beside peers: workspace, api, edge, ssh
  check              format, clippy, deny, tidy
  tidy               arrows between crates, sizes, house rules, docs
  docs               pages that are made from code
  deny               licences, bans, sources, advisories
  guest              the static programs that run inside a workspace
  release            the executables of the platform, optimised";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let Some((task, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let repo = Repo::find()?;
    match task.as_str() {
        "up" => return platform::up(&repo, rest),
        "down" => return platform::down(&repo, rest),
        "test" => test::all(&repo, rest)?,
        "kvm" => kvm::run(&repo, rest)?,
        "bench" => return bench::run(&repo, rest),
        "check" => test::checks(&repo)?,
        "tidy" => tidy::run(&repo)?,
        "docs" => tidy::write_limits(&repo)?,
        "deny" => deny::run(&repo)?,
        "guest" => build::guest(&repo)?,
        "release" => build::platform(&repo)?,
        _ => bail!("there is no task '{task}'\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}
