//! Certificates, the local CA, accounts with authorities, and keys of session tickets.
//! Writer and reader: control's `certificates`. Invariants: every private key is encrypted before it
//! comes here; a certificate takes the place of the one before it in one step; of several processes
//! that make the first of something, one succeeds and all have the same; every change is told as
//! [`Wake::Certificates`].
//! Does not read what a certificate says.

mod orders;
mod tickets;

use rigbox_types::Timestamp;
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    feed::Wake,
    row::{self, Columns},
};

pub use orders::{Budget, Claim, OrderRow, Outcome};
pub use tickets::TicketKeyRow;

/// Most certificates that are read at once.
const PART: i64 = 256;

const READ: &str = "SELECT subject, id, names, authority, chain, sealed_key, not_before, not_after, \
     jitter, renew_at, ask_at FROM certificates WHERE subject > $1 ORDER BY subject LIMIT $2";

const PUT: &str = "INSERT INTO certificates (subject, id, names, authority, chain, sealed_key, \
     not_before, not_after, jitter, renew_at, ask_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
     ON CONFLICT (subject) DO UPDATE SET id = excluded.id, names = excluded.names, \
     authority = excluded.authority, chain = excluded.chain, sealed_key = excluded.sealed_key, \
     not_before = excluded.not_before, not_after = excluded.not_after, jitter = excluded.jitter, \
     renew_at = excluded.renew_at, ask_at = excluded.ask_at";

const PLAN: &str =
    "UPDATE certificates SET renew_at = $3, ask_at = $4 WHERE subject = $1 AND id = $2";

const REMOVE: &str = "DELETE FROM certificates WHERE subject = $1 AND id = $2";

const CA_READ: &str = "SELECT certificate, sealed_key FROM local_cas WHERE domain = $1";

const CA_KEEP: &str = "INSERT INTO local_cas (domain, certificate, sealed_key, created_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (domain) DO NOTHING";

const CA_REMOVE: &str = "DELETE FROM local_cas WHERE domain = $1 AND certificate = $2";

const ACCOUNT_READ: &str = "SELECT sealed FROM acme_accounts WHERE directory = $1";

const ACCOUNT_KEEP: &str = "INSERT INTO acme_accounts (directory, sealed, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (directory) DO NOTHING";

const ACCOUNT_FORGET: &str = "DELETE FROM acme_accounts WHERE directory = $1 AND sealed = $2";

/// See the module.
pub struct Certificates<'s> {
    pub(crate) engine: &'s Engine,
}

/// A certificate that is served.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// The first of its names: there is one row for each.
    pub subject: String,
    /// Its id; another certificate has another.
    pub id: String,
    /// All of its names.
    pub names: Vec<String>,
    /// Where the directory of the authority is that has signed it, or `local`.
    pub authority: String,
    /// The chain, PEM, leaf first.
    pub chain: String,
    /// The encrypted private key.
    pub sealed_key: Vec<u8>,
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// A number that was drawn for it.
    pub jitter: u32,
    /// When it is to be replaced.
    pub renew_at: Timestamp,
    /// When its authority is to be asked when that is.
    pub ask_at: Timestamp,
}

/// The local CA of a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalCaRow {
    /// Its certificate, PEM.
    pub certificate: String,
    /// The encrypted private key.
    pub sealed_key: Vec<u8>,
}

