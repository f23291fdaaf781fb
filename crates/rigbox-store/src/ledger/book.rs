//! One account's ledger within a transaction: opened (which waits for whoever else writes it), brought
//! to this month, posted to, saved.
//! Invariants: an entry's postings add up to zero; the row of the account is held from the opening on,
//! so that what is read of it stays; at rest `lasting` is below zero only while nothing is granted.

use rigbox_types::{AccountId, Credits, Month, Timestamp, api::credits::EntryKind};
use serde_json::json;
use sqlx::any::AnyRow;

use super::{Balance, Entry, LedgerError, PLATFORM, credits};
use crate::{
    StoreError,
    accounts::{self, AccountRow},
    engine::Engine,
    many::{self, Holds},
    row::{Columns, count},
    tx::Tx,
};

macro_rules! columns {
    () => {
        "granted_micro, lasting_micro, held_micro, month, month_grant_micro, month_used_micro, entries"
    };
}

const LOOK: &str = concat!("SELECT ", columns!(), " FROM ledger_accounts WHERE account_id = $1");

/// Changes nothing but takes the row, in words of both engines.
const TAKE: &str = concat!(
    "UPDATE ledger_accounts SET entries = entries WHERE account_id = $1 RETURNING ",
    columns!()
);

const MAKE: &str = "INSERT INTO ledger_accounts (account_id, granted_micro, lasting_micro, \
     held_micro, month, month_grant_micro, month_used_micro, entries) \
     VALUES ($1, 0, 0, 0, $2, 0, 0, 0) ON CONFLICT (account_id) DO NOTHING";

const SAVE: &str = "UPDATE ledger_accounts SET granted_micro = $2, lasting_micro = $3, \
     held_micro = $4, month = $5, month_grant_micro = $6, month_used_micro = $7, entries = $8 \
     WHERE account_id = $1";

const INSERT_ENTRIES: &str = "INSERT INTO ledger_entries (account_id, seq, at, kind, amount_micro, \
     balance_micro, reason, actor, entry_key)";

const INSERT_POSTINGS: &str =
    "INSERT INTO ledger_postings (account_id, seq, line, book, amount_micro)";

const ENTRY_COLUMNS: [Holds; 9] = {
    use Holds::{Number, Text};
    [Text, Number, Number, Text, Number, Number, Text, Text, Text]
};

const POSTING_COLUMNS: [Holds; 5] =
    [Holds::Text, Holds::Number, Holds::Number, Holds::Text, Holds::Number];

/// Where credits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The account's own: what is left of the month's grant.
    Granted,
    /// The account's own: what lasts.
    Lasting,
    Grants,
    TopUps,
    Adjustments,
    Revenue,
    Expired,
}

impl Side {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Lasting => "lasting",
            Self::Grants => "grants",
            Self::TopUps => "top_ups",
            Self::Adjustments => "adjustments",
            Self::Revenue => "revenue",
            Self::Expired => "expired",
        }
    }
}

/// Why something is posted.
pub(super) struct Why<'a> {
    pub(super) kind: EntryKind,
    pub(super) reason: &'a str,
    pub(super) actor: &'a str,
    pub(super) key: String,
}

/// See the module.
pub(super) struct Book {
    account: AccountId,
    plan: String,
    limit: Option<Credits>,
    now: Timestamp,
    row: Row,
    changed: bool,
    /// Posted and not yet written.
    posted: Vec<Posted>,
}

struct Posted {
    entry: Entry,
    sides: Vec<(Side, Credits)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    granted: Credits,
    lasting: Credits,
    held: Credits,
    month: Month,
    month_grant: Credits,
    used: Credits,
    entries: i64,
}

/// What an account has, where its row is of this month and nothing is to be granted.
pub(super) async fn look(
    engine: &Engine,
    owner: &AccountRow,
    now: Timestamp,
) -> Result<Option<Balance>, StoreError> {
    let query = sqlx::query(LOOK).bind(owner.id.to_string()).fetch_optional(&engine.read);
    let Some(row) = query.await? else { return Ok(None) };
    let row = read(&row)?;
    let limit = limit(owner);
    let is_done = row.month >= Month::of(now) && limit.is_none_or(|most| most <= row.month_grant);
    Ok(is_done.then(|| balance(owner.id, &row, limit.is_none())))
}

