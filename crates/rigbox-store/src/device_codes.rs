//! Command lines that want to be let in: a secret that the command line asks with, and a short code
//! by which a person in a browser says yes or no.
//! Writer and reader: control's device flow. Invariants: neither code can be read out of the
//! database; a person decides once; an API key is made when the command line asks after a yes, once,
//! in the same step in which that is noted; bounded are the requests that wait, in all, and the ones
//! that are remembered, of a network: what nobody waits for any more keeps nobody else out.
//! Does not make codes and does not decide who may say yes.

use std::time::Duration;

use rigbox_types::{AccountId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::{
    Adding, Amount, StoreError,
    api_keys::{self, KeyHash, NewApiKey},
    engine::Engine,
    row::{Columns, word},
};

/// For how long it is said of a request that it has ended.
pub const REMEMBERED: Duration = Duration::from_secs(3600);
/// Most requests that wait for somebody.
pub const REQUESTS_MAX: u32 = 10_000;
/// Most requests of one network that are remembered, however they ended: a class of people behind
/// one address, each of whom tries a few times.
pub const OF_NETWORK_MAX: u32 = 100;

const INSERT: &str = "INSERT INTO device_codes (poll_hash, user_hash, decision, address, \
     user_agent, created_at, expires_at) VALUES ($1, $2, 'pending', $3, $4, $5, $6)";

const COUNT_WAITING: &str = "SELECT COUNT(*) AS count FROM device_codes \
     WHERE expires_at > $1 AND decision = 'pending'";

const COUNT_OF_NETWORK: &str = "SELECT COUNT(*) AS count, MIN(gone_at) AS first_gone_at \
     FROM device_networks WHERE network = $1 AND gone_at > $2";

const NOTE_NETWORK: &str =
    "INSERT INTO device_networks (network, poll_hash, gone_at) VALUES ($1, $2, $3)";

const FORGET: &str = "DELETE FROM device_codes WHERE expires_at <= $1";

const FORGET_OF_NETWORK: &str = "DELETE FROM device_networks WHERE network = $1 AND gone_at <= $2";

const FORGET_NETWORKS: &str = "DELETE FROM device_networks WHERE gone_at <= $1";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT decision, account_id, address, user_agent, created_at, expires_at, \
             polled_at, delivered_at FROM device_codes ",
            $rest
        )
    };
}

const BY_USER_CODE: &str =
    select!("WHERE user_hash = $1 AND decision = 'pending' AND expires_at > $2");

const BY_SECRET: &str = select!("WHERE poll_hash = $1");

const DECIDE: &str = "UPDATE device_codes SET decision = $2, account_id = $3 \
     WHERE user_hash = $1 AND decision = 'pending' AND expires_at > $4 \
     AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = $5 AND s.account_id = $3)";

const POLLED: &str = "UPDATE device_codes SET polled_at = $2 WHERE poll_hash = $1";

/// Nothing is made for an account that was disabled meanwhile.
const DELIVER: &str = "UPDATE device_codes SET delivered_at = $2 WHERE poll_hash = $1 \
     AND decision = 'approved' AND delivered_at IS NULL AND expires_at > $2 \
     AND NOT EXISTS (SELECT 1 FROM profiles p \
     WHERE p.account_id = device_codes.account_id AND p.disabled_at IS NOT NULL)";

const KEYS: &str = "SELECT COUNT(*) AS count FROM api_keys WHERE account_id = $1";

/// See the module.
pub struct DeviceCodes<'s> {
    pub(crate) engine: &'s Engine,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing yet.
    Pending,
    /// Yes.
    Approved,
    /// No.
    Denied,
}

