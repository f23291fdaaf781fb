//! What tables there are, with what columns, as the database itself says.
//! Invariant: a table stands behind those that it refers to.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row as _};

use super::{Table, TransferError, ValueKind};
use crate::{
    StoreError,
    engine::{Kind, Text},
};

/// The notes of the schema itself: they are in the head of a stream.
pub(super) const NOTES: &str = "schema_migrations";

/// What the database itself keeps of other tables, by triggers: a load makes it anew.
const DERIVED: &[&str] = &["host_sums"];

const COLUMNS: Text = Text {
    sqlite: "SELECT t.name AS table_name, c.name AS column_name, LOWER(c.type) AS data_type \
         FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY t.name, c.cid",
    postgres: "SELECT c.table_name::text AS table_name, c.column_name::text AS column_name, \
         c.data_type::text AS data_type \
         FROM information_schema.columns AS c JOIN information_schema.tables AS t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
         ORDER BY c.table_name COLLATE \"C\", c.ordinal_position",
};

const REFERENCES: Text = Text {
    sqlite: "SELECT t.name AS table_name, f.\"table\" AS target \
         FROM sqlite_schema AS t JOIN pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'",
    postgres: "SELECT a.relname::text AS table_name, b.relname::text AS target \
         FROM pg_constraint AS f JOIN pg_class AS a ON a.oid = f.conrelid \
         JOIN pg_class AS b ON b.oid = f.confrelid \
         WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace",
};

/// All tables but that of the notes and those that follow from others.
pub(super) async fn tables(
    kind: Kind,
    connection: &mut AnyConnection,
) -> Result<Vec<Table>, TransferError> {
    let mut columns: BTreeMap<String, Vec<(String, ValueKind)>> = BTreeMap::new();
    for row in sqlx::query(pick(kind, COLUMNS)).fetch_all(&mut *connection).await? {
        let table: String = row.try_get("table_name")?;
        let column: String = row.try_get("column_name")?;
        let kind = value_kind(&table, &column, &row.try_get::<String, _>("data_type")?)?;
        columns.entry(table).or_default().push((column, kind));
    }
    columns.retain(|name, _| name != NOTES && !DERIVED.contains(&name.as_str()));
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in sqlx::query(pick(kind, REFERENCES)).fetch_all(connection).await? {
        let (table, target): (String, String) =
            (row.try_get("table_name")?, row.try_get("target")?);
        if table != target {
            needs.entry(table).or_default().insert(target);
        }
    }
    in_order(columns, &needs)
}

fn pick(kind: Kind, text: Text) -> &'static str {
    match kind {
        Kind::Sqlite => text.sqlite,
        Kind::Postgres => text.postgres,
    }
}

fn value_kind(table: &str, column: &str, data_type: &str) -> Result<ValueKind, TransferError> {
    match data_type {
        "text" => Ok(ValueKind::Text),
        "integer" | "bigint" => Ok(ValueKind::Integer),
        "real" | "double precision" => Ok(ValueKind::Real),
        "blob" | "bytea" => Ok(ValueKind::Blob),
        other => {
            let what = format!("{table}.{column} is a {other}, which no export knows");
            Err(StoreError::Internal(what.into()).into())
        }
    }
}

/// Those that refer to nothing first, then those that only refer to these, and so on.
fn in_order(
    mut columns: BTreeMap<String, Vec<(String, ValueKind)>>,
    needs: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<Table>, TransferError> {
    let mut tables = Vec::new();
    while !columns.is_empty() {
        let waits = |name: &String| {
            needs.get(name).is_some_and(|needs| needs.iter().any(|need| columns.contains_key(need)))
        };
        let ready: Vec<String> = columns.keys().filter(|name| !waits(name)).cloned().collect();
        if ready.is_empty() {
            let what = "tables refer to each other in a circle";
            return Err(StoreError::Internal(what.into()).into());
        }
        for name in ready {
            if let Some(columns) = columns.remove(&name) {
                tables.push(Table { name, columns });
            }
        }
    }
    Ok(tables)
}

/// A name as SQL writes it. Names of tables and columns are ours or of a stream that says so.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_behind_what_it_refers_to() {
        let names = ["a", "b", "c"].map(|name| (name.to_owned(), Vec::new()));
        let needs = |pairs: &[(&str, &str)]| {
            let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (table, target) in pairs {
                needs.entry((*table).to_owned()).or_default().insert((*target).to_owned());
            }
            needs
        };
        let ordered = in_order(BTreeMap::from(names.clone()), &needs(&[("a", "b"), ("b", "c")]));
        let ordered: Vec<_> = ordered.unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(ordered, ["c", "b", "a"]);
        assert!(in_order(BTreeMap::from(names), &needs(&[("a", "b"), ("b", "a")])).is_err());
    }

    #[test]
    fn a_column_of_an_unknown_kind_is_refused_by_its_name() {
        let refused = value_kind("apps", "tags", "jsonb").unwrap_err();
        let said = std::error::Error::source(&refused).map(ToString::to_string);
        assert!(format!("{refused:?} {said:?}").contains("apps.tags is a jsonb"), "{refused:?}");
    }
}
