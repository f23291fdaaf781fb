//! Who accounts are to providers of OpenID Connect.
//! Writer and reader: control. Invariants: a subject of an issuer belongs to one account for as long
//! as it belongs to any, whatever its address becomes; an account has one subject of an issuer; an
//! account that is made for a subject is made with it or not at all.
//! Does not decide who may have which account: that is brought, and runs while nobody else changes
//! accounts.

use rigbox_types::{AccountId, Email, Timestamp};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    accounts::{self, AccountRow, Profile},
    engine::Engine,
    row::Columns,
    tx::Tx,
    workspaces::ChangeError,
};

const GET: &str = "SELECT issuer, subject, account_id, provider, email, created_at, last_used_at \
     FROM identities WHERE issuer = $1 AND subject = $2";

const LIST: &str = "SELECT issuer, subject, account_id, provider, email, created_at, last_used_at \
     FROM identities WHERE account_id = $1 ORDER BY created_at, issuer";

const INSERT: &str = "INSERT INTO identities \
     (issuer, subject, account_id, provider, email, created_at, last_used_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $6)";

const USED: &str = "UPDATE identities SET email = $3, provider = $4, last_used_at = $5 \
     WHERE issuer = $1 AND subject = $2";

const DELETE: &str = "DELETE FROM identities WHERE account_id = $1 AND issuer = $2";

/// See the module.
pub struct Identities<'s> {
    pub(crate) engine: &'s Engine,
}

/// Who somebody is to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider, by the address that it never changes.
    pub issuer: String,
    /// The provider's name for the person, which never changes either.
    pub subject: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The address that the provider has verified.
    pub email: Option<Email>,
}

/// An identity that belongs to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    /// Who it is to the provider.
    pub identity: Identity,
    /// Whose it is.
    pub account: AccountId,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last signed in with.
    pub last_used_at: Timestamp,
}

/// The account that has the address of an identity that is nobody's yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The account.
    pub account: AccountRow,
    /// Whether another subject of the same issuer belongs to it.
    pub has_issuer: bool,
}

/// Whose an identity shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// The candidate's.
    ToCandidate,
    /// A new account's.
    ToNew {
        /// Its id.
        id: AccountId,
        /// Who it is.
        profile: Box<Profile>,
    },
}

/// How it came that an identity is an account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was before.
    Known,
    /// It was given to an account that was there.
    Linked,
    /// The account was made for it.
    Made,
}

impl Identities<'_> {
    /// The account of an identity: the one that it belongs to, else the one that `decide` says,
    /// which gets the account with its address.
    ///
    /// # Errors
    /// What `decide` refused with; [`StoreError::Conflict`] where it chose what is taken.
    pub async fn account_of<E: Send>(
        &self,
        identity: &Identity,
        decide: impl FnOnce(Option<&Candidate>) -> Result<Attach, E> + Send,
    ) -> Result<(AccountRow, Found), ChangeError<E>> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // Held, so that of two sign-ins of one person at once the second one sees the first.
        tx.revision().await?;
        if let Some(row) = find(&mut tx, identity).await? {
            used(&mut tx, identity, now).await?;
            let account = accounts::row_of(&mut tx, row.account).await?;
            tx.commit().await?;
            return Ok((account, Found::Known));
        }
        let candidate = candidate(&mut tx, identity).await?;
        let (account, found) =
            match (decide(candidate.as_ref()).map_err(ChangeError::Refused)?, candidate) {
                (Attach::ToCandidate, Some(candidate)) => (candidate.account, Found::Linked),
                (Attach::ToCandidate, None) => {
                    return Err(StoreError::not_found("account of", &identity.provider).into());
                }
                (Attach::ToNew { id, profile }, _) => {
                    accounts::insert(&mut tx, id, &profile, now).await?;
                    (accounts::row_of(&mut tx, id).await?, Found::Made)
                }
            };
        insert(&mut tx, identity, account.id, now).await?;
        tx.commit().await?;
        Ok((account, found))
    }

    /// Gives an identity to an account whose owner has asked for it. What is there already stays.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it belongs to another account, or another subject of its
    /// issuer to this one.
    pub async fn link(&self, account: AccountId, identity: &Identity) -> Result<(), StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        match find(&mut tx, identity).await? {
            Some(row) if row.account == account => return Ok(()),
            Some(_) => return Err(taken(identity)),
            None => insert(&mut tx, identity, account, now).await?,
        }
        tx.commit().await
    }

    /// The identities of an account, oldest first. There are as many as there are providers.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self, account: AccountId) -> Result<Vec<IdentityRow>, StoreError> {
        let query = sqlx::query(LIST).bind(account.to_string());
        let rows = query.fetch_all(&self.engine.read).await?;
        rows.iter().map(read).collect()
    }

    /// Takes an identity from an account, if `check` allows it, which gets those that it has.
    ///
    /// # Errors
    /// What `check` refused with, [`StoreError::NotFound`] where there is none of this issuer.
    pub async fn unlink<E: Send>(
        &self,
        account: AccountId,
        issuer: &str,
        check: impl FnOnce(&[IdentityRow]) -> Result<(), E> + Send,
    ) -> Result<(), ChangeError<E>> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let rows = list(&mut tx, account).await?;
        check(&rows).map_err(ChangeError::Refused)?;
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(issuer.to_owned());
        if query.execute(tx.on()).await.map_err(StoreError::from)?.rows_affected() == 0 {
            return Err(StoreError::not_found("identity of", &issuer).into());
        }
        Ok(tx.commit().await?)
    }
}

