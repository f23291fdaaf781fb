//! Whether a provider works: where many calls in a row have failed, further ones are refused at once for a
//! while, and then one is let through to see.
//! Invariant: what a caller did wrong, and what a provider refuses because it is too much, is no failure.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row after which calls are refused.
const FAILURES: u32 = 5;

/// How long they are refused first; each time that the call after it fails twice as long.
const FIRST: Duration = Duration::from_secs(5);

/// How long at most.
const MOST: Duration = Duration::from_secs(60);

/// How long the call that is let through may take until another one is.
const TRIAL: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    refused_until: Option<Instant>,
    pause: Duration,
}

/// A provider that does not work at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// When one may try again.
    pub(crate) retry_after: Duration,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Whether a call may be made.
    pub(crate) fn admit(&self) -> Result<(), Broken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = state.refused_until else { return Ok(()) };
        let now = Instant::now();
        if now < until {
            return Err(Broken { retry_after: until - now });
        }
        // This one sees whether it works again; others wait for what it finds.
        state.refused_until = Some(now + TRIAL);
        Ok(())
    }

    /// The provider has answered.
    pub(crate) fn works(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// It did not, or said that it is in trouble.
    pub(crate) fn failed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.pause = (state.pause * 2).clamp(FIRST, MOST);
            state.refused_until = Some(Instant::now() + state.pause);
        }
    }

    /// Whether calls are refused at the moment.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused_until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_failures_in_a_row_one_call_at_a_time_sees_whether_it_works_again() {
        let breaker = Breaker::new();
        for _ in 1..FAILURES {
            breaker.failed();
        }
        breaker.works();
        for _ in 0..FAILURES {
            assert_eq!(breaker.admit(), Ok(()));
            breaker.failed();
        }
        assert_eq!(breaker.admit(), Err(Broken { retry_after: FIRST }));
        advance(FIRST).await;
        assert_eq!(breaker.admit(), Ok(()));
        assert!(breaker.admit().is_err());
        breaker.failed();
        assert_eq!(breaker.admit(), Err(Broken { retry_after: FIRST * 2 }));
        advance(FIRST * 2).await;
        assert_eq!(breaker.admit(), Ok(()));
        breaker.works();
        assert_eq!((breaker.admit(), breaker.admit()), (Ok(()), Ok(())));
    }
}
