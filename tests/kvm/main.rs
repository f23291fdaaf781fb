//! Runs the whole product in a machine with working KVM, where there is none: an emulated AMD
//! machine whose Debian kernel offers `/dev/kvm`, with the product's tests as its payload.
//!
//! ```text
//! this machine ── QEMU, emulation ──> outer machine (systemd, cgroup v2, kvm_amd)
//!                                        └── the tests ── QEMU/KVM or Firecracker ──> workspace
//! ```
//!
//! With `FIRECRACKER` and `JAILER` set to the real executables, the same tests run a second time
//! with that driver, and so does the driver suite.
//! Invariant: the payload is a copy; nothing in the outer machine can reach this one.
#![expect(clippy::print_stderr, reason = "a harness talks to the person who started it")]

mod outer;
mod payload;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

/// The line that the outer machine ends with; the number is the payload's exit code.
const VERDICT: &str = "RIGBOX-KVM-EXIT:";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => {
            eprintln!("the tests inside the machine with KVM failed (exit code {code})");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8> {
    let work = work_dir()?;
    let outer = outer::prepare(&work)?;
    let payload = payload::prepare(&work, &env::args().skip(1).collect::<Vec<_>>())?;
    eprintln!("starting the machine with KVM (emulated: about 20 s until its first test)");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "EPYC,+svm,+npt"]);
    qemu.args(["-smp", "2", "-m", "6144", "-nodefaults", "-nographic", "-no-reboot"]);
    qemu.args(["-serial", "stdio", "-nic", "none"]);
    qemu.arg("-kernel").arg(&outer.kernel).arg("-initrd").arg(&outer.initrd);
    qemu.args(["-append", "console=ttyS0 root=/dev/vda rw quiet tsc=reliable panic=-1"]);
    for disk in [&outer.disk, &payload] {
        // The machine is thrown away: what it writes goes to a temporary overlay.
        let file = format!("file={},if=virtio,format=raw,cache=unsafe,snapshot=on", disk.display());
        qemu.arg("-drive").arg(file);
    }
    let mut child = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start qemu-system-x86_64 (Debian package qemu-system-x86)")?;
    let console = child.stdout.take().context("the machine has no console")?;
    let verdict = watch(BufReader::new(console));
    child.wait().context("wait for the machine")?;
    verdict
}

/// Passes the console on and returns the exit code that it names.
fn watch(console: impl BufRead) -> Result<u8> {
    let mut out = std::io::stderr();
    let mut verdict = None;
    for line in console.split(b'\n') {
        let line = line.context("read the machine's console")?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        if let Some((_, code)) = text.split_once(VERDICT) {
            verdict = code.trim().parse().ok();
        }
        writeln!(out, "  | {text}")?;
    }
    match verdict {
        Some(code) => Ok(code),
        None => bail!("the machine ended without a verdict: see its console above"),
    }
}

fn work_dir() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let work = target.join("kvm");
    std::fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
    work.canonicalize().context("find the harness's own folder")
}
