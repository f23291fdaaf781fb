//! Workspaces: what should be (written by control's requests) and what the host last saw (written
//! from its reports).
//! Readers: control, and hosts through the feed. Invariants: a change of the desired side raises
//! generation, revision and `updated_at` in one transaction; an observation is applied only if it is
//! newer than the last one and comes from the host that has the workspace; a name is unique within
//! its account until the workspace is gone; what a host promises never exceeds its capacity, and
//! nothing is added to an account that its plan has no room for.
//! Does not decide which change is legal: the caller's edit does, inside the transaction.

mod admit;
mod attached;
#[cfg(any(test, feature = "bulk"))]
mod bulk;
mod change;
mod insert;
mod observe;
pub(crate) mod row;

use std::collections::BTreeMap;

use rigbox_types::{AccountId, HostId, WorkspaceId, WorkspaceName};

use crate::{
    Page, PageRequest, StoreError, bindings::Bindings, engine::Engine, page::Key, row::Columns,
};

pub use admit::Promised;
pub(crate) use attached::{Attachment, Fate, touch_attached};
pub use change::ChangeError;
pub use insert::NewWorkspace;
pub use observe::Observed as ObservationOutcome;
pub use row::{EnvVars, Seen, Wanted, WorkspaceRow};

const GET: &str = concat!("SELECT ", row::columns!("env"), " FROM workspaces WHERE id = $1");

const GET_BY_NAME: &str = concat!(
    "SELECT ",
    row::columns!("env"),
    " FROM workspaces WHERE account_id = $1 AND name = $2"
);

/// Environments can be large and lists leave them out.
const LIST_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE account_id = $1 AND (created_at, id) < ($2, $3) \
     ORDER BY created_at DESC, id DESC LIMIT $4"
);

const LIST_OF_ALL: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE (created_at, id) < ($1, $2) \
     ORDER BY created_at DESC, id DESC LIMIT $3"
);

/// Those that were given one by one: as many as an account may be given roles.
const LIST_GIVEN: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE id IN (SELECT resource_id FROM bindings \
     WHERE principal_id = $1 AND resource_kind = 'workspace') \
     AND account_id <> $1 AND (created_at, id) < ($2, $3) \
     ORDER BY created_at DESC, id DESC LIMIT $4"
);

const LIST_OF_RUNNING: &str = concat!(
    "SELECT ",
    row::columns!("NULL AS env"),
    " FROM workspaces WHERE observed = 'running' AND (created_at, id) < ($1, $2) \
     ORDER BY created_at DESC, id DESC LIMIT $3"
);

const LIST: &str = "workspaces";

const LIST_SHARED: &str = "shared";

/// See the module.
pub struct Workspaces<'s> {
    pub(crate) engine: &'s Engine,
}

/// Whose workspaces a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One account's.
    Account(AccountId),
    /// Everyone's, for the operator.
    Everyone,
    /// Everyone's that were last seen to run.
    EveryoneRunning,
}

impl Workspaces<'_> {
    /// One workspace with its environment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub async fn get(&self, id: &WorkspaceId) -> Result<WorkspaceRow, StoreError> {
        let row = sqlx::query(GET).bind(id.as_str()).fetch_optional(&self.engine.read).await?;
        row::read(&row.ok_or_else(|| StoreError::not_found("workspace", id))?)
    }

    /// One workspace by its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub async fn get_by_name(
        &self,
        account: AccountId,
        name: &WorkspaceName,
    ) -> Result<WorkspaceRow, StoreError> {
        let row = sqlx::query(GET_BY_NAME)
            .bind(account.to_string())
            .bind(name.as_str())
            .fetch_optional(&self.engine.read)
            .await?;
        row::read(&row.ok_or_else(|| StoreError::not_found("workspace", name))?)
    }

    /// A page of workspaces, newest first, without their environments.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        owner: Owner,
        page: &PageRequest,
    ) -> Result<Page<WorkspaceRow>, StoreError> {
        let after = page.after(LIST, [i64::MAX])?;
        let [created_at] = after.numbers;
        let query = match owner {
            Owner::Account(account) => sqlx::query(LIST_OF_ACCOUNT).bind(account.to_string()),
            Owner::Everyone => sqlx::query(LIST_OF_ALL),
            Owner::EveryoneRunning => sqlx::query(LIST_OF_RUNNING),
        };
        let query = query.bind(created_at).bind(after.id).bind(page.rows());
        let rows = query.fetch_all(&self.engine.read).await?;
        let rows = rows.iter().map(row::read).collect::<Result<Vec<_>, _>>()?;
        let key = |row: &WorkspaceRow| Key {
            numbers: [row.created_at.as_micros()],
            id: row.id.to_string(),
        };
        Ok(page.page(LIST, rows, key))
    }

    /// A page of the workspaces of others that an account was given a role on, or whose account it
    /// was given one on, newest first, without their environments. Reads a page of each such
    /// account, of which there are as many as an account may be given roles.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list_shared(
        &self,
        with: AccountId,
        page: &PageRequest,
    ) -> Result<Page<WorkspaceRow>, StoreError> {
        let after = page.after(LIST_SHARED, [i64::MAX])?;
        let [created_at] = after.numbers;
        let bindings = Bindings { engine: self.engine };
        let accounts = bindings.accounts_of(with).await?.into_iter();
        let reads = accounts
            .filter(|account| *account != with)
            .map(|account| (LIST_OF_ACCOUNT, account))
            .chain([(LIST_GIVEN, with)]);
        let mut found = BTreeMap::new();
        for (text, of) in reads {
            let query = sqlx::query(text).bind(of.to_string());
            let query = query.bind(created_at).bind(after.id.clone()).bind(page.rows());
            for row in query.fetch_all(&self.engine.read).await? {
                let row = row::read(&row)?;
                found.insert((row.created_at, row.id.clone()), row);
            }
        }
        let most = usize::try_from(page.rows()).unwrap_or(usize::MAX);
        let rows = found.into_values().rev().take(most).collect();
        let key = |row: &WorkspaceRow| Key {
            numbers: [row.created_at.as_micros()],
            id: row.id.to_string(),
        };
        Ok(page.page(LIST_SHARED, rows, key))
    }

    /// What the account's workspaces add up to.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn promised_to_account(&self, account: AccountId) -> Result<Promised, StoreError> {
        let query = sqlx::query(admit::SUM_OF_ACCOUNT).bind(account.to_string());
        Promised::read(&Columns::of("workspaces", &query.fetch_one(&self.engine.read).await?))
    }

    /// What is promised to the workspaces of a host.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn promised_by_host(&self, host: &HostId) -> Result<Promised, StoreError> {
        let query = sqlx::query(admit::SUM_OF_HOST).bind(host.as_str());
        Promised::read(&Columns::of("workspaces", &query.fetch_one(&self.engine.read).await?))
    }
}

#[cfg(test)]
mod tests;
