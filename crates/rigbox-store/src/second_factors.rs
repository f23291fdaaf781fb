//! Second factors: an encrypted secret for codes that change with time, and recovery codes.
//! Writer and reader: control's sign-in. Invariants: a code works once, and none that is older than
//! one that worked; a recovery code works once; recovery codes go with their factor.
//! Does not encrypt and does not know how codes are made.

use rigbox_types::AccountId;
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    api_keys::KeyHash,
    engine::Engine,
    row::{Columns, count},
    tx::Tx,
};

const GET: &str =
    "SELECT sealed, confirmed_at, last_step FROM second_factors WHERE account_id = $1";

/// One that was confirmed stays.
const OFFER: &str = "INSERT INTO second_factors (account_id, sealed, last_step) \
     VALUES ($1, $2, 0) ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, \
     last_step = 0 WHERE second_factors.confirmed_at IS NULL";

const CONFIRM: &str = "UPDATE second_factors SET confirmed_at = $3, last_step = $4 \
     WHERE account_id = $1 AND sealed = $2 AND confirmed_at IS NULL";

const USE_STEP: &str = "UPDATE second_factors SET last_step = $2 \
     WHERE account_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2";

const DELETE: &str = "DELETE FROM second_factors WHERE account_id = $1";

const CODE_INSERT: &str = "INSERT INTO recovery_codes (account_id, hash) VALUES ($1, $2)";

const CODE_TAKE: &str = "DELETE FROM recovery_codes WHERE account_id = $1 AND hash = $2";

const CODES_DELETE: &str = "DELETE FROM recovery_codes WHERE account_id = $1";

const CODES_COUNT: &str = "SELECT COUNT(*) AS count FROM recovery_codes WHERE account_id = $1";

/// See the module.
pub struct SecondFactors<'s> {
    pub(crate) engine: &'s Engine,
}

/// The second factor of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct SecondFactorRow {
    /// The encrypted secret.
    pub sealed: Vec<u8>,
    /// Whether it is asked for.
    pub confirmed: bool,
    /// The newest time step of which a code was shown.
    pub last_step: u64,
}

impl SecondFactors<'_> {
    /// The second factor of an account, if it has one, confirmed or not.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn get(&self, account: AccountId) -> Result<Option<SecondFactorRow>, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string());
        query.fetch_optional(&self.engine.read).await?.as_ref().map(read).transpose()
    }

    /// Keeps a secret until it is confirmed; one that was confirmed stays instead.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn offer(&self, account: AccountId, sealed: &[u8]) -> Result<(), StoreError> {
        let query = sqlx::query(OFFER).bind(account.to_string()).bind(sealed.to_vec());
        query.execute(&self.engine.write).await?;
        Ok(())
    }

    /// Asks for this secret from now on, and keeps its recovery codes. Says whether it did.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn confirm(
        &self,
        account: AccountId,
        (sealed, step): (&[u8], u64),
        codes: &[KeyHash],
    ) -> Result<bool, StoreError> {
        let mut tx = self.engine.begin().await?;
        let done = sqlx::query(CONFIRM)
            .bind(account.to_string())
            .bind(sealed.to_vec())
            .bind(self.engine.now().as_micros())
            .bind(count(step))
            .execute(tx.on())
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        replace_codes(&mut tx, account, codes).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that a code of this time step was shown. Says whether none of it or a later one had
    /// been: of several at once, one is the first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn use_step(&self, account: AccountId, step: u64) -> Result<bool, StoreError> {
        let query = sqlx::query(USE_STEP).bind(account.to_string()).bind(count(step));
        Ok(query.execute(&self.engine.write).await?.rows_affected() > 0)
    }

    /// Takes a recovery code. Says whether there was one.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn use_code(&self, account: AccountId, code: &KeyHash) -> Result<bool, StoreError> {
        let query = sqlx::query(CODE_TAKE).bind(account.to_string());
        let query = query.bind(code.as_bytes().to_vec());
        Ok(query.execute(&self.engine.write).await?.rows_affected() > 0)
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn codes_left(&self, account: AccountId) -> Result<u64, StoreError> {
        let query = sqlx::query(CODES_COUNT).bind(account.to_string());
        let row = query.fetch_one(&self.engine.read).await?;
        Columns::of("recovery_codes", &row).number("count")
    }

    /// Puts other recovery codes in the place of those that are left.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn renew_codes(
        &self,
        account: AccountId,
        codes: &[KeyHash],
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        replace_codes(&mut tx, account, codes).await?;
        tx.commit().await
    }

    /// Asks for no second factor any more.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn delete(&self, account: AccountId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        replace_codes(&mut tx, account, &[]).await?;
        sqlx::query(DELETE).bind(account.to_string()).execute(tx.on()).await?;
        tx.commit().await
    }
}

async fn replace_codes(
    tx: &mut Tx<'_>,
    account: AccountId,
    codes: &[KeyHash],
) -> Result<(), StoreError> {
    sqlx::query(CODES_DELETE).bind(account.to_string()).execute(tx.on()).await?;
    for code in codes {
        let query = sqlx::query(CODE_INSERT).bind(account.to_string());
        query.bind(code.as_bytes().to_vec()).execute(tx.on()).await?;
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<SecondFactorRow, StoreError> {
    let columns = Columns::of("second_factors", row);
    Ok(SecondFactorRow {
        sealed: columns.raw("sealed")?,
        confirmed: columns.moment_optional("confirmed_at")?.is_some(),
        last_step: columns.number("last_step")?,
    })
}
