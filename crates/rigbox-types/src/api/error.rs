//! The error document of the API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every refusal answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiErrorBody {
    /// What was wrong.
    pub error: ApiErrorDetail,
}

/// Code, text and facts of one refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiErrorDetail {
    /// Stable, for programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The field, or the limit with its current use, or when to come again.
    #[serde(default)]
    pub details: serde_json::Value,
}

/// The kinds of refusal. Their words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A field is missing, unknown or out of bounds.
    InvalidRequest,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The caller may see it, but not do this.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// It is taken, or was asked differently before.
    Conflict,
    /// The object is in a state in which this cannot be done.
    InvalidState,
    /// Over the plan.
    QuotaExceeded,
    /// No AI credits left.
    CreditsExhausted,
    /// Too fast.
    RateLimited,
    /// This installation, host or driver cannot do it.
    Unsupported,
    /// The body is too large.
    TooLarge,
    /// A part that is needed does not answer; a later try may succeed.
    Unavailable,
    /// The machine or fleet is full.
    CapacityExhausted,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The word that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InvalidState => "invalid_state",
            Self::QuotaExceeded => "quota_exceeded",
            Self::CreditsExhausted => "credits_exhausted",
            Self::RateLimited => "rate_limited",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::CapacityExhausted => "capacity_exhausted",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidState => 400,
            Self::Unauthenticated => 401,
            Self::QuotaExceeded | Self::CreditsExhausted => 402,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unsupported => 501,
            Self::Unavailable | Self::CapacityExhausted => 503,
        }
    }
}
