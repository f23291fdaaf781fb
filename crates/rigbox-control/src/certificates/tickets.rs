//! Keys of session tickets: a new one every 12 hours, two older ones are still understood.

use std::time::Duration;

use rigbox_types::edge::TicketKey;

use super::{CertificateError, Certificates, Use, hex, new_id};
use crate::source::random;

/// How long a key makes new tickets. With [`KEPT`], a ticket is understood for a day at least.
const EVERY: Duration = Duration::from_secs(12 * 3600);

/// Keys that are understood, the one that makes new tickets among them.
const KEPT: usize = 3;

impl Certificates {
    /// Makes the next key where it is time.
    pub(super) async fn rotate(&self) -> Result<(), CertificateError> {
        let id = new_id()?;
        let secret = hex(&random::<32>()?);
        let sealed = self.sealer.seal(Use::Ticket, &id, secret.as_bytes())?;
        self.store.certificates().rotate_ticket_keys((&id, &sealed), EVERY, KEPT).await?;
        Ok(())
    }

    pub(super) async fn ticket_keys(&self) -> Result<Vec<TicketKey>, CertificateError> {
        let store = self.store.certificates();
        let mut keys = Vec::new();
        for row in store.ticket_keys().await? {
            match self.sealer.unseal(Use::Ticket, &row.id, &row.sealed) {
                Ok(secret) => keys.push(TicketKey { secret, created_at: row.created_at }),
                Err(error) => {
                    tracing::warn!(%error, "a key of session tickets is of no use, and removed");
                    store.remove_ticket_key(&row.id).await?;
                }
            }
        }
        Ok(keys)
    }
}
