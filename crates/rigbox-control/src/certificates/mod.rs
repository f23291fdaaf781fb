//! Certificates of the platform's names and of custom domains, and what edges need besides to serve
//! them: challenges that are up, and keys of session tickets.
//!
//! Owns what edges are told of these. [`Certificates::events`] is all of it, whole;
//! [`Certificates::subscribe`] says when it is not what it was. The rest of this folder makes sure
//! that there is a certificate for each name that is wanted: `keep` looks what is missing, `order`
//! has it made, `challenger` has it proven, `local` signs where there is no authority.
//! Invariants: a certificate is served until a better one is in the database; a private key is in
//! the database encrypted only; one process at a time orders for a name.
//! Does not know apps: whoever calls says which names are wanted and verified.

mod challenger;
pub(crate) mod http;
mod keep;
mod local;
mod order;
mod seal;
mod settings;
mod tickets;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use camino::Utf8Path;
use rigbox_certs::{AcmeError, LocalError};
use rigbox_store::{Store, StoreError, certificates::CertificateRow};
use rigbox_types::{
    Timestamp,
    edge::{Challenge, EdgeCertificate, EdgeEvent, TicketKey},
};
use tokio::sync::watch;

pub(crate) use keep::run;

pub use settings::{CertificateConfig, CertificateSettings, InvalidCertificateSettings};

use crate::source::{NoRandom, random};
pub(crate) use seal::{SealError, Sealer, Use};

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error(transparent)]
    Acme(#[from] AcmeError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("the authority did not come to an end within {} s", .0.as_secs())]
    Slow(Duration),
}

/// Custom domains that were verified to lead here and are wanted.
#[async_trait]
pub(crate) trait Wanted: Send + Sync {
    /// All of them, in lower case. Where they cannot be told, nothing is removed.
    async fn wanted_names(&self) -> Result<Vec<String>, StoreError>;
}

/// Those of apps.
#[async_trait]
impl Wanted for Store {
    async fn wanted_names(&self) -> Result<Vec<String>, StoreError> {
        self.routes().verified_domains().await
    }
}

/// The edges that are connected.
#[async_trait]
pub(crate) trait Edges: Send + Sync {
    /// Waits until all of them have put into effect what [`Certificates::events`] was at `version`,
    /// at most for `limit`. Says whether they have.
    async fn taken(&self, version: u64, limit: Duration) -> bool;
}

/// See the module.
pub(crate) struct Certificates {
    store: Store,
    sealer: Sealer,
    domain: String,
    config: CertificateConfig,
    shown: RwLock<Arc<Shown>>,
    version: watch::Sender<u64>,
}

/// What edges are told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    certificates: Vec<EdgeCertificate>,
    challenges: Vec<Challenge>,
    ticket_keys: Vec<TicketKey>,
    ca_pem: Option<String>,
}

impl Certificates {
    /// Opens what is kept. Nothing is ordered before [`run`].
    pub(crate) async fn open(
        store: Store,
        secrets: &Utf8Path,
        domain: &str,
        config: CertificateConfig,
    ) -> Result<Arc<Self>, CertificateError> {
        let opened = Self {
            store,
            sealer: Sealer::open(secrets)?,
            domain: domain.to_ascii_lowercase(),
            config,
            shown: RwLock::default(),
            version: watch::Sender::new(0),
        };
        opened.reload().await?;
        Ok(Arc::new(opened))
    }

    /// Everything that an edge has to know, whole: what is not named is not served any longer.
    pub(crate) fn events(&self) -> Vec<EdgeEvent> {
        let shown = self.shown();
        let certificates = shown.certificates.iter().cloned();
        let mut events: Vec<_> =
            certificates.map(|one| EdgeEvent::Certificate(Box::new(one))).collect();
        events.push(EdgeEvent::Challenges { challenges: shown.challenges.clone() });
        events.push(EdgeEvent::TicketKeys { keys: shown.ticket_keys.clone() });
        events
    }

    /// Changes whenever what [`Self::events`] gives does.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The certificate of the local CA, PEM, where one signs.
    pub(crate) fn ca_pem(&self) -> Option<String> {
        self.shown().ca_pem.clone()
    }

    fn shown(&self) -> Arc<Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what edges are to be told, and tells who watches where it is not what it was. Gives the
    /// version.
    async fn reload(&self) -> Result<u64, CertificateError> {
        let store = self.store.certificates();
        let mut certificates = Vec::new();
        for row in store.all().await? {
            match self.key_of(&row) {
                Ok(key_pem) => certificates.push(EdgeCertificate {
                    id: row.id,
                    names: row.names,
                    chain_pem: row.chain,
                    key_pem,
                    not_after: row.not_after,
                }),
                // It is made anew, by `keep`.
                Err(error) => tracing::warn!(%error, "a certificate is of no use"),
            }
        }
        let ca = match self.config.settings.acme_directory {
            Some(_) => None,
            None => store.local_ca(&self.domain).await?,
        };
        let shown = Shown {
            certificates,
            challenges: store.challenges().await?,
            ticket_keys: self.ticket_keys().await?,
            ca_pem: ca.map(|ca| ca.certificate),
        };
        let mut now = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        if **now != shown {
            *now = Arc::new(shown);
            self.version.send_modify(|version| *version += 1);
        }
        Ok(*self.version.borrow())
    }

    fn key_of(&self, row: &CertificateRow) -> Result<String, SealError> {
        self.sealer.unseal(Use::Certificate, &row.id, &row.sealed_key)
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }
}

/// A new id.
fn new_id() -> Result<String, NoRandom> {
    Ok(hex(&random::<16>()?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(at.as_micros().saturating_add(wait))
}

#[cfg(test)]
mod tests;
