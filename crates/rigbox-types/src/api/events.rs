//! `GET /workspaces/{id}/events`: server-sent events, `event: status`, one at once and one at every
//! change. The stream ends after `deleted`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Failure, Generation, Status, Timestamp, WorkspaceId};

/// Data of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WorkspaceEvent {
    /// `event: status`.
    Status(WorkspaceStatusEvent),
    /// `event: deleted`, the last one.
    Deleted(WorkspaceDeletedEvent),
}

/// Data of one `status` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceStatusEvent {
    /// Which workspace.
    pub id: WorkspaceId,
    /// What it is doing now.
    pub status: Status,
    /// Which request that answers.
    pub generation: Generation,
    /// Why it failed, when failed.
    pub failure: Option<Failure>,
    /// When the workspace last changed.
    pub updated_at: Timestamp,
}

/// Data of the `deleted` event, the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceDeletedEvent {
    /// Which workspace is gone.
    pub id: WorkspaceId,
}
