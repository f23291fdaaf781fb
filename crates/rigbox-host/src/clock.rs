//! The clock and the randomness of this crate: the only place that reads either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rigbox_types::Timestamp;
use rigbox_vmm::ProcessId;
use rustix::time::{ClockId, clock_gettime};

/// Ticks a second in `/proc/<pid>/stat`: fixed for user space on Linux, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;

/// The time of day. It may jump: nothing here measures a wait with it.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(i64::try_from(micros()).unwrap_or(i64::MAX))
}

/// Microseconds since 1970.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Time since the machine booted, including sleep; it never jumps.
pub(crate) fn since_boot() -> Duration {
    read(ClockId::Boottime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How far the time of day is ahead of a clock that only runs while the machine does. It changes
/// when somebody sets the time, and when the machine slept: both are a jump to a guest, whose own
/// clock knows of neither.
pub(crate) fn ahead() -> Duration {
    Duration::from_micros(micros()).saturating_sub(read(ClockId::Monotonic))
}

/// How long a process of this boot of the machine has existed.
pub(crate) fn age(process: &ProcessId) -> Duration {
    let ticks = process.start_time_ticks;
    let nanos = (ticks % TICKS_PER_SECOND).saturating_mul(1_000_000_000 / TICKS_PER_SECOND);
    let started = Duration::from_secs(ticks / TICKS_PER_SECOND) + Duration::from_nanos(nanos);
    since_boot().saturating_sub(started)
}

/// A random byte, to spread retries. Without randomness they are not spread.
pub(crate) fn jitter() -> u8 {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_of_the_machine_is_a_jump() {
        // In a time namespace the clocks differ as they do on a machine that has slept an hour.
        const ROLE: &str = "RIGBOX_TEST_CLOCK";
        if std::env::var(ROLE).is_ok() {
            let awake = Duration::from_micros(micros()).saturating_sub(ahead());
            let slept = since_boot().saturating_sub(awake);
            assert!(
                slept.abs_diff(Duration::from_secs(3600)) < Duration::from_secs(60),
                "{slept:?}"
            );
            return;
        }
        let slept = since_boot().saturating_sub(read(ClockId::Monotonic)).as_secs();
        let child = std::process::Command::new("unshare")
            .args(["--time", "--boottime", &3600_u64.saturating_sub(slept).to_string(), "--fork"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "clock::tests::a_sleep_of_the_machine_is_a_jump", "--nocapture"])
            .env(ROLE, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    }
}
