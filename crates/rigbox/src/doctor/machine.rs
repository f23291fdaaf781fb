//! The machine itself: processor, memory, clock, disk, port, and who runs this.

use std::{
    fs,
    net::TcpListener,
    time::{SystemTime, UNIX_EPOCH},
};

use camino::Utf8Path;

use super::Finding;
use crate::{layout::Layout, listen, state::State, up::Up};

/// Free space below which no image can be built and cloned.
const DISK_LEAST_GIB: u64 = 5;

/// Free space that a few workspaces use without thought.
const DISK_EASY_GIB: u64 = 15;

/// Memory below which not even one workspace fits beside the platform.
const MEMORY_LEAST_MIB: u64 = 1_536;

/// 2025-01-01: a clock before it was never set, and certificates would not be valid yet.
const CLOCK_LEAST_S: u64 = 1_735_689_600;

const GIB: u64 = 1 << 30;

/// Looks at the machine; also says whether the data directory's file system has file clones.
pub(super) fn check(up: &Up<'_>) -> (Vec<Finding>, bool) {
    let (clones, has_clones) = clones(up.layout);
    let findings = vec![
        rights(),
        processor(),
        kernel_release(),
        memory(),
        clock(),
        disk(up.layout),
        clones,
        port(up),
    ];
    (findings, has_clones)
}

fn rights() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::ok("rights", "root");
    }
    Finding::warning(
        "rights",
        "not root: what needs root is only looked at, not tried",
        "sudo rigbox doctor",
    )
}

fn processor() -> Finding {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if std::env::consts::ARCH == "x86_64" {
        return Finding::ok("processor", format!("x86_64, {cpus} CPUs"));
    }
    let found = format!("{}, {cpus} CPUs", std::env::consts::ARCH);
    Finding::problem("processor", found, "use a machine with an x86_64 processor")
}

fn kernel_release() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // 5.10 has what the agent uses: pidfd, nft in namespaces, openat2.
    if version >= (5, 10) {
        return Finding::ok("kernel", release);
    }
    Finding::problem("kernel", release, "use a kernel of at least 5.10 (Debian 12 has 6.1)")
}

fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mib = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().nth(1)?.parse().ok())
            .map_or(0, |kib: u64| kib / 1_024)
    };
    let (total, available) = (mib("MemTotal"), mib("MemAvailable"));
    let found = format!("{available} MiB available of {total} MiB");
    if available >= MEMORY_LEAST_MIB {
        return Finding::ok("memory", found);
    }
    Finding::warning("memory", found, "end other programs, or give the machine more memory")
}

fn clock() -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if now >= CLOCK_LEAST_S {
        return Finding::ok("clock", "plausible");
    }
    Finding::problem("clock", "before 2025", "set it: date -s, or install systemd-timesyncd")
}

fn disk(layout: &Layout) -> Finding {
    let place = existing_ancestor(layout.data());
    let Ok(stat) = rustix::fs::statvfs(place.as_std_path()) else {
        return Finding::problem(
            "disk",
            format!("{place} cannot be looked at"),
            "choose another directory: --data DIR",
        );
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) / GIB;
    let found = format!("{free} GiB free for {}", layout.data());
    let remedy = "free some space, or choose another directory: --data DIR";
    match free {
        0..DISK_LEAST_GIB => Finding::problem("disk", found, remedy),
        DISK_LEAST_GIB..DISK_EASY_GIB => Finding::warning("disk", found, remedy),
        _ => Finding::ok("disk", found),
    }
}

/// Tries to clone a file: the name of the file system does not say whether it was made with that.
fn clones(layout: &Layout) -> (Finding, bool) {
    const CHECK: &str = "file clones";
    let folder = existing_ancestor(layout.data());
    let path = |name: &str| folder.join(format!(".doctor-{}-{name}", std::process::id()));
    let (from, to) = (path("from"), path("to"));
    let tried = || -> std::io::Result<bool> {
        fs::write(&from, [0; 4_096])?;
        let (from, to) = (fs::File::open(&from)?, fs::File::create(&to)?);
        Ok(rustix::fs::ioctl_ficlone(&to, &from).is_ok())
    };
    let cloned = tried();
    for path in [&from, &to] {
        // It may never have been made.
        drop(fs::remove_file(path));
    }
    let has_clones = matches!(cloned, Ok(true));
    let finding = match cloned {
        Ok(true) => Finding::ok(CHECK, "this file system has them"),
        Ok(false) => Finding::ok(CHECK, "not on this file system; a pool file with XFS has them"),
        Err(error) => {
            Finding::warning(CHECK, format!("could not be tried: {error}"), "sudo rigbox doctor")
        }
    };
    (finding, has_clones)
}

fn port(up: &Up<'_>) -> Finding {
    const CHECK: &str = "port";
    let address = up.config.api.listen;
    let state = State::read(up.layout).ok().flatten();
    if let Some(state) = state.filter(|state| state.supervisor.is_alive()) {
        return Finding::ok(CHECK, format!("the platform answers at {}", state.api));
    }
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(CHECK, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding::problem(
            CHECK,
            format!("{address} is taken by {}", listen::holder(address.port())),
            format!("end that program, or set api.listen in {}", up.layout.config()),
        ),
        Err(error) => Finding::problem(
            CHECK,
            format!("{address} cannot be used: {error}"),
            format!("set api.listen in {}", up.layout.config()),
        ),
    }
}

fn existing_ancestor(path: &Utf8Path) -> &Utf8Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Utf8Path::new("/"))
}
