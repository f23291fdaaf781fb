//! Apps: ports of workspaces that are published under a name.
//! Writer: control. Readers: control, and edges through [`routes`]. Invariants: a name is one app's on
//! the whole platform, and stays with its account for a while after; a verified domain likewise; a
//! workspace has no more apps than its owner's plan says, counted in the transaction that adds; every
//! change that an edge has to know has its own revision of the platform's feed; an app goes with its
//! workspace.
//! Does not decide which names are usable, nor who may change what.

pub(crate) mod follow;
mod names;
pub mod routes;
mod row;

use std::collections::BTreeMap;

use rigbox_types::{AccountId, AppId, AppName, WorkspaceId, access::ResourceRef};
use sqlx::any::AnyRow;

pub use row::{AppRow, NewApp, Published};

use crate::{
    Amount, Over, Page, PageRequest, Scope, StoreError, accounts, bindings,
    engine::{Engine, Text},
    feed::Wake,
    idempotency::{self, Claim},
    page::Key,
    row::{Columns, count, json, word},
    tags,
    tx::Tx,
    workspaces::ChangeError,
};

const LIST: &str = "apps";

const LIST_SHARED: &str = "shared-apps";

const GET: &str = concat!("SELECT ", row::columns!(), " WHERE a.id = $1");

const GET_BY_NAME: &str = concat!("SELECT ", row::columns!(), " WHERE a.name = $1");

const GET_BY_DOMAIN: &str = concat!("SELECT ", row::columns!(), " WHERE a.verified_domain = $1");

const LIST_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    row::columns!(),
    " WHERE a.account_id = $1 AND (a.created_at, a.id) < ($2, $3) \
     ORDER BY a.created_at DESC, a.id DESC LIMIT $4"
);

/// Those that were given one by one, and those of workspaces that were.
const LIST_GIVEN: &str = concat!(
    "SELECT ",
    row::columns!(),
    " WHERE (a.id IN (SELECT resource_id FROM bindings \
     WHERE principal_id = $1 AND resource_kind = 'app') \
     OR a.workspace_id IN (SELECT resource_id FROM bindings \
     WHERE principal_id = $1 AND resource_kind = 'workspace')) \
     AND a.account_id <> $1 AND (a.created_at, a.id) < ($2, $3) \
     ORDER BY a.created_at DESC, a.id DESC LIMIT $4"
);

/// As many as a workspace may ever have; a plan without a limit meets this one.
const LIST_OF_WORKSPACE: &str = concat!(
    "SELECT ",
    row::columns!(),
    " WHERE a.workspace_id = $1 ORDER BY a.created_at, a.id LIMIT $2"
);

const COUNT_OF_WORKSPACE: &str = "SELECT COUNT(*) AS count FROM apps WHERE workspace_id = $1";

const COUNT_OF_ACCOUNT: &str = "SELECT COUNT(*) AS count FROM apps WHERE account_id = $1";

/// Held, so that no report of its host falls in between: see `workspaces::observe`.
const OWNER: Text = Text {
    sqlite: "SELECT account_id FROM workspaces WHERE id = $1 AND desired <> 'deleted'",
    postgres: "SELECT account_id FROM workspaces WHERE id = $1 AND desired <> 'deleted' FOR UPDATE",
};

const INSERT: &str = "INSERT INTO apps (id, account_id, workspace_id, name, kind, port, protocol, \
     active, visibility, allowed_emails, description, metadata, created_at, updated_at, revision) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, '[]', $9, $10, $11, $11, $12)";

const UPDATE: &str = "UPDATE apps SET name = $2, port = $3, active = $4, visibility = $5, \
     allowed_emails = $6, custom_domain = $7, verified_domain = $8, description = $9, \
     metadata = $10, updated_at = $11, revision = $12 WHERE id = $1";

const TOUCH: &str = "UPDATE apps SET revision = $2 WHERE id = $1";

/// Most apps of a workspace, whatever the plan: all of them are one answer.
pub const APPS_OF_WORKSPACE_MAX: u64 = 1_000;

/// See the module.
pub struct Apps<'s> {
    pub(crate) engine: &'s Engine,
}

