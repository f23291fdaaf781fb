//! One writing transaction, and the counter that orders the changes of workspaces.
//! Invariants: a transaction that takes a revision holds the counter's row until its end, so that
//! revisions become visible in their order and whoever has seen one has seen all before it;
//! the counter is taken before any other row, so that transactions never wait for each other in a
//! circle; watchers are told only of what is committed.
//! Does not retry: a transaction that failed has changed nothing.

use rigbox_types::Revision;
use sqlx::{Any, AnyConnection, Transaction};

use crate::{
    StoreError,
    engine::{Engine, Kind, Text},
    feed::Wake,
    row::Columns,
};

/// SQLite must know at once that a transaction writes: one that reads first and is overtaken by
/// another writer could not go on.
const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";

const REVISION_TAKE: &str =
    "UPDATE feed SET revision = revision + 1 WHERE id = 1 RETURNING revision";

#[cfg(any(test, feature = "bulk"))]
const REVISIONS_TAKE: &str =
    "UPDATE feed SET revision = revision + $1 WHERE id = 1 RETURNING revision";

const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// A writing transaction. Dropped without [`Tx::commit`] it has no effect.
pub(crate) struct Tx<'e> {
    engine: &'e Engine,
    inner: Transaction<'static, Any>,
    wakes: Vec<Wake>,
}

impl Engine {
    pub(crate) async fn begin(&self) -> Result<Tx<'_>, StoreError> {
        let inner = match self.kind {
            Kind::Sqlite => self.write.begin_with(BEGIN_SQLITE).await?,
            Kind::Postgres => self.write.begin().await?,
        };
        Ok(Tx { engine: self, inner, wakes: Vec::new() })
    }
}

impl Tx<'_> {
    /// The connection, for statements.
    pub(crate) fn on(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    pub(crate) fn kind(&self) -> Kind {
        self.engine.kind
    }

    pub(crate) fn text(&self, text: Text) -> &'static str {
        self.engine.text(text)
    }

    /// Takes the next revision, and with it the right to be the only one who changes workspaces
    /// until the end.
    pub(crate) async fn revision(&mut self) -> Result<Revision, StoreError> {
        let row = sqlx::query(REVISION_TAKE).fetch_one(self.on()).await?;
        Columns::of("feed", &row).number("revision").map(Revision)
    }

    /// Takes several revisions at once; gives the last one.
    #[cfg(any(test, feature = "bulk"))]
    pub(crate) async fn revisions(&mut self, count: i64) -> Result<Revision, StoreError> {
        let row = sqlx::query(REVISIONS_TAKE).bind(count).fetch_one(self.on()).await?;
        Columns::of("feed", &row).number("revision").map(Revision)
    }

    /// Tells watchers, once the transaction is committed.
    pub(crate) fn wake(&mut self, wake: Wake) {
        self.wakes.push(wake);
    }

    /// Commits and wakes watchers, also when the caller goes away meanwhile: whether a commit
    /// happens must not depend on where a request is dropped.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let mut wakes = std::mem::take(&mut self.wakes);
        if self.engine.kind == Kind::Postgres {
            // PostgreSQL tells every process, this one too, in the order of commits.
            for wake in wakes.drain(..) {
                let query = sqlx::query(NOTIFY).bind(crate::feed::CHANNEL).bind(wake.to_string());
                query.execute(self.on()).await?;
            }
        }
        let (inner, hub) = (self.inner, self.engine.hub.clone());
        let committing = tokio::spawn(async move {
            inner.commit().await?;
            wakes.into_iter().for_each(|wake| hub.publish(wake));
            Ok(())
        });
        committing.await.unwrap_or_else(|ended| Err(StoreError::Unavailable(ended.into())))
    }
}
