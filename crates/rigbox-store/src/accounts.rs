//! Accounts: owners of things, who they are to people, and what they may use.
//! Writer: control. Readers: control. Invariants: there is at most one operator account; an address
//! belongs to one account; a change of a plan or of an account's own numbers holds the counter of
//! the feed, and so does whatever is counted against them, so that neither passes the other by.
//! Does not decide what an account may do, and takes nothing away where a limit is lowered.

use rigbox_types::{
    AccountId, Email, ImageName, PlanName, Quotas, RegionName, Timestamp, authz::Standing,
};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::{
    Page, PageRequest, StoreError,
    api_keys::{self, NewApiKey},
    apps::follow,
    engine::Engine,
    feed::Wake,
    page::Key,
    plans,
    row::{Columns, json, word},
    tx::Tx,
    workspaces::ChangeError,
};

/// Does nothing where the account exists, or where an operator exists and this would be another.
const INSERT: &str = "INSERT INTO accounts (id, standing, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING";

/// One without a profile has the plan of its standing.
macro_rules! account {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.standing, a.created_at, p.email, p.display_name, p.disabled_at, \
             COALESCE(p.overrides, '{}') AS overrides, \
             COALESCE(p.preferences, '{}') AS preferences, \
             COALESCE(p.updated_at, a.created_at) AS updated_at, l.name AS plan, l.quotas, \
             (SELECT COUNT(*) FROM passwords w WHERE w.account_id = a.id) AS has_password \
             FROM accounts a LEFT JOIN profiles p ON p.account_id = a.id \
             JOIN plans l ON l.name = COALESCE(p.plan, \
             CASE a.standing WHEN 'operator' THEN 'operator' ELSE 'free' END) ",
            $rest
        )
    };
}

const GET: &str = account!("WHERE a.id = $1");

const OPERATOR: &str = account!("WHERE a.standing = $1");

const BY_EMAIL: &str = account!("WHERE p.email = $1");

const LIST_OF_ALL: &str = account!(
    "WHERE (a.created_at, a.id) < ($1, $2) ORDER BY a.created_at DESC, a.id DESC LIMIT $3"
);

const WRITE_PROFILE: &str = "INSERT INTO profiles \
     (account_id, email, display_name, plan, overrides, disabled_at, preferences, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account_id) DO UPDATE SET \
     email = excluded.email, display_name = excluded.display_name, plan = excluded.plan, \
     overrides = excluded.overrides, disabled_at = excluded.disabled_at, \
     preferences = excluded.preferences, updated_at = excluded.updated_at";

const EMAIL_TAKEN: &str = "SELECT account_id FROM profiles WHERE email = $1 AND account_id <> $2";

const LIST: &str = "accounts";

/// See the module.
pub struct Accounts<'s> {
    pub(crate) engine: &'s Engine,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// What it may do on the platform.
    pub standing: Standing,
    /// What can be changed of it.
    pub profile: Profile,
    /// Whether it has a password to sign in with.
    pub has_password: bool,
    /// What it may use: its plan's numbers with its own ones over them.
    pub quotas: Quotas,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its profile was last changed.
    pub updated_at: Timestamp,
}

/// Who an account is to people, and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The e-mail address; none for an account that nobody has given one.
    pub email: Option<Email>,
    /// For people.
    pub display_name: Option<String>,
    /// Its plan.
    pub plan: PlanName,
    /// Its own numbers.
    pub overrides: Quotas,
    /// Since when its credentials are refused.
    pub disabled_at: Option<Timestamp>,
    /// What it has chosen.
    pub preferences: Preferences,
}

/// What an account has chosen for itself; none where it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Where its picture is.
    pub avatar_url: Option<String>,
    /// The image of a workspace whose maker does not say.
    pub default_image: Option<ImageName>,
    /// The region of a workspace whose maker does not say.
    pub default_region: Option<RegionName>,
    /// Whether it wants to be told of maintenance.
    pub maintenance_updates: Option<bool>,
    /// Whether it wants to be told of what it uses.
    pub usage_alerts: Option<bool>,
}

