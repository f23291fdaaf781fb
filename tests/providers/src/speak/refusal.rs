//! Refusals, in the words and shape of each provider.
//! Invariant: as with the real ones, a refusal of a key may show some of it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::Provider;
use crate::behaviour::Failure;

/// What is told instead of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    provider: Provider,
    status: u16,
    kind: String,
    pub(crate) message: String,
    retry_after: Option<u64>,
}

/// Why a request is refused without having been told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    KeyMissing,
    KeyWrong,
}

/// Who refuses a key, and why.
pub(crate) fn refuse(provider: Provider, key: Option<&str>, is_missing: bool) -> Refusal {
    let ground = if is_missing { Ground::KeyMissing } else { Ground::KeyWrong };
    let status = match (provider, ground) {
        (Provider::Google, Ground::KeyMissing) => 403,
        (Provider::Google, Ground::KeyWrong) => 400,
        (Provider::Brave, _) => 422,
        _ => 401,
    };
    let mut refusal = Refusal::new(provider, status, key);
    match (provider, ground) {
        (Provider::Google, Ground::KeyMissing) => {
            refusal.message =
                "Method doesn't allow unregistered callers (callers without established identity). \
                 Please use API Key or other form of API consumer identity to call this API."
                    .to_owned();
        }
        (Provider::Google, Ground::KeyWrong) => {
            refusal.message = "API key not valid. Please pass a valid API key.".to_owned();
        }
        (Provider::Brave, _) => {
            refusal.kind = "SUBSCRIPTION_TOKEN_INVALID".to_owned();
            refusal.message = "The provided subscription token is invalid.".to_owned();
        }
        (Provider::OpenAi, Ground::KeyMissing) => {
            refusal.message = "You didn't provide an API key. You need to provide your API key in \
                               an Authorization header using Bearer auth."
                .to_owned();
        }
        _ => {}
    }
    refusal
}

impl Refusal {
    /// The usual one of a status. Some tell of the key.
    pub(crate) fn new(provider: Provider, status: u16, key: Option<&str>) -> Self {
        let kind = kind(provider, status).to_owned();
        let message = match (provider, status) {
            (Provider::OpenAi, 401) => format!(
                "Incorrect API key provided: {}. You can find your API key at \
                 https://platform.openai.com/account/api-keys.",
                masked(key.unwrap_or_default())
            ),
            (Provider::OpenAi, 429) => "Rate limit reached for requests.".to_owned(),
            (Provider::OpenAi, 500) => {
                "The server had an error while processing your request. Sorry about that!"
                    .to_owned()
            }
            (Provider::Anthropic, 401) => "invalid x-api-key".to_owned(),
            (Provider::Anthropic, 529) => "Overloaded".to_owned(),
            (Provider::Google, 503) => {
                "The model is overloaded. Please try again later.".to_owned()
            }
            (Provider::OpenRouter, 401) => "No auth credentials found".to_owned(),
            _ => StatusCode::from_u16(status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Something is wrong")
                .to_owned(),
        };
        Self { provider, status, kind, message, retry_after: None }
    }

    /// The one that a behaviour asks for.
    pub(crate) fn of(provider: Provider, failure: &Failure, key: Option<&str>) -> Self {
        let status = if failure.status == 0 { 503 } else { failure.status };
        let mut refusal = Self::new(provider, status, key);
        if let Some(kind) = &failure.kind {
            refusal.kind.clone_from(kind);
        }
        if let Some(message) = &failure.message {
            refusal.message.clone_from(message);
        }
        refusal.retry_after = failure.retry_after;
        refusal
    }

    /// One with other words.
    pub(crate) fn because(provider: Provider, status: u16, message: String) -> Self {
        Self { message, ..Self::new(provider, status, None) }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
            if self.provider == Provider::Brave {
                headers.insert(HeaderName::from_static("x-ratelimit-reset"), seconds.into());
            }
        }
        if self.provider == Provider::Anthropic && self.status == 529 {
            let yes = HeaderValue::from_static("true");
            headers.insert(HeaderName::from_static("x-should-retry"), yes);
        }
        headers
    }

    pub(crate) fn body(&self, number: u64) -> Value {
        let (kind, message, status) = (&self.kind, &self.message, self.status);
        match self.provider {
            Provider::OpenAi => {
                let code = match status {
                    401 => Some("invalid_api_key"),
                    429 => Some("rate_limit_exceeded"),
                    _ => None,
                };
                let error =
                    json!({ "message": message, "type": kind, "param": null, "code": code });
                json!({ "error": error })
            }
            Provider::Anthropic => json!({
                "type": "error", "error": { "type": kind, "message": message },
                "request_id": format!("req_sim{number:020x}"),
            }),
            Provider::Google => {
                let mut error = json!({ "code": status, "message": message, "status": kind });
                if message.starts_with("API key not valid") {
                    let details = json!([{
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "API_KEY_INVALID", "domain": "googleapis.com",
                    }]);
                    super::chat::put(&mut error, "details", Some(details));
                }
                json!({ "error": error })
            }
            Provider::OpenRouter => json!({ "error": { "code": status, "message": message } }),
            Provider::Brave => json!({
                "type": "ErrorResponse",
                "error": {
                    "id": format!("sim{number:020x}"), "status": status, "code": kind,
                    "detail": message, "meta": {},
                },
                "time": 1_767_225_600,
            }),
        }
    }
}

/// The provider's word for a status.
const fn kind(provider: Provider, status: u16) -> &'static str {
    match provider {
        Provider::OpenAi | Provider::OpenRouter => match status {
            400 | 401 | 404 | 413 => "invalid_request_error",
            403 => "insufficient_permissions",
            429 => "requests",
            _ => "server_error",
        },
        Provider::Anthropic => match status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        },
        Provider::Google => match status {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        },
        Provider::Brave => match status {
            401 => "UNAUTHORIZED",
            404 => "NOT_FOUND",
            422 => "VALIDATION",
            429 => "RATE_LIMITED",
            _ => "INTERNAL_SERVER_ERROR",
        },
    }
}

/// A key as OpenAI shows it: its beginning and its end.
fn masked(key: &str) -> String {
    let shown = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let length = key.len();
    let hidden = length.saturating_sub(12).clamp(4, 64);
    let end = shown(key.get(length.saturating_sub(4)..));
    format!("{}{}{end}", shown(key.get(..8.min(length.saturating_sub(4)))), "*".repeat(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a30_a_refused_key_is_shown_in_part() {
        let refusal = Refusal::new(Provider::OpenAi, 401, Some("sk-proj-0123456789abcdef"));
        assert!(refusal.message.contains("sk-proj-************cdef"), "{}", refusal.message);
        assert!(!masked("short").contains("short"));
    }
}
