use std::{collections::BTreeMap, io::BufReader};

use rigbox_store::{
    Store, StoreUrl,
    transfer::{Exported, TransferError, WorkspaceThen, import},
};
use rigbox_types::{Desired, Observed};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use crate::kit::{Database, TestClock, World, raw};

/// Names of all tables, asked for in another way than the store does.
async fn tables(world: &World, connection: &mut AnyConnection) -> Vec<String> {
    let text = match world.database {
        Database::Sqlite { .. } => {
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        }
        Database::Postgres(_) => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        }
    };
    let rows = sqlx::query(text).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get("name")).collect()
}

/// Puts a row into every table that has none, whatever its columns are.
async fn fill(world: &World) {
    let mut connection = world.raw().await;
    let workspace = world.new_workspace();
    let id = workspace.id.to_string();
    world.store.workspaces().insert(&workspace, None).await.unwrap();
    let account = world.account;
    for text in [
        format!("INSERT INTO removals VALUES (77, 'host-gone0000', '{id}', 5)"),
        format!("INSERT INTO ssh_host_keys VALUES ('{id}', 'ssh-ed25519 AAAA', 5)"),
        format!("INSERT INTO samples VALUES ('{id}', 5, 0.1, 1, 2, 3, 4, 5, 6)"),
        format!("INSERT INTO samples VALUES ('{id}', 6, 33.333333333333336, 1, 2, 3, 4, 5, 6)"),
        format!(
            "INSERT INTO setup_scripts VALUES ('s1', '{account}', 'n', 'a ''quoted'' \\ line\n☃', \
             'boot', 1, 1, 1)"
        ),
        "INSERT INTO settings VALUES ('odd', '\"\\u0000\"', -5)".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    crate::ledger::fill(&world.store, account).await;
    crate::ai::fill(&world.store, account, &workspace.id).await;
}

/// Every row of every table, as the database itself writes it.
async fn content(world: &World, url: &StoreUrl) -> BTreeMap<String, Vec<String>> {
    let mut connection = raw(url).await;
    let mut all = BTreeMap::new();
    for table in tables(world, &mut connection).await {
        let text = match world.database {
            Database::Sqlite { .. } => {
                let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                let columns = sqlx::query(AssertSqlSafe(columns)).fetch_all(&mut connection).await;
                let columns: Vec<_> = columns
                    .unwrap()
                    .iter()
                    .map(|row| format!("quote({})", row.get::<String, _>("name")))
                    .collect();
                format!("SELECT {} AS line FROM {table}", columns.join(" || ',' || "))
            }
            Database::Postgres(_) => format!("SELECT t::text AS line FROM {table} AS t"),
        };
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
        let mut lines: Vec<String> = rows.iter().map(|row| row.get("line")).collect();
        lines.sort();
        // When a schema change ran is not the platform's state.
        if table != "schema_migrations" {
            all.insert(table, lines);
        }
    }
    all
}

async fn exported(store: &Store) -> (Exported, Vec<u8>) {
    let mut bytes = Vec::new();
    let exported = store.export(&mut bytes).await.unwrap();
    (exported, bytes)
}

async fn load(url: &StoreUrl, bytes: &[u8]) -> Result<u64, TransferError> {
    let mut input = BufReader::new(bytes);
    import(url, &mut input, TestClock::new()).await.map(|imported| imported.rows)
}

pub(crate) async fn what_was_exported_is_loaded_row_by_row(world: World) {
    fill(&world).await;
    let (exported, bytes) = exported(&world.store).await;
    let before = content(&world, &world.url).await;
    // What hosts promise follows from their workspaces: it is there afterwards, and not exported.
    let kept = before.iter().filter(|(table, _)| *table != "host_sums");
    let many: usize = kept.map(|(_, rows)| rows.len()).sum();
    assert_eq!(exported.rows, u64::try_from(many).unwrap());
    let url = crate::schema::empty(&world, "loaded").await;
    assert_eq!(load(&url, &bytes).await.unwrap(), exported.rows);
    assert_eq!(content(&world, &url).await, before);
    // A platform goes on from it, and nothing is loaded over what it has.
    let store = Store::open(&url, TestClock::new()).await.unwrap();
    assert_eq!(store.accounts().get(world.account).await.unwrap().id, world.account);
    // The ledger adds up, and is still only added to.
    assert_eq!(crate::ledger::whole(&store).await, crate::ledger::whole(&world.store).await);
    let mut loaded = raw(&url).await;
    let refused = sqlx::query("DELETE FROM ledger_postings").execute(&mut loaded).await;
    assert!(refused.unwrap_err().to_string().contains("only added to"));
    let again = load(&url, &bytes).await.unwrap_err();
    assert!(matches!(again, TransferError::InUse { .. }), "{again}");
}

pub(crate) async fn every_table_is_in_an_export(world: World) {
    let (_, bytes) = exported(&world.store).await;
    let text = String::from_utf8(bytes).unwrap();
    let is_there = |table: &String| text.contains(&format!("{{\"table\":\"{table}\""));
    let all = tables(&world, &mut world.raw().await).await;
    let missing: Vec<_> = all.iter().filter(|table| !is_there(table)).collect();
    assert_eq!(
        missing,
        ["host_sums", "schema_migrations"],
        "what follows, and what is in the head"
    );
    assert!(text.lines().next().unwrap().contains("2026-11-23-21-create-settings"), "{text}");
}

pub(crate) async fn an_export_is_one_moment_while_others_write(world: World) {
    // Two rows that are only ever changed together.
    let mut connection = world.raw().await;
    for name in ["left", "right"] {
        let text = format!("INSERT INTO settings VALUES ('{name}', '0', 0)");
        sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    let writing = tokio::spawn(async move {
        for n in 1..200 {
            let text = format!("UPDATE settings SET value = '{n}' WHERE name IN ('left', 'right')");
            sqlx::query(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        }
    });
    for _ in 0..20 {
        let (_, bytes) = exported(&world.store).await;
        let text = String::from_utf8(bytes).unwrap();
        let value = |name: &str| {
            let row = text.lines().find(|line| line.starts_with(&format!("[\"{name}\"")));
            row.unwrap().split(',').nth(1).unwrap().to_owned()
        };
        assert_eq!(value("left"), value("right"));
    }
    writing.await.unwrap();
}

pub(crate) async fn an_export_names_the_workspaces_of_its_moment(world: World) {
    let new = world.new_workspace();
    world.store.workspaces().insert(&new, None).await.unwrap();
    let (exported, _) = exported(&world.store).await;
    let then = WorkspaceThen {
        id: new.id,
        host: world.host.clone(),
        desired: Desired::Stopped,
        observed: Observed::Absent,
    };
    assert_eq!(exported.workspaces, [then]);
}

pub(crate) async fn a_stream_that_is_not_whole_loads_nothing(world: World) {
    fill(&world).await;
    let (_, bytes) = exported(&world.store).await;
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let url = crate::schema::empty(&world, "broken").await;
    let refused = async |text: String| load(&url, text.as_bytes()).await.unwrap_err().to_string();
    let cut = text[..text.len() / 2].to_owned();
    assert!(refused(cut).await.contains("cut off"));
    let without_a_row = lines.iter().filter(|line| !line.contains("☃"));
    let without_a_row: String = without_a_row.flat_map(|line| [line, "\n"]).collect();
    assert!(refused(without_a_row).await.contains("rows of"));
    let of_another_table = text.replace("{\"table\":\"removals\"", "{\"table\":\"wings\"");
    assert!(refused(of_another_table).await.contains("no table wings"));
    let of_the_future = text.replacen("[\"2026", "[\"2999-01-01-wings\",\"2026", 1);
    let said = refused(of_the_future).await;
    assert!(said.contains("newer version") && said.contains("2999-01-01-wings"), "{said}");
    let of_a_new_format = text.replacen("\"format\":1", "\"format\":2", 1);
    assert!(refused(of_a_new_format).await.contains("newer version"));
    // None of them left a row, so that the good one still goes in.
    load(&url, text.as_bytes()).await.unwrap();
    assert_eq!(content(&world, &url).await, content(&world, &world.url).await);
}

/// From the embedded database to a server, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_engine_loads_what_the_other_exported() {
    let (embedded, server) = (World::on_sqlite().await, World::on_postgres().await);
    fill(&embedded).await;
    let (_, bytes) = exported(&embedded.store).await;
    let on_server = crate::schema::empty(&server, "moved").await;
    load(&on_server, &bytes).await.unwrap();
    let store = Store::open(&on_server, TestClock::new()).await.unwrap();
    let (_, moved) = exported(&store).await;
    let back = crate::schema::empty(&embedded, "back.db").await;
    load(&back, &moved).await.unwrap();
    assert_eq!(content(&embedded, &back).await, content(&embedded, &embedded.url).await);
}
