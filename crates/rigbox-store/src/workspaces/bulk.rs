//! Fills a database with workspaces, for tests and measurements of many.
//! Invariant: what it leaves is what as many inserts would have left, except that nothing was
//! counted against a plan or a host, and nobody who watches was woken.

use super::{NewWorkspace, Workspaces, insert::write};
use crate::StoreError;

impl Workspaces<'_> {
    /// Inserts all or none, without asking whether they fit.
    ///
    /// # Errors
    /// As [`Workspaces::insert`].
    pub async fn insert_all(&self, all: &[NewWorkspace]) -> Result<(), StoreError> {
        let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        let last = tx.revisions(count).await?.0;
        let first = last.saturating_sub(count.unsigned_abs());
        for (new, revision) in all.iter().zip(first.saturating_add(1)..) {
            write(&mut tx, new, (revision, now)).await?;
        }
        tx.commit().await
    }
}
