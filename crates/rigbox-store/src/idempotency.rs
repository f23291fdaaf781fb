//! Answers to requests that carry an `Idempotency-Key`, so that a repeat gets the first answer.
//!
//! ```text
//! (none) ── begin ──> claimed ── finish ──> answered ── 24 h ──> (none)
//!                      │  ^ begin, when nobody has renewed the claim for 15 s: claim + 1
//!                      └──┴ abandon ──> (none), or free where something was made
//! ```
//!
//! Writer and reader: control. Invariants: one claim at a time works on a key; what a claim has
//! made is noted in the transaction that made it, so that whoever takes the key over finds it
//! instead of making a second one; a claim that nobody works on any more ends soon; an account has a
//! bounded number of keys. Does not hash requests and does not know what an answer means.

use std::time::Duration;

use rigbox_types::{AccountId, limits::IDEMPOTENCY_HOURS};

use crate::{
    StoreError,
    engine::{Engine, Kind},
    row::Columns,
    tx::Tx,
};

/// How long a claim holds without being renewed. Whoever works on it renews it more often, so only
/// one whose process has ended runs out.
pub const LEASE: Duration = Duration::from_secs(15);

const EXPIRE_ONE: &str =
    "DELETE FROM idempotency_keys WHERE account_id = $1 AND name = $2 AND created_at < $3";

const CLAIM: &str = "INSERT INTO idempotency_keys \
     (account_id, name, request_hash, claim, claimed_at, created_at) \
     VALUES ($1, $2, $3, 1, $4, $4) ON CONFLICT (account_id, name) DO NOTHING";

/// Reads the table's key alone.
const COUNT_ALL: &str = "SELECT COUNT(*) AS count FROM idempotency_keys WHERE account_id = $1";

const COUNT: &str = "SELECT COUNT(*) AS count, MIN(created_at) AS first_created_at \
     FROM idempotency_keys WHERE account_id = $1 AND created_at >= $2";

const GET: &str = "SELECT request_hash, claim, claimed_at, made, status, body \
     FROM idempotency_keys WHERE account_id = $1 AND name = $2";

const TAKE_OVER: &str = "UPDATE idempotency_keys SET claim = claim + 1, claimed_at = $4 \
     WHERE account_id = $1 AND name = $2 AND claim = $3 AND status IS NULL";

const NOTE_MADE: &str = "UPDATE idempotency_keys SET made = $4 \
     WHERE account_id = $1 AND name = $2 AND claim = $3 AND status IS NULL";

const FINISH: &str = "UPDATE idempotency_keys SET status = $4, body = $5 \
     WHERE account_id = $1 AND name = $2 AND claim = $3 AND status IS NULL";

const ABANDON: &str = "DELETE FROM idempotency_keys \
     WHERE account_id = $1 AND name = $2 AND claim = $3 AND status IS NULL AND made IS NULL";

const RENEW: &str = "UPDATE idempotency_keys SET claimed_at = $4 \
     WHERE account_id = $1 AND name = $2 AND claim = $3 AND status IS NULL";

const RELEASE: &str = "UPDATE idempotency_keys SET claimed_at = 0 WHERE status IS NULL";

const EXPIRE: &str = "DELETE FROM idempotency_keys WHERE created_at < $1";

/// See the module.
pub struct Idempotency<'s> {
    pub(crate) engine: &'s Engine,
}

/// The right to work on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    account: AccountId,
    name: String,
    number: i64,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Work on it, then [`Idempotency::finish`] or [`Idempotency::abandon`].
    Work {
        /// The right to do so.
        claim: Claim,
        /// What an interrupted attempt has made already: answer with it, do not make another.
        made: Option<String>,
    },
    /// The first one is still being worked on.
    InFlight,
    /// Answer this.
    Answered {
        /// HTTP status.
        status: u16,
        /// The document.
        body: String,
    },
    /// The key was used for another request.
    Mismatch,
    /// The account has as many keys as it may have. Nothing was claimed.
    TooMany {
        /// Seconds until the oldest one is forgotten; at least one.
        retry_after_s: u32,
    },
}

