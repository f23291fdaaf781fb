//! Roles that accounts were given on things of others, and when a role counts.
//! Writer and reader: control. Invariants: an account has one role on a thing; there are no more on a
//! thing, nor of an account, than there may be, and what one owner has given an account takes nothing
//! of what another may give it; what is given on a workspace goes with it; whoever
//! watches the feed is woken when a role is changed or taken away.
//! Does not decide what a role gives, nor who may give it.

use rigbox_types::{
    AccountId, AppId, Timestamp, WorkspaceId,
    access::{Conditions, PrincipalRef, ResourceRef, Role, ScopeKind, Tags},
    limits::{
        BINDINGS_OF_PRINCIPAL_IN_ALL_MAX_COUNT, BINDINGS_OF_PRINCIPAL_MAX_COUNT,
        BINDINGS_OF_RESOURCE_MAX_COUNT,
    },
};
use sqlx::any::AnyRow;

use crate::{
    Amount, Over, Scope, StoreError, engine::Engine, feed::Wake, row::Columns, tags, tx::Tx,
};

macro_rules! columns {
    () => {
        "principal_id, resource_kind, resource_id, role, created_by, created_at, updated_at"
    };
}

/// A role without a preset does not count.
macro_rules! given {
    ($rest:literal) => {
        concat!(
            "SELECT b.resource_kind, b.resource_id, b.role, p.match_tag_keys, \
             p.required_resource_tags FROM bindings b \
             JOIN role_presets p ON p.scope_kind = b.resource_kind AND p.role = b.role \
             WHERE b.principal_id = $1 AND ",
            $rest
        )
    };
}

/// Both are lookups by the key of the table.
pub(crate) const GIVEN_ON_WORKSPACE: &str = concat!(
    given!("b.resource_kind = 'workspace' AND b.resource_id = $2"),
    " UNION ALL ",
    given!("b.resource_kind = 'account' AND b.resource_id = $3")
);

/// The same with one more.
pub(crate) const GIVEN_ON_APP: &str = concat!(
    given!("b.resource_kind = 'workspace' AND b.resource_id = $2"),
    " UNION ALL ",
    given!("b.resource_kind = 'account' AND b.resource_id = $3"),
    " UNION ALL ",
    given!("b.resource_kind = 'app' AND b.resource_id = $4")
);

const GIVEN_ON_ACCOUNT: &str = given!("b.resource_kind = 'account' AND b.resource_id = $2");

const GET: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM bindings WHERE principal_id = $1 AND resource_kind = $2 AND resource_id = $3"
);

const LIST_OF_RESOURCE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM bindings WHERE resource_kind = $1 AND resource_id = $2 \
     ORDER BY created_at, principal_id"
);

const ACCOUNTS_OF_PRINCIPAL: &str = "SELECT resource_id FROM bindings \
     WHERE principal_id = $1 AND resource_kind = 'account' ORDER BY resource_id";

const COUNT_OF_RESOURCE: &str =
    "SELECT COUNT(*) AS count FROM bindings WHERE resource_kind = $1 AND resource_id = $2";

/// Of all, and of those on what one owner has.
const COUNT_OF_PRINCIPAL: &str = "SELECT COUNT(*) AS count, \
     COUNT(CASE WHEN $2 = CASE b.resource_kind WHEN 'account' THEN b.resource_id \
     WHEN 'workspace' THEN (SELECT w.account_id FROM workspaces w WHERE w.id = b.resource_id) \
     ELSE (SELECT a.account_id FROM apps a WHERE a.id = b.resource_id) END THEN 1 END) AS own \
     FROM bindings b WHERE b.principal_id = $1";

const INSERT: &str =
    concat!("INSERT INTO bindings (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $6)");

const CHANGE: &str = "UPDATE bindings SET role = $5, updated_at = $6 \
     WHERE principal_id = $1 AND resource_kind = $2 AND resource_id = $3 AND role = $4";

const DELETE: &str = "DELETE FROM bindings \
     WHERE principal_id = $1 AND resource_kind = $2 AND resource_id = $3 AND role = $4";

