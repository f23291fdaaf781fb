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
pub(crate) async fn empty(world: &World, name: &str) -> StoreUrl {
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

/// Brings a database to where an older version would have left it.
async fn at_point(world: &World, url: &StoreUrl, done: &[(String, String)]) {
    let mut connection = raw(url).await;
    let notes = match world.database {
        Database::Sqlite { .. } => {
            "CREATE TABLE schema_migrations \
             (name TEXT NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT"
        }
        Database::Postgres(_) => {
            "CREATE TABLE schema_migrations \
             (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"
        }
    };
    // At once: one write to the disk for a point, and not one for each step before it.
    run(&mut connection, "BEGIN").await;
    run(&mut connection, notes).await;
    for (name, text) in done {
        run(&mut connection, text).await;
        run(&mut connection, &format!("INSERT INTO schema_migrations VALUES ('{name}', 0)")).await;
    }
    run(&mut connection, "COMMIT").await;
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
    // Ends of days are what was released; what is between them, a cut start may have left.
    let day = |at: usize| migrations.get(at).map(|(name, _)| &name[..10]);
    let points =
        (0..migrations.len()).filter(|at| at % 6 == 1 || *at < 1 || day(at - 1) != day(*at));
    for point in points {
        let url = empty(&world, &format!("upgrade{point}")).await;
        at_point(&world, &url, &migrations[..point]).await;
        let mut connection = raw(&url).await;
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

/// Everybody who wants to write to a table queues up behind a migration that waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_must_wait_lets_writers_go_first() {
    let world = World::on_postgres().await;
    let url = empty(&world, "waiting").await;
    let migrations = migrations(&world);
    let indexed = migrations.iter().position(|(name, _)| name.ends_with("workspaces-by-account"));
    at_point(&world, &url, &migrations[..indexed.unwrap()]).await;
    let write = "BEGIN; LOCK TABLE workspaces IN ROW EXCLUSIVE MODE";
    let (mut slow, mut quick) = (raw(&url).await, raw(&url).await);
    run(&mut slow, write).await;
    let opening = {
        let url = url.clone();
        tokio::spawn(async move { Store::open(&url, TestClock::new()).await })
    };
    let waiting =
        "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'workspaces'::regclass";
    let patience = std::time::Instant::now();
    while sqlx::query(waiting).fetch_all(&mut quick).await.unwrap().is_empty() {
        assert!(patience.elapsed().as_secs() < 60, "the migration does not wait");
        tokio::task::yield_now().await;
    }
    // The slow writer goes on, and still this one gets its turn.
    run(&mut quick, "SET lock_timeout = '30s'").await;
    run(&mut quick, write).await;
    run(&mut quick, "COMMIT").await;
    run(&mut slow, "COMMIT").await;
    opening.await.unwrap().unwrap().close().await;
    assert_eq!(schema(&world, &url).await, schema(&world, &world.url).await);
}
