//! Percentiles of samples. Nearest rank: every number that is shown was measured.

use crate::rows::Row;

/// Samples of one measurement, in order of size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The samples of a measurement; of any `n` where none is given.
    pub(crate) fn of(rows: &[Row], name: &str, side: &str, n: Option<u64>) -> Self {
        let fits =
            |row: &&Row| row.name == name && row.side == side && n.is_none_or(|n| n == row.n);
        Self::from_values(rows.iter().filter(fits).map(|row| row.value))
    }

    /// Any samples.
    pub(crate) fn from_values(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The least value that this share of the samples does not exceed; none without samples.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }

    /// The middle one.
    pub(crate) fn p50(&self) -> Option<f64> {
        self.percentile(50)
    }

    /// The least one.
    pub(crate) fn min(&self) -> Option<f64> {
        self.0.first().copied()
    }

    /// The largest one.
    pub(crate) fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample() {
        let series = Series::from_values([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(series.p50(), Some(2.0));
        assert_eq!(series.percentile(99), Some(4.0));
        assert_eq!((series.min(), series.max(), series.len()), (Some(1.0), Some(4.0), 4));
        assert_eq!(Series::default().p50(), None);
    }
}
