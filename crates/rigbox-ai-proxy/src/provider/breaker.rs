//! Whether a provider works: where many calls in a row have failed, further ones are refused at once for a
//! while, and then one is let through to see.
//!
//! An account whose own calls fail is refused by itself, whatever makes them fail. All are refused where
//! the provider cannot be reached, or fails for several accounts: nobody closes it for others.
//!
//! Invariants: what a caller did wrong, and what a provider refuses because it is too much, is no failure;
//! a call counts once, however often it was sent; a call that is let through to see and then is not made,
//! or takes longer than the first pause, leaves that to another one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rigbox_types::AccountId;
use tokio::time::Instant;

/// Failures in a row after which calls are refused.
const FAILURES: u32 = 5;

/// Accounts that must have failed before all are refused.
const ACCOUNTS: usize = 3;

/// How long they are refused first; each time that the call after it fails twice as long.
const FIRST: Duration = Duration::from_secs(5);

/// How long at most.
const MOST: Duration = Duration::from_secs(60);

/// Accounts whose failures are remembered; those of more are not.
const REMEMBERED_MAX: usize = 10_000;

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    all: Circuit,
    failed: BTreeSet<AccountId>,
    own: HashMap<AccountId, Circuit>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    failures: u32,
    refused_until: Option<Instant>,
    /// When it began to refuse, last.
    opened: Option<Instant>,
    pause: Duration,
    /// Since when a call is under way that sees whether it works again.
    tried: Option<Instant>,
}

/// A provider that does not work at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// When one may try again.
    pub(crate) retry_after: Duration,
}

/// How a call went that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The provider has answered.
    Works,
    /// It has not, or said that it is in trouble.
    Failed,
    /// It cannot be reached, whoever asks.
    Unreachable,
}

/// A call that was let through.
#[derive(Debug)]
pub(crate) struct Admitted {
    breaker: Breaker,
    account: AccountId,
    at: Instant,
}

impl Breaker {
    /// Lets a call through, or says when to ask again.
    pub(crate) fn admit(&self, account: AccountId) -> Result<Admitted, Broken> {
        let mut state = self.state();
        let now = Instant::now();
        let own = state.own.get(&account).copied().unwrap_or_default();
        let tries = (state.all.admits(now)?, own.admits(now)?);
        if tries.0 {
            state.all.tried = Some(now);
        }
        if let Some(known) = state.own.get_mut(&account).filter(|_| tries.1) {
            known.tried = Some(now);
        }
        Ok(Admitted { breaker: self.clone(), account, at: now })
    }

    /// Whether all calls are refused at the moment.
    pub(crate) fn is_open(&self) -> bool {
        self.state().all.refused_until.is_some_and(|until| Instant::now() < until)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The call is over.
    pub(crate) fn is(self, verdict: Verdict) {
        let account = self.account;
        let mut state = self.breaker.state();
        if verdict == Verdict::Works {
            (state.all, state.failed) = (Circuit::default(), BTreeSet::new());
            state.own.remove(&account);
            return;
        }
        let now = Instant::now();
        if state.failed.len() < ACCOUNTS {
            state.failed.insert(account);
        }
        let is_for_all = verdict == Verdict::Unreachable || state.failed.len() >= ACCOUNTS;
        state.all.fails((self.at, now), is_for_all);
        if state.own.len() < REMEMBERED_MAX || state.own.contains_key(&account) {
            state.own.entry(account).or_default().fails((self.at, now), true);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.breaker.state();
        state.all.tried = state.all.tried.filter(|at| *at != self.at);
        if let Some(known) = state.own.get_mut(&self.account) {
            known.tried = known.tried.filter(|at| *at != self.at);
        }
    }
}

impl Circuit {
    /// Whether a call that comes now is the one that sees whether it works again.
    fn admits(&self, now: Instant) -> Result<bool, Broken> {
        let Some(until) = self.refused_until else { return Ok(false) };
        if now < until {
            return Err(Broken { retry_after: until - now });
        }
        // Others wait for what it finds, but not for as long as an answer may take.
        match self.tried.map(|since| since + FIRST) {
            Some(until) if now < until => Err(Broken { retry_after: until - now }),
            Some(_) | None => Ok(true),
        }
    }

    /// A call that began at `at` has failed.
    fn fails(&mut self, (at, now): (Instant, Instant), opens: bool) {
        // One that began before says nothing that is not known.
        if self.opened.is_some_and(|opened| at <= opened) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if opens && self.failures >= FAILURES {
            self.pause = (self.pause * 2).clamp(FIRST, MOST);
            (self.opened, self.refused_until) = (Some(now), Some(now + self.pause));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId::from_random([n; 16])
    }

    fn fail(breaker: &Breaker, n: u8) {
        breaker.admit(account(n)).unwrap().is(Verdict::Failed);
    }

    #[tokio::test(start_paused = true)]
    async fn after_failures_in_a_row_one_call_at_a_time_sees_whether_it_works_again() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            fail(&breaker, 1);
        }
        breaker.admit(account(1)).unwrap().is(Verdict::Works);
        for _ in 0..FAILURES {
            fail(&breaker, 1);
        }
        let refused = breaker.admit(account(1)).unwrap_err();
        assert_eq!(refused, Broken { retry_after: FIRST });
        advance(FIRST).await;
        // One that is let through and not made leaves it to the next.
        drop(breaker.admit(account(1)).unwrap());
        let trial = breaker.admit(account(1)).unwrap();
        assert_eq!(breaker.admit(account(1)).unwrap_err(), Broken { retry_after: FIRST });
        // One that takes long keeps nobody waiting.
        advance(FIRST).await;
        let another = breaker.admit(account(1)).unwrap();
        assert!(breaker.admit(account(1)).is_err());
        trial.is(Verdict::Failed);
        // Both found the same.
        another.is(Verdict::Failed);
        let refused = breaker.admit(account(1)).unwrap_err();
        assert_eq!(refused, Broken { retry_after: FIRST * 2 });
        advance(FIRST * 2).await;
        breaker.admit(account(1)).unwrap().is(Verdict::Works);
        let (one, another) = (breaker.admit(account(1)), breaker.admit(account(1)));
        assert!(one.is_ok() && another.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_closes_a_provider_for_others_and_several_do() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES * 2 {
            if let Ok(admitted) = breaker.admit(account(1)) {
                admitted.is(Verdict::Failed);
            }
        }
        assert!(breaker.admit(account(1)).is_err() && !breaker.is_open());
        drop(breaker.admit(account(2)).unwrap());
        for n in 2..=3 {
            fail(&breaker, n);
        }
        assert!(breaker.is_open() && breaker.admit(account(9)).is_err());
        // What cannot be reached is closed for all at once.
        let breaker = Breaker::default();
        for n in 0..5 {
            breaker.admit(account(n)).unwrap().is(Verdict::Unreachable);
        }
        assert!(breaker.admit(account(9)).is_err());
    }
}
