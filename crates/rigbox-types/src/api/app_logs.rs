//! Where the logs of an app are, and what is in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AppId, AppLogSourceId, Timestamp,
    api::{change::Change, services::LogSourceType},
    guest::LogLine,
    text::{LogSourceRef, Title},
};

/// A place where logs of an app can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppLogSource {
    /// Its id.
    pub id: AppLogSourceId,
    /// Of which app.
    pub app_id: AppId,
    /// What kind of place it is.
    pub source_type: LogSourceType,
    /// The unit, container or file.
    pub source_ref: String,
    /// For people.
    pub display_name: Option<String>,
    /// Whether it is the one that is read when none is named.
    pub is_primary: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// `POST /apps/{id}/log-sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAppLogSourceRequest {
    /// What kind of place it is.
    pub source_type: LogSourceType,
    /// The unit, container or file.
    #[schemars(with = "LogSourceRef")]
    pub source_ref: String,
    /// For people.
    #[serde(default)]
    #[schemars(with = "Option<Title>")]
    pub display_name: Option<String>,
    /// Whether it is read when none is named; the first one is.
    #[serde(default)]
    pub is_primary: Option<bool>,
}

/// `PATCH /apps/{id}/log-sources/{source_id}`: a missing field keeps its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAppLogSourceRequest {
    /// What kind of place it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<LogSourceType>,
    /// The unit, container or file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LogSourceRef>")]
    pub source_ref: Option<String>,
    /// For people; `null` removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Title>")]
    pub display_name: Change<String>,
    /// Whether it is read when none is named: there is one at most, and `true` makes it this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_primary: Option<bool>,
}

/// Every answer about one log source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAppLogSourceResponse {
    /// The source.
    pub source: AppLogSource,
}

/// `GET /apps/{id}/log-sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListAppLogSourcesResponse {
    /// The primary one first, then the oldest first; all of them.
    pub sources: Vec<AppLogSource>,
}

/// `GET /apps/{id}/logs`: a page, in order of time whichever the direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAppLogsResponse {
    /// Where they are from.
    pub source: AppLogSource,
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Where the next page in the same direction begins.
    pub cursor: Option<String>,
    /// Whether there is more in that direction.
    pub has_more: bool,
    /// How many lines there are in all, where that is known.
    pub total_lines: Option<u64>,
}
