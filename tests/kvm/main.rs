//! Runs the product's tests and the driver suite in a machine with working KVM, where there is
//! none: an emulated AMD machine whose Debian kernel offers `/dev/kvm`.
//!
//! ```text
//! this machine ── QEMU, emulation ──> outer machine (systemd, cgroup v2, kvm_amd)
//!                                        └── the tests ── QEMU/KVM or Firecracker ──> workspace
//! ```
//!
//! With `FIRECRACKER` and `JAILER` set to the real executables, everything runs a second time with
//! that driver. Started by `cargo xtask kvm`, which builds what is tested.
//! Invariants: the payload is a copy, and nothing in the outer machine can reach this one; a test
//! whose workspace does not run with the driver of its round fails.
#![expect(clippy::print_stderr, reason = "a harness talks to the person who started it")]

mod machine;
mod outer;
mod payload;
mod plan;

use std::{env, fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};

use crate::plan::Plan;

/// How long one test may take: the slowest takes a quarter of it on two cores.
pub(crate) const TEST_LIMIT: Duration = Duration::from_secs(1200);

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => {
            eprintln!("the tests in the machine with KVM failed (exit code {code})");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8> {
    let plan = Plan::make(&env::args().skip(1).collect::<Vec<_>>())?;
    if plan.firecracker.is_none() {
        eprintln!("note: FIRECRACKER and JAILER are not set: only QEMU with KVM is tested");
    }
    let work = work_dir(&plan.target)?;
    let outer = outer::prepare(&work)?;
    eprintln!("packing {} tests and what they need", plan.tests.len());
    let payload = payload::prepare(&work, &plan)?;
    eprintln!("starting the machine with KVM (emulated: about 20 s until its first test)");
    machine::run(&outer, &payload, plan.tests.len())
}

fn work_dir(target: &Path) -> Result<std::path::PathBuf> {
    let work = target.join("kvm");
    fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
    work.canonicalize().context("find the harness's own folder")
}
