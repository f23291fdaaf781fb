//! Sessions: people, and programs, that signed in with a password.
//! Writer and reader: control's authentication. Invariants: a session cannot be read out of the
//! database, as with API keys; it ends [`IDLE`] after its last use and [`LIFE`] after it was made; an
//! account has a bounded number; whoever watches the feed is woken when one ends before its time.
//! Does not make secrets and does not decide what a session may do.

use std::{fmt, time::Duration};

use rigbox_types::{AccountId, SessionId, Timestamp, authz::Standing};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::{
    StoreError,
    api_keys::KeyHash,
    engine::Engine,
    feed::Wake,
    row::{Columns, word},
    tx::Tx,
};

/// A session that nobody uses for so long ends.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// No session lasts longer.
pub const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the second factor may take.
pub const PENDING_LIFE: Duration = Duration::from_secs(10 * 60);
/// Most sessions of an account that wait for a second factor: a few browsers at once.
const PENDING_MAX_COUNT: i64 = 3;
/// Most whole sessions of an account; one more ends the one that was not used for longest.
pub const SESSIONS_MAX_COUNT: i64 = 100;

/// `used_at` moves in steps of this.
const USED_STEP: Duration = Duration::from_secs(60);
/// How long a former secret is good once the new one was seen: requests under way have it.
const GRACE: Duration = Duration::from_secs(60);

const INSERT: &str = "INSERT INTO sessions (id, account_id, level, carrier, hash, created_at, \
     used_at, rotated_at, address, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $7, $8)";

/// All but those that were used last, of one level: sessions that wait for a second factor push out no others.
const MAKE_ROOM: &str = "DELETE FROM sessions WHERE account_id = $1 AND level = $3 AND id NOT IN \
     (SELECT id FROM sessions WHERE account_id = $1 AND level = $3 \
     ORDER BY used_at DESC, id DESC LIMIT $2)";

const EPOCH: &str = "SELECT COALESCE(MAX(epoch), 0) AS epoch FROM session_epochs \
     WHERE account_id = $1";

const NEXT_EPOCH: &str = "INSERT INTO session_epochs (account_id, epoch) VALUES ($1, 1) \
     ON CONFLICT (account_id) DO UPDATE SET epoch = session_epochs.epoch + 1";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.account_id, s.level, s.carrier, s.hash, s.former_hash, \
             s.former_until, s.created_at, s.used_at, s.rotated_at, s.address, s.user_agent, \
             a.standing FROM sessions s JOIN accounts a ON a.id = s.account_id ",
            $rest
        )
    };
}

const FIND: &str = select!("WHERE s.id = $1");

const LIST: &str = select!("WHERE s.account_id = $1 ORDER BY s.created_at DESC, s.id DESC");

const USED: &str = "UPDATE sessions SET used_at = $2 WHERE id = $1 AND used_at < $3";

const SEEN: &str = "UPDATE sessions SET former_until = $2 \
     WHERE id = $1 AND former_hash IS NOT NULL AND former_until IS NULL";

/// Only from the secret that was shown, so that of two at once one changes it.
const ROTATE: &str = "UPDATE sessions SET hash = $3, former_hash = $2, former_until = NULL, \
     rotated_at = $4 WHERE id = $1 AND rotated_at = $5 AND (hash = $2 OR former_hash = $2)";

const DELETE: &str = "DELETE FROM sessions WHERE account_id = $1 AND id = $2";

const DELETE_OTHERS: &str = "DELETE FROM sessions WHERE account_id = $1 AND id <> $2";

const FORGET: &str = "DELETE FROM sessions WHERE used_at <= $1 OR created_at <= $2 \
     OR (level = 'pending' AND created_at <= $3)";

/// See the module.
pub struct Sessions<'s> {
    pub(crate) engine: &'s Engine,
}

/// How far somebody has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything that was asked for was shown.
    Full,
    /// The second factor is still to be shown. Opens nothing.
    Pending,
}

/// How the secret travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// A browser's cookie, and nothing else.
    Cookie,
    /// A program's header, and nothing else.
    Bearer,
}

