//! Reads an account's entries.

use rigbox_types::AccountId;
use sqlx::any::AnyRow;

use super::{Entry, Ledger, LedgerError, credits};
use crate::{
    Page, PageRequest, StoreError,
    page::Key,
    row::{Columns, count},
    tx::Tx,
};

const LIST: &str = "ledger";

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT seq, at, kind, amount_micro, balance_micro, reason, actor, entry_key \
             FROM ledger_entries WHERE account_id = $1 AND ",
            $rest
        )
    };
}

const PAGE: &str = entries!("seq < $2 ORDER BY seq DESC LIMIT $3");

const BY_KEY: &str = entries!("entry_key = $2");

impl Ledger<'_> {
    /// A page of an account's entries, newest first; the first page with the grant of this month.
    ///
    /// # Errors
    /// [`LedgerError::Store`] with [`StoreError::InvalidCursor`] or [`StoreError::NotFound`].
    pub async fn statement(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<Entry>, LedgerError> {
        let [before] = page.after(LIST, [i64::MAX])?.numbers;
        self.balance(account).await?;
        let query = sqlx::query(PAGE).bind(account.to_string()).bind(before).bind(page.rows());
        let rows = query.fetch_all(&self.engine.read).await?;
        let entries = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let key = |entry: &Entry| Key { numbers: [count(entry.seq)], id: String::new() };
        Ok(page.page(LIST, entries, key))
    }
}

/// The entry of a key, within a transaction.
pub(super) async fn by_key(
    tx: &mut Tx<'_>,
    account: AccountId,
    key: &str,
) -> Result<Option<Entry>, StoreError> {
    let query = sqlx::query(BY_KEY).bind(account.to_string()).bind(key.to_owned());
    query.fetch_optional(tx.on()).await?.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<Entry, StoreError> {
    let columns = Columns::of("ledger_entries", row);
    Ok(Entry {
        seq: columns.number("seq")?,
        at: columns.moment("at")?,
        kind: columns.word("kind")?,
        amount: credits(columns.raw("amount_micro")?)?,
        balance: credits(columns.raw("balance_micro")?)?,
        reason: columns.raw("reason")?,
        actor: columns.raw("actor")?,
        key: columns.raw("entry_key")?,
    })
}
