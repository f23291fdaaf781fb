//! How an authority checks who has a name, and who answers it.

use async_trait::async_trait;
use rigbox_types::edge::Challenge;

/// A kind of challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A TXT record: the only one for a wildcard.
    Dns,
    /// A handshake with `acme-tls/1`, on port 443.
    TlsAlpn,
    /// A page, on port 80.
    Http,
}

impl Kind {
    /// As ACME writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns-01",
            Self::TlsAlpn => "tls-alpn-01",
            Self::Http => "http-01",
        }
    }
}

/// Challenges could not be put up.
#[derive(Debug, thiserror::Error)]
#[error("put challenges up: {0}")]
pub struct PublishError(pub Box<dyn std::error::Error + Send + Sync>);

/// Whoever answers challenges.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Puts challenges up beside those that are. Returns when they are answered, or a bounded time
    /// was waited for that.
    async fn publish(&self, challenges: &[Challenge]) -> Result<(), PublishError>;

    /// Takes them down again. Called for everything that was published, also in part.
    async fn withdraw(&self, challenges: &[Challenge]);
}