/// How often all sessions of an account have ended at once. Read before somebody shows who they are:
/// what was shown before such an end counts for nothing after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Epoch(pub(crate) i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session to be kept.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id, random.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// The account's epoch when its sign-in began.
    pub epoch: Epoch,
    /// How far they have come.
    pub level: Level,
    /// How the secret travels.
    pub carrier: Carrier,
    /// The keyed hash of the whole token.
    pub hash: KeyHash,
    /// Where they signed in from.
    pub address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// What that account is on the platform.
    pub standing: Standing,
    /// How far they have come.
    pub level: Level,
    /// How the secret travels.
    pub carrier: Carrier,
    /// The keyed hash of the whole token.
    pub hash: KeyHash,
    /// The same of the token before, and until when that is good.
    pub former: Option<(KeyHash, Option<Timestamp>)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
    /// When its secret was last changed.
    pub rotated_at: Timestamp,
    /// Where they signed in from.
    pub address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
}

impl SessionRow {
    /// From when on it is refused, unless it is used before.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        let (idle, life) = match self.level {
            Level::Full => (IDLE, LIFE),
            Level::Pending => (PENDING_LIFE, PENDING_LIFE),
        };
        later(self.used_at, idle).min(later(self.created_at, life))
    }

    /// Whether this is the session's secret, or was until a moment ago.
    #[must_use]
    pub fn is_opened_by(&self, hash: &KeyHash, now: Timestamp) -> bool {
        let former = self.former.as_ref();
        let is_former = former.is_some_and(|(former, until)| {
            (former == hash) & until.is_none_or(|until| until > now)
        });
        (self.hash == *hash) | is_former
    }

    /// Whether this was the session's secret and is good no longer: whoever has the session has been
    /// seen with the next one. Two hold it then, of whom one has copied it.
    #[must_use]
    pub fn is_shown_again(&self, hash: &KeyHash, now: Timestamp) -> bool {
        let is_former = self.former.as_ref().is_some_and(|(former, _)| former == hash);
        is_former && !self.is_opened_by(hash, now)
    }
}

impl Sessions<'_> {
    /// Keeps a session.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id is taken, [`StoreError::NotFound`] for an unknown
    /// account, and where all its sessions have ended since the session's epoch was read.
    pub async fn insert(&self, session: &NewSession) -> Result<(), StoreError> {
        let account = session.account.to_string();
        let mut tx = self.engine.begin().await?;
        // Held, so that no end of all sessions comes between the look and the session.
        tx.revision().await?;
        let row = sqlx::query(EPOCH).bind(account.clone()).fetch_one(tx.on()).await?;
        if Columns::of("session_epochs", &row).number("epoch").map(Epoch)? != session.epoch {
            return Err(StoreError::not_found("sign-in", &session.id));
        }
        insert(&mut tx, session, self.engine.now()).await?;
        let most = match session.level {
            Level::Full => SESSIONS_MAX_COUNT,
            Level::Pending => PENDING_MAX_COUNT,
        };
        let room = sqlx::query(MAKE_ROOM).bind(account).bind(most).bind(word(&session.level)?);
        if room.execute(tx.on()).await?.rows_affected() > 0 {
            tx.wake(Wake::Everything);
        }
        tx.commit().await
    }

    /// The account's epoch.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn epoch(&self, account: AccountId) -> Result<Epoch, StoreError> {
        let query = sqlx::query(EPOCH).bind(account.to_string());
        let row = query.fetch_one(&self.engine.read).await?;
        Columns::of("session_epochs", &row).number("epoch").map(Epoch)
    }

    /// The session with this id, also one that has ended: the caller compares the hash first.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query(FIND).bind(id.to_string()).fetch_optional(&self.engine.read).await?;
        row.as_ref().map(read).transpose()
    }

    /// The account's sessions that go on, newest first: at most [`SESSIONS_MAX_COUNT`].
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn list(&self, account: AccountId) -> Result<Vec<SessionRow>, StoreError> {
        let now = self.engine.now();
        let query = sqlx::query(LIST).bind(account.to_string());
        let rows = query.fetch_all(&self.engine.read).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let goes_on = |row: &SessionRow| row.level == Level::Full && row.ends_at() > now;
        Ok(rows.into_iter().filter(goes_on).collect())
    }

    /// Notes that a session was used with this secret: to the minute, and that a new secret arrived.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn used(&self, row: &SessionRow, hash: &KeyHash) -> Result<(), StoreError> {
        let now = self.engine.now();
        let before = now.as_micros().saturating_sub(micros(USED_STEP));
        if row.used_at.as_micros() < before {
            let query = sqlx::query(USED).bind(row.id.to_string()).bind(now.as_micros());
            query.bind(before).execute(&self.engine.write).await?;
        }
        if row.hash == *hash && row.former.as_ref().is_some_and(|(_, until)| until.is_none()) {
            let query = sqlx::query(SEEN).bind(row.id.to_string());
            query.bind(later(now, GRACE).as_micros()).execute(&self.engine.write).await?;
        }
        Ok(())
    }

    /// Notes, to the minute, that something that rests on a session was used: the cookie of an app.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn leaned_on(&self, row: &SessionRow) -> Result<(), StoreError> {
        let now = self.engine.now().as_micros();
        let before = now.saturating_sub(micros(USED_STEP));
        if row.used_at.as_micros() < before {
            let query = sqlx::query(USED).bind(row.id.to_string()).bind(now);
            query.bind(before).execute(&self.engine.write).await?;
        }
        Ok(())
    }

    /// Gives a session another secret; the one that was shown is good until the new one is seen, and
    /// a moment longer. Says whether it did: of several at once, one does.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn rotate(
        &self,
        row: &SessionRow,
        (shown, new): (&KeyHash, &KeyHash),
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(ROTATE)
            .bind(row.id.to_string())
            .bind(shown.as_bytes().to_vec())
            .bind(new.as_bytes().to_vec())
            .bind(self.engine.now().as_micros())
            .bind(row.rotated_at.as_micros())
            .execute(&self.engine.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the account has no such session.
    pub async fn end(&self, account: AccountId, id: SessionId) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        let query = sqlx::query(DELETE).bind(account.to_string()).bind(id.to_string());
        if query.execute(tx.on()).await?.rows_affected() == 0 {
            return Err(StoreError::not_found("session", &id));
        }
        tx.wake(Wake::Session(id));
        tx.commit().await
    }

    /// Ends all sessions of an account but one, where one is named.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn end_others(
        &self,
        account: AccountId,
        but: Option<SessionId>,
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin().await?;
        tx.revision().await?;
        end_others(&mut tx, account, but).await?;
        tx.commit().await
    }

    /// Forgets sessions that have ended. To be called now and then.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn forget(&self) -> Result<(), StoreError> {
        let before = |ago| self.engine.now().as_micros().saturating_sub(micros(ago));
        let query = sqlx::query(FORGET).bind(before(IDLE)).bind(before(LIFE));
        query.bind(before(PENDING_LIFE)).execute(&self.engine.write).await?;
        Ok(())
    }
}

