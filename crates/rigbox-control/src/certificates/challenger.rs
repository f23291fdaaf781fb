//! Puts challenges up: at the edges, or by the operator's command where that has the DNS.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rigbox_certs::{DnsHook, PublishError, Publisher};
use rigbox_types::edge::Challenge;
use sha2::{Digest as _, Sha256};

use super::{CertificateError, Certificates, Edges, hex, later};

/// How long edges may take to take a challenge.
const TAKEN_LIMIT: Duration = Duration::from_secs(15);

/// How long a challenge is up where nobody takes it down: longer than an order may take.
const UP_AT_MOST: Duration = Duration::from_secs(3600);

/// See the module.
pub(super) struct Challenger {
    pub(super) certificates: Arc<Certificates>,
    pub(super) edges: Arc<dyn Edges>,
    pub(super) hook: Option<DnsHook>,
}

/// Not all edges answer the challenge.
#[derive(Debug, thiserror::Error)]
#[error("an edge did not take the challenge within {} s", TAKEN_LIMIT.as_secs())]
struct NotTaken;

#[async_trait]
impl Publisher for Challenger {
    async fn publish(&self, challenges: &[Challenge]) -> Result<(), PublishError> {
        let mut ours = Vec::new();
        for challenge in challenges {
            match (challenge, &self.hook) {
                (Challenge::Dns { name, value }, Some(hook)) => {
                    hook.present(name, value).await.map_err(|error| PublishError(error.into()))?;
                }
                _ => ours.push((id(challenge), challenge.clone())),
            }
        }
        if ours.is_empty() {
            return Ok(());
        }
        let version = self.open(&ours).await.map_err(|error| PublishError(error.into()))?;
        match self.edges.taken(version, TAKEN_LIMIT).await {
            true => Ok(()),
            false => Err(PublishError(NotTaken.into())),
        }
    }

    async fn withdraw(&self, challenges: &[Challenge]) {
        let mut ours = Vec::new();
        for challenge in challenges {
            match (challenge, &self.hook) {
                (Challenge::Dns { name, value }, Some(hook)) => {
                    if let Err(error) = hook.cleanup(name, value).await {
                        tracing::warn!(%error, %name, "a TXT record was not taken down");
                    }
                }
                _ => ours.push(id(challenge)),
            }
        }
        if ours.is_empty() {
            return;
        }
        // What stays ends by itself.
        if let Err(error) = self.certificates.store.certificates().challenges_close(&ours).await {
            tracing::warn!(%error, "challenges were not taken down");
        }
    }
}

impl Challenger {
    async fn open(&self, challenges: &[(String, Challenge)]) -> Result<u64, CertificateError> {
        let certificates = &self.certificates;
        let ends_at = later(certificates.now(), UP_AT_MOST);
        certificates.store.certificates().challenges_open(challenges, ends_at).await?;
        certificates.reload().await
    }
}

/// The same challenge has the same id.
fn id(challenge: &Challenge) -> String {
    let text = serde_json::to_string(challenge).unwrap_or_default();
    hex(&Sha256::digest(text))
}