impl Certificates<'_> {
    /// All certificates, in the order of their subjects.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn all(&self) -> Result<Vec<CertificateRow>, StoreError> {
        let mut all: Vec<CertificateRow> = Vec::new();
        loop {
            let after = all.last().map_or("", |row| row.subject.as_str()).to_owned();
            let query = sqlx::query(READ).bind(after).bind(PART);
            let rows = query.fetch_all(&self.engine.read).await?;
            for row in &rows {
                all.push(read(row)?);
            }
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) < PART {
                return Ok(all);
            }
        }
    }

    /// Puts a certificate in the place of the one for its subject, if there is one.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn put(&self, row: &CertificateRow) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        sqlx::query(PUT)
            .bind(row.subject.as_str())
            .bind(row.id.as_str())
            .bind(row::json(&row.names)?)
            .bind(row.authority.as_str())
            .bind(row.chain.as_str())
            .bind(row.sealed_key.clone())
            .bind(row.not_before.as_micros())
            .bind(row.not_after.as_micros())
            .bind(i64::from(row.jitter))
            .bind(row.renew_at.as_micros())
            .bind(row.ask_at.as_micros())
            .execute(tx.on())
            .await?;
        tx.wake(Wake::Certificates);
        tx.commit().await
    }

    /// Notes when a certificate is to be replaced and when its authority is to be asked again,
    /// where it is still the one that is served.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn plan(
        &self,
        (subject, id): (&str, &str),
        renew_at: Timestamp,
        ask_at: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(PLAN).bind(subject).bind(id);
        let query = query.bind(renew_at.as_micros()).bind(ask_at.as_micros());
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// Removes a certificate, where it is still the one that is served.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn remove(&self, subject: &str, id: &str) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        sqlx::query(REMOVE).bind(subject).bind(id).execute(tx.on()).await?;
        tx.wake(Wake::Certificates);
        tx.commit().await
    }

    /// The local CA of a domain.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn local_ca(&self, domain: &str) -> Result<Option<LocalCaRow>, StoreError> {
        // Of the writer's: who has just lost to another process must see what that has made.
        let query = sqlx::query(CA_READ).bind(domain);
        let row = query.fetch_optional(&self.engine.write).await?;
        row.as_ref().map(read_ca).transpose()
    }

    /// Keeps the local CA of a domain, unless there is one. Gives the one that is kept.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn keep_local_ca(
        &self,
        domain: &str,
        ca: &LocalCaRow,
    ) -> Result<LocalCaRow, StoreError> {
        let mut tx = self.engine.begin().await?;
        sqlx::query(CA_KEEP)
            .bind(domain)
            .bind(ca.certificate.as_str())
            .bind(ca.sealed_key.clone())
            .bind(self.engine.now().as_micros())
            .execute(tx.on())
            .await?;
        let row = sqlx::query(CA_READ).bind(domain).fetch_one(tx.on()).await?;
        let kept = read_ca(&row)?;
        tx.wake(Wake::Certificates);
        tx.commit().await?;
        Ok(kept)
    }

    /// Removes a local CA that has ended.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn remove_local_ca(&self, domain: &str, ca: &LocalCaRow) -> Result<(), StoreError> {
        let query = sqlx::query(CA_REMOVE).bind(domain).bind(ca.certificate.as_str());
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// The encrypted account with the authority whose directory is there.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn account(&self, directory: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query(ACCOUNT_READ).bind(directory);
        let row = query.fetch_optional(&self.engine.read).await?;
        row.map(|row| Columns::of("acme_accounts", &row).raw("sealed")).transpose()
    }

    /// Keeps an encrypted account, unless there is one. Gives the one that is kept.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn keep_account(
        &self,
        directory: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut tx = self.engine.begin().await?;
        let query = sqlx::query(ACCOUNT_KEEP).bind(directory).bind(sealed.to_vec());
        query.bind(self.engine.now().as_micros()).execute(tx.on()).await?;
        let row = sqlx::query(ACCOUNT_READ).bind(directory).fetch_one(tx.on()).await?;
        let kept = Columns::of("acme_accounts", &row).raw("sealed")?;
        tx.commit().await?;
        Ok(kept)
    }

    /// Forgets an account that its authority does not know any longer.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget_account(&self, directory: &str, sealed: &[u8]) -> Result<(), StoreError> {
        let query = sqlx::query(ACCOUNT_FORGET).bind(directory).bind(sealed.to_vec());
        query.execute(&self.engine.write).await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<CertificateRow, StoreError> {
    let columns = Columns::of("certificates", row);
    Ok(CertificateRow {
        subject: columns.raw("subject")?,
        id: columns.raw("id")?,
        names: columns.json("names")?,
        authority: columns.raw("authority")?,
        chain: columns.raw("chain")?,
        sealed_key: columns.raw("sealed_key")?,
        not_before: columns.moment("not_before")?,
        not_after: columns.moment("not_after")?,
        jitter: columns.number("jitter")?,
        renew_at: columns.moment("renew_at")?,
        ask_at: columns.moment("ask_at")?,
    })
}

fn read_ca(row: &AnyRow) -> Result<LocalCaRow, StoreError> {
    let columns = Columns::of("local_cas", row);
    Ok(LocalCaRow {
        certificate: columns.raw("certificate")?,
        sealed_key: columns.raw("sealed_key")?,
    })
}