impl Apps<'_> {
    /// Makes an app, active and private, if its name is free and its workspace's owner has room for it.
    /// With a claim on an idempotency key, the key notes in the same transaction what was made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a name that is taken or kept, [`StoreError::Over`],
    /// [`StoreError::NotFound`] for an unknown workspace and one that is being deleted,
    /// [`StoreError::ClaimLost`].
    pub async fn insert(&self, new: &NewApp, claim: Option<&Claim>) -> Result<AppRow, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        // Taken first: from here on this is the only transaction that adds apps.
        let revision = tx.revision().await?;
        let owner = sqlx::query(self.engine.text(OWNER)).bind(new.workspace.as_str());
        let owner = owner.fetch_optional(tx.on()).await?;
        let owner = owner.ok_or_else(|| StoreError::not_found("workspace", &new.workspace))?;
        let account: AccountId = Columns::of("workspaces", &owner).parsed("account_id")?;
        names::take(&mut tx, account, &new.name, now).await?;
        admit(&mut tx, account, &new.workspace).await?;
        sqlx::query(INSERT)
            .bind(new.id.as_str())
            .bind(account.to_string())
            .bind(new.workspace.as_str())
            .bind(new.name.as_str())
            .bind(word(&new.kind)?)
            .bind(i64::from(new.port))
            .bind(word(&new.protocol)?)
            .bind(word(&rigbox_types::edge::Visibility::default())?)
            .bind(new.description.clone())
            .bind(json(&new.metadata)?)
            .bind(now)
            .bind(count(revision.0))
            .execute(tx.on())
            .await
            .map_err(|error| StoreError::or_conflict(error, "app id", &new.id))?;
        if let Some(claim) = claim {
            idempotency::note_made(&mut tx, claim, new.id.as_str()).await?;
        }
        let made = get(&mut tx, &new.id).await?;
        tx.wake(Wake::App(new.id.clone()));
        tx.commit().await?;
        Ok(made)
    }

    /// One app.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: &AppId) -> Result<AppRow, StoreError> {
        let row = sqlx::query(GET).bind(id.as_str()).fetch_optional(&self.engine.read).await?;
        row::read(&row.ok_or_else(|| StoreError::not_found("app", id))?)
    }

    /// The app of this name; none where there is none.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_name(&self, name: &AppName) -> Result<Option<AppRow>, StoreError> {
        self.one(GET_BY_NAME, name.as_str()).await
    }

    /// The app that this custom domain was verified for; none where there is none.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn by_domain(&self, domain: &str) -> Result<Option<AppRow>, StoreError> {
        self.one(GET_BY_DOMAIN, domain).await
    }

    async fn one(&self, text: &'static str, key: &str) -> Result<Option<AppRow>, StoreError> {
        let row = sqlx::query(text).bind(key).fetch_optional(&self.engine.read).await?;
        row.as_ref().map(row::read).transpose()
    }

    /// A page of an account's apps, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<AppRow>, StoreError> {
        let after = page.after(LIST, [i64::MAX])?;
        let [created_at] = after.numbers;
        let rows = self.part(LIST_OF_ACCOUNT, account, (created_at, &after.id), page).await?;
        Ok(page.page(LIST, rows, key))
    }

    /// A page of the apps of others that an account was given a role on, or on whose workspace or owner
    /// it was given one, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list_shared(
        &self,
        with: AccountId,
        page: &PageRequest,
    ) -> Result<Page<AppRow>, StoreError> {
        let after = page.after(LIST_SHARED, [i64::MAX])?;
        let [created_at] = after.numbers;
        let bindings = bindings::Bindings { engine: self.engine };
        let accounts = bindings.accounts_of(with).await?.into_iter();
        let reads = accounts
            .filter(|account| *account != with)
            .map(|account| (LIST_OF_ACCOUNT, account))
            .chain([(LIST_GIVEN, with)]);
        let mut found = BTreeMap::new();
        for (text, of) in reads {
            for row in self.part(text, of, (created_at, &after.id), page).await? {
                found.insert((row.created_at, row.id.clone()), row);
            }
        }
        let most = usize::try_from(page.rows()).unwrap_or(usize::MAX);
        let rows = found.into_values().rev().take(most).collect();
        Ok(page.page(LIST_SHARED, rows, key))
    }

    async fn part(
        &self,
        text: &'static str,
        of: AccountId,
        (created_at, id): (i64, &str),
        page: &PageRequest,
    ) -> Result<Vec<AppRow>, StoreError> {
        let query = sqlx::query(text).bind(of.to_string()).bind(created_at).bind(id.to_owned());
        query.bind(page.rows()).fetch_all(&self.engine.read).await?.iter().map(row::read).collect()
    }

    /// All apps of a workspace, oldest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_workspace(&self, workspace: &WorkspaceId) -> Result<Vec<AppRow>, StoreError> {
        let query = sqlx::query(LIST_OF_WORKSPACE).bind(workspace.as_str());
        let rows = query.bind(count(APPS_OF_WORKSPACE_MAX)).fetch_all(&self.engine.read).await?;
        rows.iter().map(row::read).collect()
    }

    /// How many apps an account has.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn count(&self, account: AccountId) -> Result<u64, StoreError> {
        let query = sqlx::query(COUNT_OF_ACCOUNT).bind(account.to_string());
        Columns::of("apps", &query.fetch_one(&self.engine.read).await?).number("count")
    }

    /// Changes an app by `edit`, which gets what is published of it to change; an edit that changes
    /// nothing writes nothing. Another custom domain is not verified.
    ///
    /// # Errors
    /// What `edit` refused with, [`StoreError::NotFound`], [`StoreError::Conflict`] for a name or a
    /// verified domain that is taken or kept, [`StoreError::Over`].
    pub async fn change<E: Send>(
        &self,
        id: &AppId,
        edit: impl FnOnce(&AppRow, &mut Published) -> Result<(), E> + Send,
    ) -> Result<AppRow, ChangeError<E>> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        let revision = tx.revision().await?;
        let before = get(&mut tx, id).await?;
        let mut after = before.clone();
        edit(&before, &mut after.published).map_err(ChangeError::Refused)?;
        if after.published.custom_domain != before.published.custom_domain {
            after.published.domain_verified = false;
        }
        if after.published == before.published {
            return Ok(before);
        }
        let micros = now.as_micros();
        if after.published.name != before.published.name {
            names::take(&mut tx, before.account, &after.published.name, micros).await?;
            names::keep(&mut tx, before.account, before.published.name.as_str(), micros).await?;
        }
        let (had, has) = (before.published.verified(), after.published.verified());
        if had != has {
            if let Some(domain) = has {
                names::take_domain(&mut tx, before.account, domain, micros).await?;
            }
            if let Some(domain) = had {
                names::keep(&mut tx, before.account, domain, micros).await?;
            }
        }
        after.revision = revision;
        after.updated_at = after.updated_at.max(now);
        write(&mut tx, &after).await?;
        tx.wake(Wake::App(id.clone()));
        tx.commit().await?;
        Ok(after)
    }

    /// Gives an app another place in the stream, so that edges forget what they know of its visitors.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn touch(&self, id: &AppId) -> Result<AppRow, StoreError> {
        let mut tx = self.engine.begin().await?;
        touch(&mut tx, id).await?;
        let row = get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Forgets an app with its links, cookies, log sources, tags and roles; says where in the stream.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, id: &AppId) -> Result<rigbox_types::Revision, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        let revision = tx.revision().await?;
        let row = get(&mut tx, id).await?;
        follow::remove(&mut tx, &row, (revision, now)).await?;
        tx.commit().await?;
        Ok(revision)
    }
}

