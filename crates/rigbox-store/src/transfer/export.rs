//! Writes one moment of the database as lines.

use std::io::Write;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::{
    End, Exported, FORMAT, Head, Table, TransferError, ValueKind, WorkspaceThen,
    schema::{NOTES, quoted, tables},
};
use crate::{
    Store,
    engine::{Engine, Kind},
    row::Columns,
};

/// One moment for as long as it takes. SQLite shows a reader what was there at its first look.
const BEGIN_SQLITE: &str = "BEGIN";
const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A large table takes longer than anything else that is asked.
const PATIENCE_POSTGRES: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const WORKSPACES: &str = "SELECT id, host_id, desired, observed FROM workspaces ORDER BY id";

impl Store {
    /// Writes everything that the database holds at this moment, while others go on. Blocks where
    /// `out` does.
    ///
    /// # Errors
    /// As [`TransferError`].
    pub async fn export(&self, out: &mut (dyn Write + Send)) -> Result<Exported, TransferError> {
        let engine: &Engine = &self.engine;
        let begin = match engine.kind {
            Kind::Sqlite => BEGIN_SQLITE,
            Kind::Postgres => BEGIN_POSTGRES,
        };
        let mut tx = engine.read.begin_with(begin).await?;
        if engine.kind == Kind::Postgres {
            sqlx::raw_sql(PATIENCE_POSTGRES).execute(&mut *tx).await?;
        }
        let migrations = names(&mut tx).await?;
        let at = engine.now();
        let kind = match engine.kind {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
        };
        line(out, &Head { format: FORMAT, engine: kind.to_owned(), migrations })?;
        let workspaces = workspaces(&mut tx).await?;
        let mut rows = 0;
        for table in tables(engine.kind, &mut tx).await? {
            line(out, &table)?;
            rows += copy(&mut tx, &table, out).await?;
        }
        line(out, &End { rows })?;
        out.flush()?;
        tx.rollback().await?;
        Ok(Exported { at, rows, workspaces })
    }
}

fn line(out: &mut dyn Write, document: &impl serde::Serialize) -> Result<(), TransferError> {
    serde_json::to_writer(&mut *out, document).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

async fn names(connection: &mut AnyConnection) -> Result<Vec<String>, TransferError> {
    let text = AssertSqlSafe(format!("SELECT name FROM {NOTES} ORDER BY name"));
    let rows = sqlx::query(text).fetch_all(connection).await?;
    let names = rows.iter().map(|row| Columns::of(NOTES, row).raw("name"));
    Ok(names.collect::<Result<_, _>>()?)
}

async fn workspaces(connection: &mut AnyConnection) -> Result<Vec<WorkspaceThen>, TransferError> {
    let rows = sqlx::query(WORKSPACES).fetch_all(connection).await?;
    let read = |row: &AnyRow| {
        let columns = Columns::of("workspaces", row);
        Ok(WorkspaceThen {
            id: columns.parsed("id")?,
            host: columns.parsed("host_id")?,
            desired: columns.word("desired")?,
            observed: columns.word("observed")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn copy(
    connection: &mut AnyConnection,
    table: &Table,
    out: &mut (dyn Write + Send),
) -> Result<u64, TransferError> {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    let text = format!("SELECT {} FROM {}", names.join(", "), quoted(&table.name));
    let mut rows = sqlx::query(AssertSqlSafe(text)).fetch(connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        let values = table.columns.iter().enumerate().map(|(at, (_, kind))| value(&row, at, *kind));
        line(out, &values.collect::<Result<Vec<_>, _>>()?)?;
        count += 1;
    }
    Ok(count)
}

fn value(row: &AnyRow, at: usize, kind: ValueKind) -> Result<Value, TransferError> {
    let value = match kind {
        ValueKind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::from),
        ValueKind::Integer => row.try_get::<Option<i64>, _>(at)?.map(Value::from),
        ValueKind::Real => {
            row.try_get::<Option<f64>, _>(at)?.map(|real| Value::from(format!("{real:?}")))
        }
        ValueKind::Blob => row
            .try_get::<Option<Vec<u8>>, _>(at)?
            .map(|bytes| Value::from(BASE64_STANDARD.encode(bytes))),
    };
    Ok(value.unwrap_or(Value::Null))
}
