//! Features of the kernel, tried in a network namespace of their own that is removed again.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::Finding;

/// Controllers that bound a workspace.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// Looks at all features.
pub(super) fn check() -> Vec<Finding> {
    let mut findings = network();
    findings.push(loop_devices());
    findings.push(xfs());
    findings.push(cgroups());
    findings
}

/// A namespace for trying, removed when it goes out of use.
struct Trial {
    name: String,
}

impl Trial {
    fn new() -> Result<Self, String> {
        let name = format!("rigbox-doctor-{}", std::process::id());
        run("ip", &["netns", "add", &name]).map(|()| Self { name })
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let mut all = vec!["netns", "exec", self.name.as_str()];
        all.extend(arguments);
        run("ip", &all)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A name that stays is harmless, and there is nobody to tell.
        drop(run("ip", &["netns", "del", &self.name]));
    }
}

fn network() -> Vec<Finding> {
    if !rustix::process::geteuid().is_root() {
        let found = if Path::new("/dev/net/tun").exists() { "/dev/net/tun is there" } else { "-" };
        return vec![Finding::warning("network", found, "sudo rigbox doctor, which tries it")];
    }
    let trial = match Trial::new() {
        Ok(trial) => trial,
        Err(error) => {
            return vec![Finding::problem(
                "network namespaces",
                error,
                "install iproute2; use a kernel with CONFIG_NET_NS; inside a container, give it \
                 CAP_SYS_ADMIN",
            )];
        }
    };
    let tries: [(&'static str, &[&str], &str); 3] = [
        (
            "tap devices",
            &["ip", "tuntap", "add", "dev", "tap0", "mode", "tap"],
            "modprobe tun; inside a container, give it /dev/net/tun and CAP_NET_ADMIN",
        ),
        (
            "veth pairs",
            &["ip", "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1"],
            "modprobe veth",
        ),
        (
            "nftables",
            &[
                "nft",
                "add table inet t; add chain inet t c { type nat hook postrouting priority 100; }; \
                 add rule inet t c masquerade",
            ],
            "install nftables; modprobe nf_tables nft_chain_nat nft_masq",
        ),
    ];
    let mut findings = vec![Finding::ok("network namespaces", "work")];
    findings.extend(tries.into_iter().map(
        |(check, arguments, remedy)| match trial.run(arguments) {
            Ok(()) => Finding::ok(check, "work"),
            Err(error) => Finding::problem(check, error, remedy),
        },
    ));
    findings
}

fn loop_devices() -> Finding {
    if Path::new("/dev/loop-control").exists() {
        return Finding::ok("loop devices", "/dev/loop-control is there");
    }
    Finding::problem(
        "loop devices",
        "/dev/loop-control is missing",
        "modprobe loop; not needed where the data directory is on a file system with clones",
    )
}

fn xfs() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let built_in = known.lines().any(|line| line.trim_start_matches("nodev").trim() == "xfs");
    if built_in || run("modprobe", &["--dry-run", "--quiet", "xfs"]).is_ok() {
        return Finding::ok("XFS", "the kernel has it");
    }
    Finding::problem(
        "XFS",
        "the kernel has it neither built in nor as a module",
        "use a kernel with CONFIG_XFS_FS, or put the data directory on a file system with clones",
    )
}

fn cgroups() -> Finding {
    const CHECK: &str = "cgroups";
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let (version, present): (&str, Vec<String>) = match unified {
        Ok(text) => ("v2", text.split_ascii_whitespace().map(str::to_owned).collect()),
        Err(_) => ("v1", mounted_v1()),
    };
    let has = |name: &str| {
        present.iter().any(|found| found == name)
            // The same controller has another name in version 1.
            || (version == "v1" && name == "io" && present.iter().any(|found| found == "blkio"))
    };
    let missing: Vec<&str> = CONTROLLERS.into_iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("{version} with {}", CONTROLLERS.join(", ")));
    }
    Finding::warning(
        CHECK,
        format!("{version} without {}: workspaces are not bounded in it", missing.join(", ")),
        "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1) and these controllers enabled",
    )
}

/// Controllers of version 1 that are mounted somewhere.
fn mounted_v1() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&"cgroup"))
        .filter_map(|fields| fields.get(3).map(|options| (*options).to_owned()))
        .flat_map(|options| options.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Runs a program; what it says where it fails.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty());
    Err(said.map_or_else(|| format!("{program} failed"), |line| line.trim().to_owned()))
}
