//! API keys, without their secrets: a keyed hash, found by a prefix that is no secret.
//! Writer and reader: control's authentication. Invariants: a key cannot be read out of the
//! database, nor guessed against it without the hashing key, which is not in it; hashes are
//! compared in constant time; whoever watches the feed is woken when a key ends before its time.
//! Does not make keys and does not decide what one may do.

mod hasher;

use std::time::Duration;

use rigbox_types::{AccountId, ApiKeyId, KeyScopes, Timestamp, authz::Standing};
use sqlx::{
    Any,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::{
    Adding, Amount, Page, PageRequest, StoreError,
    engine::Engine,
    feed::Wake,
    page::OfAccount,
    row::{Columns, count, json},
    tx::Tx,
};

pub use hasher::{HasherError, KeyHash, KeyHasher};

/// `last_used_at` moves in steps of this, so that a busy key does not write at each request.
const USED_STEP: Duration = Duration::from_secs(60);

macro_rules! columns {
    () => {
        "k.id, k.account_id, k.prefix, k.hash, k.name, k.created_at, k.expires_at, \
         k.last_used_at, a.standing, s.scopes"
    };
}

macro_rules! tables {
    () => {
        " FROM api_keys k JOIN accounts a ON a.id = k.account_id \
         LEFT JOIN api_key_scopes s ON s.api_key_id = k.id "
    };
}

const INSERT: &str = "INSERT INTO api_keys (id, account_id, prefix, hash, name, created_at, \
     expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";

const INSERT_SCOPES: &str = "INSERT INTO api_key_scopes (api_key_id, scopes) VALUES ($1, $2)";

const COUNT: &str = "SELECT COUNT(*) AS count FROM api_keys WHERE account_id = $1";

/// All but those that were used last.
const MAKE_ROOM: &str = "DELETE FROM api_keys WHERE account_id = $1 AND id NOT IN \
     (SELECT id FROM api_keys WHERE account_id = $1 \
     ORDER BY COALESCE(last_used_at, created_at) DESC, id DESC LIMIT $2)";

const DELETE_ALL: &str = "DELETE FROM api_keys WHERE account_id = $1";

const FIND: &str = concat!("SELECT ", columns!(), tables!(), "WHERE k.prefix = $1");

const GET: &str =
    concat!("SELECT ", columns!(), tables!(), "WHERE k.account_id = $1 AND k.id = $2");

const LIST: OfAccount = OfAccount {
    list: "api-keys",
    sql: concat!(
        "SELECT ",
        columns!(),
        tables!(),
        "WHERE k.account_id = $1 AND (k.created_at, k.id) < ($2, $3) \
     ORDER BY k.created_at DESC, k.id DESC LIMIT $4"
    ),
};

const ROTATE: &str = "UPDATE api_keys SET prefix = $3, hash = $4 WHERE account_id = $1 AND id = $2";

const DELETE: &str = "DELETE FROM api_keys WHERE account_id = $1 AND id = $2";

const USED: &str = "UPDATE api_keys SET last_used_at = $2 \
     WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)";

/// See the module.
pub struct ApiKeys<'s> {
    pub(crate) engine: &'s Engine,
}

/// A key to be kept.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id, random.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account: AccountId,
    /// The part of it that finds it; no secret.
    pub prefix: String,
    /// The keyed hash of the whole key.
    pub hash: KeyHash,
    /// For people.
    pub name: Option<String>,
    /// When it ends; none for never.
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to.
    pub scopes: KeyScopes,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account: AccountId,
    /// What that account is on the platform.
    pub standing: Standing,
    /// The part of it that finds it.
    pub prefix: String,
    /// The keyed hash of the whole key.
    pub hash: KeyHash,
    /// For people.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// What it is narrowed to.
    pub scopes: KeyScopes,
}

