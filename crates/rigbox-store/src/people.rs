//! Looks people up: accounts with an e-mail address that are not disabled.
//! Reader: control. Invariant: each lookup reads as many rows as it may answer, or as there are roles
//! on one thing. Does not decide who may look whom up.

use rigbox_types::{AccountId, Email, access::ResourceRef};
use sqlx::any::AnyRow;

use crate::{StoreError, engine::Engine, row::Columns};

macro_rules! people {
    ($rest:literal) => {
        concat!("SELECT p.account_id, p.email, p.display_name FROM profiles p ", $rest)
    };
}

const BY_EMAIL: &str = people!("WHERE p.email = $1 AND p.disabled_at IS NULL");

const BY_PREFIX: &str = people!(
    "WHERE p.email >= $1 AND p.email < $2 AND p.disabled_at IS NULL ORDER BY p.email LIMIT $3"
);

const OF_RESOURCE: &str = people!(
    "JOIN bindings b ON b.principal_id = p.account_id \
     WHERE b.resource_kind = $1 AND b.resource_id = $2 \
     AND p.email IS NOT NULL AND p.disabled_at IS NULL ORDER BY p.email"
);

/// What comes after everything that begins with a prefix: addresses are visible ASCII.
const AFTER: char = '\u{7f}';

/// See the module.
pub struct People<'s> {
    pub(crate) engine: &'s Engine,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Their account.
    pub account: AccountId,
    /// Their address.
    pub email: Email,
    /// For people.
    pub display_name: Option<String>,
}

impl People<'_> {
    /// Whoever has this address.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_email(&self, email: &Email) -> Result<Option<PersonRow>, StoreError> {
        let row = sqlx::query(BY_EMAIL).bind(email.as_str()).fetch_optional(&self.engine.read);
        row.await?.as_ref().map(read).transpose()
    }

    /// Those whose address begins like this, by address.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_prefix(&self, prefix: &str, most: u32) -> Result<Vec<PersonRow>, StoreError> {
        let rows = sqlx::query(BY_PREFIX)
            .bind(prefix.to_owned())
            .bind(format!("{prefix}{AFTER}"))
            .bind(i64::from(most))
            .fetch_all(&self.engine.read)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Those who were given a role on a thing, by address.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_resource(&self, thing: &ResourceRef) -> Result<Vec<PersonRow>, StoreError> {
        let query = sqlx::query(OF_RESOURCE).bind(thing.kind().as_str()).bind(thing.id());
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<PersonRow, StoreError> {
    let columns = Columns::of("profiles", row);
    Ok(PersonRow {
        account: columns.parsed("account_id")?,
        email: columns.parsed("email")?,
        display_name: columns.raw("display_name")?,
    })
}
