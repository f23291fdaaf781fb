//! Where the store's times come from, so that tests turn the clock themselves.
//! Invariant: nothing else in this crate reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rigbox_types::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The moment that is now. May go back: whoever orders by it must not rely on it alone.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
