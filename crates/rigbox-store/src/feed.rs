//! The change stream of workspaces: what a host has to know, in the order of revisions, and
//! wake-ups for whoever watches, also for apps and for API keys that end.
//! Writers: the modules of this crate, within their transactions. Readers: control, per host.
//! Invariants: whoever reads on from the revision that the last answer named misses nothing and
//! may see a change twice; a removal is remembered for at least a day; a wake-up is a hint, never
//! the only notice: a reader also looks after a while without one.

mod hub;

use std::time::Duration;

use rigbox_types::{HostId, Revision, WorkspaceId};

use crate::{
    StoreError,
    apps::follow,
    engine::Engine,
    row::Columns,
    workspaces::{WorkspaceRow, row},
};

pub(crate) use hub::{CHANNEL, Hub};
pub use hub::{Subscription, Wake};

/// Most changes of one answer. A workspace has at most 8 MiB of environment, mostly far less.
const CHANGES_MAX: i64 = 64;

/// How long removals are remembered. A host that was away for longer reads the whole set.
const REMOVALS_KEPT: Duration = Duration::from_secs(24 * 3600);

const REVISION_READ: &str = "SELECT revision, forgotten_revision FROM feed WHERE id = 1";

pub(crate) const CHANGES_READ: &str = concat!(
    "SELECT ",
    row::columns!("env"),
    " FROM workspaces WHERE host_id = $1 AND revision > $2 ORDER BY revision LIMIT $3"
);

pub(crate) const REMOVALS_READ: &str = "SELECT revision, workspace_id FROM removals \
     WHERE host_id = $1 AND revision > $2 ORDER BY revision LIMIT $3";

pub(crate) const WHOLE_READ: &str = concat!(
    "SELECT ",
    row::columns!("env"),
    " FROM workspaces WHERE host_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);

const REMOVALS_FORGET: &str = "DELETE FROM removals WHERE removed_at < $1";

const APP_REMOVALS_FORGET: &str = "DELETE FROM app_removals WHERE removed_at < $1";

const REMOVALS_NEWEST: &str = "SELECT CAST(COALESCE(MAX(revision), 0) AS BIGINT) AS revision FROM \
     (SELECT revision FROM removals WHERE removed_at < $1 \
     UNION ALL SELECT revision FROM app_removals WHERE removed_at < $1) AS old";

const FORGOTTEN_RAISE: &str =
    "UPDATE feed SET forgotten_revision = $1 WHERE id = 1 AND forgotten_revision < $1";

/// See the module.
pub struct Feed<'s> {
    pub(crate) engine: &'s Engine,
}

/// One change that a host has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A workspace of the host is new or has changed.
    Changed(Box<WorkspaceRow>),
    /// A workspace is gone.
    Removed {
        /// Position in the stream.
        revision: Revision,
        /// Which workspace.
        workspace: WorkspaceId,
    },
}

/// What happened since a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// These, in order of revision; then ask again from `upto`.
    Since {
        /// The changes, at most 64.
        changes: Vec<Change>,
        /// Everything up to here is told.
        upto: Revision,
        /// Whether there is more right now.
        more: bool,
    },
    /// Too long ago, or from another database: read the whole set.
    Gap,
}

/// A part of the whole set of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeSet {
    /// Workspaces in the order of their ids, at most 64.
    pub workspaces: Vec<WorkspaceRow>,
    /// Where the next part begins; none after the last one.
    pub next: Option<WorkspaceId>,
}

