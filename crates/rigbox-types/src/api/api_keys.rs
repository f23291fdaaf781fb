//! API keys of an account. The secret of one is in one answer only: the one that made it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, KeyScopes, Timestamp, secret::debug_shows, text::Title};

/// `POST /api-keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateApiKeyRequest {
    /// For people.
    #[schemars(with = "Option<Title>")]
    pub name: Option<String>,
    /// From when on it is refused; never when missing.
    pub expires_at: Option<Timestamp>,
    /// What it is narrowed to; `full` when missing.
    pub scopes: Option<KeyScopes>,
}

/// `POST /api-keys` and `POST /api-keys/{id}/rotate`: the only answers with a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeySecretResponse {
    /// Its id.
    pub id: ApiKeyId,
    /// The key, shown once: nobody can read it again.
    pub key: String,
    /// What it is narrowed to.
    pub scopes: KeyScopes,
    /// From when on it is refused; none for never.
    pub expires_at: Option<Timestamp>,
}

debug_shows!(ApiKeySecretResponse: id, scopes, expires_at);

/// A key of the account, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// For people.
    pub name: Option<String>,
    /// How the key begins, to know it again.
    pub key_preview: String,
    /// Whether it is good for single workspaces and for nothing else.
    pub is_workspace_key: bool,
    /// What it is narrowed to.
    pub scopes: KeyScopes,
    /// When it was made; a rotated key keeps it.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is refused; none for never.
    pub expires_at: Option<Timestamp>,
}

/// `GET /api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeysResponse {
    /// Newest first.
    pub api_keys: Vec<ApiKey>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
