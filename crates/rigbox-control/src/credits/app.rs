//! What the ledger says, as the API does. Decides nothing: that a call has credits is the AI proxy's to
//! ask, and the ledger's to say.

use rigbox_store::ledger::{Balance, Entry, Exhausted, LedgerError};
use rigbox_types::{
    AccountId, Credits,
    api::{
        credits::{AiCredits, CreditEntry},
        error::ErrorCode,
    },
};
use serde_json::json;

use crate::{
    ai::mode_of,
    control::Control,
    error::{ApiError, ApiResult},
};

/// What an account has; its grant of this month is made where nobody has looked before.
pub(crate) async fn credits_of(
    control: &Control,
    account: AccountId,
) -> ApiResult<(AiCredits, Balance)> {
    let balance = control.store.ledger().balance(account).await?;
    Ok((view(control, account, &balance).await?, balance))
}

/// A balance, for clients; and who pays, where a workspace has not decided.
pub(super) async fn view(
    control: &Control,
    account: AccountId,
    balance: &Balance,
) -> ApiResult<AiCredits> {
    let mode = mode_of(control, account).await?;
    let (remaining, total) = if balance.unlimited {
        // Not what was topped up, which would look like the end of it.
        (Credits::MAX, Credits::MAX)
    } else {
        let left = balance.total();
        (left, left.plus(balance.used).unwrap_or(Credits::MAX))
    };
    Ok(AiCredits {
        mode: mode.as_str().to_owned(),
        remaining: remaining.approximate(),
        remaining_micro: remaining.micro(),
        total: total.approximate(),
        total_micro: total.micro(),
        unlimited: balance.unlimited,
        granted_micro: balance.granted.micro(),
        expires_at: Some(balance.month.end()),
        held_micro: balance.held.micro(),
        used_micro: balance.used.micro(),
    })
}

/// An entry, for clients.
pub(super) fn entry(entry: Entry) -> CreditEntry {
    CreditEntry {
        seq: entry.seq,
        at: entry.at,
        kind: entry.kind,
        amount: entry.amount.approximate(),
        amount_micro: entry.amount.micro(),
        balance: entry.balance.approximate(),
        balance_micro: entry.balance.micro(),
        reason: entry.reason,
        actor: entry.actor,
        key: entry.key,
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Exhausted(short) => exhausted(short),
            LedgerError::Different(_) => {
                Self::conflict("this Idempotency-Key was used for another change; take a new one")
            }
            LedgerError::NoHold(_) => Self::not_found("request"),
            LedgerError::Ended(_) => Self::conflict("this request is over"),
            LedgerError::Amount => Self::field(
                "amount",
                "must be more than nothing; only an adjustment may also be less",
            ),
            LedgerError::Text("reason") => Self::field("reason", "must be one line of text"),
            LedgerError::Text(what) => Self::request(format!("{what}: is not one word")),
            LedgerError::Bounds => Self::field("amount", &error),
            LedgerError::Store(_) => match error {
                LedgerError::Store(error) => error.into(),
                other => Self::internal(other),
            },
            _ => Self::internal(error),
        }
    }
}

fn exhausted(short: &Exhausted) -> ApiError {
    let Exhausted { balance, held, needed } = short;
    let free = balance.minus(*held).unwrap_or(*balance).max(Credits::ZERO);
    let message = format!(
        "{needed} credits are needed; the balance is {balance}, of which {held} are set aside for \
         calls under way and to come: at most {free} would have fitted; what no call needs is given back \
         some seconds after the account's last one"
    );
    ApiError::new(ErrorCode::CreditsExhausted, message).with(json!({
        "balance_micro": balance.micro(),
        "held_micro": held.micro(),
        "needed_micro": needed.micro(),
    }))
}
