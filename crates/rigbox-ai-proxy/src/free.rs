//! How many calls an account makes that nobody pays for: counts of tokens and lists of models, with the
//! platform's key.
//! Invariant: no account uses up for the others what a provider allows that key.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use rigbox_types::{
    AccountId, Timestamp,
    rate::{Draw, Rate},
};
use serde_json::json;

use crate::refusal::Refusal;

/// One account's. Anthropic's smallest allowance to count tokens is 100 a minute.
const RATE: Rate = Rate { limit: 60, window_s: 60 };

/// As many accounts are known before those whose buckets are full again are forgotten.
const ACCOUNTS_MAX: usize = 4_096;

/// When each account's bucket is full again, in microseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct FreeCalls(Mutex<HashMap<AccountId, i64>>);

impl FreeCalls {
    /// Counts a call, or refuses it.
    pub(crate) fn admit(&self, account: AccountId, now: Timestamp) -> Result<(), Refusal> {
        let now = now.as_micros();
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= ACCOUNTS_MAX {
            full.retain(|_, full_at| *full_at > now);
        }
        let full_at = full.entry(account).or_default();
        let retry_after_s = match RATE.draw(*full_at, now, 1) {
            Draw::Passed { full_at: next, .. } => {
                *full_at = next;
                return Ok(());
            }
            Draw::Empty { retry_after_s } => retry_after_s,
        };
        let Rate { limit, window_s } = RATE;
        let message = format!(
            "an account may make {limit} calls in {window_s} s that cost nothing, with the platform's key"
        );
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .with(json!({ "limit": limit, "window_s": window_s, "retry_after_s": retry_after_s }))
            .after(Duration::from_secs(retry_after_s.into())))
    }
}
