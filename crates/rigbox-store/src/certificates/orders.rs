//! Who orders a certificate now, what went wrong before, and the challenges that are up.
//! Invariants: of all processes one at a time orders for a subject, until it says how that went or
//! its time is over; what failed is tried again not before the moment that was said; orders with an
//! authority stay within a budget, but for as many as are begun in the same instant.

use std::time::Duration;

use rigbox_types::{Timestamp, edge::Challenge};

use super::Certificates;
use crate::{
    StoreError,
    feed::Wake,
    row::{self, Columns, count},
};

/// Most challenges that are up at once; each has some 300 bytes.
const CHALLENGES_MAX: i64 = 4096;

/// Most characters of an error that are kept.
const ERROR_MAX: usize = 2000;

/// Makes the row, or holds the one there is until the end of the transaction.
const HOLD: &str = "INSERT INTO certificate_orders (subject, held_until, failures, next_at) \
     VALUES ($1, 0, 0, 0) ON CONFLICT (subject) DO UPDATE SET failures = certificate_orders.failures \
     RETURNING held_until, failures, next_at";

const TAKE: &str = "UPDATE certificate_orders SET holder = $2, held_until = $3 WHERE subject = $1";

const LOG_COUNT: &str = "SELECT COUNT(*) AS number, CAST(COALESCE(MIN(begun_at), 0) AS BIGINT) AS oldest \
     FROM acme_log WHERE directory = $1 AND begun_at > $2";

const LOG_ADD: &str = "INSERT INTO acme_log (id, directory, begun_at) VALUES ($1, $2, $3)";

const LOG_FORGET: &str = "DELETE FROM acme_log WHERE directory = $1 AND begun_at <= $2";

const DONE: &str = "DELETE FROM certificate_orders WHERE subject = $1 AND holder = $2";

const FAILED: &str = "UPDATE certificate_orders SET holder = NULL, held_until = 0, \
     failures = failures + 1, next_at = $3, last_error = $4, last_failed_at = $5 \
     WHERE subject = $1 AND holder = $2";

const FORGET: &str = "DELETE FROM certificate_orders WHERE subject = $1 AND held_until <= $2";

const ORDERS: &str = "SELECT subject, holder, failures, next_at, last_error, last_failed_at \
     FROM certificate_orders ORDER BY subject";

const CHALLENGE_ADD: &str = "INSERT INTO acme_challenges (id, challenge, ends_at) VALUES ($1, $2, $3) \
     ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at";

const CHALLENGE_REMOVE: &str = "DELETE FROM acme_challenges WHERE id = $1";

const CHALLENGE_EXPIRE: &str = "DELETE FROM acme_challenges WHERE ends_at <= $1";

const CHALLENGES: &str =
    "SELECT challenge FROM acme_challenges WHERE ends_at > $1 ORDER BY id LIMIT $2";

/// How many orders may be begun with an authority in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget<'a> {
    /// Where the authority's directory is.
    pub directory: &'a str,
    /// How many.
    pub most: u32,
    /// In which time.
    pub within: Duration,
}

/// Whether a process may order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may, and nobody else.
    Granted {
        /// How often in a row it went wrong before.
        failures: u32,
    },
    /// Somebody does already.
    Held,
    /// Not before then.
    Later(Timestamp),
}

/// How an order went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is a certificate.
    Issued,
    /// There is none.
    Failed {
        /// When to try again.
        next_at: Timestamp,
        /// Why.
        error: String,
    },
}

/// An order that is under way or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// For which certificate.
    pub subject: String,
    /// Whether a process orders now.
    pub held: bool,
    /// How often in a row it went wrong.
    pub failures: u32,
    /// Not before then.
    pub next_at: Timestamp,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// And when.
    pub last_failed_at: Option<Timestamp>,
}

