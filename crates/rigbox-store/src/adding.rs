//! What goes with adding something to an account: how many it may have, and the claim on an
//! idempotency key that the request holds.
//! Invariant: what is counted is counted while nobody else adds, because the counter of the feed is
//! held, and so is the account's plan. Does not know what is added.

use rigbox_types::AccountId;

use crate::{
    Amount, Over, Scope, StoreError, accounts,
    idempotency::{self, Claim},
    row::Columns,
    tx::Tx,
};

/// How something is added to an account.
#[derive(Debug, Clone, Copy)]
pub struct Adding<'a> {
    /// How many of its kind an account may have, whatever its plan.
    pub most: u64,
    /// Notes what was added in the same transaction, so that a repeat of the request finds it.
    pub claim: Option<&'a Claim>,
}

impl Adding<'static> {
    /// For a request without a claim.
    #[must_use]
    pub fn at_most(most: u64) -> Self {
        Self { most, claim: None }
    }
}

impl Adding<'_> {
    /// Refuses one more than the account may have. `text` counts what it has. The transaction must
    /// hold the counter.
    pub(crate) async fn admit(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        (text, what): (&'static str, Amount),
    ) -> Result<(), StoreError> {
        let owner = accounts::row_of(tx, account).await?;
        let of_plan = if what == Amount::SshKeys { owner.quotas.max_ssh_keys } else { None };
        let limit = of_plan.unwrap_or(u64::MAX).min(self.most);
        let row = sqlx::query(text).bind(account.to_string()).fetch_one(tx.on()).await?;
        let used = Columns::of("accounts", &row).number("count")?;
        if used >= limit {
            let (scope, plan) = (Scope::Account, Some(owner.profile.plan));
            return Err(Over { scope, what, limit, used, asked: 1, plan }.into());
        }
        Ok(())
    }

    /// Notes what was added, and commits.
    pub(crate) async fn finish(&self, mut tx: Tx<'_>, made: String) -> Result<(), StoreError> {
        if let Some(claim) = self.claim {
            idempotency::note_made(&mut tx, claim, &made).await?;
        }
        tx.commit().await
    }
}
