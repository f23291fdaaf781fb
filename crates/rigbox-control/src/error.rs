//! What a refused request answers: code, text and facts, in the API's one error document.
//! Invariant: the text of an internal error never leaves the process; it is logged here, once.

mod store;
mod too_fast;

use std::{error::Error, fmt};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use rigbox_types::{
    Right, Status,
    api::error::{ApiErrorBody, ApiErrorDetail, ErrorCode},
    authz::Denied,
};
use serde_json::{Value, json};

use crate::{audit::Refusal, rates::Left};

pub(crate) use too_fast::TooFast;

/// A refusal.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    status: Option<StatusCode>,
    message: String,
    details: Value,
    retry_after_s: Option<u32>,
    left: Option<Left>,
    denied: bool,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What handlers return.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// What went wrong with one field, before it is known where in the document the field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The field's path.
    pub(crate) field: String,
    /// What it must be.
    pub(crate) rule: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::field(&invalid.field, invalid.rule)
    }
}

impl ApiError {
    /// Not for what comes too fast: see [`TooFast`], which has more to say.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        debug_assert_ne!(code, ErrorCode::RateLimited, "a refusal of TooFast");
        Self::of(code, message)
    }

    fn of(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            status: None,
            message: message.into(),
            details: Value::Null,
            retry_after_s: None,
            left: None,
            denied: false,
            cause: None,
        }
    }

    /// The request as a whole cannot be read.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// One field breaks a rule.
    pub(crate) fn field(field: &str, rule: impl fmt::Display) -> Self {
        Self::request(format!("{field}: {rule}")).with(json!({ "field": field }))
    }

    /// There is no such thing, or the caller may not know of it.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} not found"))
    }

    /// What of an app takes a right to its workspace, which the caller does not have.
    pub(crate) fn lacks(right: Right, what: &str) -> Self {
        let word = right.word();
        let message = format!(
            "{what} takes the right {word} to the app's workspace, which a role on the app or a key of \
             it does not give: ask for a role on the workspace, or use a key that reaches it"
        );
        Self { message, ..Denied::Forbidden.into() }.with(json!({ "right": word }))
    }

    /// The workspace is in a state in which this cannot be done.
    pub(crate) fn state(status: Status, verb: &str, allowed: &[Status]) -> Self {
        let words: Vec<&str> = allowed.iter().map(|status| status.as_str()).collect();
        let message = if words.is_empty() {
            format!("workspace is {status} and cannot {verb} now")
        } else {
            format!("workspace is {status}; to {verb} it must be {}", words.join(" or "))
        };
        Self::new(ErrorCode::InvalidState, message)
            .with(json!({ "status": status, "allowed": words }))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// A part that is needed does not answer; a later try may succeed.
    pub(crate) fn unavailable(message: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(ErrorCode::Unavailable, message).retry_after(retry_after_s)
    }

    /// Our fault. The cause is logged and not shown.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "something went wrong on our side");
        error.cause = Some(cause.into());
        error
    }

    /// Adds facts.
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// Adds facts to those there are.
    pub(crate) fn adding(mut self, facts: Value) -> Self {
        match (self.details.as_object_mut(), facts) {
            (Some(details), Value::Object(facts)) => details.extend(facts),
            (_, facts) => self.details = facts,
        }
        self
    }

    /// Answers with another status than the code's own.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Says in the answer's fields what the request's rate limit has left.
    pub(crate) fn left(mut self, left: Left) -> Self {
        self.left = Some(left);
        self
    }

    /// Says when to come again, in the details and as a header.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self.adding(json!({ "retry_after_s": seconds }))
    }

    /// Keeps what was behind a refusal, for the log.
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The refusal's code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The refusal's text, for streams that have begun.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The refusal's HTTP status.
    pub(crate) fn http_status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| {
            StatusCode::from_u16(self.code.http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    /// Seconds after which to come again.
    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Writes what was behind a refusal to the log; once, by whoever answers it.
    pub(crate) fn log(&self) {
        let Some(cause) = &self.cause else { return };
        let cause = chain(cause.as_ref());
        if self.code == ErrorCode::Internal {
            tracing::error!(cause, "request failed");
        } else {
            tracing::info!(cause, code = self.code.as_str(), "request refused");
        }
    }
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let error = match denied {
            Denied::Unknown => Self::new(ErrorCode::NotFound, "not found"),
            Denied::Forbidden => Self::new(ErrorCode::Forbidden, "this credential may not do that"),
        };
        Self { denied: true, ..error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let status = self.http_status();
        let unauthenticated = self.code == ErrorCode::Unauthenticated;
        let (retry_after, left) = (self.retry_after_s, self.left);
        let refusal = Refusal { code: self.code, denied: self.denied };
        let detail =
            ApiErrorDetail { code: self.code, message: self.message, details: self.details };
        let mut response = (status, Json(ApiErrorBody { error: detail })).into_response();
        response.extensions_mut().insert(refusal);
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(left) = left {
            left.write(headers);
        }
        if unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