impl Certificates<'_> {
    /// Asks for the right to order for a subject, for a time. `order` is a new id.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn claim(
        &self,
        (subject, order): (&str, &str),
        lasts: Duration,
        budget: Budget<'_>,
    ) -> Result<Claim, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        let row = sqlx::query(HOLD).bind(subject).fetch_one(tx.on()).await?;
        let columns = Columns::of("certificate_orders", &row);
        if columns.raw::<i64>("held_until")? > now {
            return Ok(Claim::Held);
        }
        let next_at = columns.moment("next_at")?;
        if next_at.as_micros() > now {
            return Ok(Claim::Later(next_at));
        }
        let failures = columns.number("failures")?;
        let window = micros(budget.within);
        let begin = now.saturating_sub(window);
        let query = sqlx::query(LOG_COUNT).bind(budget.directory).bind(begin);
        let row = query.fetch_one(tx.on()).await?;
        let columns = Columns::of("acme_log", &row);
        if columns.raw::<i64>("number")? >= i64::from(budget.most) {
            let free = columns.raw::<i64>("oldest")?.saturating_add(window);
            return Ok(Claim::Later(Timestamp::from_micros(free)));
        }
        sqlx::query(LOG_FORGET).bind(budget.directory).bind(begin).execute(tx.on()).await?;
        let query = sqlx::query(LOG_ADD).bind(order).bind(budget.directory).bind(now);
        query.execute(tx.on()).await?;
        let until = now.saturating_add(micros(lasts));
        sqlx::query(TAKE).bind(subject).bind(order).bind(until).execute(tx.on()).await?;
        tx.commit().await?;
        Ok(Claim::Granted { failures })
    }

    /// Says how an order went. Nothing happens where it was taken over by another one.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn finish(
        &self,
        (subject, order): (&str, &str),
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let query = match outcome {
            Outcome::Issued => sqlx::query(DONE).bind(subject).bind(order),
            Outcome::Failed { next_at, error } => sqlx::query(FAILED)
                .bind(subject)
                .bind(order)
                .bind(next_at.as_micros())
                .bind(error.replace('\0', " ").chars().take(ERROR_MAX).collect::<String>())
                .bind(self.engine.now().as_micros()),
        };
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// Forgets what went wrong with a certificate that nobody wants any longer.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget_order(&self, subject: &str) -> Result<(), StoreError> {
        let query = sqlx::query(FORGET).bind(subject).bind(self.engine.now().as_micros());
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// Orders that are under way or failed.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn orders(&self) -> Result<Vec<OrderRow>, StoreError> {
        let rows = sqlx::query(ORDERS).fetch_all(&self.engine.read).await?;
        let read = |row| {
            let columns = Columns::of("certificate_orders", row);
            Ok(OrderRow {
                subject: columns.raw("subject")?,
                held: columns.raw::<Option<String>>("holder")?.is_some(),
                failures: columns.number("failures")?,
                next_at: columns.moment("next_at")?,
                last_error: columns.raw("last_error")?,
                last_failed_at: columns.moment_optional("last_failed_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts challenges up, each by its id, until a moment; forgets those whose moment was.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn challenges_open(
        &self,
        challenges: &[(String, Challenge)],
        ends_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        let now = self.engine.now().as_micros();
        sqlx::query(CHALLENGE_EXPIRE).bind(now).execute(tx.on()).await?;
        for (id, challenge) in challenges {
            let query = sqlx::query(CHALLENGE_ADD).bind(id.as_str()).bind(row::json(challenge)?);
            query.bind(ends_at.as_micros()).execute(tx.on()).await?;
        }
        tx.wake(Wake::Certificates);
        tx.commit().await
    }

    /// Takes challenges down.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn challenges_close(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        for id in ids {
            sqlx::query(CHALLENGE_REMOVE).bind(id.as_str()).execute(tx.on()).await?;
        }
        tx.wake(Wake::Certificates);
        tx.commit().await
    }

    /// The challenges that are up, at most 4096.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn challenges(&self) -> Result<Vec<Challenge>, StoreError> {
        let query = sqlx::query(CHALLENGES).bind(self.engine.now().as_micros());
        let rows = query.bind(CHALLENGES_MAX).fetch_all(&self.engine.read).await?;
        rows.iter().map(|row| Columns::of("acme_challenges", row).json("challenge")).collect()
    }
}

fn micros(length: Duration) -> i64 {
    count(u64::try_from(length.as_micros()).unwrap_or(u64::MAX))
}
