//! What load on one side found.

/// Requests of one measurement.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) per_second: f64,
    /// How long each took, in microseconds, ascending.
    pub(super) took_us: Vec<u64>,
}

impl Found {
    /// The least time that this share of the requests does not exceed.
    pub(super) fn percentile_us(&self, percent: usize) -> Option<u64> {
        let rank = (self.took_us.len() * percent).div_ceil(100).max(1);
        self.took_us.get(rank - 1).copied()
    }
}
