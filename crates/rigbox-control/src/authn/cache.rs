//! Keys and sessions that were verified a moment ago, so that a burst of requests reads the store once.
//! Invariants: bounded in size; a key that has ended is not believed; a key that is forgotten is not
//! believed again on the strength of a row that was read before; one whose end nobody told of works
//! for at most [`MAX_AGE`] more. Holds digests, no keys.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rigbox_types::{AccountId, Credential, Principal, Timestamp};

use super::Presented;

/// How long a verified key is believed.
const MAX_AGE: Duration = Duration::from_secs(5);
/// Most keys that are remembered.
const MAX_LEN: usize = 1_024;

pub(super) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<[u8; 32], Entry>,
    /// Counts how often something was forgotten.
    forgotten: u64,
}

/// A key that was verified.
pub(super) struct Verified {
    pub(super) principal: Principal,
    /// From when on it is refused.
    pub(super) expires_at: Option<Timestamp>,
}

struct Entry {
    since: Instant,
    key: Verified,
}

/// Taken before a row is read: what is forgotten meanwhile makes the row worth nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading(u64);

impl Cache {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    pub(super) fn find(&self, key: &Presented, now: Timestamp) -> Option<Principal> {
        let state = self.lock();
        let entry = state.entries.get(&key.digest())?;
        let ended = entry.key.expires_at.is_some_and(|end| end <= now);
        (!ended && entry.since.elapsed() < MAX_AGE).then(|| entry.key.principal.clone())
    }

    /// To be called before the row is read that [`Cache::keep`] is given.
    pub(super) fn reading(&self) -> Reading {
        Reading(self.lock().forgotten)
    }

    pub(super) fn keep(&self, key: &Presented, verified: Verified, reading: Reading) {
        let mut state = self.lock();
        if state.forgotten != reading.0 {
            return;
        }
        if state.entries.len() >= MAX_LEN {
            state.entries.retain(|_, entry| entry.since.elapsed() < MAX_AGE);
        }
        // Still full means more live keys than are worth remembering.
        if state.entries.len() < MAX_LEN {
            state.entries.insert(key.digest(), Entry { since: Instant::now(), key: verified });
        }
    }

    /// Believes a credential no more; none at all where none is named.
    pub(super) fn forget(&self, gone: Option<Credential>) {
        let mut state = self.lock();
        state.forgotten = state.forgotten.wrapping_add(1);
        state.entries.retain(|_, entry| match entry.key.principal {
            Principal::Key { credential, .. } => gone.is_some_and(|gone| gone != credential),
            Principal::Guest { .. } => false,
        });
    }

    /// Believes no key of an account any more.
    pub(super) fn forget_account(&self, account: AccountId) {
        let mut state = self.lock();
        state.forgotten = state.forgotten.wrapping_add(1);
        state.entries.retain(|_, entry| match entry.key.principal {
            Principal::Key { account: owner, .. } | Principal::Guest { account: owner, .. } => {
                owner != account
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rigbox_types::{AccountId, ApiKeyId, KeyScopes, authz::Standing};

    use super::*;
    use crate::authn::ApiKey;

    fn new() -> Presented {
        Presented::Key(ApiKey::new().unwrap())
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn id(n: u8) -> Credential {
        Credential::Key(ApiKeyId::from_random([n; 16]))
    }

    fn verified(n: u8, expires_at: Option<Timestamp>) -> Verified {
        let account = AccountId::from_random([n; 16]);
        let (standing, scopes) = (Standing::User, KeyScopes::full());
        let principal = Principal::Key { credential: id(n), account, standing, scopes };
        Verified { principal, expires_at }
    }

    #[test]
    fn a_key_that_has_ended_is_not_believed() {
        let (cache, key) = (Cache::new(), new());
        cache.keep(&key, verified(1, Some(at(10))), cache.reading());
        assert!(cache.find(&key, at(9)).is_some());
        assert!(cache.find(&key, at(10)).is_none());
    }

    #[test]
    fn a_key_that_is_forgotten_is_not_believed_and_others_are() {
        let (cache, first, second) = (Cache::new(), new(), new());
        cache.keep(&first, verified(1, None), cache.reading());
        cache.keep(&second, verified(2, None), cache.reading());
        cache.forget(Some(id(1)));
        assert!(cache.find(&first, at(0)).is_none());
        assert!(cache.find(&second, at(0)).is_some());
        cache.forget(None);
        assert!(cache.find(&second, at(0)).is_none());
    }

    #[test]
    fn a_row_that_was_read_before_its_key_was_forgotten_is_not_kept() {
        let (cache, key) = (Cache::new(), new());
        let reading = cache.reading();
        cache.forget(Some(id(1)));
        cache.keep(&key, verified(1, None), reading);
        assert!(cache.find(&key, at(0)).is_none());
    }
}
