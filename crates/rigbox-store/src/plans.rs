//! Plans: what accounts may use, by a name.
//! Writer: control. Readers: control. Invariants: every account has a plan that exists; a change
//! holds the counter of the feed, as whatever is counted against a plan does, so that neither passes
//! the other by.
//! Takes nothing away from anybody where a number becomes smaller.

use rigbox_types::{PlanName, Quotas};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    engine::Engine,
    row::{Columns, json},
    tx::Tx,
};

const LIST: &str = "SELECT name, quotas FROM plans ORDER BY name";

const GET: &str = "SELECT name, quotas FROM plans WHERE name = $1";

const INSERT: &str =
    "INSERT INTO plans (name, quotas) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

const UPDATE: &str = "UPDATE plans SET quotas = $2 WHERE name = $1";

const USER: &str = "SELECT account_id FROM profiles WHERE plan = $1 LIMIT 1";

const DELETE: &str = "DELETE FROM plans WHERE name = $1";

/// See the module.
pub struct Plans<'s> {
    pub(crate) engine: &'s Engine,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Its name.
    pub name: PlanName,
    /// Its numbers.
    pub quotas: Quotas,
}

impl Plans<'_> {
    /// All plans, by name. There are as many as an operator makes: a few.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PlanRow>, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.engine.read).await?;
        rows.iter().map(read).collect()
    }

    /// Adds a plan.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where its name is taken.
    pub async fn insert(&self, plan: &PlanRow) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let query = sqlx::query(INSERT).bind(plan.name.as_str()).bind(json(&plan.quotas)?);
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::Conflict { what: "plan", id: plan.name.to_string() });
        }
        tx.commit().await
    }

    /// Changes a plan's numbers by `edit`. From the commit on everything that is added is counted
    /// against the new ones.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change(
        &self,
        name: &PlanName,
        edit: impl FnOnce(Quotas) -> Quotas + Send,
    ) -> Result<PlanRow, StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let before = row_of(&mut tx, name).await?;
        let after = PlanRow { quotas: edit(before.quotas), ..before };
        let query = sqlx::query(UPDATE).bind(name.as_str()).bind(json(&after.quotas)?);
        query.execute(tx.on()).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a plan that no account has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] where an account has it.
    pub async fn delete(&self, name: &PlanName) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        row_of(&mut tx, name).await?;
        let user = sqlx::query(USER).bind(name.as_str()).fetch_optional(tx.on()).await?;
        if user.is_some() {
            return Err(StoreError::Conflict { what: "plan", id: name.to_string() });
        }
        sqlx::query(DELETE).bind(name.as_str()).execute(tx.on()).await?;
        tx.commit().await
    }
}

/// A plan within a transaction that holds the counter: it stays until the end.
pub(crate) async fn row_of(tx: &mut Tx<'_>, name: &PlanName) -> Result<PlanRow, StoreError> {
    let row = sqlx::query(GET).bind(name.as_str()).fetch_optional(tx.on()).await?;
    read(&row.ok_or_else(|| StoreError::not_found("plan", name))?)
}

fn read(row: &AnyRow) -> Result<PlanRow, StoreError> {
    let columns = Columns::of("plans", row);
    Ok(PlanRow { name: columns.parsed("name")?, quotas: columns.json("quotas")? })
}
