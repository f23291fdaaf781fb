//! `kvm`: builds the product and its tests and starts the harness that runs them in a machine with
//! working KVM (`tests/kvm`).

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use camino::Utf8PathBuf;
use serde::Deserialize;

use crate::{build, repo::Repo, shell};

/// The packages whose tests run there, with the variable that tells the harness their executable.
const SUITES: [(&str, &str); 2] =
    [("rigbox-tests", "RIGBOX_KVM_PRODUCT"), ("rigbox-vmm", "RIGBOX_KVM_DRIVER")];

/// A message of cargo, as far as it is about an executable.
#[derive(Debug, Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<Utf8PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Builds, then becomes the harness until it ends.
pub(crate) fn run(repo: &Repo, filter: &[String]) -> anyhow::Result<()> {
    shell::stage("build the guest's programs", || build::guest(repo))?;
    shell::stage("build the platform", || build::platform(repo))?;
    let suites = shell::stage("build the tests", || suites(repo))?;
    let mut harness = shell::command(repo, repo.target().join("debug/rigbox-kvm").as_str(), &[]);
    harness.args(filter).envs(suites);
    harness.env("RIGBOX_KVM_TARGET", repo.target());
    // Optimised: emulation of a processor that emulates one is slow enough.
    harness.env("RIGBOX_BIN", repo.target().join("release"));
    harness.env("RIGBOX_IMAGES", repo.root().join("images"));
    harness.env("RIGBOX_GUEST", build::guest_folder(repo));
    shell::run(&mut harness)
}

/// Builds the tests, what they start, and the harness; returns where cargo put the tests.
fn suites(repo: &Repo) -> anyhow::Result<Vec<(&'static str, Utf8PathBuf)>> {
    let arguments = ["build", "--locked", "--bins", "--examples", "--test", "it"];
    let mut cargo = shell::command(repo, "cargo", &arguments);
    cargo.arg("--message-format=json-render-diagnostics");
    for (package, _) in SUITES {
        cargo.args(["-p", package]);
    }
    let messages = answer(&mut cargo)?;
    let find = |package: &str| {
        let ids: Vec<&str> = repo
            .metadata()
            .packages
            .iter()
            .filter(|known| known.name == package)
            .map(|known| known.id.as_str())
            .collect();
        messages.iter().find_map(|message| {
            let is_test = message.target.as_ref()?.kind.iter().any(|kind| kind == "test");
            let is_its = ids.contains(&message.package_id.as_deref()?);
            (is_test && is_its).then(|| message.executable.clone()).flatten()
        })
    };
    SUITES
        .into_iter()
        .map(|(package, variable)| {
            let executable = find(package)
                .with_context(|| format!("cargo names no test executable of {package}"))?;
            Ok((variable, executable))
        })
        .collect()
}

fn answer(cargo: &mut Command) -> anyhow::Result<Vec<Message>> {
    let output = cargo.stderr(Stdio::inherit()).output().context("start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build ({})", output.status);
    }
    let text = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("cargo said {line}")))
        .collect()
}
