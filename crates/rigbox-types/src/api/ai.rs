//! AI of accounts and workspaces: whether it is on, who pays, with which keys, and what was used.
//! Invariant: a key of an owner at a provider is only ever written; what is shown of it is its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp, WorkspaceId,
    api::{
        change::Change,
        metrics::{MetricPoint, WorkspaceMetricsRange},
    },
    secret::debug_shows,
    text::{ModelName, ProviderKey},
};

/// The model that is meant where nobody has chosen one: the operator's configuration says which it is.
pub const MODEL_DEFAULT: &str = "rigbox/default";

/// Days that `GET /users/me/ai-usage` is about.
pub const USAGE_DAYS: u32 = 30;

/// Who pays for calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AiMode {
    /// The platform calls with its own keys, and takes credits.
    #[default]
    Managed,
    /// The owner's own keys; the platform takes nothing.
    Byok,
}

impl AiMode {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Managed, Self::Byok];

    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Byok => "byok",
        }
    }
}

/// Who answers calls.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AiProvider {
    /// Gemini.
    Google,
    /// OpenAI.
    Openai,
    /// Claude.
    #[default]
    Anthropic,
    /// Models of many others.
    Openrouter,
    /// Web search.
    Brave,
}

impl AiProvider {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Google, Self::Openai, Self::Anthropic, Self::Openrouter, Self::Brave];

    /// The word that the API uses, and the name of the provider in the proxy's table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Openrouter => "openrouter",
            Self::Brave => "brave",
        }
    }

    /// The provider with this name.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }
}

/// How programs in a workspace get to a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AiInject {
    /// Through the platform, which puts the key in; no key is in the workspace.
    #[default]
    Proxy,
    /// By themselves: the owner's keys are in the workspace's environment, and nothing is counted.
    Env,
}

/// Whether calls can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAiConfigStatus {
    /// With the platform's keys.
    ManagedActive,
    /// With the owner's key.
    ByokActive,
    /// Not: the owner has no key of this provider.
    InvalidMissingKey,
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAiModeSource {
    /// The workspace has its own.
    Workspace,
    /// The account's.
    UserDefault,
}

/// A key of an owner at a provider, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AiKey {
    /// Whose key it is.
    pub provider: AiProvider,
    /// Its end, to tell keys apart.
    pub preview: String,
    /// Whether it is the workspace's own or the account's.
    pub source: WorkspaceAiModeSource,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// `GET /users/me/ai-defaults`: what holds for workspaces that have decided nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAiDefaultsResponse {
    /// Who pays.
    pub default_mode: AiMode,
    /// Model of requests that name none.
    pub default_model: String,
    /// Provider whose key counts.
    pub default_provider: AiProvider,
    /// Whether AI is on; none where each workspace decides for itself, and is off until then.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// The account's own keys.
    #[serde(default)]
    pub keys: Vec<AiKey>,
}

/// `PUT /users/me/ai-defaults`. What is missing stays; `null` clears.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAiDefaultsRequest {
    /// Who pays.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_mode: Change<AiMode>,
    /// Model of requests that name none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ModelName>")]
    pub default_model: Change<String>,
    /// Provider whose key counts.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_provider: Change<AiProvider>,
    /// Whether AI is on.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub enabled: Change<bool>,
    /// Keys of the account by provider; `null` forgets one. Never shown again.
    #[serde(default, skip_serializing_if = "AiKeyChanges::is_empty")]
    pub api_keys: AiKeyChanges,
}

debug_shows!(UpdateAiDefaultsRequest: default_mode, default_model, default_provider, enabled);

/// What becomes of keys, by provider: `null` forgets one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AiKeyChanges {
    /// Gemini.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub google: Change<String>,
    /// OpenAI.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub openai: Change<String>,
    /// Claude.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub anthropic: Change<String>,
    /// Models of many others.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub openrouter: Change<String>,
    /// Web search.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub brave: Change<String>,
}

debug_shows!(AiKeyChanges:);

impl AiKeyChanges {
    /// The change of one key alone.
    #[must_use]
    pub fn of(provider: AiProvider, change: Change<String>) -> Self {
        let mut changes = Self::default();
        *match provider {
            AiProvider::Google => &mut changes.google,
            AiProvider::Openai => &mut changes.openai,
            AiProvider::Anthropic => &mut changes.anthropic,
            AiProvider::Openrouter => &mut changes.openrouter,
            AiProvider::Brave => &mut changes.brave,
        } = change;
        changes
    }

    /// Whether every key stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The keys that do not stay as they are.
    #[must_use]
    pub fn changed(self) -> Vec<(AiProvider, Change<String>)> {
        let all = [
            (AiProvider::Google, self.google),
            (AiProvider::Openai, self.openai),
            (AiProvider::Anthropic, self.anthropic),
            (AiProvider::Openrouter, self.openrouter),
            (AiProvider::Brave, self.brave),
        ];
        all.into_iter().filter(|(_, change)| !change.is_keep()).collect()
    }
}

/// `PUT /users/me/ai-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAiModeRequest {
    /// Who pays where a workspace has not decided.
    pub mode: AiMode,
}

