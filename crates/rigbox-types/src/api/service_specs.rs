//! Service specs: daemons that an account runs in its workspaces as systemd units.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ServiceSpecId, Timestamp,
    api::change::Change,
    secret::debug_shows,
    text::{CommandLine, Environment, EnvironmentFile, Script},
};

/// When systemd starts a service again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicy {
    /// After every end.
    #[serde(rename = "always")]
    Always,
    /// After an end that was not clean.
    #[default]
    #[serde(rename = "on-failure")]
    OnFailure,
    /// Never.
    #[serde(rename = "no")]
    No,
}

/// `POST /service-specs`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateServiceSpecRequest {
    /// A DNS label; becomes the unit's name.
    #[schemars(with = "crate::WorkspaceName")]
    pub name: String,
    /// One line, not run through a shell.
    #[schemars(with = "CommandLine")]
    pub exec_start: String,
    /// Environment of the service.
    #[serde(default)]
    #[schemars(with = "Option<Environment>")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// A file of more environment, inside the workspace.
    #[serde(default)]
    #[schemars(with = "Option<EnvironmentFile>")]
    pub environment_file: Option<String>,
    /// When systemd starts it again.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// Whether it starts with the workspace.
    #[serde(default)]
    pub auto_enable: bool,
    /// Bash that runs before the service first starts.
    #[serde(default)]
    #[schemars(with = "Option<Script>")]
    pub setup_script: Option<String>,
}

debug_shows!(CreateServiceSpecRequest: name, restart_policy, auto_enable);

/// `PUT /service-specs/{id}`: a missing field keeps its value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateServiceSpecRequest {
    /// New name.
    #[schemars(with = "Option<crate::WorkspaceName>")]
    #[serde(default)]
    pub name: Option<String>,
    /// New command line.
    #[schemars(with = "Option<CommandLine>")]
    #[serde(default)]
    pub exec_start: Option<String>,
    /// New environment, replaced whole; `null` empties it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Environment>")]
    pub env_vars: Change<BTreeMap<String, String>>,
    /// New environment file; `null` or empty removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<EnvironmentFile>")]
    pub environment_file: Change<String>,
    /// New restart policy.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// New start rule.
    #[serde(default)]
    pub auto_enable: Option<bool>,
    /// New setup script; `null` or empty removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Script>")]
    pub setup_script: Change<String>,
}

debug_shows!(UpdateServiceSpecRequest: name, restart_policy, auto_enable);

/// A service spec.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSpecResponse {
    /// Its id.
    pub id: ServiceSpecId,
    /// Whose it is.
    pub user_id: AccountId,
    /// Name of the unit without prefix.
    pub name: String,
    /// Command line.
    pub exec_start: String,
    /// Environment.
    pub env_vars: BTreeMap<String, String>,
    /// When systemd starts it again.
    pub restart_policy: RestartPolicy,
    /// Whether it starts with the workspace.
    pub auto_enable: bool,
    /// A file of more environment.
    pub environment_file: Option<String>,
    /// Bash that runs before the service first starts; empty for none.
    pub setup_script: String,
    /// Where it came from: `user`.
    pub source: String,
    /// The unit file that the workspace gets.
    pub systemd_unit_preview: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

debug_shows!(ServiceSpecResponse: id, user_id, name, restart_policy, auto_enable);

/// `GET /service-specs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSpecsListResponse {
    /// Newest first.
    pub services: Vec<ServiceSpecResponse>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
