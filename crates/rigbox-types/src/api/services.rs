//! Services of a workspace: units of its own specs, as the guest sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Timestamp, WorkspaceId};

/// `GET /workspaces/{id}/services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceServicesResponse {
    /// By name.
    pub services: Vec<WorkspaceService>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceService {
    /// Its spec's id, or its unit's name where it has no spec.
    pub id: String,
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// `service_spec` for a unit of the account's own.
    pub kind: String,
    /// Where it came from: `user`.
    pub source: String,
    /// `active`, `inactive`, `activating`, `failed`, or `unknown` while the guest does not run.
    pub status: String,
    /// Command that tells its health; empty where there is none.
    pub health_cmd: String,
    /// Whether an app publishes it.
    pub exposed: bool,
    /// The port it listens on, where that is known.
    pub port: Option<u16>,
    /// The systemd unit.
    pub unit_name: Option<String>,
    /// Where its logs are.
    #[serde(default)]
    pub log_sources: Vec<LogSource>,
    /// When its spec was made.
    pub created_at: Timestamp,
    /// When its spec last changed.
    pub updated_at: Timestamp,
}

/// Kinds of log sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSourceType {
    /// The journal of a systemd unit.
    SystemdUnit,
    /// The output of a container.
    DockerContainer,
    /// A file.
    FilePath,
}

/// Where logs can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogSource {
    /// What kind of source it is.
    pub source_type: LogSourceType,
    /// The unit, container or file.
    pub source_ref: String,
    /// For people.
    pub display_name: Option<String>,
    /// Whether it is the one that is shown first.
    #[serde(default)]
    pub is_primary: bool,
}
