//! Token buckets that all controls of a fleet share.
//! Writer and reader: control. Invariant: of draws at once no more pass than there are tokens. The
//! time is each control's own: clocks that differ by a second shift a bucket by as much.
//! Does not know what a token is for.

use rigbox_types::{
    AccountId,
    endpoint::RateClass,
    rate::{Draw, Rate},
};

use crate::{
    StoreError,
    engine::{Engine, Kind, Text},
    row::Columns,
};

/// Takes tokens where there are enough, in one statement; the arithmetic is that of [`Rate::draw`].
/// Now, the window's end and the cost are $3, $4, $5.
const DRAW: Text = Text {
    sqlite: "INSERT INTO rates (account_id, class, full_at) VALUES ($1, $2, $3 + $5) \
        ON CONFLICT (account_id, class) DO UPDATE \
        SET full_at = MIN(MAX(rates.full_at, $3), $4) + $5 \
        WHERE MIN(MAX(rates.full_at, $3), $4) + $5 <= $4 RETURNING full_at - $5 AS full_at",
    postgres: "INSERT INTO rates (account_id, class, full_at) VALUES ($1, $2, $3 + $5) \
        ON CONFLICT (account_id, class) DO UPDATE \
        SET full_at = LEAST(GREATEST(rates.full_at, $3), $4) + $5 \
        WHERE LEAST(GREATEST(rates.full_at, $3), $4) + $5 <= $4 RETURNING full_at - $5 AS full_at",
};

const GET: &str = "SELECT full_at FROM rates WHERE account_id = $1 AND class = $2";

const FORGET: &str = "DELETE FROM rates WHERE full_at < $1";

/// See the module.
pub struct Rates<'s> {
    pub(crate) engine: &'s Engine,
}

impl Rates<'_> {
    /// Whether other controls may draw from the same buckets. An embedded database has one control,
    /// which can as well count by itself.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.engine.kind == Kind::Postgres
    }

    /// Draws tokens of an account.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn draw(
        &self,
        account: AccountId,
        class: RateClass,
        (rate, tokens): (Rate, u32),
    ) -> Result<Draw, StoreError> {
        let now = self.engine.now().as_micros();
        let drawn = sqlx::query(self.engine.text(DRAW))
            .bind(account.to_string())
            .bind(class.as_str())
            .bind(now)
            .bind(now.saturating_add(rate.window()))
            .bind(rate.cost(tokens))
            .fetch_optional(&self.engine.write)
            .await?;
        if let Some(row) = drawn {
            return Ok(rate.draw(Columns::of("rates", &row).raw("full_at")?, now, tokens));
        }
        // Only for the time that the caller is told to wait.
        let query = sqlx::query(GET).bind(account.to_string()).bind(class.as_str());
        let row = query.fetch_optional(&self.engine.read).await?;
        let full_at = row.map(|row| Columns::of("rates", &row).raw("full_at")).transpose()?;
        Ok(match rate.draw(full_at.unwrap_or(now), now, tokens) {
            // Others' tokens came back meanwhile; ours were not taken.
            Draw::Passed { .. } => Draw::Empty { retry_after_s: 1 },
            empty @ Draw::Empty { .. } => empty,
        })
    }

    /// Forgets buckets that are full. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        sqlx::query(FORGET).bind(now).execute(&self.engine.write).await?;
        Ok(())
    }
}
