//! Tickets that serve once: what was signed for a browser and came back.
//! Writer and reader: control. Invariants: of many uses of one ticket at once one succeeds, on
//! whichever control; the number of remembered ones is bounded, and a ticket is refused rather than
//! another one forgotten before its time.
//! Does not know what a ticket is for, and not whether it is genuine: only genuine ones come here.

use std::time::Duration;

use crate::{StoreError, engine::Engine, row::Columns};

/// How long a used ticket is remembered: longer than any of them lives.
pub const REMEMBERED: Duration = Duration::from_secs(30 * 60);

/// Most tickets that are remembered. Each costs about 100 bytes.
const MAX: i64 = 100_000;

const EXPIRE: &str = "DELETE FROM spent_tickets WHERE spent_at < $1";

const COUNT: &str = "SELECT COUNT(*) AS number FROM spent_tickets";

const SPEND: &str =
    "INSERT INTO spent_tickets (hash, spent_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";

/// See the module.
pub struct Tickets<'s> {
    pub(crate) engine: &'s Engine,
}

/// What became of the use of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// This was its first use.
    Now,
    /// It was used before.
    Before,
    /// Too many are remembered to remember this one.
    TooMany,
}

impl Tickets<'_> {
    /// Uses a ticket with this hash.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn spend(&self, hash: &[u8; 32]) -> Result<Spent, StoreError> {
        let now = self.engine.now().as_micros();
        let kept = i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
        let mut tx = self.engine.begin().await?;
        sqlx::query(EXPIRE).bind(now.saturating_sub(kept)).execute(tx.on()).await?;
        let row = sqlx::query(COUNT).fetch_one(tx.on()).await?;
        if Columns::of("spent_tickets", &row).raw::<i64>("number")? >= MAX {
            return Ok(Spent::TooMany);
        }
        let query = sqlx::query(SPEND).bind(hash.to_vec()).bind(now);
        let spent = query.execute(tx.on()).await?.rows_affected();
        tx.commit().await?;
        Ok(if spent == 0 { Spent::Before } else { Spent::Now })
    }
}
