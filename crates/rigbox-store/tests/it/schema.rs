use std::{fmt::Write, path::PathBuf};

use futures_util::future::join_all;
use rigbox_store::{OpenError, Store, StoreUrl};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::kit::{Database, TestClock, World, raw};

/// The files of an engine: name and text, oldest first.
fn migrations(world: &World) -> Vec<(String, String)> {
    let engine = match world.database {
        Database::Sqlite { .. } => "sqlite",
        Database::Postgres(_) => "postgres",
    };
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// An empty database beside the world's own.
async fn empty(world: &World, name: &str) -> StoreUrl {
    match &world.url {
        StoreUrl::Sqlite(path) => StoreUrl::Sqlite(path.with_file_name(name)),
        StoreUrl::Postgres(address) => {
            use secrecy::ExposeSecret as _;
            run(&mut world.raw().await, &format!("CREATE DATABASE {name}")).await;
            let address = address.expose_secret();
            address.replace("/postgres?", &format!("/{name}?")).parse().unwrap()
        }
    }
}

async fn run(connection: &mut AnyConnection, text: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// Everything that makes the schema, as text.
async fn schema(world: &World, url: &StoreUrl) -> String {
    let text = match world.database {
        Database::Sqlite { .. } => {
            "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') AS line \
             FROM sqlite_schema ORDER BY 1"
        }
        Database::Postgres(_) => {
            "SELECT 'column ' || table_name || ' ' || ordinal_position || ' ' \
             || column_name || ' ' || data_type || ' ' || is_nullable || ' ' \
             || COALESCE(column_default, '') || ' ' || COALESCE(collation_name, '') AS line \
             FROM information_schema.columns WHERE table_schema = 'public' \
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
             UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' \
             || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
             ORDER BY 1"
        }
    };
    let rows = sqlx::query(text).fetch_all(&mut raw(url).await).await.unwrap();
    let mut lines = String::new();
    for row in rows {
        writeln!(lines, "{}", row.get::<String, _>("line")).unwrap();
    }
    lines
}

async fn notes(url: &StoreUrl) -> Vec<String> {
    let text = "SELECT name FROM schema_migrations ORDER BY name";
    let rows = sqlx::query(text).fetch_all(&mut raw(url).await).await.unwrap();
    rows.iter().map(|row| row.get("name")).collect()
}

pub(crate) async fn every_step_can_be_repeated(world: World) {
    let before = schema(&world, &world.url).await;
    let mut connection = world.raw().await;
    for (_, text) in migrations(&world) {
        run(&mut connection, &text).await;
    }
    assert_eq!(schema(&world, &world.url).await, before);
    let row = sqlx::query("SELECT COUNT(*) AS count FROM feed").fetch_one(&mut connection).await;
    assert_eq!(row.unwrap().get::<i64, _>("count"), 1);
}

pub(crate) async fn an_upgrade_from_any_point_ends_like_a_fresh_start(world: World) {
    let fresh = schema(&world, &world.url).await;
    let migrations = migrations(&world);
    let names: Vec<_> = migrations.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(notes(&world.url).await, names, "not all files are on the list");
    for point in 0..migrations.len() {
        let url = empty(&world, &format!("upgrade{point}")).await;
        let mut connection = raw(&url).await;
        let (integer, strict) = match world.database {
            Database::Sqlite { .. } => ("INTEGER", "STRICT"),
            Database::Postgres(_) => ("BIGINT", ""),
        };
        let text = match world.database {
            Database::Sqlite { .. } => "TEXT",
            Database::Postgres(_) => "TEXT COLLATE \"C\"",
        };
        let table = format!(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name {text} NOT NULL PRIMARY KEY, \
             applied_at {integer} NOT NULL) {strict}"
        );
        run(&mut connection, table.trim_end()).await;
        for (name, text) in &migrations[..point] {
            run(&mut connection, text).await;
            let note = format!("INSERT INTO schema_migrations VALUES ('{name}', 0)");
            run(&mut connection, &note).await;
        }
        if point > 3 {
            let row =
                "INSERT INTO accounts VALUES ('00000000-0000-4000-8000-000000000001', 'user', 7)";
            run(&mut connection, row).await;
        }
        let store = Store::open(&url, TestClock::new()).await.unwrap();
        if point > 3 {
            let id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
            assert_eq!(store.accounts().get(id).await.unwrap().created_at.as_micros(), 7);
        }
        store.close().await;
        assert_eq!(schema(&world, &url).await, fresh, "from {point}");
        assert_eq!(notes(&url).await, names, "from {point}");
    }
}

pub(crate) async fn many_starts_at_once_make_one_schema(world: World) {
    let url = empty(&world, "many").await;
    let starts = (0..8).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { Store::open(&url, TestClock::new()).await })
    });
    for start in join_all(starts).await {
        start.unwrap().unwrap().close().await;
    }
    assert_eq!(schema(&world, &url).await, schema(&world, &world.url).await);
}

pub(crate) async fn a_newer_schema_is_refused_and_left_alone(world: World) {
    let mut connection = world.raw().await;
    run(&mut connection, "INSERT INTO schema_migrations VALUES ('2999-01-01-wings', 0)").await;
    let before = schema(&world, &world.url).await;
    let refused = Store::open(&world.url, TestClock::new()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Newer { .. }), "{refused:?}");
    let text = refused.to_string();
    for part in ["newer version", "2999-01-01-wings", env!("CARGO_PKG_VERSION")] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(schema(&world, &world.url).await, before);
}
