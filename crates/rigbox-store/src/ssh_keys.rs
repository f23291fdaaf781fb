//! Public SSH keys of accounts.
//! Writer and reader: control. Invariants: a key is there once within its account; a key that comes
//! or goes gives every workspace of the account a new generation, in the same transaction; one that goes
//! wakes whoever lets people in by it. Does not parse keys.

use rigbox_types::{AccountId, SshKeyId, Timestamp, authz::Standing};
use sqlx::any::AnyRow;

use crate::{
    Adding, Amount, Page, PageRequest, StoreError,
    engine::Engine,
    feed::Wake,
    page::OfAccount,
    row::Columns,
    tx::Tx,
    workspaces::{Attachment, Fate, touch_attached},
};

/// Most accounts that a key is looked for in: it opens no others.
const HOLDERS_MAX: i64 = 16;

/// Most keys of one answer without pages: more than any limit of an account.
const ALL_MAX: i64 = 1_000;

macro_rules! columns {
    () => {
        "id, account_id, name, public_key, fingerprint, created_at"
    };
}

const INSERT: &str =
    concat!("INSERT INTO ssh_keys (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");

const COUNT: &str = "SELECT COUNT(*) AS count FROM ssh_keys WHERE account_id = $1";

const GET: &str =
    concat!("SELECT ", columns!(), " FROM ssh_keys WHERE account_id = $1 AND id = $2");

const LIST: OfAccount = OfAccount {
    list: "ssh-keys",
    sql: concat!(
        "SELECT ",
        columns!(),
        " FROM ssh_keys WHERE account_id = $1 AND (created_at, id) < ($2, $3) \
     ORDER BY created_at DESC, id DESC LIMIT $4"
    ),
};

const ALL_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM ssh_keys WHERE account_id = $1 ORDER BY created_at, id LIMIT $2"
);

/// A key may be that of several accounts: of one person's own and of a team's.
const HOLDERS: &str = "SELECT k.id AS id, k.account_id AS account_id, a.standing AS standing \
     FROM ssh_keys k JOIN accounts a ON a.id = k.account_id \
     LEFT JOIN profiles p ON p.account_id = k.account_id \
     WHERE k.fingerprint = $1 AND p.disabled_at IS NULL ORDER BY k.created_at, k.id LIMIT $2";

const DELETE: &str = "DELETE FROM ssh_keys WHERE account_id = $1 AND id = $2";

/// See the module.
pub struct SshKeys<'s> {
    pub(crate) engine: &'s Engine,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKeyRow {
    /// Its id.
    pub id: SshKeyId,
    /// Whose it is.
    pub account: AccountId,
    /// What the account gave.
    pub key: SshKey,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Somebody whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKeyHolder {
    /// The key.
    pub id: SshKeyId,
    /// Its account, which is not disabled.
    pub account: AccountId,
    /// What the account is on the platform.
    pub standing: Standing,
}

/// A key as an account gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// For people.
    pub name: String,
    /// One line of an `authorized_keys` file.
    pub public_key: String,
    /// `SHA256:` and the digest; unique within the account.
    pub fingerprint: String,
}

impl SshKeys<'_> {
    /// Keeps a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the account has it already, [`StoreError::Over`],
    /// [`StoreError::NotFound`] for an unknown account, [`StoreError::ClaimLost`].
    pub async fn insert(
        &self,
        id: SshKeyId,
        account: AccountId,
        key: &SshKey,
        adding: Adding<'_>,
    ) -> Result<SshKeyRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // First, because it takes the counter: nobody else adds a key meanwhile.
        touch(&mut tx, account, now).await?;
        adding.admit(&mut tx, account, (COUNT, Amount::SshKeys)).await?;
        sqlx::query(INSERT)
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(key.name.as_str())
            .bind(key.public_key.as_str())
            .bind(key.fingerprint.as_str())
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("account", &account)
                } else {
                    StoreError::or_conflict(error, "SSH key", &key.fingerprint)
                }
            })?;
        adding.finish(tx, id.to_string()).await?;
        Ok(SshKeyRow { id, account, key: key.clone(), created_at: now })
    }

    /// One key of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, account: AccountId, id: SshKeyId) -> Result<SshKeyRow, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("SSH key", &id))?)
    }

    /// A page of the account's keys, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<SshKeyRow>, StoreError> {
        LIST.page(self.engine, (account, page), read, |row| (row.created_at, row.id.to_string()))
            .await
    }

    /// All keys of the account, oldest first, as a workspace gets them.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_account(&self, account: AccountId) -> Result<Vec<SshKeyRow>, StoreError> {
        let rows = sqlx::query(ALL_OF_ACCOUNT)
            .bind(account.to_string())
            .bind(ALL_MAX)
            .fetch_all(&self.engine.read)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Whose key has a fingerprint: the accounts that added it, first come first, at most 16, of which none
    /// is disabled.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn holders(&self, fingerprint: &str) -> Result<Vec<SshKeyHolder>, StoreError> {
        let query = sqlx::query(HOLDERS).bind(fingerprint).bind(HOLDERS_MAX);
        let rows = query.fetch_all(&self.engine.read).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("ssh_keys", row);
                Ok(SshKeyHolder {
                    id: columns.parsed("id")?,
                    account: columns.parsed("account_id")?,
                    standing: columns.word("standing")?,
                })
            })
            .collect()
    }

    /// How many keys the account has.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn count(&self, account: AccountId) -> Result<u64, StoreError> {
        let query = sqlx::query(COUNT).bind(account.to_string());
        Columns::of("ssh_keys", &query.fetch_one(&self.engine.read).await?).number("count")
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the account has no such key.
    pub async fn delete(&self, account: AccountId, id: SshKeyId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        touch(&mut tx, account, self.engine.now()).await?;
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(id.to_string());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("SSH key", &id));
        }
        tx.wake(Wake::Access(account));
        tx.commit().await
    }
}

async fn touch(tx: &mut Tx<'_>, account: AccountId, now: Timestamp) -> Result<(), StoreError> {
    touch_attached(tx, account, (Attachment::All, Fate::Changed), now).await
}

fn read(row: &AnyRow) -> Result<SshKeyRow, StoreError> {
    let columns = Columns::of("ssh_keys", row);
    Ok(SshKeyRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        key: SshKey {
            name: columns.raw("name")?,
            public_key: columns.raw("public_key")?,
            fingerprint: columns.raw("fingerprint")?,
        },
        created_at: columns.moment("created_at")?,
    })
}
