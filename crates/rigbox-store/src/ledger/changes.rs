//! What an operator does with an account's credits, once for each key.

use rigbox_types::{
    AccountId, Credits,
    api::credits::{CreditChangeKind, EntryKind},
    limits::IDEMPOTENCY_KEY_MAX_LEN,
    text::Reason,
};

use super::{
    Balance, Entry, Exhausted, Ledger, LedgerError,
    book::{Book, Side, Why},
    statement,
};

/// Who writes is an id with a word before it.
const ACTOR_MAX_LEN: usize = 128;

/// A change of an account's credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// Whose.
    pub account: AccountId,
    /// What is done.
    pub kind: CreditChangeKind,
    /// How many; below zero only in an adjustment, and then at most as many as there are and no call holds.
    pub amount: Credits,
    /// Why, for people.
    pub reason: &'a str,
    /// By whom.
    pub actor: &'a str,
    /// What it is known by: a repeat with the same key and content gets the first entry.
    pub key: &'a str,
}

impl Ledger<'_> {
    /// Changes an account's credits. A repeat changes nothing and gives the first entry, beside what
    /// the account has now.
    ///
    /// # Errors
    /// [`LedgerError::Exhausted`] where more would be taken than there is, [`LedgerError::Different`]
    /// where the key was used for something else, [`LedgerError::Amount`], [`LedgerError::Text`],
    /// [`LedgerError::Bounds`].
    pub async fn change(&self, change: &Change<'_>) -> Result<(Entry, Balance), LedgerError> {
        check(change)?;
        let kind = match change.kind {
            CreditChangeKind::TopUp => EntryKind::TopUp,
            CreditChangeKind::Adjustment => EntryKind::Adjustment,
        };
        let mut tx = self.engine.begin().await?;
        let mut book = Book::open(&mut tx, change.account, self.engine.now()).await?;
        let key = format!("change:{}", change.key);
        if let Some(first) = statement::by_key(&mut tx, change.account, &key).await? {
            let same = (first.kind, first.amount, first.reason.as_str());
            if same != (kind, change.amount, change.reason) {
                return Err(LedgerError::Different(change.key.to_owned()));
            }
            let balance = book.balance();
            book.save(&mut tx).await?;
            tx.commit().await?;
            return Ok((first, balance));
        }
        let platform = match change.kind {
            CreditChangeKind::TopUp => Side::TopUps,
            CreditChangeKind::Adjustment => Side::Adjustments,
        };
        let taken = change.amount.negated();
        let own = if taken.is_positive() {
            let Balance { held, .. } = book.balance();
            let balance = book.balance().total();
            // What calls hold is promised to them.
            if balance.minus(held).is_none_or(|free| taken > free) {
                return Err(Exhausted { balance, held, needed: taken }.into());
            }
            book.taken_from(Side::Lasting, taken)
        } else {
            [(Side::Lasting, change.amount), (Side::Granted, Credits::ZERO)]
        };
        let why = Why { kind, reason: change.reason, actor: change.actor, key };
        let [one, other] = own;
        let entry = book.post(why, &[(platform, taken), one, other])?;
        let entry = entry.ok_or(LedgerError::Amount)?;
        let balance = book.balance();
        book.save(&mut tx).await?;
        tx.commit().await?;
        Ok((entry, balance))
    }
}

fn check(change: &Change<'_>) -> Result<(), LedgerError> {
    let may_take = change.kind == CreditChangeKind::Adjustment;
    if change.amount == Credits::ZERO || !(may_take || change.amount.is_positive()) {
        return Err(LedgerError::Amount);
    }
    if Reason::check(change.reason).is_err() {
        return Err(LedgerError::Text("reason"));
    }
    check_word("key", change.key, IDEMPOTENCY_KEY_MAX_LEN)?;
    check_word("actor", change.actor, ACTOR_MAX_LEN)
}

/// Whether a text is one word of visible ASCII.
pub(super) fn check_word(what: &'static str, text: &str, most: usize) -> Result<(), LedgerError> {
    let is_one = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_one && (1..=most).contains(&text.len()) { Ok(()) } else { Err(LedgerError::Text(what)) }
}