/// `GET /workspaces/{id}/ai-config`: what holds for a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceAiConfigResponse {
    /// Who pays.
    pub mode: AiMode,
    /// Provider whose key counts.
    pub provider: AiProvider,
    /// Model of requests that name none.
    pub model: String,
    /// Whether calls can work, once AI is on.
    pub status: WorkspaceAiConfigStatus,
    /// Whether AI is on.
    #[serde(default)]
    pub enabled: bool,
    /// Who has decided that; none while nobody has, and code in the workspace may.
    #[serde(default)]
    pub enabled_by: Option<AiDecider>,
    /// How programs get to a provider.
    #[serde(default)]
    pub inject: AiInject,
    /// The keys that count: the workspace's own, and the account's where it has none.
    #[serde(default)]
    pub keys: Vec<AiKey>,
    /// When something of this was last changed for this workspace; when it was made, where nothing was.
    pub updated_at: Timestamp,
}

/// Who has decided whether AI is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AiDecider {
    /// The owner, for this workspace.
    Workspace,
    /// The owner, for all workspaces.
    UserDefault,
    /// Code in the workspace.
    Guest,
}

/// `PUT /workspaces/{id}/ai-config`. What is missing stays; `null` clears: then the account's counts.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspaceAiConfigRequest {
    /// Who pays.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub mode: Change<AiMode>,
    /// Provider whose key counts.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub provider: Change<AiProvider>,
    /// Model of requests that name none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ModelName>")]
    pub model: Change<String>,
    /// The workspace's key at its provider, as this request leaves it. Never shown again.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<ProviderKey>")]
    pub api_key: Change<String>,
    /// The same by provider; `null` forgets one.
    #[serde(default, skip_serializing_if = "AiKeyChanges::is_empty")]
    pub api_keys: AiKeyChanges,
    /// How programs get to a provider.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub inject: Change<AiInject>,
    /// Whether AI is on; `null` leaves it to the account, or to code in the workspace.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub enabled: Change<bool>,
}

debug_shows!(UpdateWorkspaceAiConfigRequest: mode, provider, model, inject, enabled);

/// `GET /workspaces/{id}/mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceAiModeResponse {
    /// Who pays.
    pub mode: AiMode,
    /// Who has decided that.
    pub source: WorkspaceAiModeSource,
}

/// `PUT /workspaces/{id}/mode`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspaceAiModeRequest {
    /// Who pays; `null` leaves it to the account.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub mode: Change<AiMode>,
}

/// How far back metrics of AI go: as those of a workspace do.
pub type AiUsageMetricsRange = WorkspaceMetricsRange;

/// What calls of one kind have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiTotals {
    /// Credits that they have cost.
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

/// A day of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageDaily {
    /// The day (UTC), such as `2026-11-29`.
    pub day: String,
    /// What was used.
    #[serde(flatten)]
    pub totals: AiTotals,
}

/// A workspace of an account. One that is gone is there with its id as its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageWorkspaceTotal {
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub workspace_name: String,
    /// What was used.
    #[serde(flatten)]
    pub totals: AiTotals,
}

/// A model of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageModelTotal {
    /// Whose model it is.
    pub provider: String,
    /// Its name there.
    pub model: String,
    /// What was used.
    #[serde(flatten)]
    pub totals: AiTotals,
}

/// What a workspace of an account used of a model on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageDetail {
    /// The day (UTC), such as `2026-11-29`.
    pub day: String,
    /// Which workspace.
    pub workspace_id: WorkspaceId,
    /// Its name, or its id where it is gone.
    pub workspace_name: String,
    /// Which model, and what was used.
    #[serde(flatten)]
    pub of: AiUsageModelTotal,
}

/// `GET /users/me/ai-usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetAiUsageResponse {
    /// How many days back it goes.
    pub window_days: u32,
    /// Days in which there were calls, oldest first.
    pub daily: Vec<AiUsageDaily>,
    /// Workspaces that made calls, the dearest first, at most 200.
    pub by_workspace: Vec<AiUsageWorkspaceTotal>,
    /// Models that answered calls, the dearest first, at most 200.
    #[serde(default)]
    pub by_model: Vec<AiUsageModelTotal>,
    /// The same by day, workspace and model: the newest day first, and within it the dearest, at most 2,000.
    #[serde(default)]
    pub details: Vec<AiUsageDetail>,
}

/// `GET /users/me/ai-usage/metrics` and `GET /workspaces/{id}/ai-usage/metrics`. A step without calls has
/// no point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageMetricsResponse {
    /// Which workspace; none for all of the account.
    pub workspace_id: Option<WorkspaceId>,
    /// How far back it goes.
    pub range: AiUsageMetricsRange,
    /// Time between two points.
    pub step_seconds: i64,
    /// The points, oldest first.
    pub series: AiUsageMetricsSeries,
}

/// What calls of a step have used, in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageMetricsSeries {
    /// Credits.
    pub credits: Vec<MetricPoint>,
    /// Tokens that were read.
    pub input_tokens: Vec<MetricPoint>,
    /// Tokens that were written.
    pub output_tokens: Vec<MetricPoint>,
    /// Calls.
    pub requests: Vec<MetricPoint>,
}

/// `GET /users/me/ai-usage/metrics/summary` and the same of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiUsageMetricsSummaryResponse {
    /// Which workspace; none for all of the account.
    pub workspace_id: Option<WorkspaceId>,
    /// How far back it goes.
    pub range: AiUsageMetricsRange,
    /// Credits.
    pub total_credits: f64,
    /// The same in millionths.
    pub total_credits_micro: i64,
    /// Tokens that were read.
    pub input_tokens: i64,
    /// Tokens that were written.
    pub output_tokens: i64,
    /// Calls.
    pub total_requests: i64,
    /// The same by model, the dearest first, at most 200.
    #[serde(default)]
    pub by_model: Vec<AiUsageModelTotal>,
}
