//! Sessions of an account. The secret of one is in one answer only: the one that opened it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, SessionId, Timestamp, secret::debug_shows};

/// `POST /auth/session`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSessionRequest {
    /// The account's e-mail address.
    pub email: String,
    /// Its password.
    pub password: String,
    /// The code of the second factor, or a recovery code, where the account has one.
    #[serde(default)]
    pub code: Option<String>,
}

debug_shows!(CreateSessionRequest: email);

/// The answer to `POST /auth/session`: the only one with the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTokenResponse {
    /// The session's id.
    pub id: SessionId,
    /// What goes into the header `Authorization`, as an API key does.
    pub token: String,
    /// Whose session it is.
    pub user_id: AccountId,
    /// From when on it is refused, unless it is used before.
    pub expires_at: Timestamp,
}

debug_shows!(SessionTokenResponse: id, user_id, expires_at);

/// A session, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whether this request was made in it.
    pub current: bool,
    /// Whether it is a browser's.
    pub browser: bool,
    /// When somebody signed in.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// From when on it is refused, unless it is used before.
    pub expires_at: Timestamp,
    /// Where they signed in from.
    pub address: Option<String>,
    /// With what program.
    pub user_agent: Option<String>,
}

/// `GET /auth/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListSessionsResponse {
    /// Newest first.
    pub sessions: Vec<Session>,
    /// Always null: an account has at most 100.
    pub next_cursor: Option<String>,
}
