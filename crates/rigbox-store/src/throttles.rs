//! How often in a row something was guessed wrong: a password, a code.
//! Writer and reader: control's sign-in. Invariants: an attempt is counted before it is looked at, so
//! that many at once are not more than one after the other; an attempt that is refused is not
//! counted; a bucket is forgotten a day after its last attempt. Buckets are shared by all controls.
//! Does not know who guesses what: the caller names buckets, of which there are a bounded number.

use std::time::Duration;

use crate::{StoreError, engine::Engine, row::Columns, tx::Tx};

/// After so long without an attempt a bucket is new.
pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

const SECOND: i64 = 1_000_000;

/// Makes the bucket, or holds the one there is until the end of the transaction.
const HOLD: &str = "INSERT INTO throttles (bucket, failures, open_at, touched_at) \
     VALUES ($1, 0, $2, $2) ON CONFLICT (bucket) DO UPDATE SET failures = throttles.failures \
     RETURNING failures, open_at, touched_at";

const COUNT: &str =
    "UPDATE throttles SET failures = $2, open_at = $3, touched_at = $4 WHERE bucket = $1";

const CLEAR: &str = "DELETE FROM throttles WHERE bucket = $1";

const PARDON: &str = "UPDATE throttles SET failures = failures - 1, open_at = $2 \
     WHERE bucket = $1 AND failures > 0";

const FORGET: &str = "DELETE FROM throttles WHERE touched_at < $1";

/// See the module.
pub struct Throttles<'s> {
    pub(crate) engine: &'s Engine,
}

/// How a bucket grows tight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row that cost no time.
    pub free: u32,
    /// The longest wait; the first one is a second, and each is twice the one before.
    pub longest: Duration,
}

/// One bucket that an attempt counts in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Whether a success makes it new; else a success takes back only its own attempt.
    pub cleared: bool,
}

/// What came of asking for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It may be made, and is counted as failed until it is said to have succeeded.
    Admitted,
    /// It comes too soon. Nothing was counted.
    TooSoon {
        /// Seconds until it may be made; at least one.
        retry_after_s: u32,
        /// How many may fail in the bucket that says so, before one has to wait.
        free: u32,
    },
}

impl Throttles<'_> {
    /// Asks for an attempt, in all of these buckets at once.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn attempt(&self, buckets: &[(Bucket, Patience)]) -> Result<Attempt, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        let mut found = Vec::with_capacity(buckets.len());
        for (bucket, patience) in sorted(buckets) {
            found.push((bucket, patience, hold(&mut tx, &bucket.name, now).await?));
        }
        let waits = found.iter().map(|(_, patience, (_, open_at))| (*open_at, patience.free));
        if let Some((open_at, free)) = waits.max().filter(|(open_at, _)| *open_at > now) {
            let retry_after_s = rigbox_types::rate::seconds(open_at.saturating_sub(now)).max(1);
            // Dropped without effect.
            return Ok(Attempt::TooSoon { retry_after_s, free });
        }
        for (bucket, patience, (failures, _)) in found {
            let failures = failures.saturating_add(1);
            let open_at = now.saturating_add(patience.wait(failures));
            sqlx::query(COUNT)
                .bind(bucket.name.as_str())
                .bind(failures)
                .bind(open_at)
                .bind(now)
                .execute(tx.on())
                .await?;
        }
        tx.commit().await?;
        Ok(Attempt::Admitted)
    }

    /// Says that an attempt which was admitted has succeeded.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn succeeded(&self, buckets: &[(Bucket, Patience)]) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        for (bucket, _) in sorted(buckets) {
            let name = bucket.name.as_str();
            let query = match bucket.cleared {
                true => sqlx::query(CLEAR).bind(name),
                false => sqlx::query(PARDON).bind(name).bind(now),
            };
            query.execute(tx.on()).await?;
        }
        tx.commit().await
    }

    /// Forgets buckets that nobody has touched for a day. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let before = self.engine.now().as_micros().saturating_sub(kept());
        sqlx::query(FORGET).bind(before).execute(&self.engine.write).await?;
        Ok(())
    }
}

/// Failures of a bucket, and when it opens.
async fn hold(tx: &mut Tx<'_>, name: &str, now: i64) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query(HOLD).bind(name.to_owned()).bind(now).fetch_one(tx.on()).await?;
    let columns = Columns::of("throttles", &row);
    let touched_at: i64 = columns.raw("touched_at")?;
    if touched_at < now.saturating_sub(kept()) {
        return Ok((0, now));
    }
    Ok((columns.raw("failures")?, columns.raw("open_at")?))
}

/// In one order, so that two attempts never wait for each other.
fn sorted(buckets: &[(Bucket, Patience)]) -> Vec<&(Bucket, Patience)> {
    let mut sorted: Vec<_> = buckets.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

fn kept() -> i64 {
    i64::try_from(FORGET_AFTER.as_micros()).unwrap_or(i64::MAX)
}

impl Patience {
    /// The wait after so many failures, in microseconds.
    fn wait(self, failures: i64) -> i64 {
        let beyond = failures.saturating_sub(i64::from(self.free));
        if beyond <= 0 {
            return 0;
        }
        let longest = i64::try_from(self.longest.as_micros()).unwrap_or(i64::MAX);
        let doublings = u32::try_from(beyond.saturating_sub(1)).unwrap_or(u32::MAX);
        2_i64.checked_pow(doublings).map_or(longest, |s| s.saturating_mul(SECOND)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let patience = Patience { free: 3, longest: Duration::from_secs(10) };
        let seconds: Vec<i64> =
            [0, 3, 4, 5, 6, 7, 8, 9, 1_000].map(|n| patience.wait(n) / SECOND).to_vec();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 10, 10, 10]);
    }
}
