//! Loads lines into a database that nobody has used.
//! Invariant: the schema is that of the export while its rows go in; what later versions changed of
//! the schema runs over them afterwards, as it would have where they came from.

use std::{collections::BTreeMap, io::BufRead, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};

use super::{
    End, FORMAT, Head, Imported, Table, TransferError, ValueKind,
    schema::{quoted, tables},
};
use crate::{Clock, Store, StoreUrl, engine::Engine, engine::Kind, row::Columns};

/// Longest line that is read: the largest row, an environment of a workspace, escaped, with room.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A platform that was ever started has an operator.
const USED: &str = "SELECT COUNT(*) AS used FROM accounts";

/// References are looked at when all rows are there.
const DEFER_SQLITE: &str = "PRAGMA defer_foreign_keys = ON";
const PATIENCE_POSTGRES: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Loads what [`Store::export`] wrote, and brings the schema up to this program's. A load that was
/// cut off has loaded nothing and can be repeated. Blocks where `input` does.
///
/// # Errors
/// [`TransferError::InUse`] where the database was used before; [`TransferError::Newer`] where the
/// stream is of a program that is newer than this one.
pub async fn import(
    url: &StoreUrl,
    input: &mut (dyn BufRead + Send),
    clock: Arc<dyn Clock>,
) -> Result<Imported, TransferError> {
    let mut lines = Lines { input, number: 0 };
    let head: Head = lines.document()?;
    let newer = |what: String| TransferError::Newer { what, version: env!("CARGO_PKG_VERSION") };
    if head.format != FORMAT {
        return Err(newer(format!("format {} of an export", head.format)));
    }
    if let Some(unknown) = crate::migrate::unknown(&head.migrations) {
        return Err(newer(format!("the schema change {unknown}")));
    }
    let engine = Engine::open_at(url, clock.clone(), &head.migrations).await?;
    let loaded = load(&engine, url, &mut lines).await;
    engine.close().await;
    let rows = loaded?;
    Store::open(url, clock).await?.close().await;
    Ok(Imported { rows })
}

async fn load(
    engine: &Engine,
    url: &StoreUrl,
    lines: &mut Lines<'_>,
) -> Result<u64, TransferError> {
    let mut tx = engine.begin().await?;
    sqlx::raw_sql(match engine.kind {
        Kind::Sqlite => DEFER_SQLITE,
        Kind::Postgres => PATIENCE_POSTGRES,
    })
    .execute(tx.on())
    .await?;
    let row = sqlx::query(USED).fetch_one(tx.on()).await?;
    if Columns::of("accounts", &row).raw::<i64>("used")? > 0 {
        return Err(TransferError::InUse { url: url.to_string() });
    }
    let known = tables(engine.kind, tx.on()).await?;
    // What a new database begins with is in the stream as it was last.
    for table in known.iter().rev() {
        let text = AssertSqlSafe(format!("DELETE FROM {}", quoted(&table.name)));
        sqlx::query(text).execute(tx.on()).await?;
    }
    let mut waiting: BTreeMap<&str, &Table> =
        known.iter().map(|table| (table.name.as_str(), table)).collect();
    let (mut rows, mut insert) = (0, None::<Insert>);
    loop {
        match lines.next()? {
            Line::Table(table) => {
                let own = waiting.remove(table.name.as_str());
                let own = own.ok_or_else(|| lines.wrong(format!("no table {}", table.name)))?;
                insert = Some(Insert::new(&table, own).map_err(|what| lines.wrong(what))?);
            }
            Line::Row(values) => {
                let insert = insert.as_ref().ok_or_else(|| lines.wrong("a row of no table"))?;
                let query = insert.query(values).map_err(|what| lines.wrong(what))?;
                query.execute(tx.on()).await?;
                rows += 1;
            }
            Line::End(end) if end.rows == rows => break,
            Line::End(end) => {
                return Err(lines.wrong(format!("there are {rows} rows of {}", end.rows)));
            }
        }
    }
    if let Some(missing) = waiting.keys().next() {
        return Err(lines.wrong(format!("the table {missing} is missing")));
    }
    tx.commit().await?;
    Ok(rows)
}

