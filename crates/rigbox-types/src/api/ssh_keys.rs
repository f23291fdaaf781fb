//! Public SSH keys of an account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, SshKeyId, Timestamp,
    text::{PublicKeyLine, Title},
};

/// `POST /ssh-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSshKeyRequest {
    /// For people.
    #[schemars(with = "Title")]
    pub name: String,
    /// One line, as in `id_ed25519.pub`.
    #[schemars(with = "PublicKeyLine")]
    pub public_key: String,
}

/// A key of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKey {
    /// Its id.
    pub id: SshKeyId,
    /// Whose it is.
    pub user_id: AccountId,
    /// For people.
    pub name: String,
    /// One line: type, key and comment.
    pub public_key: String,
    /// `SHA256:` and the digest, as `ssh-keygen -l` prints it.
    pub fingerprint: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// `GET /ssh-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKeysResponse {
    /// Newest first.
    pub ssh_keys: Vec<SshKey>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// A key as a workspace has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKeyEntry {
    /// `ssh-ed25519` and the like.
    pub key_type: String,
    /// `SHA256:` and the digest.
    pub fingerprint: String,
    /// What follows the key on its line.
    pub comment: String,
}

/// `GET /workspaces/{id}/ssh-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListWorkspaceSshKeysResponse {
    /// The keys that open the workspace.
    pub keys: Vec<SshKeyEntry>,
}

/// `POST /workspaces/{id}/ssh-keys/sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncSshKeysResponse {
    /// How many keys the guest has now.
    pub synced: u64,
    /// Which.
    pub keys: Vec<SshKeyEntry>,
}
