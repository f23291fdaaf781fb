//! Runs cargo-deny: licences, bans and sources always; advisories where their database can be had.
//! Invariant: a check that could not be made is said loudly, never counted as made.
#![expect(clippy::print_stderr, reason = "a task talks to the person who started it")]

use anyhow::Context;

use crate::{repo::Repo, shell};

/// Runs all checks of `deny.toml`.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let check = ["deny", "--locked", "--log-level", "error", "check"];
    let mut fixed = shell::command(repo, "cargo", &check);
    shell::run(fixed.args(["licenses", "bans", "sources"]))?;

    let fetched = shell::command(repo, "timeout", &["90", "cargo", "deny", "fetch", "db"])
        .output()
        .context("start cargo deny fetch")?;
    if fetched.status.success() {
        let mut advisories = shell::command(repo, "cargo", &check);
        return shell::run(advisories.args(["--disable-fetch", "advisories"]));
    }
    let reason = String::from_utf8_lossy(&fetched.stderr);
    let reason = reason.lines().rev().find(|line| !line.trim().is_empty());
    eprintln!("**********************************************************************");
    eprintln!("** NOT CHECKED: known vulnerabilities of dependencies.");
    eprintln!("** The advisory database could not be fetched:");
    eprintln!("**   {}", reason.unwrap_or("no answer within 90 s"));
    eprintln!("**********************************************************************");
    Ok(())
}
