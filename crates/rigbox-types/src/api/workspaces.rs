//! Workspaces as the API shows them.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Failure, Generation, HostId, ImageName, RegionName, ServiceSpecId, SetupScriptId,
    Status, TemplateId, Timestamp, WorkspaceId, WorkspaceName,
    host::{Egress, SetupResult},
    limits::{DISK_MAX_MB, DISK_MIN_MB, RAM_MAX_MB, RAM_MIN_MB, SETUP_MAX_COUNT, VCPU_MAX},
    secret::debug_shows,
    text::Environment,
};

/// `POST /workspaces`. The template supplies what is missing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspaceRequest {
    /// A DNS label, unique within the account.
    pub name: WorkspaceName,
    /// Where the missing values come from.
    #[serde(default)]
    pub template_id: Option<TemplateId>,
    /// What the disk is cloned from.
    #[serde(default)]
    pub image: Option<ImageName>,
    /// Memory in MiB.
    #[serde(default)]
    #[schemars(range(min = RAM_MIN_MB, max = RAM_MAX_MB))]
    pub ram_mb: Option<u32>,
    /// Virtual CPUs.
    #[serde(default)]
    #[schemars(range(min = 1, max = VCPU_MAX))]
    pub vcpu_count: Option<u8>,
    /// Disk in MiB.
    #[serde(default)]
    #[schemars(range(min = DISK_MIN_MB, max = DISK_MAX_MB))]
    pub disk_size_mb: Option<u32>,
    /// Environment of the workspace.
    #[serde(default)]
    #[schemars(with = "Option<Environment>")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Scripts to run, in their own order.
    #[serde(default)]
    #[schemars(length(max = SETUP_MAX_COUNT), extend("uniqueItems" = true))]
    pub setup_script_ids: Option<Vec<SetupScriptId>>,
    /// Services to run.
    #[serde(default)]
    #[schemars(length(max = SETUP_MAX_COUNT), extend("uniqueItems" = true))]
    pub service_spec_ids: Option<Vec<ServiceSpecId>>,
    /// Apps of the catalog to install; must be empty until the catalog has any.
    #[serde(default)]
    #[schemars(length(max = 0))]
    pub catalog_ids: Option<Vec<String>>,
    /// Where it runs; the default region when missing.
    #[serde(default)]
    pub region: Option<RegionName>,
    /// When it sleeps.
    #[serde(default)]
    pub idle: Option<Idle>,
    /// What it may reach.
    #[serde(default)]
    pub egress: Option<Egress>,
}

debug_shows!(CreateWorkspaceRequest: name, template_id, image, region);

/// When a workspace sleeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Idle {
    /// Whether it ever sleeps by itself.
    #[serde(default)]
    pub mode: IdleMode,
    /// After how many seconds without use.
    #[serde(default)]
    pub after_seconds: Option<u32>,
}

/// Whether a workspace sleeps by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdleMode {
    /// Never.
    #[default]
    AlwaysOn,
    /// Suspended when idle.
    Suspend,
}

/// A workspace. Called `vm` on the wire because the compatible core does so.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vm {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: WorkspaceName,
    /// Whose it is.
    pub user_id: AccountId,
    /// What it is doing.
    pub status: Status,
    /// What it was made from.
    pub image: ImageName,
    /// Template that it was made from.
    pub template_id: Option<TemplateId>,
    /// Memory in MiB.
    pub ram_mb: u32,
    /// Virtual CPUs.
    pub vcpu_count: u8,
    /// Disk in MiB.
    pub disk_size_mb: u32,
    /// The host that has it.
    pub node_id: HostId,
    /// Address inside its own network, the same for every workspace.
    pub ip_address: Option<String>,
    /// Environment; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Code of the failure, when failed.
    pub failure_code: Option<String>,
    /// Text of the failure, when failed.
    pub failure_reason: Option<String>,
    /// AI mode; null means the account's.
    pub ai_mode: Option<String>,
    /// How often its making was tried.
    pub creation_attempts: u32,
    /// When its making began.
    pub creation_started_at: Option<Timestamp>,
    /// Attached scripts.
    pub setup_script_ids: Option<Vec<SetupScriptId>>,
    /// Attached services.
    pub service_spec_ids: Option<Vec<ServiceSpecId>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Where it runs.
    pub region: RegionName,
    /// When it sleeps.
    pub idle: Idle,
    /// What it may reach.
    pub egress: Egress,
    /// How to reach it by SSH, where `enabled`.
    pub ssh: Option<SshInfo>,
    /// Counts changes of what it should be.
    pub generation: Generation,
    /// How its setup scripts went.
    pub setup: Vec<SetupResult>,
}

debug_shows!(Vm: id, name, user_id, status, node_id, generation);

/// How to reach a workspace by SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshInfo {
    /// User name at the gateway.
    pub user: String,
    /// The gateway's host name.
    pub host: String,
    /// The gateway's port.
    pub port: u16,
    /// Whether the gateway serves; until it does, a terminal is the way in.
    #[serde(default)]
    pub enabled: bool,
}

/// `GET /workspaces/{id}` and every answer about one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkspaceResponse {
    /// The workspace.
    pub vm: Vm,
    /// Why it failed, when failed.
    pub failure: Option<Failure>,
}

/// `GET /workspaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListWorkspacesResponse {
    /// Newest first.
    pub vms: Vec<Vm>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// `PUT /workspaces/{id}/resources`: a missing field keeps its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeWorkspaceRequest {
    /// Memory in MiB.
    #[serde(default)]
    #[schemars(range(min = RAM_MIN_MB, max = RAM_MAX_MB))]
    pub ram_mb: Option<u32>,
    /// Virtual CPUs.
    #[serde(default)]
    #[schemars(range(min = 1, max = VCPU_MAX))]
    pub vcpu_count: Option<u8>,
    /// Disk in MiB; only grows.
    #[serde(default)]
    #[schemars(range(min = DISK_MIN_MB, max = DISK_MAX_MB))]
    pub disk_size_mb: Option<u32>,
}

/// Answer of `PUT /workspaces/{id}/resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResizeWorkspaceResponse {
    /// For people.
    pub message: String,
    /// The workspace after the change.
    pub vm: Vm,
}

/// `POST /workspaces/{id}/env`: replaces the map.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspaceEnvRequest {
    /// The whole environment.
    #[schemars(with = "Environment")]
    pub env_vars: BTreeMap<String, String>,
}

/// Shows only the names.
impl fmt::Debug for UpdateWorkspaceEnvRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env_vars.keys().collect();
        f.debug_struct("UpdateWorkspaceEnvRequest").field("env_vars", &names).finish()
    }
}

/// An answer that is only a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageResponse {
    /// For people.
    pub message: String,
}
