//! Service specs of accounts.
//! Writer and reader: control. Invariants: a name is unique within its account; a change or removal
//! of a spec gives every workspace that it is attached to a new generation, in the same
//! transaction. Does not render units.

use std::fmt;

use rigbox_types::{AccountId, ServiceSpecId, Timestamp, api::service_specs::RestartPolicy};
use sqlx::any::AnyRow;

use crate::{
    Adding, Amount, Page, PageRequest, StoreError,
    engine::{Engine, Text},
    page::OfAccount,
    row::{Columns, json, word},
    tx::Tx,
    workspaces::{Attachment, EnvVars, Fate, touch_attached},
};

macro_rules! columns {
    () => {
        "id, account_id, name, exec_start, env, environment_file, restart_policy, auto_enable, \
         setup_script, created_at, updated_at"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO service_specs (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)"
);

const COUNT: &str = "SELECT COUNT(*) AS count FROM service_specs WHERE account_id = $1";

const GET: &str =
    concat!("SELECT ", columns!(), " FROM service_specs WHERE account_id = $1 AND id = $2");

const LIST: OfAccount = OfAccount {
    list: "service-specs",
    sql: concat!(
        "SELECT ",
        columns!(),
        " FROM service_specs WHERE account_id = $1 AND (created_at, id) < ($2, $3) \
     ORDER BY created_at DESC, id DESC LIMIT $4"
    ),
};

/// Those of a list of ids, which is given as a JSON array.
const OF_IDS: Text = Text {
    sqlite: concat!(
        "SELECT ",
        columns!(),
        " FROM service_specs WHERE account_id = $1 \
         AND id IN (SELECT value FROM json_each($2)) ORDER BY name"
    ),
    postgres: concat!(
        "SELECT ",
        columns!(),
        " FROM service_specs WHERE account_id = $1 \
         AND id IN (SELECT jsonb_array_elements_text(CAST($2 AS JSONB))) ORDER BY name"
    ),
};

const UPDATE: &str = "UPDATE service_specs SET name = $3, exec_start = $4, env = $5, \
     environment_file = $6, restart_policy = $7, auto_enable = $8, setup_script = $9, \
     updated_at = $10 WHERE account_id = $1 AND id = $2";

const DELETE: &str = "DELETE FROM service_specs WHERE account_id = $1 AND id = $2";

/// See the module.
pub struct ServiceSpecs<'s> {
    pub(crate) engine: &'s Engine,
}

/// One service spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpecRow {
    /// Its id.
    pub id: ServiceSpecId,
    /// Whose it is.
    pub account: AccountId,
    /// What the account may change.
    pub spec: ServiceSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What an account writes in a service spec.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Name of the unit without prefix; unique within the account.
    pub name: String,
    /// Command line.
    pub exec_start: String,
    /// Environment of the service.
    pub env: EnvVars,
    /// A file of more environment.
    pub environment_file: Option<String>,
    /// When systemd starts it again.
    pub restart_policy: RestartPolicy,
    /// Whether it starts with the workspace.
    pub auto_enable: bool,
    /// Bash that runs before it first starts; empty for none.
    pub setup_script: String,
}

/// Command line and script may hold secrets: not shown.
impl fmt::Debug for ServiceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ServiceSpecs<'_> {
    /// Keeps a new spec.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a name that is taken, [`StoreError::NotFound`] for an unknown
    /// account, [`StoreError::Over`], [`StoreError::ClaimLost`].
    pub async fn insert(
        &self,
        id: ServiceSpecId,
        account: AccountId,
        spec: &ServiceSpec,
        adding: Adding<'_>,
    ) -> Result<ServiceSpecRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        adding.admit(&mut tx, account, (COUNT, Amount::ServiceSpecs)).await?;
        sqlx::query(INSERT)
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(spec.name.as_str())
            .bind(spec.exec_start.as_str())
            .bind(json(&spec.env)?)
            .bind(spec.environment_file.clone())
            .bind(word(&spec.restart_policy)?)
            .bind(i64::from(spec.auto_enable))
            .bind(spec.setup_script.as_str())
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("account", &account)
                } else {
                    StoreError::or_conflict(error, "service spec name", &spec.name)
                }
            })?;
        adding.finish(tx, id.to_string()).await?;
        Ok(ServiceSpecRow { id, account, spec: spec.clone(), created_at: now, updated_at: now })
    }

    /// One spec of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(
        &self,
        account: AccountId,
        id: ServiceSpecId,
    ) -> Result<ServiceSpecRow, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("service spec", &id))?)
    }

    /// Those of `ids` that the account has, by name.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_ids(
        &self,
        account: AccountId,
        ids: &[ServiceSpecId],
    ) -> Result<Vec<ServiceSpecRow>, StoreError> {
        let rows = sqlx::query(self.engine.text(OF_IDS))
            .bind(account.to_string())
            .bind(json(&ids)?)
            .fetch_all(&self.engine.read)
            .await?;
        rows.iter().map(read).collect()
    }

    /// A page of the account's specs, newest first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<ServiceSpecRow>, StoreError> {
        LIST.page(self.engine, (account, page), read, |row| (row.created_at, row.id.to_string()))
            .await
    }

    /// Changes a spec by `edit`; the workspaces that it is attached to get a new generation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a name that is taken.
    pub async fn change(
        &self,
        account: AccountId,
        id: ServiceSpecId,
        edit: impl FnOnce(&mut ServiceSpec) + Send,
    ) -> Result<ServiceSpecRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        self.touch(&mut tx, account, (id, Fate::Changed)).await?;
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let found = query.fetch_optional(tx.on()).await?;
        let mut row = read(&found.ok_or_else(|| StoreError::not_found("service spec", &id))?)?;
        let before = row.spec.clone();
        edit(&mut row.spec);
        if row.spec == before {
            return Ok(row);
        }
        row.updated_at = row.updated_at.max(now);
        let ServiceSpec { name, setup_script, restart_policy, .. } = &row.spec;
        sqlx::query(UPDATE)
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(name.as_str())
            .bind(row.spec.exec_start.as_str())
            .bind(json(&row.spec.env)?)
            .bind(row.spec.environment_file.clone())
            .bind(word(restart_policy)?)
            .bind(i64::from(row.spec.auto_enable))
            .bind(setup_script.as_str())
            .bind(row.updated_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| StoreError::or_conflict(error, "service spec name", name))?;
        tx.commit().await?;
        Ok(row)
    }

    /// Forgets a spec and takes it off all workspaces.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, account: AccountId, id: ServiceSpecId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        self.touch(&mut tx, account, (id, Fate::Removed)).await?;
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(id.to_string());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("service spec", &id));
        }
        tx.commit().await
    }

    /// First in each transaction, because it takes the counter.
    async fn touch(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        (id, fate): (ServiceSpecId, Fate),
    ) -> Result<(), StoreError> {
        touch_attached(tx, account, (Attachment::Spec(id), fate), self.engine.now()).await
    }
}

fn read(row: &AnyRow) -> Result<ServiceSpecRow, StoreError> {
    let columns = Columns::of("service_specs", row);
    Ok(ServiceSpecRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        spec: ServiceSpec {
            name: columns.raw("name")?,
            exec_start: columns.raw("exec_start")?,
            env: columns.json("env")?,
            environment_file: columns.raw("environment_file")?,
            restart_policy: columns.word("restart_policy")?,
            auto_enable: columns.flag("auto_enable")?,
            setup_script: columns.raw("setup_script")?,
        },
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
    })
}