const FORGET: &str = "DELETE FROM bindings WHERE resource_kind = $1 AND resource_id = $2";

const OWNER_OF_WORKSPACE: &str = "SELECT account_id AS owner FROM workspaces WHERE id = $1";

const OWNER_OF_APP: &str = "SELECT account_id AS owner FROM apps WHERE id = $1";

const OWNER_OF_ACCOUNT: &str = "SELECT id AS owner FROM accounts WHERE id = $1";

const PRESETS: &str = "SELECT scope_kind, role, match_tag_keys, required_resource_tags, \
     system_managed, updated_at FROM role_presets";

const CONDITIONS: &str = "SELECT COUNT(*) AS count FROM role_presets \
     WHERE match_tag_keys <> '[]' OR required_resource_tags <> '{}'";

/// See the module.
pub struct Bindings<'s> {
    pub(crate) engine: &'s Engine,
}

/// A role that an account has on a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRow {
    /// Who has it.
    pub principal: AccountId,
    /// On what.
    pub resource: ResourceRef,
    /// Which one.
    pub role: Role,
    /// Who gave it.
    pub created_by: AccountId,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A role that an account was given, and what must be known to tell whether it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The role.
    pub role: Role,
    /// When it counts.
    pub conditions: Conditions,
    /// The tags of the thing that it was given on; not read where there are no conditions.
    pub tags: Tags,
}

/// All roles of an account that bear on one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it was given.
    pub given: Vec<Given>,
    /// Its own tags; not read where there are no conditions.
    pub tags: Tags,
}

