//! Brings calls that are over into the ledger.
//! Invariant: the journal lets go of a call after the ledger has it.

use std::{sync::Arc, time::Duration};

use rigbox_store::ledger::Posting;

use super::{Account, Purse};

/// Calls of one transaction: it is over within some milliseconds, so that nobody waits long for it.
const BATCH: usize = 500;

impl Purse {
    /// Posts all that is over. Whether the ledger took it.
    pub(super) async fn post_all(&self, idle: Duration) -> bool {
        let accounts: Vec<_> = self.accounts().values().cloned().collect();
        let mut all = true;
        for account in accounts {
            all &= self.post(&account, idle).await;
        }
        // Nobody else has it, and nobody gets it while the map is held.
        self.accounts()
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.is_forgettable(idle));
        all
    }

    async fn post(&self, account: &Account, idle: Duration) -> bool {
        let shared = &self.shared;
        loop {
            let turn = account.ledger().await;
            let Some(batch) = account.batch(BATCH, idle) else { return true };
            let posting = Posting {
                account: account.id(),
                holder: shared.journal.holder(),
                calls: &batch.calls,
                keep: batch.keep,
            };
            match shared.store.ledger().post(&posting).await {
                Ok(lease) => {
                    account.posted(&turn, &batch, &lease);
                    shared.journal.posted(batch.ids);
                }
                Err(error) => {
                    tracing::warn!(%error, account = %account.id(), "calls cannot be written down");
                    return false;
                }
            }
        }
    }
}
