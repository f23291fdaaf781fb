//! Keys of TLS session tickets: made now and then, and forgotten after some more were made.
//! Invariant: all processes have the same, whichever of them makes the next one.

use std::time::Duration;

use rigbox_types::Timestamp;
use sqlx::any::AnyRow;

use super::Certificates;
use crate::{
    StoreError,
    feed::Wake,
    row::{Columns, count},
    tx::Tx,
};

const READ: &str =
    "SELECT id, sealed, created_at FROM ticket_keys ORDER BY created_at DESC, id DESC";

const ADD: &str = "INSERT INTO ticket_keys (id, sealed, created_at) VALUES ($1, $2, $3)";

const REMOVE: &str = "DELETE FROM ticket_keys WHERE id = $1";

/// Whoever is to add one waits here for whoever does.
const HOLD: &str = "INSERT INTO settings (name, value, updated_at) VALUES ('ticket_keys', '', $1) \
     ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at";

/// An encrypted key.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKeyRow {
    /// Its id.
    pub id: String,
    /// The encrypted key.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Certificates<'_> {
    /// The keys, newest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn ticket_keys(&self) -> Result<Vec<TicketKeyRow>, StoreError> {
        let rows = sqlx::query(READ).fetch_all(&self.engine.read).await?;
        rows.iter().map(read).collect()
    }

    /// Makes `new` the newest key, where the newest one is `every` old; of all, `kept` stay.
    /// Says whether it did.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn rotate_ticket_keys(
        &self,
        (id, sealed): (&str, &[u8]),
        every: Duration,
        kept: usize,
    ) -> Result<bool, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        sqlx::query(HOLD).bind(now.as_micros()).execute(tx.on()).await?;
        let keys = read_all(&mut tx).await?;
        let every = count(u64::try_from(every.as_micros()).unwrap_or(u64::MAX));
        // One from the future, of a clock that was put back, counts as old: it would stay for long.
        let is_young = |key: &TicketKeyRow| {
            let age = now.as_micros().saturating_sub(key.created_at.as_micros());
            (0..every).contains(&age)
        };
        if keys.first().is_some_and(is_young) {
            return Ok(false);
        }
        let from_future = keys.iter().filter(|key| key.created_at > now);
        let too_many = keys.iter().filter(|key| key.created_at <= now).skip(kept.saturating_sub(1));
        for key in from_future.chain(too_many) {
            sqlx::query(REMOVE).bind(key.id.as_str()).execute(tx.on()).await?;
        }
        let query = sqlx::query(ADD).bind(id).bind(sealed.to_vec()).bind(now.as_micros());
        query.execute(tx.on()).await?;
        tx.wake(Wake::Certificates);
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a key that cannot be decrypted any longer.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn remove_ticket_key(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query(REMOVE).bind(id).execute(&self.engine.write).await?;
        Ok(())
    }
}

async fn read_all(tx: &mut Tx<'_>) -> Result<Vec<TicketKeyRow>, StoreError> {
    let rows = sqlx::query(READ).fetch_all(tx.on()).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<TicketKeyRow, StoreError> {
    let columns = Columns::of("ticket_keys", row);
    Ok(TicketKeyRow {
        id: columns.raw("id")?,
        sealed: columns.raw("sealed")?,
        created_at: columns.moment("created_at")?,
    })
}
