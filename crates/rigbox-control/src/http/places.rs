//! How much is under way at once, in all and for one account: no account can take the places of all.
//! Invariant: bounded; a place is given back when the answer has ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rigbox_types::{AccountId, Principal, authz::Standing};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ApiResult};

/// Most requests under way whose answer is a document.
const MAX_REQUESTS: usize = 256;
/// Most open streams: events, logs, files, commands and terminals.
const MAX_STREAMS: usize = 512;
/// The same of one account; the operator's has only the limits of all.
const MAX_REQUESTS_OF_ACCOUNT: usize = 64;
/// See [`MAX_REQUESTS_OF_ACCOUNT`].
const MAX_STREAMS_OF_ACCOUNT: usize = 128;
/// When to come again after all places were taken.
pub(super) const BUSY_RETRY_S: u32 = 1;

/// Bounds how much is under way.
pub(crate) struct Places {
    all: Pair,
    /// Of accounts that have something under way.
    accounts: Mutex<HashMap<AccountId, Weak<Pair>>>,
}

/// Places for documents and for streams.
struct Pair {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// A place of a request, for as long as its answer lasts.
#[derive(Clone)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] Arc<Held>);

struct Held {
    _all: OwnedSemaphorePermit,
    _own: Option<(OwnedSemaphorePermit, Arc<Pair>)>,
}

impl Pair {
    fn new(requests: usize, streams: usize) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            streams: Arc::new(Semaphore::new(streams)),
        }
    }

    fn take(&self, is_long: bool) -> Option<OwnedSemaphorePermit> {
        let places = if is_long { &self.streams } else { &self.requests };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

impl Places {
    pub(crate) fn new() -> Self {
        Self { all: Pair::new(MAX_REQUESTS, MAX_STREAMS), accounts: Mutex::default() }
    }

    /// A place among those of all, before it is known who asks.
    pub(crate) fn take(&self, is_long: bool) -> ApiResult<OwnedSemaphorePermit> {
        let busy = || ApiError::unavailable("too many requests are under way", BUSY_RETRY_S);
        self.all.take(is_long).ok_or_else(busy)
    }

    /// The place, with one among those of the caller's account.
    pub(crate) fn take_own(
        &self,
        all: OwnedSemaphorePermit,
        who: Option<&Principal>,
        is_long: bool,
    ) -> ApiResult<Place> {
        let account = match who {
            None | Some(Principal::Key { standing: Standing::Operator, .. }) => None,
            Some(Principal::Key { account, .. } | Principal::Guest { account, .. }) => {
                Some(*account)
            }
        };
        let own = match account {
            None => None,
            Some(account) => {
                let pair = self.of(account);
                let busy = || {
                    let text = "too many requests of this account are under way";
                    ApiError::unavailable(text, BUSY_RETRY_S)
                };
                Some((pair.take(is_long).ok_or_else(busy)?, pair))
            }
        };
        Ok(Place(Arc::new(Held { _all: all, _own: own })))
    }

    fn of(&self, account: AccountId) -> Arc<Pair> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = accounts.get(&account).and_then(Weak::upgrade) {
            return pair;
        }
        // As many as have something under way, which is bounded.
        accounts.retain(|_, pair| pair.strong_count() > 0);
        let pair = Arc::new(Pair::new(MAX_REQUESTS_OF_ACCOUNT, MAX_STREAMS_OF_ACCOUNT));
        accounts.insert(account, Arc::downgrade(&pair));
        pair
    }
}

#[cfg(test)]
mod tests {
    use rigbox_types::{ApiKeyId, Credential, KeyScopes};

    use super::*;

    fn key(n: u8, standing: Standing) -> Principal {
        let credential = Credential::Key(ApiKeyId::from_random([n; 16]));
        let account = AccountId::from_random([n; 16]);
        Principal::Key { credential, account, standing, scopes: KeyScopes::full() }
    }

    #[test]
    fn one_account_cannot_take_the_places_of_all() {
        let places = Places::new();
        let take = |who: &Principal| places.take_own(places.take(true)?, Some(who), true);
        let (greedy, other) = (key(1, Standing::User), key(2, Standing::User));
        let held: Vec<Place> =
            (0..MAX_STREAMS_OF_ACCOUNT).map(|_| take(&greedy).unwrap()).collect();
        assert!(take(&greedy).is_err());
        assert!(take(&other).is_ok());
        assert!(take(&key(1, Standing::Operator)).is_ok());
        // Its documents have places of their own.
        let document = places.take_own(places.take(false).unwrap(), Some(&greedy), false);
        assert!(document.is_ok());
        drop(held);
        assert!(take(&greedy).is_ok());
    }
}
