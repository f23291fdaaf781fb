//! What calls hold and cost, in memory, out of leases that the ledger has on disk.
//!
//! ```text
//! lease (ledger) = held by calls under way + ended and not yet posted + free for the next ones
//! ```
//!
//! Owns this process's leases. Invariants: no call is let through that its account's lease does not pay
//! for, however many ask at once; a call that is over is kept until the ledger has it; what is not needed
//! is given back a moment after the last call.
//! Does not write the journal (the caller does, before anything depends on it) and knows no prices.

mod account;
mod post;

pub(crate) use post::post;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rigbox_store::{
    Store,
    ai_calls::Call,
    ledger::{LedgerError, Posting},
};
use rigbox_types::{AccountId, Credits};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::account::{Account, Turn};
use crate::journal::{CallId, Journal};

/// How many calls like the one that asks are leased for at once.
const AHEAD: i64 = 8;

/// The same of a busy account, at most.
const AHEAD_MOST: i64 = 256;

/// Least that is leased beside what a call needs, in micro-credits: 0.1 credits, a tenth of a cent.
const AHEAD_LEAST: i64 = 100_000;

/// How long a lease is kept after the last call of an account.
const IDLE: Duration = Duration::from_secs(5);

/// Calls that are over and wait to be posted, of all accounts: more mean that the database does not take
/// them, and then no further ones are begun.
const WAITING_MAX: usize = 100_000;

/// Time before a posting, in which calls gather: one transaction is for many. Where postings take long it is
/// [`GATHER_TIMES`] as long as the last one, so that they are a small part of the work, but not more.
const GATHER: Duration = Duration::from_millis(10);
const GATHER_MAX: Duration = Duration::from_millis(100);
const GATHER_TIMES: u32 = 4;

/// How long it is believed that an account has not enough: callers without credits do not work the
/// database.
const SHORT_KEPT: Duration = Duration::from_millis(250);

/// Time after a posting that failed.
const RETRY: Duration = Duration::from_millis(500);

