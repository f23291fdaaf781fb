//! What went wrong with a workspace, kept as data so that it survives a restart and reaches the
//! user. Does not describe a refused request (see `api::error`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A step that did not succeed and whether a repeat may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Stable, for programs.
    pub code: FailureCode,
    /// For people: what happened and what to do. Names nothing inside the platform.
    pub message: String,
    /// Whether a repeat may succeed without a change of the workspace.
    pub retryable: bool,
    /// How often the step was tried.
    pub attempts: u32,
    /// When it last failed.
    pub occurred_at: Timestamp,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The image is not on the host.
    ImageMissing,
    /// The image does not have the digest that its manifest names.
    ImageCorrupt,
    /// The host's storage is full.
    DiskFull,
    /// The host has no memory, vCPU or disk left to promise.
    CapacityExhausted,
    /// The workspace's disk could not be made or changed.
    DiskError,
    /// The workspace's network could not be made.
    NetworkError,
    /// The VMM did not start.
    VmmStart,
    /// The VMM ended by itself, more often than is tried again.
    VmmExited,
    /// The guest did not say that it is ready in time.
    BootTimeout,
    /// The host's kernel lacks something that is needed.
    HostUnsupported,
    /// The driver of this host cannot do what was asked.
    Unsupported,
    /// Something else on the host.
    HostError,
}
