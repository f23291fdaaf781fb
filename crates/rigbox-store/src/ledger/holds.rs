//! Holds: what a call may cost is set aside before it is made, and settled once by what it has cost.
//! Invariant: a hold ends once; a call is charged once, also where its hold was released before.

use rigbox_types::{
    AccountId, Credits, Timestamp, api::credits::EntryKind, limits::CREDITS_REQUEST_ID_MAX_LEN,
    text::Reason,
};
use sqlx::any::AnyRow;

use super::{
    Balance, Entry, Exhausted, Ledger, LedgerError, PLATFORM,
    book::{Book, Side, Why},
    changes::check_word,
    credits, statement,
};
use crate::{StoreError, row::Columns, tx::Tx};

macro_rules! hold {
    ($rest:literal) => {
        concat!(
            "SELECT request_id, account_id, amount_micro, state, settled_micro, actor, holder, held_at \
             FROM ledger_holds WHERE ",
            $rest
        )
    };
}

const GET: &str = hold!("request_id = $1");

/// Of a holder, of all others, or of all: as $2 is `of`, `not_of` or `any`.
const STALE: &str = hold!(
    "state = 'held' AND held_at < $1 AND ($2 = 'any' OR ($2 = 'of' AND holder = $3) \
     OR ($2 = 'not_of' AND holder <> $3)) ORDER BY held_at, request_id LIMIT $4"
);

/// Nothing where the id is taken, by another account at the same moment.
const INSERT: &str = "INSERT INTO ledger_holds (request_id, account_id, amount_micro, state, \
     settled_micro, actor, holder, held_at, ended_at) \
     VALUES ($1, $2, $3, 'held', 0, $4, $5, $6, NULL) ON CONFLICT (request_id) DO NOTHING";

const END: &str = "UPDATE ledger_holds SET state = $2, settled_micro = $3, ended_at = $4 \
     WHERE request_id = $1";

const FORGET: &str = "DELETE FROM ledger_holds WHERE state = 'released' AND held_at < $1";

/// How long a released hold is kept: longer than any call lasts, so that a late settlement finds it.
const RELEASED_KEPT_MICROS: i64 = 31 * 24 * 3600 * 1_000_000;

/// Longest names of actors and holders.
const NAME_MAX_LEN: usize = 128;

/// Holds that are recovered at once.
const PART: i64 = 100;

/// What to set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewHold<'a> {
    /// Whose credits.
    pub account: AccountId,
    /// The worst case; nothing is fine.
    pub amount: Credits,
    /// The call's id, of no other call of anybody.
    pub request_id: &'a str,
    /// For whom, such as `workspace:<id>`.
    pub actor: &'a str,
    /// The process that works on it, by a name that it has in this life only.
    pub holder: &'a str,
}

/// What was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What the account has, this hold included.
    pub balance: Balance,
    /// Whether it had been set aside before, by the same request.
    pub repeated: bool,
}

/// What a call was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The charge; none where the call has cost nothing.
    pub entry: Option<Entry>,
    /// What the account has now.
    pub balance: Balance,
    /// Whether it had been settled before: `entry` is the first one, whatever this one would be.
    pub repeated: bool,
}

/// A hold that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The call's id.
    pub request_id: String,
    /// Whose credits.
    pub account: AccountId,
    /// How many.
    pub amount: Credits,
    /// For whom.
    pub actor: String,
    /// The process that works on it, or did.
    pub holder: String,
    /// Since when.
    pub held_at: Timestamp,
}

/// Which holds nobody works on any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale<'a> {
    /// Those of a process that is gone.
    Of(&'a str),
    /// Those of all processes but this one; only where there is no other.
    NotOf(&'a str),
    /// Those that are older than any call lasts.
    Before(Timestamp),
}

/// What becomes of a hold that nobody works on any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is given back: the call was not made. One that is settled late is still charged.
    Release,
    /// All of it is charged: the call may have been made, and nobody knows what it has cost.
    Charge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Settled,
    Released,
}

struct Row {
    open: Open,
    state: State,
}

