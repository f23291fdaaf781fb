//! What the gateway says when it does not hand on an answer, in the shape that the client of a path
//! knows how to read. Does not decide when to refuse.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rigbox_types::guest::refusal::{Shape, UNDER_WAY_WAIT_S, under_way};
use serde_json::Value;

use super::calls::{MAX_CALLS, MAX_CALLS_OF_HOST};

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

    /// Whose limit it is, for programs.
    fn details(self) -> Option<Value> {
        let limit = match self {
            Self::TOO_MANY_CALLS => MAX_CALLS,
            Self::TOO_MANY_ON_HOST => MAX_CALLS_OF_HOST,
            _ => return None,
        };
        Some(under_way(limit))
    }

    /// The answer.
    pub(super) fn answer(self, shape: Shape) -> Response<Body> {
        let details = self.details();
        let document =
            shape.document(self.status.as_u16(), self.code, self.message, details.as_ref());
        let mut answer = Response::new(Body::from(document.to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(UNDER_WAY_WAIT_S));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body would be taken for the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}
