//! Brings calls that are over into the ledger.
//! Invariant: the journal lets go of a call after the ledger has it.

use std::{sync::Arc, time::Duration};

use rigbox_store::{
    Store,
    ai_calls::Call,
    ledger::{Lease, LedgerError, Posting},
};

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
        // What is over meanwhile waits for the next time, so that one account does not keep others waiting.
        for _ in 0..=account.waiting() / BATCH {
            // Who holds the turn asks for more; the others are not to wait for it.
            let Some(turn) = account.ledger_now() else {
                shared.ended.notify_one();
                return true;
            };
            let Some(batch) = account.batch(BATCH, idle) else { return true };
            let posting = Posting {
                account: account.id(),
                holder: shared.journal.holder(),
                calls: &batch.calls,
                keep: batch.keep,
                fill: batch.fill,
            };
            match post(&shared.store, &posting).await {
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
        true
    }
}

/// Posts calls. One that the ledger can never take, whatever made it so, is put aside with an error, and
/// keeps no other one waiting.
///
/// # Errors
/// Where the database does not take anything.
pub(crate) async fn post(store: &Store, posting: &Posting<'_>) -> Result<Lease, LedgerError> {
    match store.ledger().post(posting).await {
        Err(LedgerError::Store(error)) => Err(LedgerError::Store(error)),
        Ok(lease) => Ok(lease),
        Err(error) => match posting.calls {
            [] => Err(error),
            [call] => {
                set_aside(call, &error);
                store.ledger().post(&Posting { calls: &[], ..*posting }).await
            }
            calls => {
                let (first, second) = calls.split_at(calls.len() / 2);
                // What the second half still needs is not given back with the first.
                let all = Posting { calls: first, keep: rigbox_types::Credits::MAX, ..*posting };
                Box::pin(post(store, &all)).await?;
                Box::pin(post(store, &Posting { calls: second, ..*posting })).await
            }
        },
    }
}

fn set_aside(call: &Call, error: &LedgerError) {
    tracing::error!(%error, ?call, "a call can never be written down: its charge is not in the ledger");
}
