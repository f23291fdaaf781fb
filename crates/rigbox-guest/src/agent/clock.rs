//! The one place where the agent reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rigbox_types::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The time now, as the guest has it.
pub(crate) fn now() -> Timestamp {
    of(SystemTime::now())
}

/// A time of the file system.
pub(crate) fn of(time: SystemTime) -> Timestamp {
    let micros = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::saturating_neg)
        }
    };
    Timestamp::from_micros(micros)
}

/// Since boot, with the time that the guest was suspended.
pub(crate) fn uptime_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or_default()
}
