//! Programs: those of Debian with their versions, our own, and what the host agent finds out about
//! KVM by booting something.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

use super::Finding;
use crate::{
    data, host,
    layout::{Layout, Role},
    up::{Up, write_host_config},
};

/// A program that must be there.
struct Tool {
    name: &'static str,
    /// What makes it say its version.
    argument: &'static str,
    /// Debian's package of it.
    package: &'static str,
    /// The oldest version that was seen to do everything that is asked of it: Debian 12's. Zero
    /// where what is asked was always there.
    least: (u32, u32),
}

const fn tool(
    name: &'static str,
    argument: &'static str,
    package: &'static str,
    least: (u32, u32),
) -> Tool {
    Tool { name, argument, package, least }
}

const TOOLS: [Tool; 17] = [
    tool("ip", "-V", "iproute2", (0, 0)),
    tool("nft", "--version", "nftables", (1, 0)),
    tool("mke2fs", "-V", "e2fsprogs", (1, 46)),
    tool("debugfs", "-V", "e2fsprogs", (1, 46)),
    tool("mkfs.xfs", "-V", "xfsprogs", (5, 10)),
    tool("losetup", "--version", "mount", (2, 36)),
    tool("mount", "--version", "mount", (2, 36)),
    tool("mmdebstrap", "--version", "mmdebstrap", (1, 0)),
    tool("dpkg-deb", "--version", "dpkg", (1, 20)),
    tool("apt-get", "--version", "apt", (2, 0)),
    tool("tar", "--version", "tar", (1, 30)),
    tool("cpio", "--version", "cpio", (2, 12)),
    tool("gzip", "--version", "gzip", (0, 0)),
    tool("lz4", "--version", "lz4", (0, 0)),
    tool("xz", "--version", "xz-utils", (0, 0)),
    tool("zstd", "--version", "zstd", (1, 4)),
    tool("modprobe", "--version", "kmod", (0, 0)),
];

/// The oldest QEMU whose `microvm` machine was measured.
const QEMU_LEAST: (u32, u32) = (7, 2);

/// Our own programs.
const OWN: [&str; 3] = [host::PROGRAM, "rigbox-launch", "rig"];

/// Looks at all programs.
pub(super) fn check(up: &Up<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = TOOLS.iter().map(Tool::finding).collect();
    findings.push(qemu(&up.config.host.qemu));
    findings.push(firecracker(up));
    findings.push(own(up));
    findings.push(resources(up));
    findings.push(kvm(up));
    findings
}

impl Tool {
    fn finding(&self) -> Finding {
        let remedy = format!("apt-get install --no-install-recommends {}", self.package);
        match first_line(self.name, &[self.argument]) {
            Ok(line) if version(&line) >= self.least => Finding::ok(self.name, line),
            Ok(line) => Finding::problem(self.name, too_old(&line, self.least), remedy),
            Err(why) => Finding::problem(self.name, why, remedy),
        }
    }
}

fn qemu(path: &Utf8Path) -> Finding {
    let remedy = "apt-get install --no-install-recommends qemu-system-x86, or set host.qemu";
    match first_line(path.as_str(), &["--version"]) {
        Ok(line) if version(&line) >= QEMU_LEAST => Finding::ok("QEMU", format!("{line} ({path})")),
        Ok(line) => Finding::problem("QEMU", too_old(&line, QEMU_LEAST), remedy),
        Err(why) => Finding::problem("QEMU", format!("{path}: {why}"), remedy),
    }
}

fn too_old(line: &str, (major, minor): (u32, u32)) -> String {
    format!("{line}: older than {major}.{minor}")
}

/// Major and minor version in what a program says of itself; zero where it says none.
fn version(line: &str) -> (u32, u32) {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let number = |word: &str| {
        let mut parts = word.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    line.split(|c: char| !is_part(c)).find_map(number).unwrap_or_default()
}

fn firecracker(up: &Up<'_>) -> Finding {
    let host = &up.config.host;
    let version = |path: &Utf8Path| first_line(path.as_str(), &["--version"]).ok();
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

/// The host agent boots something with KVM and says what came of it. In a directory of its own, so
/// that it is tried now, and not told what was found some day.
fn kvm(up: &Up<'_>) -> Finding {
    const CHECK: &str = "KVM";
    let remedy = "without KVM everything works, about ten times slower; use a machine with \
                  virtualisation switched on in its firmware, or with nested virtualisation";
    if !Utf8Path::new("/dev/kvm").exists() {
        return Finding::warning(CHECK, "/dev/kvm is missing: workspaces are emulated", remedy);
    }
    if !rustix::process::geteuid().is_root() {
        let found = "/dev/kvm is there; whether it works is tried by booting";
        return Finding::warning(CHECK, found, "sudo rigbox doctor, which tries it");
    }
    let Ok(program) = up.install.program(host::PROGRAM) else {
        return Finding::warning(CHECK, "could not be tried: see own programs", "make up");
    };
    let output = Trial::new(up).and_then(|trial| {
        let config = trial.layout.role_config(Role::Host);
        let mut probe = Command::new(program);
        probe.args(["probe", "--config", config.as_str()]).stdin(Stdio::null());
        Ok(probe.env("RIGBOX_LOG", "error").output()?)
    });
    match output {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            Finding::ok(CHECK, said.lines().next().unwrap_or("works").to_owned())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Finding::warning(CHECK, said.lines().next().unwrap_or("does not work"), remedy)
        }
        Err(error) => Finding::warning(CHECK, format!("could not be tried: {error:#}"), "make up"),
    }
}

/// The directory of a platform that is never started, removed when it goes out of use.
/// Invariant: in `/run`, where only root makes names, and made by us: what somebody else has put
/// there is never entered.
struct Trial {
    layout: Layout,
}

impl Trial {
    fn new(up: &Up<'_>) -> anyhow::Result<Self> {
        let folder = Utf8PathBuf::from(format!("/run/rigbox-doctor-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o711)
            .create(&folder)
            .with_context(|| format!("make the directory {folder}"))?;
        let trial = Self { layout: Layout::new(&folder)? };
        let platform = data::prepare(&trial.layout, up.config)?;
        let of_trial = Up { layout: &trial.layout, install: up.install, config: up.config };
        write_host_config(&of_trial, &platform)?;
        Ok(trial)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A directory that stays in /run is harmless, and there is nobody to tell.
        drop(std::fs::remove_dir_all(self.layout.data()));
    }
}

/// The first line that a program says.
///
/// # Errors
/// Why there is none.
fn first_line(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "is not there".to_owned(),
            _ => format!("cannot be started: {error}"),
        })?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    if output.status.success() && !line.is_empty() {
        return Ok(line.to_owned());
    }
    Err(format!("does not run ({}): {line}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_programs_say() {
        for (line, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", (7, 2)),
            ("nftables v1.0.6 (Lester Gooch #5)", (1, 0)),
            ("mke2fs 1.47.0 (5-Feb-2023)", (1, 47)),
            ("*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***", (1, 5)),
            ("mkfs.xfs version 6.1.0", (6, 1)),
            ("kmod version 30", (0, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(version(line), expected, "{line}");
        }
    }

    #[test]
    fn a_program_that_fails_is_not_in_order() {
        assert!(first_line("sh", &["-c", "echo broken; exit 127"]).is_err());
        assert!(first_line("rigbox-no-such-program", &[]).is_err());
        assert_eq!(first_line("sh", &["-c", "echo; echo 1.2"]), Ok("1.2".to_owned()));
    }
}
