//! How many calls an account makes that nobody pays for: counts of tokens and lists of models, with the
//! platform's key.
//! Invariant: no account uses up for the others what a provider allows that key.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use rigbox_types::AccountId;
use serde_json::json;
use tokio::time::Instant;

use crate::refusal::Refusal;

/// Most of one account within a window. Anthropic's smallest allowance to count tokens is 100 a minute.
const CALLS_MAX: u32 = 60;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts of the window that runs, for all accounts the same.
#[derive(Debug, Default)]
pub(crate) struct FreeCalls(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    counts: HashMap<AccountId, u32>,
}

impl FreeCalls {
    /// Counts a call, or refuses it.
    pub(crate) fn admit(&self, account: AccountId) -> Result<(), Refusal> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let began = match window.began {
            Some(began) if now.duration_since(began) < WINDOW => began,
            Some(_) | None => {
                *window = Window { began: Some(now), counts: HashMap::new() };
                now
            }
        };
        let count = window.counts.entry(account).or_default();
        if *count < CALLS_MAX {
            *count += 1;
            return Ok(());
        }
        let seconds = WINDOW.as_secs();
        let message = format!(
            "an account may make {CALLS_MAX} calls in {seconds} s that cost nothing, with the platform's key"
        );
        let details = json!({ "limit": CALLS_MAX, "window_seconds": seconds });
        let wait = WINDOW.saturating_sub(now.duration_since(began));
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .with(details)
            .after(wait))
    }
}