async fn insert(tx: &mut Tx<'_>, session: &NewSession, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(session.id.to_string())
        .bind(session.account.to_string())
        .bind(word(&session.level)?)
        .bind(word(&session.carrier)?)
        .bind(session.hash.as_bytes().to_vec())
        .bind(now.as_micros())
        .bind(session.address.clone())
        .bind(session.user_agent.clone())
        .execute(tx.on())
        .await
        .map_err(|error| match StoreError::is_foreign_key(&error) {
            true => StoreError::not_found("account", &session.account),
            false => StoreError::or_conflict(error, "session", &session.id),
        })?;
    Ok(())
}

/// Ends all sessions of an account but one, in a transaction that holds the counter and may do more.
/// Sign-ins that have begun before come to nothing.
pub(crate) async fn end_others(
    tx: &mut Tx<'_>,
    account: AccountId,
    but: Option<SessionId>,
) -> Result<(), StoreError> {
    sqlx::query(NEXT_EPOCH).bind(account.to_string()).execute(tx.on()).await?;
    let but = but.map(|id| id.to_string()).unwrap_or_default();
    let query = sqlx::query(DELETE_OTHERS).bind(account.to_string()).bind(but);
    if query.execute(tx.on()).await?.rows_affected() > 0 {
        tx.wake(Wake::Everything);
    }
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(moment.as_micros().saturating_add(micros(by)))
}

fn read(row: &AnyRow) -> Result<SessionRow, StoreError> {
    let columns = Columns::of("sessions", row);
    let former: Option<Vec<u8>> = columns.raw("former_hash")?;
    let former = former.map(|bytes| KeyHash::from_bytes(&bytes)).transpose()?;
    let until = columns.moment_optional("former_until")?;
    Ok(SessionRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        standing: columns.word("standing")?,
        level: columns.word("level")?,
        carrier: columns.word("carrier")?,
        hash: KeyHash::from_bytes(&columns.raw::<Vec<u8>>("hash")?)?,
        former: former.map(|hash| (hash, until)),
        created_at: columns.moment("created_at")?,
        used_at: columns.moment("used_at")?,
        rotated_at: columns.moment("rotated_at")?,
        address: columns.raw("address")?,
        user_agent: columns.raw("user_agent")?,
    })
}
