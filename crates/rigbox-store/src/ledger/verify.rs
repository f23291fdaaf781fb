//! Recomputes the whole ledger from its postings, in one moment of the database, some rows at a time.

use std::collections::BTreeMap;

use rigbox_types::AccountId;
use sqlx::AnyConnection;

use super::{Ledger, book::Side};
use crate::{StoreError, engine::Kind, row::Columns};

const BEGIN_SQLITE: &str = "BEGIN";
const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A large ledger takes longer than anything else that is asked.
const PATIENCE_POSTGRES: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Rows that are read at once.
const PART: i64 = 1_000;

const ACCOUNTS: &str = "SELECT account_id, granted_micro, lasting_micro, held_micro, month_used_micro, \
     entries FROM ledger_accounts WHERE account_id > $1 ORDER BY account_id LIMIT $2";

const ENTRIES: &str = "SELECT seq, kind, amount_micro, balance_micro FROM ledger_entries \
     WHERE account_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";

const POSTINGS: &str = "SELECT seq, book, amount_micro FROM ledger_postings \
     WHERE account_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq, line";

const HELD: &str = "SELECT CAST(COALESCE(SUM(amount_micro), 0) AS BIGINT) AS held FROM ledger_holds \
     WHERE account_id = $1 AND state = 'held'";

/// Each settled hold that has cost something, without its charge; each charge without its hold. Either looks
/// up the other by its key, which is `charge:` and the request's id: 7 characters and that.
const UNCHARGED: &str = "SELECT COUNT(*) AS count FROM ledger_holds h WHERE h.account_id = $1 \
     AND h.state = 'settled' AND h.settled_micro > 0 AND NOT EXISTS (SELECT 1 FROM ledger_entries e \
     WHERE e.account_id = h.account_id AND e.entry_key = 'charge:' || h.request_id \
     AND e.kind = 'charge' AND e.amount_micro = -h.settled_micro)";

const UNHELD: &str = "SELECT COUNT(*) AS count FROM ledger_entries e WHERE e.account_id = $1 \
     AND e.kind = 'charge' AND NOT EXISTS (SELECT 1 FROM ledger_holds h \
     WHERE h.request_id = SUBSTR(e.entry_key, 8) AND h.account_id = e.account_id \
     AND h.state = 'settled' AND h.settled_micro = -e.amount_micro)";

/// What a recomputation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every balance is the sum of its postings.
    Whole(Totals),
    /// Something is not what its postings say.
    Broken {
        /// Of which account.
        account: AccountId,
        /// At which of its entries; 0 where it is the account as a whole.
        at_seq: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// What there is in all, in millionths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accounts that have a ledger.
    pub accounts: u64,
    /// Entries of all of them.
    pub entries: u64,
    /// What is in each book, by its word; all together are zero. Sums of all accounts may be beyond
    /// what one may have.
    pub books: BTreeMap<String, i128>,
}

/// An account as its row says, and as far as it was recomputed.
struct Account {
    id: AccountId,
    granted: i64,
    lasting: i64,
    held: i64,
    used: i64,
    entries: i64,
}

/// What is wrong: at which entry, and what.
type Wrong = Option<(i64, &'static str)>;

impl Ledger<'_> {
    /// Recomputes every balance of every account from the postings, while others go on.
    ///
    /// # Errors
    /// As [`StoreError`]; a ledger that is not right is no error but a [`Verdict`].
    pub async fn verify(&self) -> Result<Verdict, StoreError> {
        let begin = match self.engine.kind {
            Kind::Sqlite => BEGIN_SQLITE,
            Kind::Postgres => BEGIN_POSTGRES,
        };
        let mut tx = self.engine.read.begin_with(begin).await?;
        if self.engine.kind == Kind::Postgres {
            sqlx::raw_sql(PATIENCE_POSTGRES).execute(&mut *tx).await?;
        }
        let (mut totals, mut last) = (Totals::default(), String::new());
        loop {
            let accounts = accounts(&mut tx, &last).await?;
            let Some(newest) = accounts.last() else { break };
            last = newest.id.to_string();
            for account in &accounts {
                if let Some((at, what)) = check(&mut tx, account, &mut totals).await? {
                    let at_seq = u64::try_from(at).unwrap_or_default();
                    return Ok(Verdict::Broken { account: account.id, at_seq, what });
                }
                totals.accounts += 1;
            }
        }
        tx.rollback().await?;
        Ok(Verdict::Whole(totals))
    }
}