/// How rows of one table are inserted.
struct Insert {
    text: String,
    kinds: Vec<ValueKind>,
}

impl Insert {
    /// `table` is what a stream says, `own` what this database says: the same columns, in any order.
    fn new(table: &Table, own: &Table) -> Result<Self, String> {
        let sorted = |table: &Table| {
            let mut columns: Vec<_> = table
                .columns
                .iter()
                .map(|(name, kind)| (name.clone(), format!("{kind:?}")))
                .collect();
            columns.sort();
            columns
        };
        if sorted(table) != sorted(own) {
            return Err(format!("the table {} has other columns here", table.name));
        }
        let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
        let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let (names, places, name) = (names.join(", "), places.join(", "), quoted(&table.name));
        Ok(Self {
            text: format!("INSERT INTO {name} ({names}) VALUES ({places})"),
            kinds: table.columns.iter().map(|(_, kind)| *kind).collect(),
        })
    }

    fn query(&self, values: Vec<Value>) -> Result<Query<'static, Any, AnyArguments>, String> {
        if values.len() != self.kinds.len() {
            return Err(format!("{} values for {} columns", values.len(), self.kinds.len()));
        }
        let mut query = sqlx::query(AssertSqlSafe(self.text.clone()));
        for (value, kind) in values.into_iter().zip(&self.kinds) {
            query = bind(query, value, *kind)?;
        }
        Ok(query)
    }
}

fn bind(
    query: Query<'static, Any, AnyArguments>,
    value: Value,
    kind: ValueKind,
) -> Result<Query<'static, Any, AnyArguments>, String> {
    let wrong = || format!("a value is not a {kind:?}");
    let text = match value {
        Value::Null => None,
        Value::Number(number) if kind == ValueKind::Integer => {
            return Ok(query.bind(number.as_i64().ok_or_else(wrong)?));
        }
        Value::String(text) => Some(text),
        _ => return Err(wrong()),
    };
    Ok(match (kind, text) {
        (ValueKind::Text, text) => query.bind(text),
        (ValueKind::Integer, None) => query.bind(None::<i64>),
        (ValueKind::Real, None) => query.bind(None::<f64>),
        (ValueKind::Blob, None) => query.bind(None::<Vec<u8>>),
        (ValueKind::Integer, Some(_)) => return Err(wrong()),
        (ValueKind::Real, Some(text)) => query.bind(text.parse::<f64>().map_err(|_| wrong())?),
        (ValueKind::Blob, Some(text)) => {
            query.bind(BASE64_STANDARD.decode(text).map_err(|_| wrong())?)
        }
    })
}

/// A line behind the first.
enum Line {
    Table(Table),
    Row(Vec<Value>),
    End(End),
}

/// The lines of a stream, and where one is in it.
struct Lines<'i> {
    input: &'i mut (dyn BufRead + Send),
    number: u64,
}

impl Lines<'_> {
    fn text(&mut self) -> Result<Vec<u8>, TransferError> {
        use std::io::Read as _;

        let mut line = Vec::new();
        self.number += 1;
        (&mut *self.input).take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(self.wrong("it is cut off or too long"));
        }
        Ok(line)
    }

    fn document<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, TransferError> {
        let text = self.text()?;
        serde_json::from_slice(&text).map_err(|error| self.wrong(plain(&error)))
    }

    fn next(&mut self) -> Result<Line, TransferError> {
        let text = self.text()?;
        let read = match text.first() {
            Some(b'[') => serde_json::from_slice(&text).map(Line::Row),
            _ => serde_json::from_slice(&text)
                .map(Line::Table)
                .or_else(|error| serde_json::from_slice(&text).map(Line::End).map_err(|_| error)),
        };
        read.map_err(|error| self.wrong(plain(&error)))
    }

    fn wrong(&self, what: impl Into<String>) -> TransferError {
        TransferError::Form { line: self.number, what: what.into() }
    }
}

/// What is wrong with a line, without what is in it: rows hold users' environments.
fn plain(error: &serde_json::Error) -> String {
    format!("it is not what an export writes, at byte {}", error.column())
}
