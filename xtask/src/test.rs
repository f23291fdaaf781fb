//! The stages of CI, cheapest first. The last line of a run is nextest's summary.
//! Invariant: nothing is printed after the summary of the tests.

use crate::{build, deny, repo::Repo, shell, tidy};

/// Everything: the checks, then every test.
pub(crate) fn all(repo: &Repo, arguments: &[String]) -> anyhow::Result<()> {
    checks(repo)?;
    shell::stage("build the guest's programs", || build::guest(repo))?;
    shell::stage("build the platform", || build::platform_for_tests(repo))?;
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    let mut nextest =
        shell::command(repo, "cargo", &["nextest", "run", "--locked", "--workspace", "--profile"]);
    nextest.arg(profile).args(arguments);
    nextest.env("RIGBOX_IMAGES", repo.root().join("images"));
    nextest.env("RIGBOX_GUEST", build::guest_folder(repo));
    nextest.env("RIGBOX_BIN", repo.target().join("debug"));
    shell::run(&mut nextest)
}

/// What can be found without running the product.
pub(crate) fn checks(repo: &Repo) -> anyhow::Result<()> {
    shell::stage("format", || {
        shell::run(&mut shell::command(repo, "cargo", &["fmt", "--all", "--check"]))
    })?;
    shell::stage("tidy", || tidy::run(repo))?;
    shell::stage("deny", || deny::run(repo))?;
    shell::stage("clippy", || {
        let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--quiet"];
        shell::run(shell::command(repo, "cargo", &clippy).args(["--", "-D", "warnings"]))
    })
}
