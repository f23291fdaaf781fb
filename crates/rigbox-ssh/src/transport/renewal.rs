//! When keys are renewed (RFC 4253, section 9), and by which connection of a session.
//! Invariant: at most one of those that share a turn has it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Most packets under one key, long before their numbers come again.
const PACKETS: u32 = 1 << 30;

/// When the keys of one direction are to be renewed. Those that are made of one another share a turn.
pub(crate) struct Renewal {
    bytes: u64,
    after: Duration,
    since: Instant,
    turn: Arc<AtomicBool>,
    has_turn: bool,
}

impl Clone for Renewal {
    /// Another one with the same turn, which it does not have, from now on.
    fn clone(&self) -> Self {
        Self { turn: self.turn.clone(), has_turn: false, since: Instant::now(), ..*self }
    }
}

impl Renewal {
    pub(crate) fn new(bytes: u64, after: Duration) -> Self {
        Self { bytes, after, since: Instant::now(), turn: Arc::default(), has_turn: false }
    }

    pub(super) fn is_due(&self, bytes: u64, packets: u32) -> bool {
        bytes > self.bytes || packets > PACKETS || self.since.elapsed() > self.after
    }

    /// Counts the time from now on.
    pub(super) fn begins(&mut self) {
        self.since = Instant::now();
    }

    /// Takes the turn, where nobody has it.
    pub(super) fn takes_turn(&mut self) -> bool {
        self.has_turn = self.has_turn || !self.turn.swap(true, Ordering::AcqRel);
        self.has_turn
    }

    /// New keys are there: counts from now on, and gives the turn back.
    pub(super) fn is_done(&mut self) {
        self.begins();
        if std::mem::take(&mut self.has_turn) {
            self.turn.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renewed_after_bytes_packets_or_time() {
        let renewal = Renewal::new(100, Duration::from_secs(3_600));
        assert!(!renewal.is_due(100, PACKETS));
        assert!(renewal.is_due(101, 0) && renewal.is_due(0, PACKETS + 1));
        assert!(Renewal::new(100, Duration::ZERO).is_due(0, 0));
    }

    #[test]
    fn one_of_two_connections_renews_at_a_time() {
        let mut one = Renewal::new(100, Duration::ZERO);
        let mut other = one.clone();
        assert!(one.takes_turn() && one.takes_turn() && !other.takes_turn());
        other.is_done();
        assert!(!other.takes_turn(), "what it did not have it does not give back");
        one.is_done();
        assert!(other.takes_turn() && !one.takes_turn());
    }
}