/// When a role counts on a kind of thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetRow {
    /// The kind of thing.
    pub kind: ScopeKind,
    /// The role.
    pub role: Role,
    /// When it counts.
    pub conditions: Conditions,
    /// Whether it came with the platform.
    pub system_managed: bool,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Bindings<'_> {
    /// What an account was given on a workspace, or on the account that owns it.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn on_workspace(
        &self,
        principal: AccountId,
        workspace: &WorkspaceId,
        owner: AccountId,
    ) -> Result<Facts, StoreError> {
        let rows = sqlx::query(GIVEN_ON_WORKSPACE)
            .bind(principal.to_string())
            .bind(workspace.as_str())
            .bind(owner.to_string())
            .fetch_all(&self.engine.read)
            .await?;
        self.facts(principal, &rows).await
    }

    /// What an account was given on an app, on its workspace, or on the account that owns it.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn on_app(
        &self,
        principal: AccountId,
        (app, workspace): (&AppId, &WorkspaceId),
        owner: AccountId,
    ) -> Result<Facts, StoreError> {
        let rows = sqlx::query(GIVEN_ON_APP)
            .bind(principal.to_string())
            .bind(workspace.as_str())
            .bind(owner.to_string())
            .bind(app.as_str())
            .fetch_all(&self.engine.read)
            .await?;
        self.facts(principal, &rows).await
    }

    /// What an account was given on another account.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn on_account(
        &self,
        principal: AccountId,
        owner: AccountId,
    ) -> Result<Facts, StoreError> {
        let rows = sqlx::query(GIVEN_ON_ACCOUNT)
            .bind(principal.to_string())
            .bind(owner.to_string())
            .fetch_all(&self.engine.read)
            .await?;
        self.facts(principal, &rows).await
    }

    async fn facts(&self, principal: AccountId, rows: &[AnyRow]) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        for row in rows {
            let columns = Columns::of("bindings", row);
            let conditions = conditions(&columns)?;
            let tags = match conditions.is_empty() {
                true => Tags::default(),
                false => tags::read(self.engine, &resource(&columns)?).await?,
            };
            facts.given.push(Given { role: columns.word("role")?, conditions, tags });
        }
        if facts.given.iter().any(|given| !given.conditions.is_empty()) {
            facts.tags = tags::read(self.engine, &ResourceRef::Account(principal)).await?;
        }
        Ok(facts)
    }

    /// Who has which role on a thing, oldest first: as many as there may be at most.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self, of: &ResourceRef) -> Result<Vec<BindingRow>, StoreError> {
        let query = sqlx::query(LIST_OF_RESOURCE).bind(of.kind().as_str()).bind(of.id());
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// The accounts that an account was given a role on.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn accounts_of(&self, principal: AccountId) -> Result<Vec<AccountId>, StoreError> {
        let query = sqlx::query(ACCOUNTS_OF_PRINCIPAL).bind(principal.to_string());
        let rows = query.fetch_all(&self.engine.read).await?;
        rows.iter().map(|row| Columns::of("bindings", row).parsed("resource_id")).collect()
    }

    /// Gives an account a role on a thing. Where it has that very role already nothing is done.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown thing or account, [`StoreError::Conflict`] with the
    /// role that the account has where that is another one, [`StoreError::Over`].
    pub async fn insert(
        &self,
        (principal, by): (AccountId, AccountId),
        resource: &ResourceRef,
        role: Role,
    ) -> Result<BindingRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // Held, so that the thing stays until the end and nobody else is counted meanwhile.
        tx.revision().await?;
        let owner = owner_of(&mut tx, resource).await?;
        if let Some(row) = get(&mut tx, principal, resource).await? {
            if row.role == role {
                return Ok(row);
            }
            return Err(StoreError::Conflict { what: "role", id: row.role.to_string() });
        }
        let kind = resource.kind().as_str();
        let of_resource = sqlx::query(COUNT_OF_RESOURCE).bind(kind).bind(resource.id());
        let used =
            Columns::of("bindings", &of_resource.fetch_one(tx.on()).await?).number("count")?;
        check_room(Amount::BindingsOfResource, used, BINDINGS_OF_RESOURCE_MAX_COUNT)?;
        check_room_of_principal(&mut tx, principal, owner).await?;
        sqlx::query(INSERT)
            .bind(principal.to_string())
            .bind(kind)
            .bind(resource.id())
            .bind(role.as_str())
            .bind(by.to_string())
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("principal", &PrincipalRef::User(principal))
                } else {
                    error.into()
                }
            })?;
        // Whoever was refused a moment ago is asked about again.
        tx.wake(Wake::Access(principal));
        tx.commit().await?;
        let resource = resource.clone();
        Ok(BindingRow {
            principal,
            resource,
            role,
            created_by: by,
            created_at: now,
            updated_at: now,
        })
    }

    /// Gives an account another role than the one that it has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it does not have that one.
    pub async fn change(
        &self,
        principal: AccountId,
        resource: &ResourceRef,
        (from, to): (Role, Role),
    ) -> Result<BindingRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        let changed = sqlx::query(CHANGE)
            .bind(principal.to_string())
            .bind(resource.kind().as_str())
            .bind(resource.id())
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(now.as_micros())
            .execute(tx.on())
            .await?;
        let row = get(&mut tx, principal, resource).await?;
        let row = row.filter(|_| changed.rows_affected() > 0);
        let row = row.ok_or_else(|| StoreError::not_found("binding", &from))?;
        tx.wake(Wake::Access(principal));
        tx.commit().await?;
        Ok(row)
    }

    /// Takes a role away, and says whether the account had it.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn delete(
        &self,
        principal: AccountId,
        resource: &ResourceRef,
        role: Role,
    ) -> Result<bool, StoreError> {
        let mut tx = self.engine.begin().await?;
        let deleted = sqlx::query(DELETE)
            .bind(principal.to_string())
            .bind(resource.kind().as_str())
            .bind(resource.id())
            .bind(role.as_str())
            .execute(tx.on())
            .await?;
        let had = deleted.rows_affected() > 0;
        if had {
            tx.wake(Wake::Access(principal));
        }
        tx.commit().await?;
        Ok(had)
    }

    /// When roles count, by kind of thing and by what they give.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn presets(&self) -> Result<Vec<PresetRow>, StoreError> {
        let rows = sqlx::query(PRESETS).fetch_all(&self.engine.read).await?;
        let read = |row| {
            let columns = Columns::of("role_presets", row);
            Ok(PresetRow {
                kind: columns.word("scope_kind")?,
                role: columns.word("role")?,
                conditions: conditions(&columns)?,
                system_managed: columns.flag("system_managed")?,
                updated_at: columns.moment("updated_at")?,
            })
        };
        let mut presets = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        presets.sort_by_key(|preset| (preset.kind, preset.role));
        Ok(presets)
    }

    /// Whether any role counts only under conditions.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn has_conditions(&self) -> Result<bool, StoreError> {
        let row = sqlx::query(CONDITIONS).fetch_one(&self.engine.read).await?;
        Columns::of("role_presets", &row).flag("count")
    }
}