impl Ledger<'_> {
    /// Sets aside what a call may cost. A repeat of one that is held gives the same.
    ///
    /// # Errors
    /// [`LedgerError::Exhausted`] where the balance without what is held is less,
    /// [`LedgerError::Different`] where the id is of another call, [`LedgerError::Ended`] of one that
    /// is over, [`LedgerError::Amount`] below zero, [`LedgerError::Text`], [`LedgerError::Bounds`].
    pub async fn hold(&self, new: &NewHold<'_>) -> Result<Held, LedgerError> {
        check(new)?;
        let mut tx = self.engine.begin().await?;
        let mut book = Book::open(&mut tx, new.account, self.engine.now()).await?;
        if let Some(row) = row_of(&mut tx, new.request_id).await? {
            if (row.open.account, row.open.amount) != (new.account, new.amount) {
                return Err(LedgerError::Different(new.request_id.to_owned()));
            }
            if row.state != State::Held {
                return Err(LedgerError::Ended(new.request_id.to_owned()));
            }
            return Ok(Held { balance: done(book, tx).await?, repeated: true });
        }
        let balance = book.balance();
        if !balance.unlimited && balance.free_micro() < new.amount.micro() {
            let (total, held) = (balance.total(), balance.held);
            // What was done for the month stays.
            done(book, tx).await?;
            return Err(Exhausted { balance: total, held, needed: new.amount }.into());
        }
        book.hold(new.amount)?;
        let made = sqlx::query(INSERT)
            .bind(new.request_id.to_owned())
            .bind(new.account.to_string())
            .bind(new.amount.micro())
            .bind(new.actor.to_owned())
            .bind(new.holder.to_owned())
            .bind(book.now().as_micros())
            .execute(tx.on())
            .await?;
        if made.rows_affected() == 0 {
            return Err(LedgerError::Different(new.request_id.to_owned()));
        }
        Ok(Held { balance: done(book, tx).await?, repeated: false })
    }

    /// Charges what a call has cost, and gives back the rest of its hold. It may be more than was
    /// held; then the balance may go below zero. A repeat gets the first charge.
    ///
    /// # Errors
    /// [`LedgerError::NoHold`], [`LedgerError::Amount`] below zero, [`LedgerError::Text`],
    /// [`LedgerError::Bounds`].
    pub async fn settle(
        &self,
        request_id: &str,
        actual: Credits,
        reason: &str,
    ) -> Result<Settled, LedgerError> {
        if actual < Credits::ZERO {
            return Err(LedgerError::Amount);
        }
        if Reason::check(reason).is_err() {
            return Err(LedgerError::Text("reason"));
        }
        self.end(request_id, async |book, tx, row| {
            if row.state == State::Held {
                book.hold(row.open.amount.negated())?;
            }
            let of = (row.open.request_id.as_str(), row.open.actor.as_str());
            let entry = charge(book, of, (actual, reason))?;
            note(tx, request_id, (State::Settled, actual), book.now()).await?;
            Ok(entry)
        })
        .await
    }

    /// Gives back what was held for a call that was not made. A repeat does nothing, and so does this
    /// for a call that was settled.
    ///
    /// # Errors
    /// [`LedgerError::NoHold`].
    pub async fn release(&self, request_id: &str) -> Result<Settled, LedgerError> {
        self.end(request_id, async |book, tx, row| {
            if row.state == State::Held {
                book.hold(row.open.amount.negated())?;
                note(tx, request_id, (State::Released, Credits::ZERO), book.now()).await?;
            }
            Ok(None)
        })
        .await
    }

    /// Ends a hold by `act`, unless its call was settled.
    async fn end(
        &self,
        request_id: &str,
        act: impl AsyncFnOnce(&mut Book, &mut Tx<'_>, &Row) -> Result<Option<Entry>, LedgerError>,
    ) -> Result<Settled, LedgerError> {
        let missing = || LedgerError::NoHold(request_id.to_owned());
        // Whose it is never changes; what it is, is looked at again once the account is held.
        let found = sqlx::query(GET).bind(request_id.to_owned());
        let found = found.fetch_optional(&self.engine.read).await?.ok_or_else(missing)?;
        let account = read(&found)?.open.account;
        let mut tx = self.engine.begin().await?;
        let mut book = Book::open(&mut tx, account, self.engine.now()).await?;
        let row = row_of(&mut tx, request_id).await?.ok_or_else(missing)?;
        let (entry, repeated) = match row.state {
            State::Settled => {
                (statement::by_key(&mut tx, account, &charge_key(request_id)).await?, true)
            }
            State::Held | State::Released => (act(&mut book, &mut tx, &row).await?, false),
        };
        Ok(Settled { entry, balance: done(book, tx).await?, repeated })
    }

    /// Holds that nobody works on any more, oldest first; as many as are read at once.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn stale(&self, which: Stale<'_>) -> Result<Vec<Open>, StoreError> {
        let (before, how, name) = match which {
            Stale::Of(holder) => (i64::MAX, "of", holder),
            Stale::NotOf(holder) => (i64::MAX, "not_of", holder),
            Stale::Before(moment) => (moment.as_micros(), "any", ""),
        };
        let query = sqlx::query(STALE).bind(before).bind(how).bind(name.to_owned()).bind(PART);
        let rows = query.fetch_all(&self.engine.read).await?;
        rows.iter().map(|row| Ok(read(row)?.open)).collect()
    }

    /// Ends all holds that nobody works on any more, and says how many there were. Repeatable: one
    /// that somebody has ended meanwhile is left as it is.
    ///
    /// # Errors
    /// As [`LedgerError`]; those before it have ended.
    pub async fn recover(&self, which: Stale<'_>, outcome: Outcome) -> Result<u64, LedgerError> {
        let mut ended = 0;
        loop {
            let stale = self.stale(which).await?;
            if stale.is_empty() {
                return Ok(ended);
            }
            for open in stale {
                let settled = match outcome {
                    Outcome::Release => self.release(&open.request_id).await?,
                    Outcome::Charge => {
                        let reason = "estimated: the call was interrupted, all that it might cost";
                        self.settle(&open.request_id, open.amount, reason).await?
                    }
                };
                ended += u64::from(!settled.repeated);
            }
        }
    }

    /// Forgets holds that were released long ago. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let before = self.engine.now().as_micros().saturating_sub(RELEASED_KEPT_MICROS);
        sqlx::query(FORGET).bind(before).execute(&self.engine.write).await?;
        Ok(())
    }
}

