//! Links that let whoever has one visit an app.
//! Writer and reader: control. Invariants: a link cannot be read out of the database, as with API keys;
//! an app has a bounded number of links that have not ended; a link that is taken back takes the cookies
//! with it that it gave, and the app gets a new place in the stream, so that edges forget them.
//! Does not decide whether whoever made a link may still share the app.

use rigbox_types::{AccountId, AppId, ShareLinkId, Timestamp, limits::SHARE_LINKS_MAX_COUNT};
use sqlx::any::AnyRow;

use crate::{
    Amount, Over, Scope, StoreError,
    api_keys::KeyHash,
    apps,
    engine::Engine,
    row::{Columns, count},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, app_id, hash, name, created_by, created_at, expires_at FROM share_links ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO share_links \
     (id, app_id, hash, name, created_by, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

const LIST: &str =
    select!("WHERE app_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id LIMIT $3");

const FIND: &str = select!("WHERE hash = $1 AND app_id = $2 AND expires_at > $3");

const COUNT: &str = "SELECT COUNT(*) AS count FROM share_links WHERE app_id = $1";

const EXPIRE: &str = "DELETE FROM share_links WHERE app_id = $1 AND expires_at <= $2";

const DELETE: &str = "DELETE FROM share_links WHERE app_id = $1 AND id = $2";

/// See the module.
pub struct ShareLinks<'s> {
    pub(crate) engine: &'s Engine,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareLinkRow {
    /// Its id.
    pub id: ShareLinkId,
    /// The app that it lets in to.
    pub app: AppId,
    /// The keyed hash of its secret.
    pub hash: KeyHash,
    /// For people.
    pub name: Option<String>,
    /// Who made it.
    pub created_by: AccountId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it lets nobody in.
    pub expires_at: Timestamp,
}

impl ShareLinks<'_> {
    /// Keeps a link; its `created_at` is now.
    ///
    /// # Errors
    /// [`StoreError::Over`], [`StoreError::NotFound`] for an unknown app.
    pub async fn insert(&self, link: &ShareLinkRow) -> Result<ShareLinkRow, StoreError> {
        let now = self.engine.now();
        let mut tx = self.engine.begin().await?;
        // Held, so that nobody else adds one meanwhile.
        tx.revision().await?;
        let expire = sqlx::query(EXPIRE).bind(link.app.as_str()).bind(now.as_micros());
        expire.execute(tx.on()).await?;
        let row = sqlx::query(COUNT).bind(link.app.as_str()).fetch_one(tx.on()).await?;
        let used = Columns::of("share_links", &row).number("count")?;
        let limit = SHARE_LINKS_MAX_COUNT;
        if used >= limit {
            let (scope, what) = (Scope::Account, Amount::ShareLinks);
            return Err(Over { scope, what, limit, used, asked: 1, plan: None }.into());
        }
        let kept = ShareLinkRow { created_at: now, ..link.clone() };
        sqlx::query(INSERT)
            .bind(kept.id.to_string())
            .bind(kept.app.as_str())
            .bind(kept.hash.as_bytes().to_vec())
            .bind(kept.name.clone())
            .bind(kept.created_by.to_string())
            .bind(now.as_micros())
            .bind(kept.expires_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| {
                if StoreError::is_foreign_key(&error) {
                    StoreError::not_found("app", &link.app)
                } else {
                    StoreError::or_conflict(error, "share link", &link.id)
                }
            })?;
        tx.commit().await?;
        Ok(kept)
    }

    /// The links of an app that have not ended, newest first: as many as there may be at most.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self, app: &AppId) -> Result<Vec<ShareLinkRow>, StoreError> {
        let now = self.engine.now().as_micros();
        let query = sqlx::query(LIST).bind(app.as_str()).bind(now);
        let query = query.bind(count(SHARE_LINKS_MAX_COUNT));
        query.fetch_all(&self.engine.read).await?.iter().map(read).collect()
    }

    /// The link of this app with this secret, if it has not ended.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find(
        &self,
        app: &AppId,
        hash: &KeyHash,
    ) -> Result<Option<ShareLinkRow>, StoreError> {
        let now = self.engine.now().as_micros();
        let query = sqlx::query(FIND).bind(hash.as_bytes().to_vec()).bind(app.as_str()).bind(now);
        query.fetch_optional(&self.engine.read).await?.as_ref().map(read).transpose()
    }

    /// Takes a link back with the cookies that it gave.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, app: &AppId, id: ShareLinkId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        apps::touch(&mut tx, app).await?;
        let query = sqlx::query(DELETE).bind(app.as_str()).bind(id.to_string());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("share link", &id));
        }
        tx.commit().await
    }
}

fn read(row: &AnyRow) -> Result<ShareLinkRow, StoreError> {
    let columns = Columns::of("share_links", row);
    Ok(ShareLinkRow {
        id: columns.parsed("id")?,
        app: columns.parsed("app_id")?,
        hash: KeyHash::from_bytes(&columns.raw::<Vec<u8>>("hash")?)?,
        name: columns.raw("name")?,
        created_by: columns.parsed("created_by")?,
        created_at: columns.moment("created_at")?,
        expires_at: columns.moment("expires_at")?,
    })
}
