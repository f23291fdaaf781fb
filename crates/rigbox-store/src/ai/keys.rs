//! Keys of owners at providers, encrypted.

use std::fmt;

use rigbox_types::{AccountId, Timestamp, WorkspaceId, api::ai::AiProvider};
use sqlx::any::AnyRow;

use super::Ai;
use crate::{
    StoreError,
    row::{Columns, word},
    tx::Tx,
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT account_id, place, provider, sealed, preview, updated_at FROM ai_keys ",
            $rest
        )
    };
}

const OF_PLACE: &str =
    select!("WHERE account_id = $1 AND place IN ('', $2) ORDER BY place DESC, provider");

const PAGE: &str = select!(
    "WHERE (account_id, place, provider) > ($1, $2, $3) ORDER BY account_id, place, provider LIMIT $4"
);

const PUT: &str = "INSERT INTO ai_keys \
     (account_id, place, provider, workspace_id, sealed, preview, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (account_id, place, provider) DO UPDATE SET sealed = excluded.sealed, \
     preview = excluded.preview, updated_at = excluded.updated_at";

const DELETE: &str = "DELETE FROM ai_keys WHERE account_id = $1 AND place = $2 AND provider = $3";

/// Only what is still the same: a key that its owner has set meanwhile stays.
const RESEAL: &str = "UPDATE ai_keys SET sealed = $5 \
     WHERE account_id = $1 AND place = $2 AND provider = $3 AND sealed = $4";

/// An encrypted key; the bytes are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey(pub Vec<u8>);

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedKey({} bytes)", self.0.len())
    }
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AiKeyPlace {
    /// Whose key it is.
    pub account: AccountId,
    /// The workspace that it is for; none for all of the account.
    pub workspace: Option<WorkspaceId>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AiKeyRow {
    /// What it is for.
    pub place: AiKeyPlace,
    /// Where it is a key.
    pub provider: AiProvider,
    /// The key, encrypted.
    pub sealed: SealedKey,
    /// Its end, to tell keys apart.
    pub preview: String,
    /// When its owner has set it.
    pub updated_at: Timestamp,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// It takes the place of the one before.
    Put {
        /// Where it is a key.
        provider: AiProvider,
        /// The key, encrypted.
        sealed: SealedKey,
        /// Its end.
        preview: String,
    },
    /// It is forgotten, if there is one.
    Forget {
        /// Where it is a key.
        provider: AiProvider,
    },
}

impl AiKeyPlace {
    fn word(&self) -> &str {
        self.workspace.as_ref().map_or("", WorkspaceId::as_str)
    }
}

impl Ai<'_> {
    /// The keys that count for a workspace, its own first, or those of an account.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn keys(&self, place: &AiKeyPlace) -> Result<Vec<AiKeyRow>, StoreError> {
        let query = sqlx::query(OF_PLACE).bind(place.account.to_string()).bind(place.word());
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// Keys of all accounts behind `after`, in a fixed order.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn keys_after(
        &self,
        after: Option<&AiKeyRow>,
        most: u32,
    ) -> Result<Vec<AiKeyRow>, StoreError> {
        let (account, place, provider) = match after {
            Some(row) => {
                (row.place.account.to_string(), row.place.word().to_owned(), word(&row.provider)?)
            }
            None => Default::default(),
        };
        let query = sqlx::query(PAGE).bind(account).bind(place).bind(provider);
        let query = query.bind(i64::from(most));
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// Puts the same key, encrypted anew, in the place of what was read. Says whether it was still that.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn key_reseal(&self, was: &AiKeyRow, now: &SealedKey) -> Result<bool, StoreError> {
        let changed = sqlx::query(RESEAL)
            .bind(was.place.account.to_string())
            .bind(was.place.word())
            .bind(word(&was.provider)?)
            .bind(was.sealed.0.clone())
            .bind(now.0.clone())
            .execute(&self.engine.write)
            .await?;
        Ok(changed.rows_affected() == 1)
    }
}

/// Writes what becomes of the keys of a place.
pub(super) async fn write(
    tx: &mut Tx<'_>,
    place: &AiKeyPlace,
    (changes, now): (&[KeyChange], Timestamp),
) -> Result<(), StoreError> {
    for change in changes {
        let (account, of) = (place.account.to_string(), place.word());
        let query = match change {
            KeyChange::Put { provider, sealed, preview } => sqlx::query(PUT)
                .bind(account)
                .bind(of)
                .bind(word(provider)?)
                .bind(place.workspace.as_ref().map(WorkspaceId::to_string))
                .bind(sealed.0.clone())
                .bind(preview.as_str())
                .bind(now.as_micros()),
            KeyChange::Forget { provider } => {
                sqlx::query(DELETE).bind(account).bind(of).bind(word(provider)?)
            }
        };
        query.execute(tx.on()).await?;
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<AiKeyRow, StoreError> {
    let columns = Columns::of("ai_keys", row);
    let place = columns.raw::<String>("place")?;
    let workspace = if place.is_empty() { None } else { Some(columns.parsed("place")?) };
    Ok(AiKeyRow {
        place: AiKeyPlace { account: columns.parsed("account_id")?, workspace },
        provider: columns.word("provider")?,
        sealed: SealedKey(columns.raw("sealed")?),
        preview: columns.raw("preview")?,
        updated_at: columns.moment("updated_at")?,
    })
}