impl Book {
    /// Takes an account's ledger, and brings it to this month. It is to be saved where the transaction
    /// is committed.
    pub(super) async fn open(
        tx: &mut Tx<'_>,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let id = account.to_string();
        let mut taken = sqlx::query(TAKE).bind(id.clone()).fetch_optional(tx.on()).await?;
        if taken.is_none() {
            // Known, before a row refers to it.
            accounts::row_of(tx, account).await?;
            let month = i64::from(Month::of(now).number());
            sqlx::query(MAKE).bind(id.clone()).bind(month).execute(tx.on()).await?;
            taken = sqlx::query(TAKE).bind(id).fetch_optional(tx.on()).await?;
        }
        let row = taken.ok_or_else(|| StoreError::not_found("ledger of the account", &account))?;
        // After the row is held, so that of two at once the second one sees the same plan or a newer.
        let owner = accounts::row_of(tx, account).await?;
        let (limit, plan) = (limit(&owner), owner.profile.plan.to_string());
        let mut book = Self {
            account,
            plan,
            limit,
            now,
            row: read(&row)?,
            changed: false,
            posted: Vec::new(),
        };
        book.turn_month()?;
        Ok(book)
    }

    /// Takes back what is left of a month that is over, and gives what the plan has for this one.
    fn turn_month(&mut self) -> Result<(), LedgerError> {
        let (month, last) = (Month::of(self.now), self.row.month);
        // A clock that went back makes no month anew.
        if month > last {
            let left = self.row.granted;
            self.row.month = month;
            self.row.month_grant = Credits::ZERO;
            self.row.used = Credits::ZERO;
            self.changed = true;
            let why = Why {
                kind: EntryKind::Expiry,
                reason: &format!("what was left of the grant for {last}"),
                actor: PLATFORM,
                key: format!("expiry:{last}"),
            };
            self.post(why, &[(Side::Granted, left.negated()), (Side::Expired, left)])?;
        }
        let Some(limit) = self.limit.filter(|limit| *limit > self.row.month_grant) else {
            return Ok(());
        };
        let (month, plan) = (self.row.month, self.plan.clone());
        let more = limit.minus(self.row.month_grant).ok_or(LedgerError::Bounds)?;
        // Not beyond what an account may have, however much it has.
        let room = Credits::MAX.micro() - self.balance().total().micro();
        let more = credits(more.micro().min(room))?;
        self.row.month_grant = limit;
        self.changed = true;
        // What a call has cost beyond the balance is paid first.
        let debt = self.row.lasting.micro().min(0).abs();
        let paid = credits(debt.min(more.micro()))?;
        let why = Why {
            kind: EntryKind::Grant,
            reason: &format!("grant of the plan {plan} for {month}"),
            actor: PLATFORM,
            key: format!("grant:{month}:{limit}"),
        };
        let rest = more.minus(paid).ok_or(LedgerError::Bounds)?;
        let sides = [(Side::Grants, more.negated()), (Side::Lasting, paid), (Side::Granted, rest)];
        self.post(why, &sides)?;
        Ok(())
    }

    /// Posts an entry, which is written with all others. One that moves nothing is none.
    pub(super) fn post(
        &mut self,
        why: Why<'_>,
        sides: &[(Side, Credits)],
    ) -> Result<Option<Entry>, LedgerError> {
        let moves = |side: &&(Side, Credits)| side.1 != Credits::ZERO;
        let sides: Vec<_> = sides.iter().filter(moves).copied().collect();
        if sides.is_empty() {
            return Ok(None);
        }
        if sides.iter().map(|(_, amount)| i128::from(amount.micro())).sum::<i128>() != 0 {
            return Err(StoreError::Internal("postings do not add up to zero".into()).into());
        }
        let before = self.balance().total();
        for (side, amount) in &sides {
            let own = match side {
                Side::Granted => &mut self.row.granted,
                Side::Lasting => &mut self.row.lasting,
                Side::Grants | Side::TopUps | Side::Adjustments | Side::Revenue | Side::Expired => {
                    continue;
                }
            };
            *own = own.plus(*amount).ok_or(LedgerError::Bounds)?;
        }
        let balance = self.row.granted.plus(self.row.lasting).ok_or(LedgerError::Bounds)?;
        self.row.entries += 1;
        self.changed = true;
        let entry = Entry {
            seq: u64::try_from(self.row.entries).unwrap_or_default(),
            at: self.now,
            kind: why.kind,
            amount: balance.minus(before).ok_or(LedgerError::Bounds)?,
            balance,
            reason: why.reason.to_owned(),
            actor: why.actor.to_owned(),
            key: why.key,
        };
        self.posted.push(Posted { entry: entry.clone(), sides });
        Ok(Some(entry))
    }

