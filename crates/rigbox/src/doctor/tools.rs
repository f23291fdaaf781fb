//! Programs: those of Debian with their versions, our own, and what the host agent finds out about
//! KVM by booting something.

use std::process::{Command, Stdio};

use camino::Utf8Path;

use super::Finding;
use crate::{host, layout::Role, up::Up};

/// Programs that must be there, the argument that makes each say its version, and its package.
const TOOLS: [(&str, &str, &str); 9] = [
    ("ip", "-V", "iproute2"),
    ("nft", "--version", "nftables"),
    ("mke2fs", "-V", "e2fsprogs"),
    ("debugfs", "-V", "e2fsprogs"),
    ("mkfs.xfs", "-V", "xfsprogs"),
    ("losetup", "--version", "mount"),
    ("mmdebstrap", "--version", "mmdebstrap"),
    ("cpio", "--version", "cpio"),
    ("lz4", "--version", "lz4"),
];

/// Our own programs.
const OWN: [&str; 3] = [host::PROGRAM, "rigbox-launch", "rig"];

/// Looks at all programs.
pub(super) fn check(up: &Up<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = TOOLS
        .into_iter()
        .map(|(program, argument, package)| tool(program, argument, package))
        .collect();
    findings.push(qemu(&up.config.host.qemu));
    findings.push(firecracker(up));
    findings.push(own(up));
    findings.push(resources(up));
    findings.push(kvm(up));
    findings
}

fn tool(program: &'static str, argument: &str, package: &str) -> Finding {
    match first_line(program, &[argument]) {
        Some(line) => Finding::ok(program, line),
        None => Finding::problem(
            program,
            "is not there",
            format!("apt-get install --no-install-recommends {package}"),
        ),
    }
}

fn qemu(path: &Utf8Path) -> Finding {
    match first_line(path.as_str(), &["--version"]) {
        Some(line) => Finding::ok("QEMU", format!("{line} ({path})")),
        None => Finding::problem(
            "QEMU",
            format!("{path} does not run"),
            "apt-get install --no-install-recommends qemu-system-x86, or set host.qemu",
        ),
    }
}

fn firecracker(up: &Up<'_>) -> Finding {
    let host = &up.config.host;
    let version = |path: &Utf8Path| first_line(path.as_str(), &["--version"]);
    match (version(&host.firecracker), version(&host.jailer)) {
        (Some(firecracker), Some(jailer)) => {
            Finding::ok("Firecracker", format!("{firecracker}, {jailer}"))
        }
        (None, None) => Finding::ok("Firecracker", "is not installed; QEMU is used"),
        (firecracker, _) => Finding::warning(
            "Firecracker",
            format!("{} is missing", if firecracker.is_some() { "its jailer" } else { "it" }),
            format!("put both in {} and {}", host.firecracker, host.jailer),
        ),
    }
}

fn own(up: &Up<'_>) -> Finding {
    const CHECK: &str = "own programs";
    match OWN.iter().find_map(|name| up.install.program(name).err()) {
        None => Finding::ok(CHECK, OWN.join(", ")),
        Some(error) => Finding::problem(CHECK, error.to_string(), "make up, or install all of it"),
    }
}

fn resources(up: &Up<'_>) -> Finding {
    const CHECK: &str = "recipes";
    match (up.install.recipes(up.config), up.install.guest(up.config)) {
        (Ok(recipes), Ok(guest)) => Finding::ok(CHECK, format!("{recipes}, {guest}")),
        (Err(error), _) | (_, Err(error)) => Finding::problem(
            CHECK,
            error.to_string(),
            "make up, or set images.recipes and images.guest",
        ),
    }
}

/// The host agent boots something with KVM and says what came of it.
fn kvm(up: &Up<'_>) -> Finding {
    const CHECK: &str = "KVM";
    let remedy = "without KVM everything works, about ten times slower; use a machine with \
                  virtualisation switched on in its firmware, or with nested virtualisation";
    if !Utf8Path::new("/dev/kvm").exists() {
        return Finding::warning(CHECK, "/dev/kvm is missing: workspaces are emulated", remedy);
    }
    let config = up.layout.role_config(Role::Host);
    if !rustix::process::geteuid().is_root() || !config.exists() {
        let found = "/dev/kvm is there; whether it works is tried by booting";
        return Finding::warning(CHECK, found, "sudo rigbox doctor, after the first rigbox up");
    }
    let Ok(program) = up.install.program(host::PROGRAM) else {
        return Finding::warning(CHECK, "could not be tried: see own programs", "make up");
    };
    let output = Command::new(program)
        .args(["probe", "--config", config.as_str()])
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            Finding::ok(CHECK, said.lines().next().unwrap_or("works").to_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Finding::warning(CHECK, said.lines().next().unwrap_or("does not work"), remedy)
        }
        Err(error) => Finding::warning(CHECK, format!("could not be tried: {error}"), "make up"),
    }
}

/// The first line that a program says, or nothing where it cannot be started.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned())
}