/// Why nothing is held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// There are not enough credits.
    #[error(transparent)]
    Exhausted(#[from] Short),
    /// The database does not take what is over.
    #[error("too many calls wait to be written down")]
    Behind,
    /// The ledger.
    #[error("hold credits")]
    Ledger(#[source] LedgerError),
}

/// What an account has where it is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} credits are needed; the balance is {balance}, of which {held} are held")]
pub(crate) struct Short {
    /// What it has.
    pub(crate) balance: Credits,
    /// What its other calls hold of it.
    pub(crate) held: Credits,
    /// What was asked for.
    pub(crate) needed: Credits,
}

impl Short {
    /// What would have fitted.
    pub(crate) fn fits(&self) -> Credits {
        let free = self.balance.minus(self.held).unwrap_or(Credits::ZERO);
        free.max(Credits::ZERO)
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Purse {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    journal: Journal,
    accounts: Mutex<HashMap<AccountId, Arc<Account>>>,
    ended: Notify,
}

/// What is held for one call. It is given back when it is dropped, unless the call was settled.
pub(crate) struct Hold {
    purse: Purse,
    account: Arc<Account>,
    amount: Credits,
    is_over: bool,
}

impl Hold {
    /// How much.
    pub(crate) fn amount(&self) -> Credits {
        self.amount
    }

    /// The call is over and has cost what it says: it will be posted.
    pub(crate) fn settle(mut self, id: CallId, call: Call) {
        self.is_over = true;
        self.account.ended(self.amount, id, call);
        self.purse.shared.ended.notify_one();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.is_over {
            self.account.released(self.amount);
        }
    }
}

impl Purse {
    pub(crate) fn new(store: Store, journal: Journal) -> Self {
        let (accounts, ended) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { store, journal, accounts, ended }) }
    }

    /// Holds what a call may cost. At most one call of an account asks the ledger, the others wait for it.
    pub(crate) async fn hold(
        &self,
        account: AccountId,
        amount: Credits,
    ) -> Result<Hold, HoldError> {
        let account = self.account(account);
        if self.waiting() >= WAITING_MAX {
            return Err(HoldError::Behind);
        }
        loop {
            if account.take(amount) {
                let purse = self.clone();
                return Ok(Hold { purse, account, amount, is_over: false });
            }
            let turn = account.ledger().await;
            if account.is_unheard() {
                self.hear(&account, &turn).await?;
            }
            // Who was first may have leased enough for all, or have learned that there is not enough.
            let Some(short) = account.short(amount) else { continue };
            if let Some(short) = account.is_short(amount) {
                return Err(short.into());
            }
            let most = Credits::from_micro(short.micro().saturating_add(account.ahead(amount)));
            let range = (short, most.unwrap_or(Credits::MAX));
            let ledger = self.shared.store.ledger();
            account.asks(&turn);
            match ledger.lease(account.id(), self.shared.journal.holder(), range).await {
                Ok(lease) => account.leased(&turn, &lease),
                Err(LedgerError::Exhausted(exhausted)) => {
                    return Err(account.exhausted(&turn, &exhausted, amount).into());
                }
                Err(error) => return Err(HoldError::Ledger(error)),
            }
        }
    }

    /// Asks the ledger what it has leased, where an answer was not heard: its caller had gone, or the
    /// database went away in the middle of it.
    async fn hear(&self, account: &Account, turn: &Turn<'_>) -> Result<(), HoldError> {
        let posting = Posting {
            account: account.id(),
            holder: self.shared.journal.holder(),
            calls: &[],
            keep: Credits::MAX,
            fill: Credits::ZERO,
        };
        let lease = self.shared.store.ledger().post(&posting).await.map_err(HoldError::Ledger)?;
        account.leased(turn, &lease);
        Ok(())
    }

    /// Holds nothing, for a call that costs the account nothing, and whose end is written down.
    pub(crate) fn hold_nothing(&self, account: AccountId) -> Result<Hold, HoldError> {
        if self.waiting() >= WAITING_MAX {
            return Err(HoldError::Behind);
        }
        let account = self.account(account);
        account.take_nothing();
        Ok(Hold { purse: self.clone(), account, amount: Credits::ZERO, is_over: false })
    }

    /// Calls for a subject that are over and not posted.
    pub(crate) fn unposted(&self, account: AccountId, subject: &str) -> Vec<Call> {
        let account = self.accounts().get(&account).cloned();
        account.map_or_else(Vec::new, |account| account.unposted(subject))
    }

    /// Posts what is over, and gives back what is not needed; to be run once, until the process ends.
    pub(crate) async fn keep_posted(self, shutdown: CancellationToken) {
        let (mut gather, mut last) = (GATHER, None::<Instant>);
        loop {
            tokio::select! {
                () = self.shared.ended.notified() => {
                    // One call alone is in the ledger at once: its caller may look there next.
                    if last.is_some_and(|last| last.elapsed() < GATHER_MAX) {
                        tokio::time::sleep(gather).await;
                    }
                }
                () = tokio::time::sleep(IDLE / 4) => {}
                () = shutdown.cancelled() => break,
            }
            let began = Instant::now();
            if !self.post_all(IDLE).await {
                tokio::time::sleep(RETRY).await;
            }
            last = Some(Instant::now());
            gather = began.elapsed().saturating_mul(GATHER_TIMES).clamp(GATHER, GATHER_MAX);
        }
    }

    /// Posts what is over and gives back all leases that no call under way needs.
    pub(crate) async fn close(&self) {
        self.post_all(Duration::ZERO).await;
    }

    /// How many calls wait to be posted.
    pub(crate) fn waiting(&self) -> usize {
        self.accounts().values().map(|account| account.waiting()).sum()
    }

    fn account(&self, id: AccountId) -> Arc<Account> {
        let mut accounts = self.accounts();
        let account = accounts.entry(id).or_insert_with(|| Arc::new(Account::new(id)));
        account.touch();
        Arc::clone(account)
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Account>>> {
        self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
