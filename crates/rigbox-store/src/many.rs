//! Many rows in one statement: they are its one parameter, a JSON array of arrays, so that its text is the
//! same however many there are and is prepared once. A statement with a parameter for each value costs both
//! engines more than writing what it says.

use std::fmt::Write as _;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{StoreError, engine::Kind, tx::Tx};

/// What a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    Number,
}

/// The texts of the array that is the first parameter, as a table's only column.
macro_rules! texts_sqlite {
    () => {
        "SELECT value FROM json_each($1)"
    };
}
macro_rules! texts_postgres {
    () => {
        "SELECT json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON))"
    };
}
pub(crate) use {texts_postgres, texts_sqlite};

/// Inserts rows, each an array of as many values as there are columns; `insert` ends with their names.
pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    insert: &str,
    columns: &[Holds],
    rows: Vec<Value>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = statement(tx.kind(), insert, columns);
    sqlx::query(AssertSqlSafe(text)).bind(Value::Array(rows).to_string()).execute(tx.on()).await?;
    Ok(())
}

fn statement(kind: Kind, insert: &str, columns: &[Holds]) -> String {
    let mut text = format!("{insert} SELECT ");
    for (at, holds) in columns.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let kind = match (kind, holds) {
            // The number of a JSON text is one in SQLite.
            (Kind::Sqlite, _) | (Kind::Postgres, Holds::Text) => format!("value ->> {at}"),
            (Kind::Postgres, Holds::Number) => format!("CAST(value ->> {at} AS BIGINT)"),
        };
        // Into a string it does not fail.
        write!(text, "{comma}{kind}").unwrap_or_default();
    }
    text.push_str(match kind {
        // Values that need not be read as a text again for each column.
        Kind::Sqlite => " FROM jsonb_each($1)",
        Kind::Postgres => " FROM json_array_elements(CAST(CAST($1 AS TEXT) AS JSON))",
    });
    text
}
