//! The change stream of apps, which is one for all edges: what each app is now, and which are gone, in
//! the order of revisions.
//! Invariants: as those of [`feed`](crate::feed), whose revisions these are: whoever reads on from the
//! revision that the last answer named misses nothing and may see a change twice.
//! Does not know what an edge makes of it.

use rigbox_types::{AppId, Revision};

use super::{AppRow, row};
use crate::{
    StoreError,
    engine::Engine,
    feed::Feed,
    row::{Columns, count},
};

/// Most changes of one answer.
const CHANGES_MAX: i64 = 512;

const CHANGES_READ: &str =
    concat!("SELECT ", row::columns!(), " WHERE a.revision > $1 ORDER BY a.revision LIMIT $2");

const REMOVALS_READ: &str =
    "SELECT revision, app_id FROM app_removals WHERE revision > $1 ORDER BY revision LIMIT $2";

const DOMAINS_READ: &str = "SELECT verified_domain FROM apps \
     WHERE verified_domain IS NOT NULL ORDER BY verified_domain";

const WHOLE_READ: &str =
    concat!("SELECT ", row::columns!(), " WHERE a.id > $1 ORDER BY a.id LIMIT $2");

/// See the module.
pub struct Routes<'s> {
    pub(crate) engine: &'s Engine,
}

/// One change that an edge has to know.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteChange {
    /// An app is new or has changed.
    Changed(Box<AppRow>),
    /// An app is gone.
    Removed {
        /// Position in the stream.
        revision: Revision,
        /// Which app.
        app: AppId,
    },
}

/// What happened since a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteChanges {
    /// These, in order of revision; then ask again from `upto`.
    Since {
        /// The changes, at most 512.
        changes: Vec<RouteChange>,
        /// Everything up to here is told.
        upto: Revision,
        /// Whether there is more right now.
        more: bool,
    },
    /// Too long ago, or from another database: read the whole set.
    Gap,
}

impl RouteChange {
    /// Position in the stream.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Changed(row) => row.revision,
            Self::Removed { revision, .. } => *revision,
        }
    }
}

impl Routes<'_> {
    /// The newest revision that is visible.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        Feed { engine: self.engine }.revision().await
    }

    /// What an edge has to know beyond `after`.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn changes_since(&self, after: Revision) -> Result<RouteChanges, StoreError> {
        // Read before the rows: what changes in between is then told twice, never left out.
        let (newest, forgotten) = Feed { engine: self.engine }.positions().await?;
        if after < forgotten || after > newest {
            return Ok(RouteChanges::Gap);
        }
        let read = |text: &'static str| {
            let query = sqlx::query(text).bind(count(after.0)).bind(CHANGES_MAX);
            query.fetch_all(&self.engine.read)
        };
        let (changed, removed) = (read(CHANGES_READ).await?, read(REMOVALS_READ).await?);
        let full = |rows: usize| i64::try_from(rows).is_ok_and(|rows| rows >= CHANGES_MAX);
        let cut = full(changed.len()) || full(removed.len());
        let mut changes = Vec::with_capacity(changed.len() + removed.len());
        for row in &changed {
            changes.push(RouteChange::Changed(Box::new(row::read(row)?)));
        }
        for row in &removed {
            let columns = Columns::of("app_removals", row);
            let revision = columns.number("revision").map(Revision)?;
            changes.push(RouteChange::Removed { revision, app: columns.parsed("app_id")? });
        }
        changes.sort_by_key(RouteChange::revision);
        if !cut {
            // What came after the look at the newest revision is told the next time: an edge
            // acknowledges what it is told, and something between the two may not be told yet.
            changes.retain(|change| change.revision() <= newest);
            return Ok(RouteChanges::Since { changes, upto: newest, more: false });
        }
        // One of the two lists may go on within what the other one covers: tell only what both
        // are known to cover.
        changes.truncate(usize::try_from(CHANGES_MAX).unwrap_or(usize::MAX));
        changes.retain(|change| change.revision() <= newest);
        let upto = changes.last().map_or(after, RouteChange::revision);
        Ok(RouteChanges::Since { changes, upto, more: true })
    }

    /// Custom domains that were verified, in order.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn verified_domains(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(DOMAINS_READ).fetch_all(&self.engine.read).await?;
        rows.iter().map(|row| Columns::of("apps", row).raw("verified_domain")).collect()
    }

    /// A part of all apps, in the order of their ids, beginning behind `after`; the last one is empty.
    /// Take [`Routes::revision`] before the first part, and read on from it with
    /// [`Routes::changes_since`] after the last.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn whole_set(&self, after: Option<&AppId>) -> Result<Vec<AppRow>, StoreError> {
        let query = sqlx::query(WHOLE_READ).bind(after.map_or("", AppId::as_str)).bind(CHANGES_MAX);
        query.fetch_all(&self.engine.read).await?.iter().map(row::read).collect()
    }
}
