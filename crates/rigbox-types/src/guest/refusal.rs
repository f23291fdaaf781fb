//! How a workspace's programs are refused by the gateway, or by the AI proxy behind it: in the shape of the
//! API that was called, so that the vendor's SDK raises the right exception.
//! Does not decide when to refuse.

use serde_json::{Map, Value, json};

/// In whose words a path is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The platform's own API.
    Platform,
    /// OpenAI's, and every path that is nobody else's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Google,
}

/// How long who has too many calls under way waits before another one, in seconds.
pub const UNDER_WAY_WAIT_S: u64 = 1;

/// What a refusal says to programs where as many calls are under way as there may be.
#[must_use]
pub fn under_way(limit: usize) -> Value {
    json!({
        "class": "under_way",
        "limit": limit,
        "window_s": UNDER_WAY_WAIT_S,
        "retry_after_s": UNDER_WAY_WAIT_S,
    })
}

impl Shape {
    /// The shape of a path, whether or not something is there.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path.starts_with("/rig/") {
            Self::Platform
        } else if path.starts_with("/v1/messages") || path.starts_with("/anthropic/") {
            Self::Anthropic
        } else if path.starts_with("/google/") {
            Self::Google
        } else {
            Self::OpenAi
        }
    }

    /// The body of a refusal with this status of HTTP, code of ours, message and, where there is more to
    /// say, details.
    #[must_use]
    pub fn document(
        self,
        status: u16,
        code: &str,
        message: &str,
        details: Option<&Value>,
    ) -> Value {
        let with = |mut error: Map<String, Value>| {
            error.extend(details.map(|details| ("details".to_owned(), details.clone())));
            Value::Object(error)
        };
        match self {
            Self::Platform => {
                json!({ "error": { "code": code, "message": message, "details": details } })
            }
            Self::OpenAi => {
                let error = members([
                    ("code", json!(code)),
                    ("message", json!(message)),
                    ("type", json!("rigbox_gateway_error")),
                    ("param", Value::Null),
                ]);
                json!({ "error": with(error) })
            }
            Self::Anthropic => {
                let error = members([
                    ("type", json!(anthropic(status))),
                    ("message", json!(message)),
                    ("code", json!(code)),
                ]);
                json!({ "type": "error", "error": with(error) })
            }
            Self::Google => {
                let mut info = members([
                    ("@type", json!("type.googleapis.com/google.rpc.ErrorInfo")),
                    ("reason", json!(code)),
                    ("domain", json!("rigbox")),
                ]);
                info.extend(details.map(|details| ("metadata".to_owned(), texts(details))));
                json!({ "error": {
                    "code": status,
                    "message": message,
                    "status": google(status),
                    "details": [info],
                }})
            }
        }
    }
}

/// Google's metadata has texts alone: of what is none, as JSON has it; of nothing, none.
fn texts(details: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let all = details.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), Value::String(text(value)?)))).collect()
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Anthropic's word, from which its SDKs choose the exception.
fn anthropic(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Google's word.
fn google(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        402 | 429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}
