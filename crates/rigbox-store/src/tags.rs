//! Tags of things. Writer and reader: control. Invariant: only of things that there are; those of a
//! workspace go with it. Does not know what they are for.

use rigbox_types::access::{ResourceRef, Tags as Set};

use crate::{
    StoreError, bindings,
    engine::Engine,
    feed::Wake,
    row::{Columns, json},
    tx::Tx,
};

const GET: &str = "SELECT tags FROM tags WHERE resource_kind = $1 AND resource_id = $2";

const SET: &str = "INSERT INTO tags (resource_kind, resource_id, tags) VALUES ($1, $2, $3) \
     ON CONFLICT (resource_kind, resource_id) DO UPDATE SET tags = excluded.tags";

const FORGET: &str = "DELETE FROM tags WHERE resource_kind = $1 AND resource_id = $2";

/// See the module.
pub struct Tags<'s> {
    pub(crate) engine: &'s Engine,
}

impl Tags<'_> {
    /// The tags of a thing; none for one that is unknown.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn get(&self, of: &ResourceRef) -> Result<Set, StoreError> {
        read(self.engine, of).await
    }

    /// Replaces the tags of a thing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown thing.
    pub async fn set(&self, of: &ResourceRef, tags: &Set) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        // Held, so that the thing stays until the end.
        tx.revision().await?;
        bindings::owner_of(&mut tx, of).await?;
        if tags.is_empty() {
            forget(&mut tx, of).await?;
        } else {
            let query = sqlx::query(SET).bind(of.kind().as_str()).bind(of.id());
            query.bind(json(tags)?).execute(tx.on()).await?;
        }
        // Roles may count by tags: whose, is not known here.
        tx.wake(Wake::Everything);
        tx.commit().await
    }
}

pub(crate) async fn read(engine: &Engine, of: &ResourceRef) -> Result<Set, StoreError> {
    let query = sqlx::query(GET).bind(of.kind().as_str()).bind(of.id());
    let row = query.fetch_optional(&engine.read).await?;
    let tags = row.map(|row| Columns::of("tags", &row).json("tags")).transpose()?;
    Ok(tags.unwrap_or_default())
}

/// Forgets the tags of a thing that goes.
pub(crate) async fn forget(tx: &mut Tx<'_>, of: &ResourceRef) -> Result<(), StoreError> {
    let query = sqlx::query(FORGET).bind(of.kind().as_str()).bind(of.id());
    query.execute(tx.on()).await?;
    Ok(())
}