async fn accounts(on: &mut AnyConnection, after: &str) -> Result<Vec<Account>, StoreError> {
    let query = sqlx::query(ACCOUNTS).bind(after.to_owned()).bind(PART);
    let rows = query.fetch_all(on).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("ledger_accounts", row);
            Ok(Account {
                id: columns.parsed("account_id")?,
                granted: columns.raw("granted_micro")?,
                lasting: columns.raw("lasting_micro")?,
                held: columns.raw("held_micro")?,
                used: columns.raw("month_used_micro")?,
                entries: columns.raw("entries")?,
            })
        })
        .collect()
}

async fn check(
    on: &mut AnyConnection,
    account: &Account,
    totals: &mut Totals,
) -> Result<Wrong, StoreError> {
    let mut own = BTreeMap::from([(Side::Granted.as_str(), 0_i128), (Side::Lasting.as_str(), 0)]);
    let (mut seq, mut charged) = (0, 0_i128);
    while seq < account.entries {
        let part = entries(on, account.id, seq).await?;
        let Some(newest) = part.last() else {
            return Ok(Some((seq + 1, "this entry and those after it are gone")));
        };
        let postings = postings(on, account.id, (seq, newest.seq)).await?;
        for entry in &part {
            seq += 1;
            if entry.seq != seq {
                return Ok(Some((seq, "this entry is gone")));
            }
            let before: i128 = own.values().sum();
            let mut sum = 0;
            for (book, amount) in postings.get(&seq).into_iter().flatten() {
                sum += i128::from(*amount);
                if let Some(own) = own.get_mut(book.as_str()) {
                    *own += i128::from(*amount);
                }
                *totals.books.entry(book.clone()).or_default() += i128::from(*amount);
            }
            if sum != 0 || !postings.contains_key(&seq) {
                return Ok(Some((seq, "the postings of this entry do not add up to zero")));
            }
            let after: i128 = own.values().sum();
            if after - before != i128::from(entry.amount) || after != i128::from(entry.balance) {
                return Ok(Some((seq, "this entry says something else than its postings")));
            }
            charged -= if entry.is_charge { i128::from(entry.amount) } else { 0 };
            totals.entries += 1;
        }
    }
    // A part may go on behind what the account knows of.
    if seq > account.entries || !entries(on, account.id, seq).await?.is_empty() {
        return Ok(Some((account.entries + 1, "there are more entries than the account knows of")));
    }
    let kept = [i128::from(account.granted), i128::from(account.lasting)];
    if !own.values().copied().eq(kept) {
        return Ok(Some((0, "the balance is not the sum of the postings")));
    }
    if i128::from(account.used) > charged || account.used < 0 {
        return Ok(Some((0, "more was used this month than was ever charged")));
    }
    holds(on, account).await
}

async fn holds(on: &mut AnyConnection, account: &Account) -> Result<Wrong, StoreError> {
    let mut number = async |text, column| {
        let row = sqlx::query(text).bind(account.id.to_string()).fetch_one(&mut *on).await?;
        Columns::of("ledger_holds", &row).raw::<i64>(column)
    };
    if number(HELD, "held").await? != account.held {
        return Ok(Some((0, "what is held is not the sum of the holds")));
    }
    if number(UNCHARGED, "count").await? != 0 {
        return Ok(Some((0, "a call was settled and not charged")));
    }
    if number(UNHELD, "count").await? != 0 {
        return Ok(Some((0, "a charge belongs to no call that was settled")));
    }
    Ok(None)
}

struct Line {
    seq: i64,
    amount: i64,
    balance: i64,
    is_charge: bool,
}

async fn entries(
    on: &mut AnyConnection,
    account: AccountId,
    after: i64,
) -> Result<Vec<Line>, StoreError> {
    let query = sqlx::query(ENTRIES).bind(account.to_string()).bind(after).bind(PART);
    let rows = query.fetch_all(on).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("ledger_entries", row);
            Ok(Line {
                seq: columns.raw("seq")?,
                amount: columns.raw("amount_micro")?,
                balance: columns.raw("balance_micro")?,
                is_charge: columns.raw::<String>("kind")? == "charge",
            })
        })
        .collect()
}

/// Book and amount, by entry.
type Postings = BTreeMap<i64, Vec<(String, i64)>>;

async fn postings(
    on: &mut AnyConnection,
    account: AccountId,
    (after, to): (i64, i64),
) -> Result<Postings, StoreError> {
    let query = sqlx::query(POSTINGS).bind(account.to_string()).bind(after).bind(to);
    let mut postings = Postings::new();
    for row in &query.fetch_all(on).await? {
        let columns = Columns::of("ledger_postings", row);
        let posting = (columns.raw("book")?, columns.raw("amount_micro")?);
        postings.entry(columns.raw("seq")?).or_default().push(posting);
    }
    Ok(postings)
}
