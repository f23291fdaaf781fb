//! What can go wrong between two parts. A refusal keeps the other side's status, code and text, so
//! that it reaches the user unchanged.

use http::StatusCode;
use rigbox_types::api::error::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::Address;

/// Why a request to another part gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FabricError {
    /// Nobody listens, or the connection was refused or broke before it was made.
    #[error("connect to {address}")]
    Connect {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke while the request was under way: it may or may not have had effect.
    #[error("connection to {address} broke")]
    Broken {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer from {address} in time")]
    TimedOut {
        /// Where.
        address: Address,
    },
    /// The other side said no.
    #[error("refused with {0}")]
    Refused(Refusal),
    /// The answer is no document of the expected kind, or too long.
    #[error("answer of {address} is not what was expected: {what}")]
    Malformed {
        /// Where.
        address: Address,
        /// What is wrong.
        what: String,
    },
}

impl FabricError {
    /// Whether nothing answered, so that the other part is to be taken as down.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Refused(_) | Self::Malformed { .. } => false,
        }
    }

    /// The refusal, where the other side answered with one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. } => None,
        }
    }
}

/// A refusal as the other side said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// The word of the error document; the status's own word where there was no document.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field, or the limit; null when absent.
    pub details: serde_json::Value,
}

impl Refusal {
    /// The code as one of the API's, where it is one.
    #[must_use]
    pub fn api_code(&self) -> Option<ErrorCode> {
        serde_json::from_value(serde_json::Value::String(self.code.clone())).ok()
    }

    /// Reads the error document of an answer; anything else becomes a refusal without words.
    #[must_use]
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { error: ErrorDetail { code, message, details } }) => {
                Self { status, code, message, details }
            }
            Err(_) => Self {
                status,
                code: status_code_word(status),
                message: status.canonical_reason().unwrap_or("refused").to_lowercase(),
                details: serde_json::Value::Null,
            },
        }
    }

    /// The error document, to pass on.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "code": self.code, "message": self.message, "details": self.details,
        }})
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

/// Same shape as the API's error document, but with any code: a newer part may know more words.
#[derive(Serialize, Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, Deserialize)]
struct ErrorDetail {
    code: String,
    message: String,
    #[serde(default)]
    details: serde_json::Value,
}

fn status_code_word(status: StatusCode) -> String {
    let word = match status.as_u16() {
        400 => "invalid_request",
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        413 => "too_large",
        429 => "rate_limited",
        501 => "unsupported",
        502..=504 => "unavailable",
        _ => "internal",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_status_code_and_words() {
        let body = br#"{"error":{"code":"quota_exceeded","message":"over","details":{"max":3}}}"#;
        let refusal = Refusal::read(StatusCode::PAYMENT_REQUIRED, body);
        assert_eq!(refusal.api_code(), Some(ErrorCode::QuotaExceeded));
        assert_eq!(refusal.to_json(), serde_json::from_slice::<serde_json::Value>(body).unwrap());
    }

    #[test]
    fn an_answer_without_document_still_has_a_code() {
        let refusal = Refusal::read(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            (refusal.code.as_str(), refusal.message.as_str()),
            ("unavailable", "bad gateway")
        );
        assert_eq!(Refusal::read(StatusCode::CONFLICT, b"").api_code(), Some(ErrorCode::Conflict));
    }
}