/// A request to be kept.
#[derive(Debug, Clone)]
pub struct NewDeviceCode {
    /// The keyed hash of the secret.
    pub secret: KeyHash,
    /// The keyed hash of the short code.
    pub user_code: KeyHash,
    /// Where it comes from.
    pub address: Option<String>,
    /// What counts as one address with it.
    pub network: String,
    /// From what program.
    pub user_agent: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a request was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was.
    Kept,
    /// The network has too many that are remembered.
    TooManyOfNetwork {
        /// Seconds until the first of them is forgotten; at least one.
        retry_after_s: u32,
    },
    /// There are too many that wait.
    TooMany,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCodeRow {
    /// What a person said.
    pub decision: Decision,
    /// Who.
    pub account: Option<AccountId>,
    /// Where it comes from.
    pub address: Option<String>,
    /// From what program.
    pub user_agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When its command line last asked.
    pub polled_at: Option<Timestamp>,
    /// When its API key was handed out.
    pub delivered_at: Option<Timestamp>,
}

impl DeviceCodes<'_> {
    /// Keeps a request.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where one of the codes is taken.
    pub async fn insert(&self, new: &NewDeviceCode) -> Result<Asked, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        // Held, so that of many at once no more are kept than there may be.
        tx.revision().await?;
        sqlx::query(FORGET).bind(now.saturating_sub(remembered())).execute(tx.on()).await?;
        let network = new.network.as_str();
        sqlx::query(FORGET_OF_NETWORK).bind(network).bind(now).execute(tx.on()).await?;
        let query = sqlx::query(COUNT_OF_NETWORK).bind(network).bind(now);
        let row = query.fetch_one(tx.on()).await?;
        let columns = Columns::of("device_networks", &row);
        if columns.raw::<i64>("count")? >= i64::from(OF_NETWORK_MAX) {
            let first: Option<i64> = columns.raw("first_gone_at")?;
            let wait = first.unwrap_or(now).saturating_sub(now);
            let retry_after_s = rigbox_types::rate::seconds(wait).max(1);
            return Ok(Asked::TooManyOfNetwork { retry_after_s });
        }
        let row = sqlx::query(COUNT_WAITING).bind(now).fetch_one(tx.on()).await?;
        let waiting = Columns::of("device_codes", &row).raw::<i64>("count")?;
        if waiting >= i64::from(REQUESTS_MAX) {
            return Ok(Asked::TooMany);
        }
        sqlx::query(INSERT)
            .bind(new.secret.as_bytes().to_vec())
            .bind(new.user_code.as_bytes().to_vec())
            .bind(new.address.clone())
            .bind(new.user_agent.clone())
            .bind(now)
            .bind(new.expires_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| StoreError::or_conflict(error, "device code", &"that was made"))?;
        sqlx::query(NOTE_NETWORK)
            .bind(network)
            .bind(new.secret.as_bytes().to_vec())
            .bind(new.expires_at.as_micros().saturating_add(remembered()))
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(Asked::Kept)
    }

    /// The request that waits for a person with this code.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find(&self, user_code: &KeyHash) -> Result<Option<DeviceCodeRow>, StoreError> {
        let query = sqlx::query(BY_USER_CODE).bind(user_code.as_bytes().to_vec());
        let row = query.bind(self.engine.now().as_micros()).fetch_optional(&self.engine.read);
        row.await?.as_ref().map(read).transpose()
    }

    /// Says yes or no for an account, by one of its sessions that has not ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no request waits with this code, or the session has ended.
    pub async fn decide(
        &self,
        user_code: &KeyHash,
        (account, session): (AccountId, SessionId),
        decision: Decision,
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        // Held, so that no end of the session comes between the look and the answer.
        tx.revision().await?;
        let done = sqlx::query(DECIDE)
            .bind(user_code.as_bytes().to_vec())
            .bind(word(&decision)?)
            .bind(account.to_string())
            .bind(self.engine.now().as_micros())
            .bind(session.to_string())
            .execute(tx.on())
            .await?;
        match done.rows_affected() {
            0 => Err(StoreError::not_found("device code", &"that was given")),
            _ => tx.commit().await,
        }
    }

    /// The request of this secret as it was, and notes that it was asked for.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn poll(&self, secret: &KeyHash) -> Result<Option<DeviceCodeRow>, StoreError> {
        let bytes = secret.as_bytes().to_vec();
        let query = sqlx::query(BY_SECRET).bind(bytes.clone());
        let Some(row) = query.fetch_optional(&self.engine.read).await? else { return Ok(None) };
        let now = self.engine.now().as_micros();
        sqlx::query(POLLED).bind(bytes).bind(now).execute(&self.engine.write).await?;
        read(&row).map(Some)
    }

    /// Keeps the API key of a request that was approved, and notes that; says whether it did: of
    /// several at once, one does.
    ///
    /// # Errors
    /// [`StoreError::Over`] where the account has `most` keys.
    pub async fn deliver(
        &self,
        secret: &KeyHash,
        (key, most): (&NewApiKey, u64),
    ) -> Result<bool, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let query = sqlx::query(DELIVER).bind(secret.as_bytes().to_vec()).bind(now.as_micros());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let adding = Adding::at_most(most);
        adding.admit(&mut tx, key.account, (KEYS, Amount::ApiKeys)).await?;
        api_keys::write(&mut tx, key, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets requests that have ended long ago. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        let before = now.saturating_sub(remembered());
        sqlx::query(FORGET).bind(before).execute(&self.engine.write).await?;
        sqlx::query(FORGET_NETWORKS).bind(now).execute(&self.engine.write).await?;
        Ok(())
    }
}

fn remembered() -> i64 {
    i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX)
}

fn read(row: &AnyRow) -> Result<DeviceCodeRow, StoreError> {
    let columns = Columns::of("device_codes", row);
    Ok(DeviceCodeRow {
        decision: columns.word("decision")?,
        account: columns.parsed_optional("account_id")?,
        address: columns.raw("address")?,
        user_agent: columns.raw("user_agent")?,
        created_at: columns.moment("created_at")?,
        expires_at: columns.moment("expires_at")?,
        polled_at: columns.moment_optional("polled_at")?,
        delivered_at: columns.moment_optional("delivered_at")?,
    })
}