impl Feed<'_> {
    /// The newest revision that is visible.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        self.positions().await.map(|(newest, _)| newest)
    }

    /// What a host has to know beyond `after`.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn changes_since(
        &self,
        host: &HostId,
        after: Revision,
    ) -> Result<Changes, StoreError> {
        // Read before the rows: what changes in between is then told twice, never left out.
        let (newest, forgotten) = self.positions().await?;
        if after < forgotten || after > newest {
            return Ok(Changes::Gap);
        }
        let read = |text: &'static str| {
            sqlx::query(text)
                .bind(host.as_str().to_owned())
                .bind(crate::row::count(after.0))
                .bind(CHANGES_MAX)
                .fetch_all(&self.engine.read)
        };
        let (changed, removed) = (read(CHANGES_READ).await?, read(REMOVALS_READ).await?);
        let full = |rows: usize| i64::try_from(rows).is_ok_and(|rows| rows >= CHANGES_MAX);
        let cut = full(changed.len()) || full(removed.len());
        let mut changes = Vec::with_capacity(changed.len() + removed.len());
        for row in &changed {
            changes.push(Change::Changed(Box::new(row::read(row)?)));
        }
        for row in &removed {
            let columns = Columns::of("removals", row);
            let revision = columns.number("revision").map(Revision)?;
            changes.push(Change::Removed { revision, workspace: columns.parsed("workspace_id")? });
        }
        changes.sort_by_key(Change::revision);
        if !cut {
            return Ok(Changes::Since { changes, upto: newest, more: false });
        }
        // One of the two lists may go on within what the other one covers: tell only what both
        // are known to cover.
        changes.truncate(usize::try_from(CHANGES_MAX).unwrap_or(usize::MAX));
        let upto = changes.last().map_or(after, Change::revision);
        Ok(Changes::Since { changes, upto, more: true })
    }

    /// A part of everything that a host has, beginning behind `after`. Take [`Feed::revision`]
    /// before the first part, and read on from it with [`Feed::changes_since`] after the last.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn whole_set(
        &self,
        host: &HostId,
        after: Option<&WorkspaceId>,
    ) -> Result<WholeSet, StoreError> {
        let rows = sqlx::query(WHOLE_READ)
            .bind(host.as_str())
            .bind(after.map_or("", WorkspaceId::as_str))
            .bind(CHANGES_MAX)
            .fetch_all(&self.engine.read)
            .await?;
        let workspaces = rows.iter().map(row::read).collect::<Result<Vec<_>, _>>()?;
        let full = i64::try_from(workspaces.len()).is_ok_and(|count| count >= CHANGES_MAX);
        let next = workspaces.last().filter(|_| full).map(|row: &WorkspaceRow| row.id.clone());
        Ok(WholeSet { workspaces, next })
    }

    /// Wake-ups from now on. Subscribe before reading, so that nothing falls in between.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.engine.hub.subscribe()
    }

    /// Forgets removals of more than a day ago. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let kept = i64::try_from(REMOVALS_KEPT.as_micros()).unwrap_or(i64::MAX);
        let before = self.engine.now().as_micros().saturating_sub(kept);
        let mut tx = self.engine.begin().await?;
        // Takes the counter first, like every writer of the feed.
        tx.revision().await?;
        let row = sqlx::query(REMOVALS_NEWEST).bind(before).fetch_one(tx.on()).await?;
        let newest: i64 = Columns::of("removals", &row).raw("revision")?;
        sqlx::query(FORGOTTEN_RAISE).bind(newest).execute(tx.on()).await?;
        sqlx::query(REMOVALS_FORGET).bind(before).execute(tx.on()).await?;
        sqlx::query(APP_REMOVALS_FORGET).bind(before).execute(tx.on()).await?;
        follow::forget(&mut tx, self.engine.now().as_micros()).await?;
        tx.commit().await
    }

    /// The newest revision that is visible, and the one up to which removals are forgotten.
    pub(crate) async fn positions(&self) -> Result<(Revision, Revision), StoreError> {
        let row = sqlx::query(REVISION_READ).fetch_one(&self.engine.read).await?;
        let columns = Columns::of("feed", &row);
        let newest = columns.number("revision").map(Revision)?;
        Ok((newest, columns.number("forgotten_revision").map(Revision)?))
    }
}

impl Change {
    /// Position in the stream.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Changed(row) => row.revision,
            Self::Removed { revision, .. } => *revision,
        }
    }
}
