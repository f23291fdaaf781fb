//! What the kernel says about memory and the machine.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use rigbox_vmm::ProcessId;

/// Milliseconds of a clock tick: the kernel shows 100 ticks a second, whatever it runs with.
const TICK_MS: u64 = 10;

/// Names of the mappings that hold a guest's memory: the product's and QEMU's own.
const GUEST_MAPPINGS: [&str; 2] = ["memfd:rigbox-memory", "memfd:memory-backend-memfd"];

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Pages that are shared count in proportion.
    pub(crate) pss: u64,
    /// Pages that are shared count in full.
    pub(crate) rss: u64,
}

/// Memory of a process.
///
/// # Errors
/// When it is gone.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let size = |name| text.lines().find_map(|line| kib(line, name)).with_context(|| path.clone());
    Ok(Memory { pss: size("Pss")?, rss: size("Rss")? })
}

/// Memory of a VMM's guest that is resident, in KiB.
///
/// # Errors
/// When the VMM is gone or has no such memory.
pub(crate) fn guest_memory(vmm: u32) -> Result<u64> {
    let path = format!("/proc/{vmm}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    guest_share(&text).with_context(|| format!("{path} shows no memory of a guest"))
}

fn guest_share(smaps: &str) -> Option<u64> {
    let (mut is_guest, mut found) = (false, None);
    for line in smaps.lines() {
        // Fields of a mapping end in a colon; its first line begins with its addresses.
        let is_head = line.split(' ').next().is_some_and(|word| word.contains('-'));
        if is_head {
            is_guest = GUEST_MAPPINGS.iter().any(|name| line.contains(name));
        } else if is_guest && let Some(size) = kib(line, "Pss") {
            found = Some(found.unwrap_or(0) + size);
        }
    }
    found
}

fn kib(line: &str, name: &str) -> Option<u64> {
    let rest = line.strip_prefix(name)?.strip_prefix(':')?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// How long the machine has been up; exact to a tick.
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn uptime() -> Result<Duration> {
    let text = fs::read_to_string("/proc/uptime").context("read /proc/uptime")?;
    let seconds = text.split(' ').next().context("no time since boot")?;
    Ok(Duration::from_secs_f64(seconds.parse().context("the time since boot")?))
}

/// How long the machine had been up when a process started; exact to a tick.
///
/// # Errors
/// When it is gone.
pub(crate) fn started_at(pid: u32) -> Result<Duration> {
    let process = ProcessId::of(pid).with_context(|| format!("look at process {pid}"))?;
    Ok(Duration::from_millis(process.start_time_ticks.saturating_mul(TICK_MS)))
}

/// Time that all threads of a process have been executed, those that have ended too; exact to a
/// tick.
///
/// # Errors
/// When it is gone.
pub(crate) fn executed(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let ticks = executed_ticks(&text).with_context(|| format!("{path} is unknown"))?;
    Ok(Duration::from_millis(ticks.saturating_mul(TICK_MS)))
}

/// The process and those that it, or one of those, has started.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    let (mut all, mut at) = (vec![pid], 0);
    while let Some(of) = all.get(at).copied() {
        all.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    all
}

/// Field 4.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Fields 14 and 15. The name in parentheses may hold spaces and parentheses: fields are counted
/// from the last one.
fn executed_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// What the machine is, one fact a line.
pub(crate) fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    vec![
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("processors", processors().to_string()),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
    ]
}

/// How many processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The load averages, as the kernel writes them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 0 0 0 120 30 0 0 20 0 1 0 99 0";
        assert_eq!(executed_ticks(stat), Some(150));
        assert_eq!(executed_ticks("7 (a) S 1"), None);
        assert_eq!(parent(stat), Some(1));
    }

    #[test]
    fn only_the_guests_mapping_is_its_memory() {
        let smaps = "7f00-7f10 rw-s 0 00:01 5 /memfd:rigbox-memory (deleted)\nRss: 90 kB\n\
                     Pss:      90 kB\nPss_Dirty: 90 kB\n7f20-7f30 rw-p 0 00:00 0 [heap]\n\
                     Pss:  7 kB\n";
        assert_eq!(guest_share(smaps), Some(90));
        assert_eq!(guest_share("7f20-7f30 rw-p 0 00:00 0 [heap]\nPss: 7 kB\n"), None);
    }
}
