//! The audit record: who asked for what, from where, and how it ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Timestamp};

/// One entry. A request that may change something has two: one before anything is done, one after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its place in the record; without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// How far the request was.
    pub stage: AuditStage,
    /// As in the answer's `X-Request-Id`.
    pub request_id: String,
    /// The operation's word, such as `workspace_stop`.
    pub action: String,
    /// The account that the caller acts for; none for a stranger.
    pub account: Option<AccountId>,
    /// The credential: `key:<id>`, `workspace:<id>` for code in a workspace, `root` for whoever is that
    /// on the machine, `anonymous`.
    pub actor: String,
    /// The address that the request came from.
    pub address: Option<String>,
    /// The path that was asked for, without its query; from the second entry on of something that was
    /// made, where that is; where a role is given, changed or taken, also whose, on what and which;
    /// where a backup went to or came from.
    pub target: String,
    /// Status of the answer; none before there is one.
    pub status: Option<u16>,
    /// Why it was refused, where it was.
    pub code: Option<String>,
    /// The entry's own chained hash, in hex: keep one elsewhere, and `rigbox audit verify` tells
    /// whether the record still has it.
    pub hash: String,
}

/// How far a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditStage {
    /// It was let in, and nothing has been done. Without a later entry of the same request it is
    /// not known how it ended.
    Received,
    /// It was answered.
    Completed,
}

/// `GET /audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditResponse {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
