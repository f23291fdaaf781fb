//! The token bucket of rate limits, as a pure function: callers bring the time and keep the state.
//! The state of a bucket is one moment, at which it is full again. Invariant: within any window no
//! more than twice the limit passes, and never more than the limit at once.
//! Does not know who draws.

use serde::{Deserialize, Serialize};

use crate::{
    endpoint::RateClass,
    limits::{RATE_APPS, RATE_AUTHENTICATION, RATE_OPEN, RATE_WINDOW_S, RATE_WORKSPACES},
};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens of a full bucket, and how many come back within the window.
    pub limit: u32,
    /// The window, in seconds.
    pub window_s: u32,
}

/// What a draw found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// The tokens are the caller's.
    Passed {
        /// When the bucket is full again, in microseconds since 1970: its new state.
        full_at: i64,
        /// Tokens that are left.
        remaining: u32,
        /// Seconds until the bucket is full.
        reset_s: u32,
    },
    /// There are not so many; nothing was taken.
    Empty {
        /// Seconds until there are; at least one.
        retry_after_s: u32,
    },
}

/// Requests within [`RATE_WINDOW_S`] of each class: of an account, or of an address where nobody is
/// signed in. Zero lets nothing pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// See [`RATE_AUTHENTICATION`].
    pub authentication: u32,
    /// See [`RATE_WORKSPACES`].
    pub workspaces: u32,
    /// See [`RATE_APPS`].
    pub apps: u32,
    /// See [`RATE_OPEN`].
    pub open: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            authentication: RATE_AUTHENTICATION,
            workspaces: RATE_WORKSPACES,
            apps: RATE_APPS,
            open: RATE_OPEN,
        }
    }
}

impl RateLimits {
    /// The rate of a class.
    #[must_use]
    pub const fn of(self, class: RateClass) -> Rate {
        let limit = match class {
            RateClass::Authentication => self.authentication,
            RateClass::Workspaces => self.workspaces,
            RateClass::Apps => self.apps,
            RateClass::Open => self.open,
        };
        Rate { limit, window_s: RATE_WINDOW_S }
    }
}

/// Numbers of a profile, which take the place of the platform's own; none keeps the platform's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateProfile {
    /// See [`RateLimits`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<u32>,
    /// As there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<u32>,
    /// As there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<u32>,
}

impl RateLimits {
    /// These numbers with those of a profile in their place.
    #[must_use]
    pub fn with(self, profile: RateProfile) -> Self {
        Self {
            authentication: profile.authentication.unwrap_or(self.authentication),
            workspaces: profile.workspaces.unwrap_or(self.workspaces),
            apps: profile.apps.unwrap_or(self.apps),
            open: self.open,
        }
    }
}

impl RateClass {
    /// The class's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Workspaces => "workspaces",
            Self::Apps => "apps",
            Self::Open => "open",
        }
    }
}

impl Rate {
    /// The window in microseconds.
    #[must_use]
    pub const fn window(self) -> i64 {
        // Widening: `From` is not const.
        self.window_s as i64 * SECOND
    }

    /// What so many tokens cost, in microseconds of the bucket's time.
    #[must_use]
    pub fn cost(self, tokens: u32) -> i64 {
        i64::from(tokens) * self.window() / i64::from(self.limit.max(1))
    }

    /// Draws tokens at `now` from a bucket that is full at `full_at`, both in microseconds since
    /// 1970. A `full_at` that lies further ahead than a window was written by a clock that has gone
    /// back since, and counts as an empty bucket.
    #[must_use]
    pub fn draw(self, full_at: i64, now: i64, tokens: u32) -> Draw {
        let window = self.window();
        if self.limit == 0 {
            return Draw::Empty { retry_after_s: self.window_s.max(1) };
        }
        let next = full_at.clamp(now, now.saturating_add(window)).saturating_add(self.cost(tokens));
        let used = next.saturating_sub(now);
        if used > window {
            return Draw::Empty { retry_after_s: seconds(used - window).max(1) };
        }
        let remaining = (window - used) * i64::from(self.limit) / window.max(1);
        Draw::Passed {
            full_at: next,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_s: seconds(used),
        }
    }
}

/// Whole seconds of so many microseconds, rounded up.
#[must_use]
pub fn seconds(micros: i64) -> u32 {
    let whole = micros.saturating_add(SECOND - 1) / SECOND;
    u32::try_from(whole.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { limit: 6, window_s: 60 };

    /// Draws one at a time from `full_at` on until one is refused.
    fn drain(mut full_at: i64, now: i64) -> (u32, i64, u32) {
        let mut passed = 0;
        loop {
            match RATE.draw(full_at, now, 1) {
                Draw::Passed { full_at: next, .. } => (full_at, passed) = (next, passed + 1),
                Draw::Empty { retry_after_s } => return (passed, full_at, retry_after_s),
            }
        }
    }

    #[test]
    fn a_full_bucket_gives_its_limit_and_then_one_for_each_share_of_the_window() {
        let now = 1_000 * SECOND;
        let (passed, full_at, retry_after_s) = drain(0, now);
        assert_eq!((passed, retry_after_s), (6, 10));
        assert_eq!(drain(full_at, now + 9 * SECOND).0, 0);
        assert_eq!(drain(full_at, now + 10 * SECOND).0, 1);
        assert_eq!(drain(full_at, now + 35 * SECOND).0, 3);
        assert_eq!(drain(full_at, now + 600 * SECOND).0, 6);
    }

    #[test]
    fn an_answer_says_what_is_left_and_until_when() {
        let drawn = RATE.draw(0, 0, 2);
        assert_eq!(drawn, Draw::Passed { full_at: 20 * SECOND, remaining: 4, reset_s: 20 });
        assert_eq!(RATE.draw(20 * SECOND, 0, 5), Draw::Empty { retry_after_s: 10 });
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_for_longer_than_a_window() {
        let (_, full_at, _) = drain(0, 1_000_000 * SECOND);
        assert_eq!(RATE.draw(full_at, 0, 1), Draw::Empty { retry_after_s: 10 });
        assert_eq!(drain(full_at.min(60 * SECOND), 60 * SECOND).0, 6);
    }
}
