//! The ledger of AI credits: append-only double entry in whole millionths.
//!
//! An *entry* says why an account's credits became more or fewer. Its *postings* move them between
//! *books* and add up to zero: the account's own two, what the month's grant has `granted` and what is
//! `lasting`, and the platform's `grants`, `top_ups`, `adjustments`, `revenue` and `expired`.
//!
//! ```text
//! hold ──> held ── settle ──> settled     (a repeat gets the first charge)
//!           │  └── release ─> released ── settle, late ──> settled
//! ```
//!
//! Writers: control and the AI proxy. Invariants:
//! - A balance is kept with each entry in the same transaction, and is the sum of the postings
//!   ([`Ledger::verify`] recomputes it). Entries and postings are never changed: triggers refuse it.
//! - What an account's calls may still cost is held before they are made; of holds at once no more pass
//!   than the balance pays for. A call is charged once, whatever it was held for: where it has cost
//!   more, `lasting` goes below zero and the next credits pay that first.
//! - A process that works on many calls holds for all of them in one *lease* for an account, and says
//!   by itself which call has which part of it; calls are charged out of it, several at once.
//! - A month (UTC) has one grant. It is made by whoever first looks at the account in that month, who
//!   also takes back what is left of the month before. A plan with more credits gives the difference;
//!   one with fewer takes nothing. Charges use up what was granted before what lasts, so that `granted`
//!   is never below zero. A charge belongs to the month in which it is settled.
//! - An account whose plan has no number for credits is without a limit: the platform grants it each
//!   charge as it is settled, so that its balance stays and the statement tells what was used.
//!
//! Does not know prices, and does not decide who may change anything.

mod book;
mod changes;
mod error;
mod holds;
mod leases;
mod statement;
mod verify;

pub use changes::Change;
pub use error::{Exhausted, LedgerError};
pub use holds::{Held, NewHold, Open, Outcome, Settled, Stale};
pub use leases::{Lease, Posting};
use rigbox_types::{AccountId, Credits, Month, Timestamp, api::credits::EntryKind};
pub use verify::{Totals, Verdict};

use crate::{StoreError, accounts, engine::Engine};

/// Who writes what nobody has asked for.
const PLATFORM: &str = "platform";

/// See the module.
pub struct Ledger<'s> {
    pub(crate) engine: &'s Engine,
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub account: AccountId,
    /// What is left of the month's grant.
    pub granted: Credits,
    /// What does not expire; below zero where a call has cost more than there was.
    pub lasting: Credits,
    /// What calls under way may still cost.
    pub held: Credits,
    /// What was charged this month.
    pub used: Credits,
    /// Which month this is.
    pub month: Month,
    /// Whether the account has no limit.
    pub unlimited: bool,
}

impl Balance {
    /// All that it has. Within the bounds, because no entry leaves them.
    #[must_use]
    pub fn total(&self) -> Credits {
        self.granted.plus(self.lasting).unwrap_or(Credits::MAX)
    }

    /// What another call may cost; below zero where more is held than there is.
    #[must_use]
    pub fn free_micro(&self) -> i64 {
        // Each is far from the ends of an i64.
        self.total().micro() - self.held.micro()
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the account's ledger, from 1 on, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Why, in one word.
    pub kind: EntryKind,
    /// What came, or, below zero, went.
    pub amount: Credits,
    /// What the account has after it.
    pub balance: Credits,
    /// Why, for people.
    pub reason: String,
    /// By whom.
    pub actor: String,
    /// What it is known by.
    pub key: String,
}

impl Ledger<'_> {
    /// What an account has now, with the grant of this month.
    ///
    /// # Errors
    /// [`LedgerError::Store`] with [`StoreError::NotFound`] for an unknown account.
    pub async fn balance(&self, account: AccountId) -> Result<Balance, LedgerError> {
        let owner = accounts::Accounts { engine: self.engine }.get(account).await?;
        let now = self.engine.now();
        if let Some(balance) = book::look(self.engine, &owner, now).await? {
            return Ok(balance);
        }
        let mut tx = self.engine.begin().await?;
        let book = book::Book::open(&mut tx, account, now).await?;
        let balance = book.balance();
        book.save(&mut tx).await?;
        tx.commit().await?;
        Ok(balance)
    }
}

/// A number of the ledger within its bounds; others were written by nobody of us.
fn credits(micro: i64) -> Result<Credits, StoreError> {
    Credits::from_micro(micro).map_err(|error| StoreError::Corrupt {
        what: "a number of the ledger".to_owned(),
        source: error.into(),
    })
}