/// The account with the address of an identity.
async fn candidate(tx: &mut Tx<'_>, identity: &Identity) -> Result<Option<Candidate>, StoreError> {
    let Some(email) = &identity.email else { return Ok(None) };
    let Some(account) = accounts::row_by_email(tx, email).await? else { return Ok(None) };
    let rows = list(tx, account.id).await?;
    let has_issuer = rows.iter().any(|row| row.identity.issuer == identity.issuer);
    Ok(Some(Candidate { account, has_issuer }))
}

async fn find(tx: &mut Tx<'_>, identity: &Identity) -> Result<Option<IdentityRow>, StoreError> {
    let query = sqlx::query(GET).bind(identity.issuer.clone()).bind(identity.subject.clone());
    query.fetch_optional(tx.on()).await?.as_ref().map(read).transpose()
}

async fn list(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<IdentityRow>, StoreError> {
    let rows = sqlx::query(LIST).bind(account.to_string()).fetch_all(tx.on()).await?;
    rows.iter().map(read).collect()
}

async fn insert(
    tx: &mut Tx<'_>,
    identity: &Identity,
    account: AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = list(tx, account).await?;
    if rows.iter().any(|row| row.identity.issuer == identity.issuer) {
        return Err(taken(identity));
    }
    sqlx::query(INSERT)
        .bind(identity.issuer.clone())
        .bind(identity.subject.clone())
        .bind(account.to_string())
        .bind(identity.provider.clone())
        .bind(identity.email.as_ref().map(Email::to_string))
        .bind(now.as_micros())
        .execute(tx.on())
        .await?;
    Ok(())
}

async fn used(tx: &mut Tx<'_>, identity: &Identity, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(USED)
        .bind(identity.issuer.clone())
        .bind(identity.subject.clone())
        .bind(identity.email.as_ref().map(Email::to_string))
        .bind(identity.provider.clone())
        .bind(now.as_micros())
        .execute(tx.on())
        .await?;
    Ok(())
}

fn taken(identity: &Identity) -> StoreError {
    StoreError::Conflict { what: "identity of", id: identity.provider.clone() }
}

fn read(row: &AnyRow) -> Result<IdentityRow, StoreError> {
    let columns = Columns::of("identities", row);
    Ok(IdentityRow {
        identity: Identity {
            issuer: columns.raw("issuer")?,
            subject: columns.raw("subject")?,
            provider: columns.raw("provider")?,
            email: columns.parsed_optional("email")?,
        },
        account: columns.parsed("account_id")?,
        created_at: columns.moment("created_at")?,
        last_used_at: columns.moment("last_used_at")?,
    })
}
