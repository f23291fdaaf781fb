//! Brings the schema up to date: the statements of `migrations/<engine>/`, in the order of their
//! names, each once.
//! Invariants: one process migrates at a time, the others wait for it; a migration and the note
//! that it is done are one transaction; each can be repeated; a schema that this program does not
//! know is left alone. Migrations only add, so that an older program goes on beside a newer one.

mod list;

use std::{collections::BTreeSet, time::Duration};

use rigbox_types::Timestamp;
use sqlx::{AnyConnection, AnyPool, Connection as _};
use tokio::time::sleep;

use crate::{OpenError, StoreError, StoreUrl, engine::Kind, row::Columns};

use list::Migration;

/// A migration that does not get its table in time is tried again this often.
const ATTEMPTS: u32 = 60;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// What PostgreSQL is told before a migration. The lock (any number that nobody else uses) lets one
/// process migrate at a time, and the others may wait for long. A table is waited for only shortly,
/// because everybody else who wants it queues up behind a migration that waits.
const BEGIN_POSTGRES: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
     SELECT pg_advisory_xact_lock(7236281); SET LOCAL lock_timeout = '2s'";

const NOTES_CREATE_SQLITE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
     (name TEXT NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT";
const NOTES_CREATE_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
     (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)";

const NOTES_READ: &str = "SELECT name FROM schema_migrations ORDER BY name";

const NOTE_WRITE: &str = "INSERT INTO schema_migrations (name, applied_at) VALUES ($1, $2)";

/// The first of these names that is no schema change of this program.
pub(crate) fn unknown(names: &[String]) -> Option<&String> {
    let known = list::all(Kind::Sqlite);
    names.iter().find(|name| known.iter().all(|known| known.name != **name))
}

/// Runs what is missing; of it only what is asked for, where that is said.
pub(crate) async fn run(
    kind: Kind,
    pool: &AnyPool,
    url: &StoreUrl,
    (now, asked): (Timestamp, Option<&[String]>),
) -> Result<(), OpenError> {
    let list = list::all(kind);
    let connect = |source| OpenError::Connect { url: url.to_string(), source };
    let mut connection = pool.acquire().await.map_err(|error| connect(error.into()))?;
    prepare(kind, &mut connection).await.map_err(connect)?;
    let done = applied(&mut connection).await.map_err(connect)?;
    if let Some(unknown) = done.iter().find(|name| list.iter().all(|known| known.name != **name)) {
        return Err(OpenError::Newer {
            url: url.to_string(),
            migration: unknown.clone(),
            version: env!("CARGO_PKG_VERSION"),
        });
    }
    let is_asked = |name| asked.is_none_or(|asked| asked.iter().any(|asked| asked == name));
    let missing = list.iter().filter(|migration| !done.contains(migration.name));
    for migration in missing.filter(|migration| is_asked(migration.name)) {
        patiently(kind, &mut connection, migration, now).await.map_err(|source| {
            OpenError::Migrate { url: url.to_string(), migration: migration.name, source }
        })?;
        tracing::info!(migration = migration.name, "schema changed");
    }
    Ok(())
}

/// Makes the table of notes, under the lock: two processes that make it at once would collide.
async fn prepare(kind: Kind, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let mut tx = begin(kind, connection).await?;
    let create = match kind {
        Kind::Sqlite => NOTES_CREATE_SQLITE,
        Kind::Postgres => NOTES_CREATE_POSTGRES,
    };
    sqlx::raw_sql(create).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn patiently(
    kind: Kind,
    connection: &mut AnyConnection,
    migration: &Migration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut attempt = 1;
    loop {
        match apply(kind, connection, migration, now).await {
            Err(StoreError::Unavailable(error)) if attempt < ATTEMPTS => {
                tracing::warn!(migration = migration.name, attempt, %error, "tried again");
                attempt += 1;
                sleep(ATTEMPT_PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn apply(
    kind: Kind,
    connection: &mut AnyConnection,
    migration: &Migration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = begin(kind, connection).await?;
    // Another process may have been faster while this one waited for the lock.
    if applied(&mut tx).await?.contains(migration.name) {
        return Ok(());
    }
    sqlx::raw_sql(migration.text).execute(&mut *tx).await?;
    sqlx::query(NOTE_WRITE).bind(migration.name).bind(now.as_micros()).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn begin(
    kind: Kind,
    connection: &mut AnyConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Any>, StoreError> {
    match kind {
        Kind::Sqlite => Ok(connection.begin_with("BEGIN IMMEDIATE").await?),
        Kind::Postgres => {
            let mut tx = connection.begin().await?;
            sqlx::raw_sql(BEGIN_POSTGRES).execute(&mut *tx).await?;
            Ok(tx)
        }
    }
}

async fn applied(connection: &mut AnyConnection) -> Result<BTreeSet<String>, StoreError> {
    let rows = sqlx::query(NOTES_READ).fetch_all(connection).await?;
    rows.iter().map(|row| Columns::of("schema_migrations", row).raw("name")).collect()
}
