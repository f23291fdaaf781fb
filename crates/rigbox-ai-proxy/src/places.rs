//! How much is worked on at once: calls, and the bytes of bodies that are in memory, of all accounts and
//! of each.
//! Invariants: no account has more than its share, so that none keeps others waiting; what is not there is
//! waited for only for a moment, and then refused; memory counts until its body is gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::StatusCode;
use rigbox_ai::estimate::BODY_MAX_BYTES;
use rigbox_types::{
    AccountId,
    guest::refusal::{UNDER_WAY_WAIT_S, under_way},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::Refusal;

/// Most calls at once.
const CALLS_MAX: usize = 8_192;

/// Most of one account's.
const SHARE_MAX_CALLS: usize = CALLS_MAX / 8;

/// Most of all bodies in memory.
const MEMORY_MAX_BYTES: usize = 1024 * 1024 * 1024;

/// Most of one account's: three of the largest requests.
const SHARE_MAX_BYTES: usize = 96 * 1024 * 1024;

/// In which steps memory is counted.
const STEP_BYTES: usize = 64 * 1024;

/// How long one waits for memory that others have.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a body may take in all. The relay cuts what is slow before.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Clone)]
pub(crate) struct Places {
    calls: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    shares: Arc<Mutex<HashMap<AccountId, Weak<Own>>>>,
}

/// What one account may have.
#[derive(Clone)]
pub(crate) struct Share {
    own: Arc<Own>,
    all: Arc<Semaphore>,
}

struct Own {
    calls: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// Memory that is in use until it is dropped.
#[derive(Default)]
pub(crate) struct Memory(Vec<[OwnedSemaphorePermit; 2]>);

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            memory: Arc::new(Semaphore::new(MEMORY_MAX_BYTES / STEP_BYTES)),
            shares: Arc::default(),
        }
    }

    /// A place for a call.
    pub(crate) fn call(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.calls).try_acquire_owned();
        place.map_err(|_| {
            Refusal::unavailable("the AI proxy has too many calls under way; try again")
        })
    }

    /// How many calls are under way.
    pub(crate) fn under_way(&self) -> usize {
        CALLS_MAX.saturating_sub(self.calls.available_permits())
    }

    /// An account's share.
    pub(crate) fn share(&self, account: AccountId) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shares.get(&account).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            // Those that nobody has any more, whenever there is a new one.
            shares.retain(|_, share| share.strong_count() > 0);
            let own = Arc::new(Own {
                calls: Arc::new(Semaphore::new(SHARE_MAX_CALLS)),
                memory: Arc::new(Semaphore::new(SHARE_MAX_BYTES / STEP_BYTES)),
            });
            shares.insert(account, Arc::downgrade(&own));
            own
        });
        Share { own, all: self.memory.clone() }
    }
}

impl Share {
    /// A place among the account's calls.
    pub(crate) fn call(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.own.calls).try_acquire_owned();
        place.map_err(|_| {
            let message = format!(
                "an account may have {SHARE_MAX_CALLS} calls under way, and this one has; try again"
            );
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
                .with(under_way(SHARE_MAX_CALLS))
                .after(Duration::from_secs(UNDER_WAY_WAIT_S))
        })
    }

    /// Counts memory for a body that has grown to `bytes`.
    pub(crate) async fn grow(&self, memory: &mut Memory, bytes: usize) -> Result<(), Refusal> {
        while memory.0.len().saturating_mul(STEP_BYTES) < bytes {
            // One's own calls are one's own to space.
            let own = Arc::clone(&self.own.memory).try_acquire_owned().map_err(|_| {
                let message =
                    "the calls of this account have too much in memory at once; try again";
                Refusal::unavailable(message)
            })?;
            let full = || Refusal::unavailable("the AI proxy has too much in memory; try again");
            let all = timeout(PATIENCE, Arc::clone(&self.all).acquire_owned()).await;
            memory.0.push([own, all.map_err(|_| full())?.map_err(|_| full())?]);
        }
        Ok(())
    }

    /// The same where nobody can wait; whether there is room.
    pub(crate) fn grow_at_once(&self, memory: &mut Memory, bytes: usize) -> bool {
        while memory.0.len().saturating_mul(STEP_BYTES) < bytes {
            let own = Arc::clone(&self.own.memory).try_acquire_owned();
            let all = Arc::clone(&self.all).try_acquire_owned();
            let (Ok(own), Ok(all)) = (own, all) else { return false };
            memory.0.push([own, all]);
        }
        true
    }

    /// Reads the body of a request whole.
    pub(crate) async fn read(&self, body: Body) -> Result<(Bytes, Memory), Refusal> {
        let reading = timeout(BODY_TIMEOUT, self.read_all(body)).await;
        reading.unwrap_or_else(|_| {
            let message = "the body did not come in time";
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", message))
        })
    }

    async fn read_all(&self, body: Body) -> Result<(Bytes, Memory), Refusal> {
        let (mut memory, mut all) = (Memory::default(), BytesMut::new());
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Refusal::invalid("the body was cut off"))?;
            let bytes = all.len().saturating_add(piece.len());
            if bytes > BODY_MAX_BYTES {
                let message = format!("the body must have at most {BODY_MAX_BYTES} bytes");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            self.grow(&mut memory, bytes).await?;
            all.extend_from_slice(&piece);
        }
        Ok((all.freeze(), memory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_at_once_has_its_accounts_bound_and_is_given_back() {
        let places = Places::new();
        let (share, another) = (
            places.share(AccountId::from_random([1; 16])),
            places.share(AccountId::from_random([2; 16])),
        );
        let (mut kept, mut more) = (Memory::default(), Memory::default());
        assert!(share.grow_at_once(&mut kept, SHARE_MAX_BYTES));
        assert!(!share.grow_at_once(&mut more, 1));
        assert!(another.grow_at_once(&mut more, 1));
        drop(kept);
        assert!(share.grow_at_once(&mut more, 2 * STEP_BYTES));
    }
}
