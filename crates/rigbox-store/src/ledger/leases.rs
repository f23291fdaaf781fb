//! Leases: what a process holds of an account for calls that it works on, in one row that grows and
//! shrinks, so that a call need not wait for the disk before it is made.
//! Invariants: of all leases and holds at once no more is held than the balance pays for; a call is
//! charged in the transaction that gives its part of the lease back, and once, however often it is posted.
//! Does not know which call has which part: the process does (and keeps a journal of it).

use rigbox_types::{AccountId, Credits};
use serde_json::json;

use super::{
    Balance, Exhausted, Ledger, LedgerError,
    book::Book,
    changes::check_word,
    credits,
    holds::{charge, done},
};
use crate::{
    StoreError,
    ai_calls::{self, Call},
    many::{self, Holds},
    row::Columns,
    tx::Tx,
};

const GET: &str = "SELECT amount_micro FROM ledger_holds WHERE request_id = $1 AND state = 'held'";

/// A lease of a process that is gone may have been given back before: then it begins anew.
const PUT: &str = "INSERT INTO ledger_holds (request_id, account_id, amount_micro, state, \
     settled_micro, actor, holder, held_at, ended_at) \
     VALUES ($1, $2, $3, 'held', 0, $4, $5, $6, NULL) ON CONFLICT (request_id) \
     DO UPDATE SET amount_micro = excluded.amount_micro, state = 'held', ended_at = NULL";

/// One that is empty leaves no row.
const DELETE: &str = "DELETE FROM ledger_holds WHERE request_id = $1";

const INSERT_SETTLED: &str = "INSERT INTO ledger_holds (request_id, account_id, amount_micro, state, \
     settled_micro, actor, holder, held_at, ended_at)";

const SETTLED_COLUMNS: [Holds; 9] = {
    use Holds::{Number, Text};
    [Text, Text, Number, Text, Number, Text, Text, Number, Number]
};

/// Longest name of a holder: with what stands before it and an account's id it is a request's id.
const HOLDER_MAX_LEN: usize = 64;

/// Who holds what for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How much the process holds of the account.
    pub amount: Credits,
    /// What the account has, the lease included.
    pub balance: Balance,
}

/// What is posted at once.
#[derive(Debug, Clone, Copy)]
pub struct Posting<'a> {
    /// Whose calls.
    pub account: AccountId,
    /// Who has made them.
    pub holder: &'a str,
    /// The calls; those that were posted before change nothing.
    pub calls: &'a [Call],
    /// What the process goes on to hold, at most.
    pub keep: Credits,
    /// What it holds then where so much is free, though it be more than before; not more than `keep`.
    pub fill: Credits,
}

