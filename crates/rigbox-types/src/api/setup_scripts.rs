//! Setup scripts: bash that an account attaches to its workspaces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, SetupScriptId, Timestamp,
    secret::debug_shows,
    text::{Script, Title},
};

/// When a setup script runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOn {
    /// Once, at the first boot.
    #[default]
    FirstBoot,
    /// At every boot.
    EveryStart,
}

/// `POST /setup-scripts`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSetupScriptRequest {
    /// For people.
    #[schemars(with = "Title")]
    pub name: String,
    /// Bash.
    #[schemars(with = "Script")]
    pub content: String,
    /// When it runs.
    #[serde(default)]
    pub run_on: RunOn,
    /// Lower runs earlier; 0 when missing.
    #[serde(default)]
    pub script_order: Option<i32>,
}

debug_shows!(CreateSetupScriptRequest: name, run_on, script_order);

/// `PUT /setup-scripts/{id}`: a missing field keeps its value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSetupScriptRequest {
    /// New name.
    #[schemars(with = "Option<Title>")]
    #[serde(default)]
    pub name: Option<String>,
    /// New content.
    #[schemars(with = "Option<Script>")]
    #[serde(default)]
    pub content: Option<String>,
    /// New time.
    #[serde(default)]
    pub run_on: Option<RunOn>,
    /// New order.
    #[serde(default)]
    pub script_order: Option<i32>,
}

debug_shows!(UpdateSetupScriptRequest: name, run_on, script_order);

/// A setup script.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupScriptResponse {
    /// Its id.
    pub id: SetupScriptId,
    /// Whose it is.
    pub user_id: AccountId,
    /// For people.
    pub name: String,
    /// Bash.
    pub content: String,
    /// When it runs.
    pub run_on: RunOn,
    /// Lower runs earlier.
    pub script_order: i32,
    /// Where it came from: `user`.
    pub source: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

debug_shows!(SetupScriptResponse: id, user_id, name, run_on, script_order);

/// `GET /setup-scripts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupScriptsListResponse {
    /// In the order in which they would run.
    pub scripts: Vec<SetupScriptResponse>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