/// Who owns a thing, in a transaction that holds the counter; refuses a thing that there is not.
pub(crate) async fn owner_of(
    tx: &mut Tx<'_>,
    thing: &ResourceRef,
) -> Result<AccountId, StoreError> {
    let query = match thing {
        ResourceRef::Account(id) => sqlx::query(OWNER_OF_ACCOUNT).bind(id.to_string()),
        ResourceRef::Workspace(id) => sqlx::query(OWNER_OF_WORKSPACE).bind(id.to_string()),
        ResourceRef::App(id) => sqlx::query(OWNER_OF_APP).bind(id.to_string()),
    };
    let kind = thing.kind().as_str();
    let row = query.fetch_optional(tx.on()).await?;
    let row = row.ok_or_else(|| StoreError::not_found(kind, &thing.id()))?;
    Columns::of(kind, &row).parsed("owner")
}

/// Refuses one more role of an account on what an owner has, where it has as many as there may be.
async fn check_room_of_principal(
    tx: &mut Tx<'_>,
    principal: AccountId,
    owner: AccountId,
) -> Result<(), StoreError> {
    let query = sqlx::query(COUNT_OF_PRINCIPAL).bind(principal.to_string());
    let row = query.bind(owner.to_string()).fetch_one(tx.on()).await?;
    let used = Columns::of("bindings", &row);
    let (own, all) = (used.number("own")?, used.number("count")?);
    check_room(Amount::BindingsOfPrincipal, own, BINDINGS_OF_PRINCIPAL_MAX_COUNT)?;
    check_room(Amount::BindingsOfPrincipalInAll, all, BINDINGS_OF_PRINCIPAL_IN_ALL_MAX_COUNT)
}

/// Forgets what was given on a thing that goes.
pub(crate) async fn forget(tx: &mut Tx<'_>, thing: &ResourceRef) -> Result<(), StoreError> {
    let query = sqlx::query(FORGET).bind(thing.kind().as_str()).bind(thing.id());
    query.execute(tx.on()).await?;
    Ok(())
}

async fn get(
    tx: &mut Tx<'_>,
    principal: AccountId,
    resource: &ResourceRef,
) -> Result<Option<BindingRow>, StoreError> {
    let row = sqlx::query(GET)
        .bind(principal.to_string())
        .bind(resource.kind().as_str())
        .bind(resource.id())
        .fetch_optional(tx.on())
        .await?;
    row.as_ref().map(read).transpose()
}

fn check_room(what: Amount, used: u64, limit: u64) -> Result<(), StoreError> {
    if used < limit {
        return Ok(());
    }
    Err(Over { scope: Scope::Account, what, limit, used, asked: 1, plan: None }.into())
}

fn read(row: &AnyRow) -> Result<BindingRow, StoreError> {
    let columns = Columns::of("bindings", row);
    Ok(BindingRow {
        principal: columns.parsed("principal_id")?,
        resource: resource(&columns)?,
        role: columns.word("role")?,
        created_by: columns.parsed("created_by")?,
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
    })
}

fn resource(columns: &Columns<'_>) -> Result<ResourceRef, StoreError> {
    Ok(match columns.word("resource_kind")? {
        ScopeKind::Account => ResourceRef::Account(columns.parsed("resource_id")?),
        ScopeKind::Workspace => ResourceRef::Workspace(columns.parsed("resource_id")?),
        ScopeKind::App => ResourceRef::App(columns.parsed("resource_id")?),
    })
}

fn conditions(columns: &Columns<'_>) -> Result<Conditions, StoreError> {
    Ok(Conditions {
        match_tag_keys: columns.json("match_tag_keys")?,
        required_resource_tags: columns.json("required_resource_tags")?,
    })
}
