//! Passwords of people, hashed, and the one-time links by which they are set.
//! Writer and reader: control's sign-in. Invariants: a link works once, within its time, and ends
//! with any password that is set; a password that is set ends every session of the account.
//! Does not hash passwords and does not decide which are good.

use rigbox_types::{AccountId, Email, Timestamp, authz::Standing};
use sqlx::any::AnyRow;

use crate::{
    StoreError, accounts,
    api_keys::KeyHash,
    engine::Engine,
    row::Columns,
    sessions::{self, Epoch},
    tx::Tx,
};

macro_rules! person {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.standing, r.email, r.display_name, r.disabled_at, p.phc, \
             COALESCE(e.epoch, 0) AS epoch FROM accounts a LEFT JOIN profiles r ON r.account_id = a.id \
             LEFT JOIN passwords p ON p.account_id = a.id \
             LEFT JOIN session_epochs e ON e.account_id = a.id ",
            $rest
        )
    };
}

const BY_EMAIL: &str = person!("WHERE r.email = $1");

const BY_ACCOUNT: &str = person!("WHERE a.id = $1");

const BY_LINK: &str =
    person!("JOIN links l ON l.account_id = a.id WHERE l.hash = $1 AND l.expires_at > $2");

const SET: &str = "INSERT INTO passwords (account_id, phc, set_at) VALUES ($1, $2, $3) \
     ON CONFLICT (account_id) DO UPDATE SET phc = excluded.phc, set_at = excluded.set_at";

/// An API key that a command line was promised and has not fetched is given to nobody.
const PROMISES_DELETE: &str =
    "DELETE FROM device_codes WHERE account_id = $1 AND delivered_at IS NULL";

/// Only where it is still the one that was verified.
const REHASH: &str = "UPDATE passwords SET phc = $3 WHERE account_id = $1 AND phc = $2";

const LINK_INSERT: &str = "INSERT INTO links (hash, account_id, expires_at) VALUES ($1, $2, $3)";

const LINKS_DELETE: &str = "DELETE FROM links WHERE account_id = $1";

const LINK_TAKE: &str =
    "DELETE FROM links WHERE hash = $1 AND expires_at > $2 RETURNING account_id";

const LINKS_FORGET: &str = "DELETE FROM links WHERE expires_at <= $1";

/// See the module.
pub struct Passwords<'s> {
    pub(crate) engine: &'s Engine,
}

/// Somebody who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Their account.
    pub account: AccountId,
    /// What it is on the platform.
    pub standing: Standing,
    /// The e-mail address; none for the operator's account until it has one.
    pub email: Option<Email>,
    /// For people.
    pub display_name: Option<String>,
    /// Since when the account is refused.
    pub disabled_at: Option<Timestamp>,
    /// The password's hash; none where there is no password.
    pub phc: Option<String>,
    /// The account's epoch at this moment.
    pub epoch: Epoch,
}

impl Passwords<'_> {
    /// Whoever has this address.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find(&self, email: &Email) -> Result<Option<Person>, StoreError> {
        let query = sqlx::query(BY_EMAIL).bind(email.to_string());
        query.fetch_optional(&self.engine.read).await?.as_ref().map(read).transpose()
    }

    /// Whoever has this account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, account: AccountId) -> Result<Person, StoreError> {
        let query = sqlx::query(BY_ACCOUNT).bind(account.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("account", &account))?)
    }

    /// Whoever a link is for, while it is good.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find_by_link(&self, link: &KeyHash) -> Result<Option<Person>, StoreError> {
        let query = sqlx::query(BY_LINK).bind(link.as_bytes().to_vec());
        let row = query.bind(self.engine.now().as_micros()).fetch_optional(&self.engine.read);
        row.await?.as_ref().map(read).transpose()
    }

    /// Sets another password in the place of the one that was shown, and ends the account's sessions,
    /// links and promised API keys.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the old one is not the account's any more.
    pub async fn change(
        &self,
        account: AccountId,
        (old, phc): (Option<&str>, &str),
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let row = sqlx::query(BY_ACCOUNT).bind(account.to_string()).fetch_optional(tx.on()).await?;
        let person = read(&row.ok_or_else(|| StoreError::not_found("account", &account))?)?;
        if person.phc.as_deref() != old {
            return Err(StoreError::not_found("password", &"that was shown"));
        }
        set(&mut tx, account, phc, self.engine.now()).await?;
        tx.commit().await
    }

    /// Keeps another hash of the same password.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn rehash(
        &self,
        account: AccountId,
        (old, new): (&str, &str),
    ) -> Result<(), StoreError> {
        let query = sqlx::query(REHASH).bind(account.to_string()).bind(old).bind(new);
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// Keeps a link, and ends those that the account had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown account.
    pub async fn link(
        &self,
        account: AccountId,
        link: &KeyHash,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        // Held, so that of two at once one link is left.
        tx.revision().await?;
        sqlx::query(LINKS_DELETE).bind(account.to_string()).execute(tx.on()).await?;
        sqlx::query(LINK_INSERT)
            .bind(link.as_bytes().to_vec())
            .bind(account.to_string())
            .bind(expires_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| match StoreError::is_foreign_key(&error) {
                true => StoreError::not_found("account", &account),
                false => error.into(),
            })?;
        tx.commit().await
    }

    /// Takes a link and sets the password, and the address where one is given: all or nothing. Ends
    /// every session of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a link that is not good any more, [`StoreError::Conflict`] for
    /// an address that is taken.
    pub async fn redeem(
        &self,
        link: &KeyHash,
        phc: &str,
        email: Option<&Email>,
    ) -> Result<AccountId, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let query = sqlx::query(LINK_TAKE).bind(link.as_bytes().to_vec()).bind(now.as_micros());
        let row = query.fetch_optional(tx.on()).await?;
        let row = row.ok_or_else(|| StoreError::not_found("link", &"that was given"))?;
        let account = Columns::of("links", &row).parsed("account_id")?;
        if let Some(email) = email {
            let mut profile = accounts::row_of(&mut tx, account).await?.profile;
            profile.email = Some(email.clone());
            accounts::write(&mut tx, account, &profile, now).await?;
        }
        set(&mut tx, account, phc, now).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Forgets links that have ended. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        sqlx::query(LINKS_FORGET).bind(now).execute(&self.engine.write).await?;
        Ok(())
    }
}

async fn set(
    tx: &mut Tx<'_>,
    account: AccountId,
    phc: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(SET)
        .bind(account.to_string())
        .bind(phc.to_owned())
        .bind(now.as_micros())
        .execute(tx.on())
        .await?;
    sqlx::query(LINKS_DELETE).bind(account.to_string()).execute(tx.on()).await?;
    sqlx::query(PROMISES_DELETE).bind(account.to_string()).execute(tx.on()).await?;
    sessions::end_others(tx, account, None).await
}

fn read(row: &AnyRow) -> Result<Person, StoreError> {
    let columns = Columns::of("passwords", row);
    Ok(Person {
        account: columns.parsed("id")?,
        standing: columns.word("standing")?,
        email: columns.parsed_optional("email")?,
        display_name: columns.raw("display_name")?,
        disabled_at: columns.moment_optional("disabled_at")?,
        phc: columns.raw("phc")?,
        epoch: Epoch(columns.number("epoch")?),
    })
}