impl Idempotency<'_> {
    /// Claims a key for the request with this hash; one more than `most` of the account only where
    /// several do so at the very same moment.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn begin(
        &self,
        (account, most): (AccountId, Option<u32>),
        key: &str,
        request_hash: &[u8; 32],
    ) -> Result<Begin, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        sqlx::query(EXPIRE_ONE)
            .bind(account.to_string())
            .bind(key)
            .bind(now.saturating_sub(kept()))
            .execute(tx.on())
            .await?;
        let claimed = sqlx::query(CLAIM)
            .bind(account.to_string())
            .bind(key)
            .bind(request_hash.to_vec())
            .bind(now)
            .execute(tx.on())
            .await?;
        let begin = if claimed.rows_affected() > 0 {
            if let Some(most) = most
                && let Some(retry_after_s) = over(&mut tx, (account, most), now).await?
            {
                // Dropped without effect.
                return Ok(Begin::TooMany { retry_after_s });
            }
            let claim = Claim { account, name: key.to_owned(), number: 1 };
            Begin::Work { claim, made: None }
        } else {
            join(&mut tx, (account, key), request_hash, now).await?
        };
        tx.commit().await?;
        Ok(begin)
    }

    /// Keeps the answer.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] where a repeat has taken over.
    pub async fn finish(&self, claim: &Claim, status: u16, body: &str) -> Result<(), StoreError> {
        let done = claimed(FINISH, claim)
            .bind(i64::from(status))
            .bind(body.to_owned())
            .execute(&self.engine.write)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::ClaimLost) } else { Ok(()) }
    }

    /// Gives the key back: the request was refused for a reason that may pass. What it has made
    /// nevertheless stays noted, and the next one goes on from there.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn abandon(&self, claim: &Claim) -> Result<(), StoreError> {
        let gone = claimed(ABANDON, claim).execute(&self.engine.write).await?;
        if gone.rows_affected() == 0 {
            claimed(RENEW, claim).bind(0_i64).execute(&self.engine.write).await?;
        }
        Ok(())
    }

    /// Says that somebody still works on the request. To be called more often than [`LEASE`].
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn renew(&self, claim: &Claim) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        claimed(RENEW, claim).bind(now).execute(&self.engine.write).await?;
        Ok(())
    }

    /// Gives back the claims of a process that has ended. To be called by control before it
    /// serves: of an embedded database it is the only writer, so whoever held a claim is gone. With
    /// a server others may be at work, and their claims run out by themselves.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn release(&self) -> Result<(), StoreError> {
        match self.engine.kind {
            Kind::Sqlite => sqlx::query(RELEASE).execute(&self.engine.write).await.map(drop)?,
            Kind::Postgres => {}
        }
        Ok(())
    }

    /// Forgets what is older than 24 h. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let before = self.engine.now().as_micros().saturating_sub(kept());
        sqlx::query(EXPIRE).bind(before).execute(&self.engine.write).await?;
        Ok(())
    }
}

/// Notes in a transaction that makes something what it makes.
pub(crate) async fn note_made(
    tx: &mut Tx<'_>,
    claim: &Claim,
    made: &str,
) -> Result<(), StoreError> {
    let noted = claimed(NOTE_MADE, claim).bind(made.to_owned()).execute(tx.on()).await?;
    if noted.rows_affected() == 0 { Err(StoreError::ClaimLost) } else { Ok(()) }
}

/// When to come again, where the account has more keys than it may have.
async fn over(
    tx: &mut Tx<'_>,
    (account, most): (AccountId, u32),
    now: i64,
) -> Result<Option<u32>, StoreError> {
    let row = sqlx::query(COUNT_ALL).bind(account.to_string()).fetch_one(tx.on()).await?;
    if Columns::of("idempotency_keys", &row).number::<u64>("count")? <= u64::from(most) {
        return Ok(None);
    }
    // Some may only wait for being forgotten.
    let query = sqlx::query(COUNT).bind(account.to_string()).bind(now.saturating_sub(kept()));
    let row = query.fetch_one(tx.on()).await?;
    let columns = Columns::of("idempotency_keys", &row);
    if columns.number::<u64>("count")? <= u64::from(most) {
        return Ok(None);
    }
    let first: Option<i64> = columns.raw("first_created_at")?;
    let wait = first.unwrap_or(now).saturating_add(kept()).saturating_sub(now);
    Ok(Some(rigbox_types::rate::seconds(wait).max(1)))
}

/// What a repeat gets.
async fn join(
    tx: &mut Tx<'_>,
    (account, key): (AccountId, &str),
    request_hash: &[u8; 32],
    now: i64,
) -> Result<Begin, StoreError> {
    let query = sqlx::query(GET).bind(account.to_string()).bind(key);
    let Some(row) = query.fetch_optional(tx.on()).await? else {
        // Abandoned or expired in this very moment.
        return Ok(Begin::InFlight);
    };
    let columns = Columns::of("idempotency_keys", &row);
    if columns.raw::<Vec<u8>>("request_hash")? != request_hash {
        return Ok(Begin::Mismatch);
    }
    if let Some(status) = columns.number_optional("status")? {
        return Ok(Begin::Answered { status, body: columns.raw("body")? });
    }
    let lease = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
    if columns.raw::<i64>("claimed_at")? >= now.saturating_sub(lease) {
        return Ok(Begin::InFlight);
    }
    let mut claim = Claim { account, name: key.to_owned(), number: columns.raw("claim")? };
    let taken = claimed(TAKE_OVER, &claim).bind(now).execute(tx.on()).await?;
    if taken.rows_affected() == 0 {
        return Ok(Begin::InFlight);
    }
    claim.number += 1;
    // Read after the claim is ours: the former one may have made something just before.
    let query = sqlx::query(GET).bind(account.to_string()).bind(key);
    let row = query.fetch_one(tx.on()).await?;
    let made = Columns::of("idempotency_keys", &row).raw("made")?;
    Ok(Begin::Work { claim, made })
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// A statement about the key of a claim.
fn claimed(text: &'static str, claim: &Claim) -> Query {
    sqlx::query(text).bind(claim.account.to_string()).bind(claim.name.clone()).bind(claim.number)
}

fn kept() -> i64 {
    i64::from(IDEMPOTENCY_HOURS) * 3_600 * 1_000_000
}
