//! The connections to one database, and where the two engines differ.
//! Owns pools and the clock. Invariants: SQLite has one writing connection, so writers queue up
//! fairly in this process instead of meeting a busy database; every wait has a limit.
//! Does not know resources.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use camino::Utf8Path;
use rigbox_types::Timestamp;
use secrecy::ExposeSecret as _;
use sqlx::{
    AnyConnection, AnyPool, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use crate::{
    Clock, OpenError, StoreError, StoreUrl, ai::Callers, feed::Hub, migrate, wal_index::WalIndex,
};

/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reading connections of SQLite: more would only wait for the two cores of a small machine.
const SQLITE_READERS: u32 = 4;

/// Connections of one process to PostgreSQL, whose default limit for all is 100. Writers wait for
/// the counter with a connection in hand, so readers have their own.
const POSTGRES_WRITERS: u32 = 8;
const POSTGRES_READERS: u32 = 8;

/// What each SQLite connection is told. WAL lets readers go on while one writes; FULL makes a
/// commit durable before it returns; another process may hold the file for at most 5 s. What undoes one
/// statement stays in memory: statements are small, and making a file for each is not.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864; \
     PRAGMA temp_store = MEMORY";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON";

/// What each PostgreSQL connection is told: nothing of ours takes longer, and a process that hangs
/// within a transaction must not hold the counter.
const POSTGRES_SESSION: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET synchronous_commit = 'on'";

/// The two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A statement that the engines write differently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// An open database.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) read: AnyPool,
    pub(crate) write: AnyPool,
    pub(crate) hub: Arc<Hub>,
    pub(crate) callers: Callers,
    clock: Arc<dyn Clock>,
}

impl Engine {
    pub(crate) async fn open(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_with(url, clock, None).await
    }

    /// Opens the database with the schema that has these changes at least, and no others where it is
    /// new.
    pub(crate) async fn open_at(
        url: &StoreUrl,
        clock: Arc<dyn Clock>,
        migrations: &[String],
    ) -> Result<Self, OpenError> {
        Self::open_with(url, clock, Some(migrations)).await
    }

    async fn open_with(
        url: &StoreUrl,
        clock: Arc<dyn Clock>,
        migrations: Option<&[String]>,
    ) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let failed = |source| OpenError::Connect { url: url.to_string(), source };
        let (kind, read, write) = match url {
            StoreUrl::Sqlite(path) => {
                make_file(path).map_err(|source| OpenError::File { path: path.clone(), source })?;
                let address = sqlite_address(path);
                // The writer first: it switches the file to WAL, which needs it alone.
                let write = pool(&address, SQLITE_WRITER, (1, true)).await.map_err(failed)?;
                let readers = (SQLITE_READERS, false);
                let read = pool(&address, SQLITE_READER, readers).await.map_err(failed)?;
                (Kind::Sqlite, read, write)
            }
            StoreUrl::Postgres(address) => {
                let address = address.expose_secret();
                let write = pool(address, POSTGRES_SESSION, (POSTGRES_WRITERS, true)).await;
                let read = pool(address, POSTGRES_SESSION, (POSTGRES_READERS, true)).await;
                (Kind::Postgres, read.map_err(failed)?, write.map_err(failed)?)
            }
        };
        migrate::run(kind, &write, url, (clock.now(), migrations)).await?;
        let hub = Hub::open(url).await.map_err(failed)?;
        let index = match url {
            StoreUrl::Sqlite(path) => Some(WalIndex::of(path)),
            StoreUrl::Postgres(_) => None,
        };
        Ok(Self { kind, read, write, hub: Arc::new(hub), callers: Callers::new(index), clock })
    }

    pub(crate) async fn close(&self) {
        self.hub.close();
        self.read.close().await;
        self.write.close().await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn text(&self, text: Text) -> &'static str {
        match self.kind {
            Kind::Sqlite => text.sqlite,
            Kind::Postgres => text.postgres,
        }
    }
}

/// So many connections at most, which are asked before each use whether they work still, or not: it costs as
/// much as a query, and a file does not go away while it is read.
async fn pool(
    address: &str,
    session: &'static str,
    (most, are_tested): (u32, bool),
) -> Result<AnyPool, StoreError> {
    let options = AnyConnectOptions::from_str(address)?;
    // A pool tries again until its time is over and then says only that; what is wrong is said by
    // one connection without a pool.
    let mut first = AnyConnection::connect_with(&options).await?;
    first.execute(sqlx::raw_sql(session)).await?;
    first.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(most)
        .test_before_acquire(are_tested)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(session)).await.map(|_| ()) })
        })
        // SQLite ends a transaction by itself when the disk is full, and the driver then counts
        // one that is not there: such a connection is replaced.
        .before_acquire(|connection, _| {
            let clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(clean) })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Makes the file readable by its owner only: it holds users' environments.
fn make_file(path: &Utf8Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn sqlite_address(path: &Utf8Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let encoded: String = path
        .as_str()
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("sqlite://{encoded}")
}
