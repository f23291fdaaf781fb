//! How much is under way at once, in all, for one account, and for one address of which nobody knows
//! whose it is: none of them can take the places of all.
//! What is short waits for its turn behind its account's others; a stream, which may last, does not.
//! Invariants: bounded, as is what waits, and for how long; what waits for its account has no place
//! among those of all; a place is given back when the answer has ended.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rigbox_types::{AccountId, Principal, authz::Standing};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::of_addresses::{OfAddress, OfAddresses};
use crate::{
    error::{ApiError, ApiResult, TooFast},
    rates::network,
};

/// Most requests under way whose answer is a document.
const MAX_REQUESTS: usize = 256;
/// Most open streams: events, logs, files, commands and terminals.
const MAX_STREAMS: usize = 512;
/// The same of one account; the operator's has only the limits of all.
const MAX_REQUESTS_OF_ACCOUNT: usize = 64;
/// See [`MAX_REQUESTS_OF_ACCOUNT`].
const MAX_STREAMS_OF_ACCOUNT: usize = 128;
/// Most requests under way from one address of which nobody knows who asks: a body that comes slowly
/// holds its place.
const MAX_REQUESTS_OF_STRANGER: usize = 32;
/// Most requests of one account that wait for a place: with those under way, what a program sends
/// that does a hundred things at once, and an eighth of the connections.
const MAX_WAITING_OF_ACCOUNT: usize = 64;
/// How long one waits: many times what a request takes.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// When to come again after all places were taken.
pub(super) const BUSY_RETRY_S: u32 = 1;
/// What a refusal says was counted.
const UNDER_WAY: &str = "under_way";

/// Bounds how much is under way.
pub(crate) struct Places {
    all: Pair,
    /// Of accounts that have something under way.
    accounts: Mutex<HashMap<AccountId, Weak<Pair>>>,
    strangers: Arc<OfAddresses>,
}

