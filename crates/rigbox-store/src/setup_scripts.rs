//! Setup scripts of accounts.
//! Writer and reader: control. Invariant: a change or removal of a script gives every workspace
//! that it is attached to a new generation, in the same transaction. Does not run anything.

use std::fmt;

use rigbox_types::{AccountId, SetupScriptId, Timestamp, api::setup_scripts::RunOn};
use sqlx::any::AnyRow;

use crate::{
    Adding, Amount, Page, PageRequest, StoreError,
    engine::{Engine, Text},
    page::Key,
    row::{Columns, json, word},
    tx::Tx,
    workspaces::{Attachment, Fate, touch_attached},
};

const LIST: &str = "setup-scripts";

macro_rules! columns {
    () => {
        "id, account_id, name, content, run_on, script_order, created_at, updated_at"
    };
}

const INSERT: &str =
    concat!("INSERT INTO setup_scripts (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $7)");

const COUNT: &str = "SELECT COUNT(*) AS count FROM setup_scripts WHERE account_id = $1";

const GET: &str =
    concat!("SELECT ", columns!(), " FROM setup_scripts WHERE account_id = $1 AND id = $2");

const LIST_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM setup_scripts WHERE account_id = $1 \
     AND (script_order, created_at, id) > ($2, $3, $4) \
     ORDER BY script_order, created_at, id LIMIT $5"
);

/// Those of a list of ids, which is given as a JSON array.
const OF_IDS: Text = Text {
    sqlite: concat!(
        "SELECT ",
        columns!(),
        " FROM setup_scripts WHERE account_id = $1 \
         AND id IN (SELECT value FROM json_each($2)) ORDER BY script_order, created_at, id"
    ),
    postgres: concat!(
        "SELECT ",
        columns!(),
        " FROM setup_scripts WHERE account_id = $1 \
         AND id IN (SELECT jsonb_array_elements_text(CAST($2 AS JSONB))) \
         ORDER BY script_order, created_at, id"
    ),
};

const UPDATE: &str = "UPDATE setup_scripts SET name = $3, content = $4, run_on = $5, \
     script_order = $6, updated_at = $7 WHERE account_id = $1 AND id = $2";

const DELETE: &str = "DELETE FROM setup_scripts WHERE account_id = $1 AND id = $2";

/// See the module.
pub struct SetupScripts<'s> {
    pub(crate) engine: &'s Engine,
}

/// One setup script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupScriptRow {
    /// Its id.
    pub id: SetupScriptId,
    /// Whose it is.
    pub account: AccountId,
    /// What the account may change.
    pub script: SetupScript,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What an account writes in a setup script.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupScript {
    /// For people.
    pub name: String,
    /// Bash.
    pub content: String,
    /// When it runs.
    pub run_on: RunOn,
    /// Lower runs earlier.
    pub order: i32,
}

/// Its content may hold secrets: not shown.
impl fmt::Debug for SetupScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupScript").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SetupScripts<'_> {
    /// Keeps a new script.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for an id that is taken, [`StoreError::NotFound`] for an unknown
    /// account, [`StoreError::Over`], [`StoreError::ClaimLost`].
    pub async fn insert(
        &self,
        id: SetupScriptId,
        account: AccountId,
        script: &SetupScript,
        adding: Adding<'_>,
    ) -> Result<SetupScriptRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        adding.admit(&mut tx, account, (COUNT, Amount::SetupScripts)).await?;
        sqlx::query(INSERT)
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(script.name.as_str())
            .bind(script.content.as_str())
            .bind(word(&script.run_on)?)
            .bind(i64::from(script.order))
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("account", &account)
                } else {
                    StoreError::or_conflict(error, "setup script id", &id)
                }
            })?;
        adding.finish(tx, id.to_string()).await?;
        Ok(SetupScriptRow { id, account, script: script.clone(), created_at: now, updated_at: now })
    }

    /// One script of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(
        &self,
        account: AccountId,
        id: SetupScriptId,
    ) -> Result<SetupScriptRow, StoreError> {
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let row = query.fetch_optional(&self.engine.read).await?;
        read(&row.ok_or_else(|| StoreError::not_found("setup script", &id))?)
    }

    /// Those of `ids` that the account has, in the order in which they run.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn of_ids(
        &self,
        account: AccountId,
        ids: &[SetupScriptId],
    ) -> Result<Vec<SetupScriptRow>, StoreError> {
        let rows = sqlx::query(self.engine.text(OF_IDS))
            .bind(account.to_string())
            .bind(json(&ids)?)
            .fetch_all(&self.engine.read)
            .await?;
        rows.iter().map(read).collect()
    }

    /// A page of the account's scripts, in the order in which they would run.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`].
    pub async fn list(
        &self,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Page<SetupScriptRow>, StoreError> {
        let after = page.after(LIST, [i64::MIN, i64::MIN])?;
        let [order, created_at] = after.numbers;
        let rows = sqlx::query(LIST_OF_ACCOUNT)
            .bind(account.to_string())
            .bind(order)
            .bind(created_at)
            .bind(after.id)
            .bind(page.rows())
            .fetch_all(&self.engine.read)
            .await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.page(LIST, rows, |row| Key {
            numbers: [row.script.order.into(), row.created_at.as_micros()],
            id: row.id.to_string(),
        }))
    }

    /// Changes a script by `edit`; the workspaces that it is attached to get a new generation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change(
        &self,
        account: AccountId,
        id: SetupScriptId,
        edit: impl FnOnce(&mut SetupScript) + Send,
    ) -> Result<SetupScriptRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        self.touch(&mut tx, account, (id, Fate::Changed)).await?;
        let query = sqlx::query(GET).bind(account.to_string()).bind(id.to_string());
        let found = query.fetch_optional(tx.on()).await?;
        let mut row = read(&found.ok_or_else(|| StoreError::not_found("setup script", &id))?)?;
        let before = row.script.clone();
        edit(&mut row.script);
        if row.script == before {
            return Ok(row);
        }
        row.updated_at = row.updated_at.max(now);
        sqlx::query(UPDATE)
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(row.script.name.as_str())
            .bind(row.script.content.as_str())
            .bind(word(&row.script.run_on)?)
            .bind(i64::from(row.script.order))
            .bind(row.updated_at.as_micros())
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Forgets a script and takes it off all workspaces.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, account: AccountId, id: SetupScriptId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        self.touch(&mut tx, account, (id, Fate::Removed)).await?;
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(id.to_string());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("setup script", &id));
        }
        tx.commit().await
    }

    /// First in each transaction, because it takes the counter.
    async fn touch(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        (id, fate): (SetupScriptId, Fate),
    ) -> Result<(), StoreError> {
        touch_attached(tx, account, (Attachment::Script(id), fate), self.engine.now()).await
    }
}

fn read(row: &AnyRow) -> Result<SetupScriptRow, StoreError> {
    let columns = Columns::of("setup_scripts", row);
    Ok(SetupScriptRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        script: SetupScript {
            name: columns.raw("name")?,
            content: columns.raw("content")?,
            run_on: columns.word("run_on")?,
            order: columns.number("script_order")?,
        },
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
    })
}
