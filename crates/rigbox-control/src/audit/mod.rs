//! Who asked for what: the record of requests that may change something, and of every refusal to
//! somebody who may not.
//! Owns the queue to the record and its one writer. Invariants: nothing that may change something
//! is begun before its entry is on disk; entries that come at once are written at once; the queue is
//! bounded, and what does not fit is said in the log.
//! Does not decide what is allowed.

mod head;
pub(crate) mod http;
mod trail;
mod writer;

use std::{io, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
pub use rigbox_store::audit::Verdict;
use rigbox_store::{
    OpenError, Store, StoreError, StoreUrl, SystemClock,
    api_keys::{HasherError, KeyHasher},
};
use rigbox_types::api::audit::AuditEntry;

use head::HeadFile;
pub(crate) use trail::{Refusal, Trail};
pub(crate) use writer::Auditor;

/// File of the chain's key within the directory of secrets.
const CHAIN_KEY: &str = "audit.key";

/// Why the record could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database answered once and then no more.
    #[error("read the audit record")]
    Store(#[from] StoreError),
    /// The chain's key.
    #[error("read the audit record's key")]
    Key(#[from] HasherError),
    /// What control has noted of the record's end.
    #[error("read the noted end of the audit record")]
    Head(#[source] io::Error),
    /// There is no key, so there never was a record here.
    #[error("there is no audit record yet: {0} is missing")]
    NoKey(Utf8PathBuf),
}

/// Reads the key of the chain, or makes it at the first start.
fn chain_key(secrets: &Utf8Path) -> Result<KeyHasher, HasherError> {
    KeyHasher::load_or_create(&secrets.join(CHAIN_KEY))
}

/// The queue to the record and its writer; entries are kept for as long as `kept`.
pub(crate) fn open(
    secrets: &Utf8Path,
    kept: Duration,
) -> Result<(Auditor, writer::Writer), HasherError> {
    Ok(Auditor::new(chain_key(secrets)?, kept, HeadFile::new(secrets)))
}

/// Reads the key of a chain that there is.
pub(crate) fn chain_key_kept(secrets: &Utf8Path) -> Result<KeyHasher, AuditError> {
    let path = secrets.join(CHAIN_KEY);
    if !path.exists() {
        return Err(AuditError::NoKey(path));
    }
    Ok(KeyHasher::load_or_create(&path)?)
}

/// The record of an installation, opened past its control, which may run or not.
pub struct AuditRecord {
    store: Store,
    key: KeyHasher,
    head: HeadFile,
}

impl AuditRecord {
    /// Opens the record. `secrets` is the directory of the installation's own secrets.
    ///
    /// # Errors
    /// As [`AuditError`].
    pub async fn open(store: &StoreUrl, secrets: &Utf8Path) -> Result<Self, AuditError> {
        let key = chain_key_kept(secrets)?;
        let store = Store::open(store, Arc::new(SystemClock)).await?;
        Ok(Self { store, key, head: HeadFile::new(secrets) })
    }

    /// Follows the whole record. `kept` is the number and hash of an entry that was written down
    /// elsewhere; the last entry that control has noted beside the chain's key has to be in it, too.
    /// A broken record is no error but a [`Verdict`].
    ///
    /// # Errors
    /// As [`AuditError`].
    pub async fn verify(&self, kept: Option<(u64, &str)>) -> Result<Verdict, AuditError> {
        // Read before the record, which then cannot be older by rights.
        let noted = self.head.read().map_err(AuditError::Head)?;
        let audit = self.store.audit();
        let verdict = audit.verify(&self.key, kept).await?;
        let noted = noted.filter(|_| matches!(verdict, Verdict::Whole { .. }));
        let Some(noted) = noted else { return Ok(verdict) };
        if audit.is_cut_off(noted.seq).await? {
            // One of several controls, long silent: what is cut off with age is signed.
            return Ok(verdict);
        }
        Ok(audit.verify(&self.key, Some((noted.seq, &noted.hash))).await?)
    }

    /// The entries after one of this number, oldest first, some at a time; empty at the end.
    ///
    /// # Errors
    /// As [`AuditError`].
    pub async fn after(&self, seq: u64) -> Result<Vec<AuditEntry>, AuditError> {
        Ok(self.store.audit().after(seq).await?)
    }

    /// Lets go of the database.
    pub async fn close(self) {
        self.store.close().await;
    }
}
