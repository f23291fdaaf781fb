use sqlx::{AssertSqlSafe, Row as _};

use super::{LIST_OF_ACCOUNT, LIST_OF_ALL, admit::SUM_OF_ACCOUNT, admit::SUM_OF_HOST};
use crate::{Store, StoreUrl, SystemClock, feed, samples};

/// How SQLite would answer a statement.
async fn plan(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("db")).unwrap();
    let url = StoreUrl::Sqlite(path);
    let store = Store::open(&url, std::sync::Arc::new(SystemClock)).await.unwrap();
    let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let rows = sqlx::query(text).fetch_all(&store.engine.read).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

async fn check(text: &str, index: &str) {
    let plan = plan(text).await;
    assert!(plan.starts_with("SEARCH") && plan.contains(index), "{text}: {plan}");
    // Sorting would read everything before the first row.
    assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
}

#[tokio::test]
async fn the_cost_of_a_page_does_not_depend_on_how_many_there_are() {
    check(LIST_OF_ACCOUNT, "workspaces_by_account").await;
    check(LIST_OF_ALL, "workspaces_by_age").await;
    check(feed::CHANGES_READ, "workspaces_by_revision").await;
    check(feed::REMOVALS_READ, "removals_by_host").await;
    check(feed::WHOLE_READ, "workspaces_by_host").await;
    check(samples::SINCE, "sqlite_autoindex_samples").await;
}

#[tokio::test]
async fn what_is_promised_is_summed_without_reading_rows_of_others() {
    check(SUM_OF_HOST, "COVERING INDEX workspaces_by_host").await;
    check(SUM_OF_ACCOUNT, "workspaces_by_account").await;
}
