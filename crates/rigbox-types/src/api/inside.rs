//! `/rig/v1`: what code in a workspace may ask about that workspace. The caller is known by its
//! network namespace and holds no credential.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Failure, Generation, ImageName, RegionName, Status, Timestamp, WorkspaceId,
    WorkspaceName,
    api::ai::{AiDecider, AiInject, AiMode, AiProvider},
    host::SetupResult,
};

/// Subject that means all of them, those without one too.
pub const SUBJECT_ALL: &str = "*";

/// Longest subject, in characters.
pub const SUBJECT_MAX_CHARS: usize = 256;

/// Seconds that usage is added up over, where the question does not say.
pub const USAGE_WINDOW_DEFAULT_S: u32 = 86_400;

/// Most seconds that usage is added up over: 31 days.
pub const USAGE_WINDOW_MAX_S: u32 = 31 * 86_400;

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

/// `GET /rig/v1/ai`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InsideAiResponse {
    /// Whether AI is on.
    pub enabled: bool,
    /// Who has decided that; none while nobody has.
    pub enabled_by: Option<AiDecider>,
    /// Whether code in the workspace may change it.
    pub switchable: bool,
    /// Who pays.
    pub mode: AiMode,
    /// Provider whose key counts.
    pub provider: AiProvider,
    /// Model of requests that name none.
    pub model: String,
    /// How programs get to a provider.
    pub inject: AiInject,
    /// What leads programs to it, once it is on: a placeholder, or with `inject` `env` the owner's keys.
    pub env: BTreeMap<String, String>,
}

/// A key of the owner may be in the environment.
impl fmt::Debug for InsideAiResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsideAiResponse")
            .field("enabled", &self.enabled)
            .field("enabled_by", &self.enabled_by)
            .field("mode", &self.mode)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// `PUT /rig/v1/ai`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateInsideAiRequest {
    /// Whether AI is on, where the owner has not decided.
    pub enabled: bool,
}

/// `GET /rig/v1/usage`: what calls of the workspace have used, for one subject or for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InsideUsageResponse {
    /// For whom; `*` is everybody.
    pub subject: String,
    /// How far back, in seconds.
    pub window_seconds: u32,
    /// Credits that the calls have cost.
    pub credits: f64,
    /// The same in millionths.
    pub credits_micro: i64,
    /// Tokens that were read.
    pub input_tokens: i64,
    /// Tokens that were written.
    pub output_tokens: i64,
    /// Calls.
    pub requests: i64,
}
