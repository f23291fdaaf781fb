//! What comes too fast: the one way to a refusal with 429.
//! Invariant: every such refusal says of which class it is, how much of it there may be within which
//! time, and when to come again, in its details and in its head.

use rigbox_types::api::error::ErrorCode;
use serde_json::json;

use super::ApiError;
use crate::rates::Left;

/// The facts of a refusal. There is no way to leave one out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooFast {
    /// What is counted.
    pub(crate) class: &'static str,
    /// How much of it there may be.
    pub(crate) limit: u32,
    /// Within how many seconds; of what is under way, how many a request waits for its turn.
    pub(crate) window_s: u32,
    /// When to come again.
    pub(crate) retry_after_s: u32,
}

impl TooFast {
    /// The refusal, with a text that says what to do.
    pub(crate) fn refusal(self, text: impl Into<String>) -> ApiError {
        let Self { class, limit, window_s, retry_after_s } = self;
        ApiError::of(ErrorCode::RateLimited, text)
            .with(json!({ "class": class, "limit": limit, "window_s": window_s }))
            .retry_after(retry_after_s)
            .left(Left::nothing(limit, retry_after_s))
    }
}
