//! Builds what is shipped: the platform's executables and the static programs of the guest.

use camino::Utf8PathBuf;

use crate::{repo::Repo, shell};

/// The guest's target. The same as the host's, but named, so that cargo keeps the flags of static
/// linking away from build scripts and macros.
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Packages whose executables a running platform needs.
const PLATFORM: [&str; 4] = ["rigbox", "rigbox-host", "rigbox-vmm", "rig"];

/// Builds the platform's executables, optimised.
pub(crate) fn platform(repo: &Repo) -> anyhow::Result<()> {
    cargo_build(repo, &["--release"])
}

/// Builds the platform's executables for tests, without optimisation.
pub(crate) fn platform_for_tests(repo: &Repo) -> anyhow::Result<()> {
    cargo_build(repo, &[])
}

/// Builds the programs that run inside a workspace: static, so that any image can hold them.
pub(crate) fn guest(repo: &Repo) -> anyhow::Result<()> {
    let target_dir = repo.target().join("guest");
    let mut command = shell::command(
        repo,
        "cargo",
        &["build", "--quiet", "--locked", "--bins", "--profile", "guest", "--target", GUEST_TARGET],
    );
    command.args(["-p", "rigbox-guest", "-p", "rig", "--target-dir", target_dir.as_str()]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    shell::run(&mut command)
}

/// Where [`guest`] leaves its programs.
pub(crate) fn guest_folder(repo: &Repo) -> Utf8PathBuf {
    repo.target().join("guest").join(GUEST_TARGET).join("guest")
}

fn cargo_build(repo: &Repo, profile: &[&str]) -> anyhow::Result<()> {
    let mut command = shell::command(repo, "cargo", &["build", "--locked", "--bins"]);
    command.args(profile);
    for package in PLATFORM {
        command.args(["-p", package]);
    }
    shell::run(&mut command)
}
