//! Why the ledger did nothing.

use rigbox_types::Credits;

use crate::StoreError;

/// Why a call of the ledger did nothing. What it had to do for the month may have been done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There are not enough credits.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The key or request id was used for something else.
    #[error("{0} was used for something else")]
    Different(String),
    /// There is no hold of this request.
    #[error("nothing is held for the request {0}")]
    NoHold(String),
    /// The hold has ended.
    #[error("the hold of the request {0} has ended")]
    Ended(String),
    /// An amount that this cannot be done with: nothing, or below zero.
    #[error("amount must be more than nothing")]
    Amount,
    /// A text that is empty or too long.
    #[error("{0} must be there, in one line, and not too long")]
    Text(&'static str),
    /// The account would have, owe or hold more than there may be.
    #[error("an account has at most {} credits", Credits::MAX)]
    Bounds,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an account has where it is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} credits are needed; the balance is {balance}, of which {held} are held")]
pub struct Exhausted {
    /// What it has.
    pub balance: Credits,
    /// What its other calls hold of it.
    pub held: Credits,
    /// What was asked for.
    pub needed: Credits,
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
