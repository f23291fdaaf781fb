//! What the guest uses, from `/proc`.

use std::sync::{Mutex, PoisonError};

use rigbox_types::guest::GuestMetrics;
use rustix::fs::statvfs;
use tokio::time::{Duration, Instant};

use super::{Guest, clock, refusal::Refusal, root::Root};

/// Two readings closer than this give the use between the earlier ones: over a shorter time it says
/// nothing.
const INTERVAL: Duration = Duration::from_secs(1);

/// Kernel ticks are hundredths of a second for user space on every architecture of Linux.
const TICK_MS: u64 = 10;

/// Remembers readings of the CPU counters, to tell the use between them.
#[derive(Default)]
pub(crate) struct Sampler {
    last: Mutex<Option<(Instant, Cpu, f64)>>,
}

/// CPU time of all CPUs since boot, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cpu {
    busy: u64,
    total: u64,
    count: u32,
}

impl Sampler {
    /// The use since the last reading, in percent of all CPUs.
    fn percent(&self, now: Cpu, moment: Instant) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, percent) = match *last {
            Some((at, _, percent)) if moment.duration_since(at) < INTERVAL => return percent,
            Some((_, cpu, percent)) => (cpu, percent),
            None => (Cpu::default(), 0.0),
        };
        let percent =
            share(now.busy.saturating_sub(since.busy), now.total.saturating_sub(since.total))
                .unwrap_or(percent);
        *last = Some((moment, now, percent));
        percent
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 100.0).clamp(0.0, 100.0))
}

/// `GET /metrics`.
pub(crate) fn read(guest: &Guest) -> Result<GuestMetrics, Refusal> {
    let proc = |name: &str| proc_file(&guest.root, name);
    let cpu = cpu(&proc("stat"));
    let (memory_total, memory_available) = memory(&proc("meminfo"));
    let (network_rx_bytes, network_tx_bytes) = network(&proc("net/dev"));
    let disk = statvfs(guest.root.path("/").as_path());
    let disk = disk.map_err(|error| Refusal::internal("disk", &error))?;
    let block_bytes = disk.f_frsize;
    Ok(GuestMetrics {
        at: clock::now(),
        uptime_ms: clock::uptime_ms(),
        cpus: cpu.count,
        cpu_percent: guest.sampler.percent(cpu, Instant::now()),
        cpu_busy_ms: cpu.busy.saturating_mul(TICK_MS),
        memory_total_bytes: memory_total,
        memory_used_bytes: memory_total.saturating_sub(memory_available),
        disk_total_bytes: disk.f_blocks.saturating_mul(block_bytes),
        disk_used_bytes: disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(block_bytes),
        network_rx_bytes,
        network_tx_bytes,
        load_1m: proc("loadavg")
            .split(' ')
            .next()
            .and_then(|load| load.parse().ok())
            .unwrap_or(0.0),
    })
}

/// A file of `/proc`, which a test's root has only where the test wants another than the machine's.
pub(crate) fn proc_file(root: &Root, name: &str) -> String {
    let path = format!("/proc/{name}");
    root.read(&path).or_else(|_| std::fs::read_to_string(&path)).unwrap_or_default()
}

fn cpu(stat: &str) -> Cpu {
    let mut cpu = Cpu::default();
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("cpu") => {
                // user nice system idle iowait irq softirq steal; guest time is in user already.
                let ticks: Vec<u64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
                let idle: u64 = ticks.iter().skip(3).take(2).sum();
                cpu.total = ticks.iter().sum();
                cpu.busy = cpu.total.saturating_sub(idle);
            }
            Some(name) if name.starts_with("cpu") => cpu.count = cpu.count.saturating_add(1),
            _ => {}
        }
    }
    cpu
}

/// Total and available memory in bytes.
fn memory(meminfo: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.unwrap_or_default().saturating_mul(1024)
    };
    (field("MemTotal:"), field("MemAvailable:"))
}

/// Received and sent bytes of all interfaces but loopback.
fn network(dev: &str) -> (u64, u64) {
    let interfaces = dev.lines().filter_map(|line| line.split_once(':'));
    let counters = interfaces.filter(|(name, _)| name.trim() != "lo").map(|(_, counters)| {
        let counter = |at| counters.split_whitespace().nth(at).and_then(|word| word.parse().ok());
        (counter(0).unwrap_or(0_u64), counter(8).unwrap_or(0_u64))
    });
    counters.fold((0, 0), |(rx, tx), (more_rx, more_tx)| {
        (rx.saturating_add(more_rx), tx.saturating_add(more_tx))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_kernel_are_read() {
        let stat = "cpu  10 1 9 70 10 0 0 0 5 0\ncpu0 5 0 0 0\ncpu1 5 0 0 0\nintr 1\n";
        assert_eq!(cpu(stat), Cpu { busy: 20, total: 100, count: 2 });
        assert_eq!(
            memory("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable:  40 kB\n"),
            (102_400, 40_960)
        );
        let dev = "Inter-|  Receive\n face |bytes\n lo: 7 0 0 0 0 0 0 0 7 0\neth0:100 1 0 0 0 0 0 0 200 2\n";
        assert_eq!(network(dev), (100, 200));
    }

    #[test]
    fn use_is_told_between_readings() {
        let sampler = Sampler::default();
        let begin = Instant::now();
        let check = |after, busy, total, expected: f64| {
            let percent = sampler.percent(Cpu { busy, total, count: 1 }, begin + after);
            assert!((percent - expected).abs() < 0.01, "{percent} is not {expected}");
        };
        check(Duration::ZERO, 50, 100, 50.0);
        check(INTERVAL / 2, 150, 200, 50.0);
        check(INTERVAL, 125, 200, 75.0);
    }
}