impl Accounts<'_> {
    /// The operator's account: the one there is, else a new one with the id `candidate`.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn ensure_operator(&self, candidate: AccountId) -> Result<AccountRow, StoreError> {
        sqlx::query(INSERT)
            .bind(candidate.to_string())
            .bind(word(&Standing::Operator)?)
            .bind(self.engine.now().as_micros())
            .execute(&self.engine.write)
            .await?;
        let standing = word(&Standing::Operator)?;
        let row = sqlx::query(OPERATOR).bind(standing).fetch_one(&self.engine.read).await?;
        read(&row)
    }

    /// Makes an account of a user, with its first API key where one is given: both or neither.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id, the address or the key is taken,
    /// [`StoreError::NotFound`] for an unknown plan.
    pub async fn insert_user(
        &self,
        id: AccountId,
        profile: &Profile,
        key: Option<&NewApiKey>,
    ) -> Result<AccountRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // Held, so that of two with one address at once the second one sees the first.
        tx.revision().await?;
        insert(&mut tx, id, profile, now).await?;
        if let Some(key) = key {
            api_keys::write(&mut tx, key, now).await?;
        }
        let row = row_of(&mut tx, id).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// One account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: AccountId) -> Result<AccountRow, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("account", &id))?)
    }

    /// A page of all accounts, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(&self, page: &PageRequest) -> Result<Page<AccountRow>, StoreError> {
        let after = page.after(LIST, [i64::MAX])?;
        let [created_at] = after.numbers;
        let query = sqlx::query(LIST_OF_ALL).bind(created_at).bind(after.id).bind(page.rows());
        let rows = query.fetch_all(&self.engine.read).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.page(LIST, rows, |row| Key {
            numbers: [row.created_at.as_micros()],
            id: row.id.to_string(),
        }))
    }

    /// Changes an account by `edit`, which gets it as it is and the profile to change. From the
    /// commit on everything that is added is counted against the new numbers.
    ///
    /// # Errors
    /// What `edit` refused with, [`StoreError::NotFound`] for an unknown account or plan,
    /// [`StoreError::Conflict`] for an address that is taken.
    pub async fn change<E: Send>(
        &self,
        id: AccountId,
        edit: impl FnOnce(&AccountRow, &mut Profile) -> Result<(), E> + Send,
    ) -> Result<AccountRow, ChangeError<E>> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let before = row_of(&mut tx, id).await?;
        let mut profile = before.profile.clone();
        edit(&before, &mut profile).map_err(ChangeError::Refused)?;
        if profile == before.profile {
            return Ok(before);
        }
        // A clock that went back must not make it look older than it was.
        let now = self.engine.now().max(before.updated_at);
        write(&mut tx, id, &profile, now).await?;
        let after = row_of(&mut tx, id).await?;
        if after.profile.disabled_at.is_some() != before.profile.disabled_at.is_some() {
            follow::account_changed(&mut tx, id).await?;
        }
        if after.profile.disabled_at.is_some() && before.profile.disabled_at.is_none() {
            // Its keys are believed nowhere any more without a look.
            tx.wake(Wake::Everything);
        }
        if after.profile.email != before.profile.email {
            // What is shown to an address is not shown to this account any longer, or is now.
            tx.wake(Wake::Access(id));
        }
        tx.commit().await?;
        Ok(after)
    }
}

/// Makes an account of a user within a transaction that holds the counter.
pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    id: AccountId,
    profile: &Profile,
    now: Timestamp,
) -> Result<(), StoreError> {
    let made = sqlx::query(INSERT)
        .bind(id.to_string())
        .bind(word(&Standing::User)?)
        .bind(now.as_micros())
        .execute(tx.on())
        .await?;
    if made.rows_affected() == 0 {
        return Err(StoreError::Conflict { what: "account id", id: id.to_string() });
    }
    write(tx, id, profile, now).await
}

/// The account with this address, within a transaction.
pub(crate) async fn row_by_email(
    tx: &mut Tx<'_>,
    email: &Email,
) -> Result<Option<AccountRow>, StoreError> {
    let row = sqlx::query(BY_EMAIL).bind(email.as_str()).fetch_optional(tx.on()).await?;
    row.as_ref().map(read).transpose()
}

/// An account within a transaction that holds the counter: its numbers stay until the end.
pub(crate) async fn row_of(tx: &mut Tx<'_>, id: AccountId) -> Result<AccountRow, StoreError> {
    let row = sqlx::query(GET).bind(id.to_string()).fetch_optional(tx.on()).await?;
    read(&row.ok_or_else(|| StoreError::not_found("account", &id))?)
}

/// Writes a profile, in a transaction that holds the counter.
pub(crate) async fn write(
    tx: &mut Tx<'_>,
    id: AccountId,
    profile: &Profile,
    now: Timestamp,
) -> Result<(), StoreError> {
    plans::row_of(tx, &profile.plan).await?;
    if let Some(email) = &profile.email {
        let query = sqlx::query(EMAIL_TAKEN).bind(email.as_str()).bind(id.to_string());
        if query.fetch_optional(tx.on()).await?.is_some() {
            return Err(StoreError::Conflict { what: "e-mail address", id: email.to_string() });
        }
    }
    sqlx::query(WRITE_PROFILE)
        .bind(id.to_string())
        .bind(profile.email.as_ref().map(Email::to_string))
        .bind(profile.display_name.clone())
        .bind(profile.plan.as_str())
        .bind(json(&profile.overrides)?)
        .bind(profile.disabled_at.map(|at| at.as_micros()))
        .bind(json(&profile.preferences)?)
        .bind(now.as_micros())
        .execute(tx.on())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<AccountRow, StoreError> {
    let columns = Columns::of("accounts", row);
    let overrides = columns.json("overrides")?;
    Ok(AccountRow {
        id: columns.parsed("id")?,
        standing: columns.word("standing")?,
        profile: Profile {
            email: columns.parsed_optional("email")?,
            display_name: columns.raw("display_name")?,
            plan: columns.parsed("plan")?,
            overrides,
            disabled_at: columns.moment_optional("disabled_at")?,
            preferences: columns.json("preferences")?,
        },
        has_password: columns.flag("has_password")?,
        quotas: Quotas::effective(columns.json("quotas")?, overrides),
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
    })
}
