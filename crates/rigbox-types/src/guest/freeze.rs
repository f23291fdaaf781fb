//! Holding a guest's file system still for a moment, so that a copy of its disk is a clean one.

use serde::{Deserialize, Serialize};

/// Longest that a file system is held, whoever asks, in milliseconds: whatever writes waits for it.
pub const FREEZE_MAX_MS: u64 = 10_000;

/// `POST /freeze`. Answered when everything that was written is on the disk and nothing more gets
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// When the guest goes on by itself, whether anybody tells it to or not.
    pub limit_ms: u64,
}

/// Answer to `POST /thaw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThawAnswer {
    /// Whether nothing was written from the answer to `POST /freeze` until now.
    pub held: bool,
}