/// Charges a call, by its id and for whom it was. An account without a limit is granted what it costs.
pub(super) fn charge(
    book: &mut Book,
    (request_id, actor): (&str, &str),
    (actual, reason): (Credits, &str),
) -> Result<Option<Entry>, LedgerError> {
    if book.balance().unlimited {
        let why = Why {
            kind: EntryKind::Grant,
            reason: "the platform pays: the plan has no limit",
            actor: PLATFORM,
            key: format!("cover:{request_id}"),
        };
        book.post(why, &[(Side::Grants, actual.negated()), (Side::Granted, actual)])?;
    }
    book.use_up(actual)?;
    let why = Why { kind: EntryKind::Charge, reason, actor, key: charge_key(request_id) };
    let [granted, lasting] = book.taken_from(Side::Granted, actual);
    book.post(why, &[granted, lasting, (Side::Revenue, actual)])
}

fn charge_key(request_id: &str) -> String {
    format!("charge:{request_id}")
}

/// Saves and commits; gives what there is then.
pub(super) async fn done(book: Book, mut tx: Tx<'_>) -> Result<Balance, LedgerError> {
    let balance = book.balance();
    book.save(&mut tx).await?;
    tx.commit().await?;
    Ok(balance)
}

async fn row_of(tx: &mut Tx<'_>, request_id: &str) -> Result<Option<Row>, StoreError> {
    let query = sqlx::query(GET).bind(request_id.to_owned());
    query.fetch_optional(tx.on()).await?.as_ref().map(read).transpose()
}

async fn note(
    tx: &mut Tx<'_>,
    request_id: &str,
    (state, settled): (State, Credits),
    now: Timestamp,
) -> Result<(), StoreError> {
    let word = match state {
        State::Held => "held",
        State::Settled => "settled",
        State::Released => "released",
    };
    let query = sqlx::query(END).bind(request_id.to_owned()).bind(word).bind(settled.micro());
    query.bind(now.as_micros()).execute(tx.on()).await?;
    Ok(())
}

fn check(new: &NewHold<'_>) -> Result<(), LedgerError> {
    if new.amount < Credits::ZERO {
        return Err(LedgerError::Amount);
    }
    check_word("request id", new.request_id, CREDITS_REQUEST_ID_MAX_LEN)?;
    check_word("actor", new.actor, NAME_MAX_LEN)?;
    check_word("holder", new.holder, NAME_MAX_LEN)
}

fn read(row: &AnyRow) -> Result<Row, StoreError> {
    let columns = Columns::of("ledger_holds", row);
    let state = match columns.raw::<String>("state")?.as_str() {
        "held" => State::Held,
        "released" => State::Released,
        _ => State::Settled,
    };
    let open = Open {
        request_id: columns.raw("request_id")?,
        account: columns.parsed("account_id")?,
        amount: credits(columns.raw("amount_micro")?)?,
        actor: columns.raw("actor")?,
        holder: columns.raw("holder")?,
        held_at: columns.moment("held_at")?,
    };
    Ok(Row { open, state })
}
