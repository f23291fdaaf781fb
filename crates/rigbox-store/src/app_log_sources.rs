//! Places where the logs of apps can be read.
//! Writer and reader: control. Invariants: an app has a bounded number; one at most is the primary one,
//! and the first one is.
//! Does not know whether there is anything at such a place.

use rigbox_types::{
    AppId, AppLogSourceId, Timestamp, api::services::LogSourceType,
    limits::APP_LOG_SOURCES_MAX_COUNT,
};
use sqlx::any::AnyRow;

use crate::{
    Amount, Over, Scope, StoreError,
    engine::Engine,
    row::{Columns, count, word},
    tx::Tx,
};

const INSERT: &str = "INSERT INTO app_log_sources \
     (app_id, id, source_type, source_ref, display_name, is_primary, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";

const LIST: &str = "SELECT app_id, id, source_type, source_ref, display_name, is_primary, \
     created_at, updated_at FROM app_log_sources WHERE app_id = $1 \
     ORDER BY is_primary DESC, created_at, id LIMIT $2";

const UPDATE: &str = "UPDATE app_log_sources SET source_type = $3, source_ref = $4, \
     display_name = $5, is_primary = $6, updated_at = $7 WHERE app_id = $1 AND id = $2";

const UNSET_PRIMARY: &str =
    "UPDATE app_log_sources SET is_primary = 0 WHERE app_id = $1 AND id <> $2";

const DELETE: &str = "DELETE FROM app_log_sources WHERE app_id = $1 AND id = $2";

/// See the module.
pub struct AppLogSources<'s> {
    pub(crate) engine: &'s Engine,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLogSourceRow {
    /// Its id.
    pub id: AppLogSourceId,
    /// Of which app.
    pub app: AppId,
    /// What an edit may change.
    pub place: LogPlace,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Where and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlace {
    /// What kind of place it is.
    pub source_type: LogSourceType,
    /// The unit, container or file.
    pub source_ref: String,
    /// For people.
    pub display_name: Option<String>,
    /// Whether it is the one that is read when none is named.
    pub is_primary: bool,
}

impl AppLogSources<'_> {
    /// Adds a place; the first one is the primary one.
    ///
    /// # Errors
    /// [`StoreError::Over`], [`StoreError::NotFound`] for an unknown app.
    pub async fn insert(
        &self,
        (app, id): (&AppId, AppLogSourceId),
        place: &LogPlace,
    ) -> Result<AppLogSourceRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // Held, so that nobody else adds one meanwhile.
        tx.revision().await?;
        let used = list(&mut tx, app).await?.len();
        let (used, limit) = (u64::try_from(used).unwrap_or(u64::MAX), APP_LOG_SOURCES_MAX_COUNT);
        if used >= limit {
            let (scope, what) = (Scope::Account, Amount::LogSources);
            return Err(Over { scope, what, limit, used, asked: 1, plan: None }.into());
        }
        let place = LogPlace { is_primary: place.is_primary || used == 0, ..place.clone() };
        if place.is_primary {
            unset_primary(&mut tx, app, id).await?;
        }
        sqlx::query(INSERT)
            .bind(app.as_str())
            .bind(id.to_string())
            .bind(word(&place.source_type)?)
            .bind(place.source_ref.clone())
            .bind(place.display_name.clone())
            .bind(i64::from(place.is_primary))
            .bind(now.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| match StoreError::is_foreign_key(&error) {
                true => StoreError::not_found("app", app),
                false => StoreError::or_conflict(error, "log source", &id),
            })?;
        tx.commit().await?;
        Ok(AppLogSourceRow { id, app: app.clone(), place, created_at: now, updated_at: now })
    }

    /// All places of an app, the primary one first, then the oldest first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self, app: &AppId) -> Result<Vec<AppLogSourceRow>, StoreError> {
        let query = sqlx::query(LIST).bind(app.as_str()).bind(count(APP_LOG_SOURCES_MAX_COUNT));
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// Changes a place by `edit`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change(
        &self,
        (app, id): (&AppId, AppLogSourceId),
        edit: impl FnOnce(&mut LogPlace) + Send,
    ) -> Result<AppLogSourceRow, StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        let row = list(&mut tx, app).await?.into_iter().find(|row| row.id == id);
        let mut row = row.ok_or_else(|| StoreError::not_found("log source", &id))?;
        edit(&mut row.place);
        row.updated_at = row.updated_at.max(self.engine.now());
        if row.place.is_primary {
            unset_primary(&mut tx, app, id).await?;
        }
        sqlx::query(UPDATE)
            .bind(app.as_str())
            .bind(id.to_string())
            .bind(word(&row.place.source_type)?)
            .bind(row.place.source_ref.clone())
            .bind(row.place.display_name.clone())
            .bind(i64::from(row.place.is_primary))
            .bind(row.updated_at.as_micros())
            .execute(tx.on())
            .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Forgets a place.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, app: &AppId, id: AppLogSourceId) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE).bind(app.as_str()).bind(id.to_string());
        if query.execute(&self.engine.write).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("log source", &id));
        }
        Ok(())
    }
}

async fn list(tx: &mut Tx<'_>, app: &AppId) -> Result<Vec<AppLogSourceRow>, StoreError> {
    let query = sqlx::query(LIST).bind(app.as_str()).bind(count(APP_LOG_SOURCES_MAX_COUNT));
    query.fetch_all(tx.on()).await?.iter().map(read).collect()
}

async fn unset_primary(
    tx: &mut Tx<'_>,
    app: &AppId,
    but: AppLogSourceId,
) -> Result<(), StoreError> {
    let query = sqlx::query(UNSET_PRIMARY).bind(app.as_str()).bind(but.to_string());
    query.execute(tx.on()).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<AppLogSourceRow, StoreError> {
    let columns = Columns::of("app_log_sources", row);
    Ok(AppLogSourceRow {
        id: columns.parsed("id")?,
        app: columns.parsed("app_id")?,
        place: LogPlace {
            source_type: columns.word("source_type")?,
            source_ref: columns.raw("source_ref")?,
            display_name: columns.raw("display_name")?,
            is_primary: columns.flag("is_primary")?,
        },
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
    })
}
