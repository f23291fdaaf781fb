//! Accounts: owners of things.
//! Writer: control. Readers: control. Invariant: there is at most one operator account.

use rigbox_types::{AccountId, Timestamp, authz::Standing};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, word},
};

/// Does nothing where the account exists, or where an operator exists and this would be another.
const INSERT: &str = "INSERT INTO accounts (id, standing, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING";

const GET: &str = "SELECT id, standing, created_at FROM accounts WHERE id = $1";

const OPERATOR: &str = "SELECT id, standing, created_at FROM accounts WHERE standing = $1";

/// See the module.
pub struct Accounts<'s> {
    pub(crate) engine: &'s Engine,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// What it may do on the platform.
    pub standing: Standing,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Accounts<'_> {
    /// The operator's account: the one there is, else a new one with the id `candidate`.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn ensure_operator(&self, candidate: AccountId) -> Result<AccountRow, StoreError> {
        self.write(candidate, Standing::Operator).await?;
        let standing = word(&Standing::Operator)?;
        let row = sqlx::query(OPERATOR).bind(standing).fetch_one(&self.engine.read).await?;
        read(&row)
    }

    /// Makes an account of a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id is taken.
    pub async fn insert_user(&self, id: AccountId) -> Result<AccountRow, StoreError> {
        if self.write(id, Standing::User).await? == 0 {
            return Err(StoreError::Conflict { what: "account id", id: id.to_string() });
        }
        self.get(id).await
    }

    /// One account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: AccountId) -> Result<AccountRow, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("account", &id))?)
    }

    async fn write(&self, id: AccountId, standing: Standing) -> Result<u64, StoreError> {
        let done = sqlx::query(INSERT)
            .bind(id.to_string())
            .bind(word(&standing)?)
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<AccountRow, StoreError> {
    let columns = Columns::of("accounts", row);
    Ok(AccountRow {
        id: columns.parsed("id")?,
        standing: columns.word("standing")?,
        created_at: columns.moment("created_at")?,
    })
}
