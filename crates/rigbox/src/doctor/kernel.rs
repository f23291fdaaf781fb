//! Features of the kernel, tried in a network namespace of their own that is removed again.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::Finding;

/// Controllers that bound a workspace.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// Looks at all features; `clones` is whether the data directory's file system has file clones.
pub(super) fn check(clones: bool) -> Vec<Finding> {
    let mut findings = network();
    findings.extend(pool(clones));
    findings.push(cgroups());
    findings
}

/// One rule of each kind that the host's table and those of workspaces have. After `tap0` is made.
const RULES: &str = "
add table netdev t
add chain netdev t tap { type filter hook ingress device tap0 priority -500; }
add rule netdev t tap ether type arp arp saddr ip 172.16.0.2 accept
add table inet t
add set inet t floor { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
add set inet t resolved { type ipv4_addr; flags timeout; size 16; }
add chain inet t raw { type filter hook prerouting priority raw; }
add rule inet t raw fib saddr . iif oif missing drop
add chain inet t c { type filter hook forward priority filter; }
add rule inet t c ip daddr @floor reject with icmpx admin-prohibited
add rule inet t c fib daddr type multicast drop
add rule inet t c ct state new ct count over 100 drop
add rule inet t c tcp flags syn tcp option maxseg size set rt mtu
add rule inet t c icmp type echo-request limit rate 10/second accept
add rule inet t c ct mark set 7 accept
add chain inet t nat { type nat hook postrouting priority srcnat; }
add rule inet t nat masquerade
";

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
            &["nft", RULES],
            "install nftables; use a kernel with all of nf_tables (Debian's have), or modprobe -a \
             nf_tables nft_chain_nat nft_masq nft_fib_inet nft_reject_inet nft_ct nft_connlimit \
             nft_limit",
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

/// What the pool file needs, where there has to be one.
fn pool(clones: bool) -> Vec<Finding> {
    if clones {
        let found = "not needed: the data directory has file clones";
        return vec![Finding::ok("loop devices", found), Finding::ok("XFS", found)];
    }
    vec![loop_devices(), xfs()]
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
        // Some may be in a version 2 tree beside those of version 1.
        Err(_) => ("v1", mounted_v1().into_iter().chain(mounted_v2()).collect()),
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
    let remedy =
        "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1) and these controllers enabled";
    let found = format!("{version} without {}", missing.join(", "));
    if missing == ["io"] {
        let found = format!("{found}: disks of workspaces are limited by the VMM alone");
        return Finding::warning(CHECK, found, remedy);
    }
    Finding::problem(CHECK, format!("{found}: the host refuses to start"), remedy)
}

/// Controllers of version 2 trees that are mounted somewhere.
fn mounted_v2() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&"cgroup2"))
        .filter_map(|fields| {
            fs::read_to_string(Path::new(fields.get(1)?).join("cgroup.controllers")).ok()
        })
        .flat_map(|text| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
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
