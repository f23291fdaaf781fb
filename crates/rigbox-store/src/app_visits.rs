//! What browsers show to apps: cookies, and the single-use tokens by which a session of the dashboard
//! becomes one.
//! Writer and reader: control. Invariants: neither can be read out of the database, as with API keys; of
//! many uses of one token at once one succeeds; a cookie ends with what it rests on, and its number for
//! one session and app, or one link, is bounded.
//! Does not decide who may visit.

use rigbox_types::{AppId, SessionId, ShareLinkId, Timestamp};

use crate::{StoreError, api_keys::KeyHash, engine::Engine, row::Columns};

/// Most cookies of one session for one app, as of one link: tabs that began at once, and browsers that
/// share a link. More of them end the oldest.
const OF_SESSION_MAX: i64 = 8;
const OF_LINK_MAX: i64 = 1_000;

/// Most tokens of one session that were not used yet.
const TRANSFERS_MAX: i64 = 64;

const TRANSFER_INSERT: &str = "INSERT INTO app_transfers \
     (hash, app_id, name, state, session_id, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";

const TRANSFER_TAKE: &str = "DELETE FROM app_transfers WHERE hash = $1 RETURNING app_id, name, state, session_id, expires_at";

const TRANSFERS_EXPIRE: &str = "DELETE FROM app_transfers WHERE session_id = $1 AND (expires_at <= $2 \
     OR hash NOT IN (SELECT hash FROM app_transfers WHERE session_id = $1 \
     ORDER BY expires_at DESC, hash LIMIT $3))";

const COOKIE_INSERT: &str = "INSERT INTO app_cookies \
     (hash, app_id, session_id, link_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";

const COOKIE_FIND: &str = "SELECT session_id, link_id, expires_at FROM app_cookies \
     WHERE hash = $1 AND app_id = $2 AND expires_at > $3";

const OF_SESSION_LIMIT: &str = "DELETE FROM app_cookies WHERE session_id = $1 AND app_id = $2 \
     AND hash NOT IN (SELECT hash FROM app_cookies WHERE session_id = $1 AND app_id = $2 \
     ORDER BY created_at DESC, hash LIMIT $3)";

const OF_LINK_LIMIT: &str = "DELETE FROM app_cookies WHERE link_id = $1 AND app_id = $2 \
     AND hash NOT IN (SELECT hash FROM app_cookies WHERE link_id = $1 AND app_id = $2 \
     ORDER BY created_at DESC, hash LIMIT $3)";

const COOKIES_FORGET: &str = "DELETE FROM app_cookies WHERE expires_at <= $1";

const TRANSFERS_FORGET: &str = "DELETE FROM app_transfers WHERE expires_at <= $1";

/// See the module.
pub struct AppVisits<'s> {
    pub(crate) engine: &'s Engine,
}

/// What a cookie rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestsOn {
    /// A session.
    Session(SessionId),
    /// A share link.
    Link(ShareLinkId),
}

/// A single-use token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The app that it is for.
    pub app: AppId,
    /// The host name that it is for.
    pub name: String,
    /// SHA-256, in hexadecimal, of what the edge has given the browser.
    pub state: String,
    /// The session that it carries.
    pub session: SessionId,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// A cookie of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieRow {
    /// What it rests on.
    pub rests_on: RestsOn,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

impl AppVisits<'_> {
    /// Keeps a token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an app or a session that is gone.
    pub async fn transfer_insert(
        &self,
        hash: &KeyHash,
        transfer: &Transfer,
    ) -> Result<(), StoreError> {
        let session = transfer.session.to_string();
        let mut tx = self.engine.begin().await?;
        sqlx::query(TRANSFER_INSERT)
            .bind(hash.as_bytes().to_vec())
            .bind(transfer.app.as_str())
            .bind(transfer.name.clone())
            .bind(transfer.state.clone())
            .bind(session.clone())
            .bind(transfer.expires_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| match StoreError::is_foreign_key(&error) {
                true => StoreError::not_found("app or session", &transfer.app),
                false => error.into(),
            })?;
        let now = self.engine.now().as_micros();
        let query = sqlx::query(TRANSFERS_EXPIRE).bind(session).bind(now).bind(TRANSFERS_MAX);
        query.execute(tx.on()).await?;
        tx.commit().await
    }

    /// Uses a token up, and gives it where it was still good.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn transfer_take(&self, hash: &KeyHash) -> Result<Option<Transfer>, StoreError> {
        let mut tx = self.engine.begin().await?;
        let query = sqlx::query(TRANSFER_TAKE).bind(hash.as_bytes().to_vec());
        let row = query.fetch_optional(tx.on()).await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        let columns = Columns::of("app_transfers", &row);
        let transfer = Transfer {
            app: columns.parsed("app_id")?,
            name: columns.raw("name")?,
            state: columns.raw("state")?,
            session: columns.parsed("session_id")?,
            expires_at: columns.moment("expires_at")?,
        };
        Ok(Some(transfer).filter(|transfer| transfer.expires_at > self.engine.now()))
    }

    /// Keeps a cookie.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an app, a session or a link that is gone.
    pub async fn cookie_insert(
        &self,
        hash: &KeyHash,
        app: &AppId,
        cookie: CookieRow,
    ) -> Result<(), StoreError> {
        let (session, link) = match cookie.rests_on {
            RestsOn::Session(id) => (Some(id.to_string()), None),
            RestsOn::Link(id) => (None, Some(id.to_string())),
        };
        let mut tx = self.engine.begin().await?;
        sqlx::query(COOKIE_INSERT)
            .bind(hash.as_bytes().to_vec())
            .bind(app.as_str())
            .bind(session.clone())
            .bind(link.clone())
            .bind(self.engine.now().as_micros())
            .bind(cookie.expires_at.as_micros())
            .execute(tx.on())
            .await
            .map_err(|error| match StoreError::is_foreign_key(&error) {
                true => StoreError::not_found("app, session or link", app),
                false => error.into(),
            })?;
        let (text, key, most) = match cookie.rests_on {
            RestsOn::Session(_) => (OF_SESSION_LIMIT, session, OF_SESSION_MAX),
            RestsOn::Link(_) => (OF_LINK_LIMIT, link, OF_LINK_MAX),
        };
        let query = sqlx::query(text).bind(key.unwrap_or_default()).bind(app.as_str()).bind(most);
        query.execute(tx.on()).await?;
        tx.commit().await
    }

    /// The cookie of this app with this value, if it has not ended by itself. Whether what it rests on
    /// still counts is the caller's to look up.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn cookie(
        &self,
        app: &AppId,
        hash: &KeyHash,
    ) -> Result<Option<CookieRow>, StoreError> {
        let query = sqlx::query(COOKIE_FIND).bind(hash.as_bytes().to_vec()).bind(app.as_str());
        let query = query.bind(self.engine.now().as_micros());
        let Some(row) = query.fetch_optional(&self.engine.read).await? else { return Ok(None) };
        let columns = Columns::of("app_cookies", &row);
        let session: Option<SessionId> = columns.parsed_optional("session_id")?;
        let link: Option<ShareLinkId> = columns.parsed_optional("link_id")?;
        let rests_on = session.map(RestsOn::Session).or_else(|| link.map(RestsOn::Link));
        let expires_at = columns.moment("expires_at")?;
        Ok(rests_on.map(|rests_on| CookieRow { rests_on, expires_at }))
    }

    /// Forgets what has ended. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        for text in [COOKIES_FORGET, TRANSFERS_FORGET] {
            sqlx::query(text).bind(now).execute(&self.engine.write).await?;
        }
        Ok(())
    }
}
