//! `/rig/v1`: what code in a workspace may ask about that workspace. The caller is known by its
//! network namespace and holds no credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Failure, Generation, ImageName, RegionName, Status, Timestamp, WorkspaceId,
    WorkspaceName, host::SetupResult,
};

/// `GET /rig/v1/whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoamiResponse {
    /// The workspace the caller runs in.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: WorkspaceName,
    /// Whose it is.
    pub user_id: AccountId,
    /// Where it runs.
    pub region: RegionName,
    /// The API's public address.
    pub api_url: String,
}

/// `GET /rig/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InsideStatusResponse {
    /// The workspace the caller runs in.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: WorkspaceName,
    /// What it is doing.
    pub status: Status,
    /// What it was made from.
    pub image: ImageName,
    /// Where it runs.
    pub region: RegionName,
    /// Memory in MiB.
    pub ram_mb: u32,
    /// Virtual CPUs.
    pub vcpu_count: u8,
    /// Disk in MiB.
    pub disk_size_mb: u32,
    /// Counts changes of what it should be.
    pub generation: Generation,
    /// The last failure, when failed.
    pub failure: Option<Failure>,
    /// How its setup scripts went.
    pub setup: Vec<SetupResult>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the guest last said that it is ready.
    pub ready_at: Option<Timestamp>,
}
