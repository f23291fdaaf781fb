//! Certificates: a local CA where there is no public domain, and orders by ACME where there is one.
//! Invariants: a certificate that is returned was checked against its key, its names and the time;
//! every wait, answer and number of tries has a limit with a name; a private key is in no log.
//! Does not keep anything, choose names or serve challenges: whoever calls does.

mod acme;
mod challenge;
mod error;
mod hook;
mod leaf;
mod local;
mod order;
mod renewal;
mod wire;

use std::pin::Pin;

use rigbox_types::Timestamp;
use secrecy::SecretString;
use time::OffsetDateTime;

pub use acme::{Account, Authority, ExternalAccount};
pub use challenge::{Kind, PublishError, Publisher};
pub use error::{AcmeError, Problem};
pub use hook::{DnsHook, HookError};
pub use leaf::{Leaf, LeafError};
pub use local::{LocalCa, LocalError};
pub use order::OrderRequest;
pub use renewal::{Window, renew_at};

/// A new certificate.
pub struct Issued {
    /// The chain, in PEM, leaf first.
    pub chain_pem: String,
    /// The private key, in PEM (PKCS #8).
    pub key_pem: SecretString,
    /// What the leaf says.
    pub leaf: Leaf,
}

/// A boxed future: whether it can go to another thread is settled where it is made.
type Going<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn moment(at: OffsetDateTime) -> Timestamp {
    let micros = at.unix_timestamp_nanos() / 1000;
    let most = if micros < 0 { i64::MIN } else { i64::MAX };
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(most))
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = at.as_micros().div_euclid(1_000_000);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