impl Ledger<'_> {
    /// Holds more of an account for calls of a process: `least`, and up to `most` where so much is free.
    /// Of an account without a limit nothing need be held, and is not.
    ///
    /// # Errors
    /// [`LedgerError::Exhausted`] where `least` is not free, [`LedgerError::Text`],
    /// [`LedgerError::Amount`] below zero, [`LedgerError::Bounds`].
    pub async fn lease(
        &self,
        account: AccountId,
        holder: &str,
        (least, most): (Credits, Credits),
    ) -> Result<Lease, LedgerError> {
        check_word("holder", holder, HOLDER_MAX_LEN)?;
        if least < Credits::ZERO || most < least {
            return Err(LedgerError::Amount);
        }
        let mut tx = self.engine.begin().await?;
        let mut book = Book::open(&mut tx, account, self.engine.now()).await?;
        let id = lease_id(holder, account);
        let held = leased(&mut tx, &id).await?;
        let balance = book.balance();
        if balance.unlimited {
            return Ok(Lease { amount: held, balance: done(book, tx).await? });
        }
        if balance.free_micro() < least.micro() {
            let (total, held) = (balance.total(), balance.held);
            // What was done for the month stays.
            done(book, tx).await?;
            return Err(Exhausted { balance: total, held, needed: least }.into());
        }
        let more = credits(balance.free_micro().min(most.micro()))?;
        let amount = held.plus(more).ok_or(LedgerError::Bounds)?;
        book.hold(more)?;
        put(&mut tx, &book, (&id, holder), amount).await?;
        Ok(Lease { amount, balance: done(book, tx).await? })
    }

    /// Writes down calls that are over, charges them, and gives back what of the lease is no longer
    /// needed, or holds more for the calls to come. Repeatable: a call that is there already changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Text`], [`LedgerError::Amount`] below zero, [`LedgerError::Bounds`]; nothing was
    /// written then.
    pub async fn post(&self, posting: &Posting<'_>) -> Result<Lease, LedgerError> {
        let Posting { account, holder, calls, keep, fill } = *posting;
        check_word("holder", holder, HOLDER_MAX_LEN)?;
        for call in calls {
            call.check(account)?;
        }
        let mut tx = self.engine.begin().await?;
        let state = self.engine.callers.now();
        let mut book = Book::open(&mut tx, account, self.engine.now()).await?;
        let id = lease_id(holder, account);
        let held = leased(&mut tx, &id).await?;
        let mut seen = ai_calls::known(&mut tx, calls).await?;
        let new: Vec<&Call> =
            calls.iter().filter(|call| seen.insert(call.request_id.clone())).collect();
        let mut charged = Credits::ZERO;
        for call in &new {
            let of = (call.request_id.as_str(), call.actor());
            charge(&mut book, (of.0, &of.1), (call.charge, &call.reason()))?;
            charged = charged.plus(call.charge).ok_or(LedgerError::Bounds)?;
        }
        insert_settled(&mut tx, &book, holder, &new).await?;
        ai_calls::insert(&mut tx, &new).await?;
        let left = held.minus(charged).unwrap_or(Credits::ZERO).max(Credits::ZERO).min(keep);
        book.hold(left.minus(held).ok_or(LedgerError::Bounds)?)?;
        let left = filled(&mut book, left, fill.min(keep))?;
        if left == Credits::ZERO {
            sqlx::query(DELETE).bind(id).execute(tx.on()).await?;
        } else {
            put(&mut tx, &book, (&id, holder), left).await?;
        }
        let is_new = !new.is_empty();
        let balance = done(book, tx).await?;
        // Nothing of a caller is changed by it. Where it has written nothing it was no commit.
        if is_new {
            self.engine.callers.committed(state);
        }
        Ok(Lease { amount: left, balance })
    }
}

/// A lease that is filled up to `fill`, as far as the balance goes. Of an account without a limit nothing
/// need be held.
fn filled(book: &mut Book, left: Credits, fill: Credits) -> Result<Credits, LedgerError> {
    let balance = book.balance();
    let more = fill.micro().saturating_sub(left.micro()).min(balance.free_micro());
    if balance.unlimited || more <= 0 {
        return Ok(left);
    }
    let more = credits(more)?;
    book.hold(more)?;
    left.plus(more).ok_or(LedgerError::Bounds)
}

fn lease_id(holder: &str, account: AccountId) -> String {
    format!("lease:{holder}:{account}")
}

async fn leased(tx: &mut Tx<'_>, id: &str) -> Result<Credits, StoreError> {
    let row = sqlx::query(GET).bind(id.to_owned()).fetch_optional(tx.on()).await?;
    let amount = |row| credits(Columns::of("ledger_holds", row).raw("amount_micro")?);
    row.as_ref().map_or(Ok(Credits::ZERO), amount)
}

async fn put(
    tx: &mut Tx<'_>,
    book: &Book,
    (id, holder): (&str, &str),
    amount: Credits,
) -> Result<(), StoreError> {
    sqlx::query(PUT)
        .bind(id.to_owned())
        .bind(book.account().to_string())
        .bind(amount.micro())
        .bind(format!("process:{holder}"))
        .bind(holder.to_owned())
        .bind(book.now().as_micros())
        .execute(tx.on())
        .await?;
    Ok(())
}

/// Each call that has cost something as a hold that is settled, which is how a charge is known.
async fn insert_settled(
    tx: &mut Tx<'_>,
    book: &Book,
    holder: &str,
    calls: &[&Call],
) -> Result<(), StoreError> {
    let charged = calls.iter().filter(|call| call.charge.is_positive());
    let row = |call: &&Call| {
        json!([
            call.request_id,
            book.account().to_string(),
            call.charge.micro(),
            "settled",
            call.charge.micro(),
            call.actor(),
            holder,
            call.began_at.as_micros(),
            book.now().as_micros(),
        ])
    };
    many::insert(tx, INSERT_SETTLED, &SETTLED_COLUMNS, charged.map(row).collect()).await
}