    /// Writes what was posted.
    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let account = self.account.to_string();
        let (mut entries, mut postings) = (Vec::new(), Vec::new());
        for Posted { entry, sides } in &self.posted {
            let seq = count(entry.seq);
            entries.push(json!([
                account,
                seq,
                entry.at.as_micros(),
                entry.kind,
                entry.amount.micro(),
                entry.balance.micro(),
                entry.reason,
                entry.actor,
                entry.key,
            ]));
            postings.extend((0_i64..).zip(sides).map(|(line, (side, amount))| {
                json!([account, seq, line, side.as_str(), amount.micro()])
            }));
        }
        many::insert(tx, INSERT_ENTRIES, &ENTRY_COLUMNS, entries).await?;
        many::insert(tx, INSERT_POSTINGS, &POSTING_COLUMNS, postings).await
    }

    /// Takes `amount` out of the account's own books, from `first` as long as that has something, and
    /// the rest from the other one; what neither has goes to `lasting`, which is then below zero.
    pub(super) fn taken_from(&self, first: Side, amount: Credits) -> [(Side, Credits); 2] {
        let there = |own: Credits| own.micro().max(0);
        let granted = match first {
            Side::Lasting => (amount.micro() - there(self.row.lasting)).max(0),
            _ => amount.micro(),
        };
        let granted = granted.min(there(self.row.granted));
        // Both are parts of an amount.
        let part = |micro: i64| Credits::from_micro(-micro).unwrap_or(Credits::ZERO);
        [(Side::Granted, part(granted)), (Side::Lasting, part(amount.micro() - granted))]
    }

    /// Counts what was charged this month.
    pub(super) fn use_up(&mut self, amount: Credits) -> Result<(), LedgerError> {
        self.row.used = self.row.used.plus(amount).ok_or(LedgerError::Bounds)?;
        self.changed = true;
        Ok(())
    }

    /// Holds more, or, below zero, less.
    pub(super) fn hold(&mut self, amount: Credits) -> Result<(), LedgerError> {
        self.row.held = self.row.held.plus(amount).ok_or(LedgerError::Bounds)?;
        self.changed = true;
        Ok(())
    }

    pub(super) fn balance(&self) -> Balance {
        balance(self.account, &self.row, self.limit.is_none())
    }

    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Writes down what the entries have come to.
    pub(super) async fn save(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        self.write(tx).await?;
        sqlx::query(SAVE)
            .bind(self.account.to_string())
            .bind(self.row.granted.micro())
            .bind(self.row.lasting.micro())
            .bind(self.row.held.micro())
            .bind(i64::from(self.row.month.number()))
            .bind(self.row.month_grant.micro())
            .bind(self.row.used.micro())
            .bind(self.row.entries)
            .execute(tx.on())
            .await?;
        Ok(())
    }
}

fn limit(owner: &AccountRow) -> Option<Credits> {
    owner.quotas.max_ai_credits_per_month.map(Credits::at_most)
}

fn balance(account: AccountId, row: &Row, unlimited: bool) -> Balance {
    let Row { granted, lasting, held, month, used, .. } = *row;
    Balance { account, granted, lasting, held, used, month, unlimited }
}

fn read(row: &AnyRow) -> Result<Row, StoreError> {
    let columns = Columns::of("ledger_accounts", row);
    Ok(Row {
        granted: credits(columns.raw("granted_micro")?)?,
        lasting: credits(columns.raw("lasting_micro")?)?,
        held: credits(columns.raw("held_micro")?)?,
        month: Month::from_number(columns.number("month")?),
        month_grant: credits(columns.raw("month_grant_micro")?)?,
        used: credits(columns.raw("month_used_micro")?)?,
        entries: columns.raw("entries")?,
    })
}
