//! What the gateway says when it does not hand on an answer, in the shape that the client of a path
//! knows how to read. Does not decide when to refuse.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// In whose words a path is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The platform's own API.
    Platform,
    /// OpenAI's, and every path that is nobody else's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Google,
}

impl Shape {
    /// The shape of a path that leads to the AI proxy.
    pub(super) fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") || path.starts_with("/anthropic/") {
            Self::Anthropic
        } else if path.starts_with("/google/") {
            Self::Google
        } else {
            Self::OpenAi
        }
    }
}

/// A refusal before it is put into words of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl Refusal {
    pub(super) const NOTHING_HERE: Self =
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
    pub(super) const MALFORMED: Self =
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", "the path is malformed");
    pub(super) const QUERY_MALFORMED: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "the query is malformed or over 1 KiB",
    );
    pub(super) const PATH_TOO_LONG: Self =
        Self::new(StatusCode::URI_TOO_LONG, "invalid_request", "the path is over 8 KiB");
    pub(super) const BODY_TOO_LARGE: Self = Self::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "the body is over 64 KiB or was cut off",
    );
    pub(super) const CALL_TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over 32 MiB");
    pub(super) const BODY_TOO_SLOW: Self =
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body did not come in time");
    pub(super) const BODY_BROKEN: Self =
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", "the body was cut off");
    pub(super) const TOO_MANY_CALLS: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "all 64 AI calls that a workspace may have under way are; try again when one has ended",
    );
    pub(super) const TOO_MANY_ON_HOST: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "too many AI calls are under way on this host; try again",
    );
    pub(super) const NO_AI: Self =
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "this host has no AI proxy");
    pub(super) const UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the platform does not answer; try again",
    );

    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// The answer.
    pub(super) fn answer(self, shape: Shape) -> Response<Body> {
        let mut answer = Response::new(Body::from(self.document(shape).to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body would be taken for the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn document(self, shape: Shape) -> Value {
        let Self { status, code, message } = self;
        match shape {
            Shape::Platform => {
                json!({ "error": { "code": code, "message": message, "details": null } })
            }
            Shape::OpenAi => json!({ "error": {
                "code": code, "message": message, "type": "rigbox_gateway_error", "param": null,
            }}),
            Shape::Anthropic => {
                json!({ "type": "error", "error": { "type": self.anthropic(), "message": message } })
            }
            Shape::Google => json!({ "error": {
                "code": status.as_u16(), "message": message, "status": self.google(),
            }}),
        }
    }

    /// Anthropic's word, from which its SDKs choose the exception.
    fn anthropic(self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// Google's word.
    fn google(self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
            StatusCode::REQUEST_TIMEOUT => "DEADLINE_EXCEEDED",
            status if status.is_client_error() => "INVALID_ARGUMENT",
            _ => "UNAVAILABLE",
        }
    }
}