/// Gives an app the next place in the stream.
pub(crate) async fn touch(tx: &mut Tx<'_>, id: &AppId) -> Result<(), StoreError> {
    let revision = tx.revision().await?;
    let query = sqlx::query(TOUCH).bind(id.as_str()).bind(count(revision.0));
    if query.execute(tx.on()).await?.rows_affected() == 0 {
        return Err(StoreError::not_found("app", id));
    }
    tx.wake(Wake::App(id.clone()));
    Ok(())
}

async fn get(tx: &mut Tx<'_>, id: &AppId) -> Result<AppRow, StoreError> {
    let row: Option<AnyRow> = sqlx::query(GET).bind(id.as_str()).fetch_optional(tx.on()).await?;
    row::read(&row.ok_or_else(|| StoreError::not_found("app", id))?)
}

/// Refuses one more than a workspace of this account may have, in a transaction that holds the
/// counter.
async fn admit(
    tx: &mut Tx<'_>,
    account: AccountId,
    workspace: &WorkspaceId,
) -> Result<(), StoreError> {
    let owner = accounts::row_of(tx, account).await?;
    let limit = owner.quotas.max_apps_per_vm.unwrap_or(u64::MAX).min(APPS_OF_WORKSPACE_MAX);
    let query = sqlx::query(COUNT_OF_WORKSPACE).bind(workspace.as_str());
    let used = Columns::of("apps", &query.fetch_one(tx.on()).await?).number("count")?;
    if used < limit {
        return Ok(());
    }
    let (scope, what, plan) = (Scope::Account, Amount::AppsOfWorkspace, Some(owner.profile.plan));
    Err(Over { scope, what, limit, used, asked: 1, plan }.into())
}

async fn write(tx: &mut Tx<'_>, row: &AppRow) -> Result<(), StoreError> {
    let is = &row.published;
    sqlx::query(UPDATE)
        .bind(row.id.as_str())
        .bind(is.name.as_str())
        .bind(i64::from(is.port))
        .bind(i64::from(is.active))
        .bind(word(&is.visibility)?)
        .bind(json(&is.allowed_emails)?)
        .bind(is.custom_domain.clone())
        .bind(is.verified().map(str::to_owned))
        .bind(is.description.clone())
        .bind(json(&is.metadata)?)
        .bind(row.updated_at.as_micros())
        .bind(count(row.revision.0))
        .execute(tx.on())
        .await?;
    Ok(())
}

fn key(row: &AppRow) -> Key<1> {
    Key { numbers: [row.created_at.as_micros()], id: row.id.to_string() }
}

/// What else is kept by the app's id.
async fn forget_access(tx: &mut Tx<'_>, id: &AppId) -> Result<(), StoreError> {
    let thing = ResourceRef::App(id.clone());
    bindings::forget(tx, &thing).await?;
    tags::forget(tx, &thing).await
}
