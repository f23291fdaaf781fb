//! Which names are free: none that an app has, and none that one of another account had a moment ago,
//! so that whoever still follows a link does not meet somebody else's app.
//! Invariants: called in transactions that hold the counter; an account keeps a bounded number of
//! names, and gets no further one rather than another is given up before its time.

use rigbox_types::{
    AccountId, AppName,
    limits::{APP_NAME_KEPT_HOURS, APP_NAMES_KEPT_MAX_COUNT},
};

use crate::{Amount, Over, Scope, StoreError, row::Columns, tx::Tx};

const TAKEN: &str = "SELECT id FROM apps WHERE name = $1";

const DOMAIN_TAKEN: &str = "SELECT id FROM apps WHERE verified_domain = $1";

const EXPIRE: &str =
    "DELETE FROM kept_names WHERE kept_until <= $1 AND (account_id = $2 OR name = $3)";

const KEPT: &str = "SELECT account_id FROM kept_names WHERE name = $1";

const COUNT: &str = "SELECT COUNT(*) AS count FROM kept_names WHERE account_id = $1";

const KEEP: &str = "INSERT INTO kept_names (name, account_id, kept_until) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET account_id = excluded.account_id, \
     kept_until = excluded.kept_until";

const RELEASE: &str = "DELETE FROM kept_names WHERE name = $1";

const FORGET: &str = "DELETE FROM kept_names WHERE kept_until <= $1";

const HOUR_MICROS: i64 = 3_600_000_000;

/// Makes a name the account's, or says that it is not free.
pub(super) async fn take(
    tx: &mut Tx<'_>,
    account: AccountId,
    name: &AppName,
    now: i64,
) -> Result<(), StoreError> {
    let taken = sqlx::query(TAKEN).bind(name.as_str()).fetch_optional(tx.on()).await?;
    if taken.is_some() {
        return Err(StoreError::Conflict { what: "app name", id: name.to_string() });
    }
    take_kept(tx, account, ("app name", name.as_str()), now).await
}

/// Makes a domain, which was found to lead here, the account's.
pub(super) async fn take_domain(
    tx: &mut Tx<'_>,
    account: AccountId,
    domain: &str,
    now: i64,
) -> Result<(), StoreError> {
    let taken = sqlx::query(DOMAIN_TAKEN).bind(domain).fetch_optional(tx.on()).await?;
    if taken.is_some() {
        return Err(StoreError::Conflict { what: "custom domain", id: domain.to_owned() });
    }
    take_kept(tx, account, ("custom domain", domain), now).await
}

async fn take_kept(
    tx: &mut Tx<'_>,
    account: AccountId,
    (what, name): (&'static str, &str),
    now: i64,
) -> Result<(), StoreError> {
    let expire = sqlx::query(EXPIRE).bind(now).bind(account.to_string()).bind(name.to_owned());
    expire.execute(tx.on()).await?;
    let kept = sqlx::query(KEPT).bind(name.to_owned()).fetch_optional(tx.on()).await?;
    if let Some(row) = kept {
        let of: AccountId = Columns::of("kept_names", &row).parsed("account_id")?;
        if of != account {
            return Err(StoreError::Conflict { what, id: name.to_owned() });
        }
        sqlx::query(RELEASE).bind(name.to_owned()).execute(tx.on()).await?;
        return Ok(());
    }
    let row = sqlx::query(COUNT).bind(account.to_string()).fetch_one(tx.on()).await?;
    let used = Columns::of("kept_names", &row).number("count")?;
    let limit = APP_NAMES_KEPT_MAX_COUNT;
    if used >= limit {
        let (scope, what) = (Scope::Account, Amount::KeptNames);
        return Err(Over { scope, what, limit, used, asked: 1, plan: None }.into());
    }
    Ok(())
}

/// Keeps a name or a domain, which no app has any longer, with the account that had it.
pub(super) async fn keep(
    tx: &mut Tx<'_>,
    account: AccountId,
    name: &str,
    now: i64,
) -> Result<(), StoreError> {
    let until = now.saturating_add(i64::from(APP_NAME_KEPT_HOURS).saturating_mul(HOUR_MICROS));
    let query = sqlx::query(KEEP).bind(name.to_owned()).bind(account.to_string()).bind(until);
    query.execute(tx.on()).await?;
    Ok(())
}

/// Gives up all names whose time is over.
pub(super) async fn forget(tx: &mut Tx<'_>, now: i64) -> Result<(), StoreError> {
    sqlx::query(FORGET).bind(now).execute(tx.on()).await?;
    Ok(())
}
