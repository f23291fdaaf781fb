//! How a command line is let in by a person in a browser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, Email, secret::debug_shows};

/// `POST /auth/cli/session`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceSessionResponse {
    /// What the command line asks with. A secret.
    pub code: String,
    /// Where a person says yes or no.
    pub url: String,
    /// What that person compares, or types.
    pub user_code: String,
    /// How long they have.
    pub expires_in_s: u32,
    /// How often the command line may ask.
    pub poll_interval_s: u32,
}

debug_shows!(DeviceSessionResponse: url, user_code, expires_in_s, poll_interval_s);

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceStatus {
    /// Nobody has said anything yet.
    Pending,
    /// Somebody said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody said anything in time.
    Expired,
}

/// `GET /auth/cli/session/{code}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatusResponse {
    /// What has become of it.
    pub status: DeviceStatus,
    /// An API key of whoever said yes: in the first answer that says so, and in no other.
    pub api_key: Option<String>,
    /// That key's id.
    pub api_key_id: Option<ApiKeyId>,
    /// The address of whoever said yes, if they have one.
    pub user_email: Option<Email>,
}

debug_shows!(DeviceStatusResponse: status, api_key_id, user_email);