impl ApiKeys<'_> {
    /// Keeps a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where id or prefix is taken, [`StoreError::NotFound`] for an
    /// unknown account, [`StoreError::Over`], [`StoreError::ClaimLost`].
    pub async fn insert(&self, key: &NewApiKey, adding: Adding<'_>) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        adding.admit(&mut tx, key.account, (COUNT, Amount::ApiKeys)).await?;
        write(&mut tx, key, self.engine.now()).await?;
        adding.finish(tx, key.id.to_string()).await
    }

    /// Keeps a key and forgets all others of its account, in one step.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where id or prefix is taken, [`StoreError::NotFound`] for an
    /// unknown account.
    pub async fn insert_alone(&self, key: &NewApiKey) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        sqlx::query(DELETE_ALL).bind(key.account.to_string()).execute(tx.on()).await?;
        write(&mut tx, key, self.engine.now()).await?;
        tx.wake(Wake::Everything);
        tx.commit().await
    }

    /// Forgets all but the `most` keys of the account that were used last.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn make_room(&self, account: AccountId, most: u64) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        let query = sqlx::query(MAKE_ROOM).bind(account.to_string()).bind(count(most));
        if query.execute(tx.on()).await?.rows_affected() > 0 {
            tx.wake(Wake::Everything);
        }
        tx.commit().await
    }

    /// One key of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, account: AccountId, id: ApiKeyId) -> Result<ApiKeyRow, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("API key", &id))?)
    }

    /// The key with this prefix, also one that has ended: the caller compares the hash first, so
    /// that the answer tells a stranger nothing.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find_by_prefix(&self, prefix: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        let row = sqlx::query(FIND).bind(prefix).fetch_optional(&self.engine.read).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of the account's keys, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<ApiKeyRow>, StoreError> {
        LIST.page(self.engine, (account, page), read, |row| (row.created_at, row.id.to_string()))
            .await
    }

    /// Gives a key another secret and keeps the rest; from here on the old one is refused.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the account has no such key, [`StoreError::Conflict`] where
    /// the prefix is taken.
    pub async fn rotate(
        &self,
        account: AccountId,
        id: ApiKeyId,
        (prefix, hash): (&str, &KeyHash),
    ) -> Result<(), StoreError> {
        let query = sqlx::query(ROTATE)
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(prefix.to_owned())
            .bind(hash.as_bytes().to_vec());
        self.end(id, query).await
    }

    /// Forgets a key; from here on it is refused.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the account has no such key.
    pub async fn delete(&self, account: AccountId, id: ApiKeyId) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(id.to_string());
        self.end(id, query).await
    }

    /// Runs what ends a key, or its secret, and tells whoever may still believe it.
    async fn end(
        &self,
        id: ApiKeyId,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        let done = query.execute(tx.on()).await;
        let done = done.map_err(|error| StoreError::or_conflict(error, "API key", &id))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::not_found("API key", &id));
        }
        tx.wake(Wake::ApiKey(id));
        tx.commit().await
    }

    /// Notes that a key was used, unless that was noted within the last minute.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn used(&self, key: &ApiKeyRow) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        let step = i64::try_from(USED_STEP.as_micros()).unwrap_or(i64::MAX);
        let before = now.saturating_sub(step);
        if key.last_used_at.is_some_and(|last| last.as_micros() >= before) {
            return Ok(());
        }
        sqlx::query(USED)
            .bind(key.id.to_string())
            .bind(now)
            .bind(before)
            .execute(&self.engine.write)
            .await?;
        Ok(())
    }
}

/// Writes the row of a key, in a transaction that may do more.
pub(crate) async fn write(
    tx: &mut Tx<'_>,
    key: &NewApiKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(key.id.to_string())
        .bind(key.account.to_string())
        .bind(key.prefix.as_str())
        .bind(key.hash.as_bytes().to_vec())
        .bind(key.name.clone())
        .bind(now.as_micros())
        .bind(key.expires_at.map(|at| at.as_micros()))
        .execute(tx.on())
        .await
        .map_err(|error| {
            if StoreError::is_foreign_key(&error) {
                StoreError::not_found("account", &key.account)
            } else {
                StoreError::or_conflict(error, "API key", &key.id)
            }
        })?;
    if !key.scopes.is_full() {
        let query = sqlx::query(INSERT_SCOPES).bind(key.id.to_string());
        query.bind(json(&key.scopes)?).execute(tx.on()).await?;
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<ApiKeyRow, StoreError> {
    let columns = Columns::of("api_keys", row);
    let scopes = columns.json_optional("scopes")?;
    Ok(ApiKeyRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        standing: columns.word("standing")?,
        prefix: columns.raw("prefix")?,
        hash: KeyHash::from_bytes(&columns.raw::<Vec<u8>>("hash")?)?,
        name: columns.raw("name")?,
        created_at: columns.moment("created_at")?,
        expires_at: columns.moment_optional("expires_at")?,
        last_used_at: columns.moment_optional("last_used_at")?,
        scopes: scopes.unwrap_or_else(KeyScopes::full),
    })
}