/// Places for documents and for streams.
struct Pair {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Of those that wait for a place for a document.
    waiting: Semaphore,
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
            waiting: Semaphore::new(MAX_WAITING_OF_ACCOUNT),
        }
    }

    /// A place for a document, after a while.
    async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.try_acquire().ok()?;
        let place = Arc::clone(&self.requests).acquire_owned();
        timeout(WAIT_MAX, place).await.ok()?.ok()
    }

    fn take(&self, is_long: bool) -> Option<OwnedSemaphorePermit> {
        let places = if is_long { &self.streams } else { &self.requests };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            all: Pair::new(MAX_REQUESTS, MAX_STREAMS),
            accounts: Mutex::default(),
            strangers: Arc::default(),
        }
    }

    /// A place among those of all, before it is known who asks.
    pub(crate) fn take(&self, is_long: bool) -> ApiResult<OwnedSemaphorePermit> {
        self.all.take(is_long).ok_or_else(|| {
            let limit = if is_long { MAX_STREAMS } else { MAX_REQUESTS };
            let text = format!(
                "all {limit} requests that this installation answers at once are under way; come \
                 again in {BUSY_RETRY_S} s"
            );
            let facts = json!({ "class": UNDER_WAY, "limit": limit, "used": limit });
            ApiError::unavailable(text, BUSY_RETRY_S).adding(facts)
        })
    }

    /// A share of what strangers at one address may have, to be held until the answer has ended.
    pub(crate) fn of_stranger(&self, from: Option<IpAddr>) -> ApiResult<Option<OfAddress>> {
        let Some(from) = from else { return Ok(None) };
        let share = self.strangers.take(network(from), MAX_REQUESTS_OF_STRANGER);
        share.map(Some).ok_or_else(|| {
            let facts = under_way(MAX_REQUESTS_OF_STRANGER);
            let text = format!(
                "all {MAX_REQUESTS_OF_STRANGER} requests that one address may have under way \
                 without a key are; send fewer at once, or come again in {BUSY_RETRY_S} s"
            );
            facts.refusal(text).adding(json!({ "used": MAX_REQUESTS_OF_STRANGER }))
        })
    }

    /// The place, with one among those of the caller's account.
    pub(crate) async fn take_own(
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
        let Some(account) = account else {
            return Ok(Place(Arc::new(Held { _all: all, _own: None })));
        };
        let pair = self.of(account);
        let (all, own) = match pair.take(is_long) {
            Some(own) => (all, own),
            None if is_long => return Err(too_many(MAX_STREAMS_OF_ACCOUNT)),
            None => {
                // Others may have it meanwhile.
                drop(all);
                let own = pair.wait().await;
                let own = own.ok_or_else(|| too_many(MAX_REQUESTS_OF_ACCOUNT))?;
                (self.take(is_long)?, own)
            }
        };
        Ok(Place(Arc::new(Held { _all: all, _own: Some((own, pair)) })))
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

fn under_way(limit: usize) -> TooFast {
    TooFast {
        class: UNDER_WAY,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        window_s: u32::try_from(WAIT_MAX.as_secs()).unwrap_or(u32::MAX),
        retry_after_s: BUSY_RETRY_S,
    }
}

fn too_many(limit: usize) -> ApiError {
    let facts = under_way(limit);
    let text = format!(
        "all {limit} requests that an account may have under way are; send fewer at once, or come \
         again in {BUSY_RETRY_S} s"
    );
    facts.refusal(text).adding(json!({ "used": limit }))
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all, future::poll_immediate};
    use rigbox_types::{ApiKeyId, Credential, KeyScopes, api::error::ErrorCode};

    use super::*;

    fn key(n: u8, standing: Standing) -> Principal {
        let credential = Credential::Key(ApiKeyId::from_random([n; 16]));
        let account = AccountId::from_random([n; 16]);
        Principal::Key { credential, account, standing, scopes: KeyScopes::full() }
    }

    async fn take(places: &Places, who: &Principal, is_long: bool) -> ApiResult<Place> {
        places.take_own(places.take(is_long)?, Some(who), is_long).await
    }

    #[tokio::test]
    async fn one_account_cannot_take_the_places_of_all() {
        let places = Places::new();
        let (greedy, other) = (key(1, Standing::User), key(2, Standing::User));
        let mut held = Vec::new();
        for _ in 0..MAX_STREAMS_OF_ACCOUNT {
            held.push(take(&places, &greedy, true).await.unwrap());
        }
        let refused = take(&places, &greedy, true).await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        assert!(take(&places, &other, true).await.is_ok());
        assert!(take(&places, &key(1, Standing::Operator), true).await.is_ok());
        // Its documents have places of their own.
        assert!(take(&places, &greedy, false).await.is_ok());
        drop(held);
        assert!(take(&places, &greedy, true).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_account_takes_no_place_of_all_and_waits_no_longer_than_it_may() {
        let places = Places::new();
        let greedy = key(1, Standing::User);
        let mut held = Vec::new();
        for _ in 0..MAX_REQUESTS_OF_ACCOUNT {
            held.push(take(&places, &greedy, false).await.unwrap());
        }
        let mut waiting: Vec<_> =
            (0..MAX_WAITING_OF_ACCOUNT).map(|_| Box::pin(take(&places, &greedy, false))).collect();
        for one in &mut waiting {
            assert!(poll_immediate(one).await.is_none());
        }
        let free = MAX_REQUESTS - MAX_REQUESTS_OF_ACCOUNT;
        assert_eq!(places.all.requests.available_permits(), free);
        // One more than may wait is told so at once.
        let refused = take(&places, &greedy, false).now_or_never().unwrap().err().unwrap();
        assert_eq!((refused.code(), refused.retry_after_s()), (ErrorCode::RateLimited, Some(1)));
        // The first in line is served first, and the others not for ever.
        held.pop();
        let mut waiting = waiting.into_iter();
        held.push(waiting.next().unwrap().await.unwrap());
        let ended = join_all(waiting).await;
        let passed = ended.iter().filter(|ended| ended.is_ok()).count();
        assert_eq!(passed, 0);
    }
}
