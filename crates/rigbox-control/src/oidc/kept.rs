//! A document of a provider that is remembered for a while.
//! Owns the document. Invariants: one request at a time asks for it, and those behind it take what it
//! got; after a failure nobody asks for [`RETRY_AFTER`], so that a provider that is down costs one
//! wait and not one for each person.
//! Does not know where it comes from.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, time::timeout};

use super::fetch::{FetchError, LIMIT};

/// How long a provider that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    asking: Semaphore,
}

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, Instant)>,
    failed: Option<Instant>,
}

impl<T> Kept<T> {
    pub(super) fn new() -> Self {
        let state = State { value: None, failed: None };
        Self { state: Mutex::new(state), asking: Semaphore::new(1) }
    }

    /// The document, no older than `age`.
    pub(super) async fn younger(
        &self,
        age: Duration,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<Arc<T>, FetchError> {
        if let Some(value) = self.known(age) {
            return Ok(value);
        }
        let _asking = self.turn().await?;
        if let Some(value) = self.known(age) {
            return Ok(value);
        }
        if self.state().failed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return Err(FetchError::Down);
        }
        self.ask(fetch).await
    }

    /// A document that is not this one: somebody else's newer one, else another look where `may`
    /// allows it; this one again where neither is to be had.
    pub(super) async fn other_than(
        &self,
        tried: &Arc<T>,
        may: impl FnOnce() -> bool,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<Arc<T>, FetchError> {
        let _asking = self.turn().await?;
        let known = self.known(Duration::MAX);
        match known.filter(|known| !Arc::ptr_eq(known, tried)) {
            Some(newer) => Ok(newer),
            None if may() => self.ask(fetch).await,
            None => Ok(Arc::clone(tried)),
        }
    }

    /// The document, if it is no older than `age`; asks nobody.
    pub(super) fn known(&self, age: Duration) -> Option<Arc<T>> {
        let state = self.state();
        let (value, at) = state.value.as_ref()?;
        (at.elapsed() < age).then(|| Arc::clone(value))
    }

    async fn ask(
        &self,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<Arc<T>, FetchError> {
        match fetch.await {
            Ok(value) => {
                let value = Arc::new(value);
                *self.state() =
                    State { value: Some((Arc::clone(&value), Instant::now())), failed: None };
                Ok(value)
            }
            Err(error) => {
                self.state().failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, FetchError> {
        let turn = timeout(LIMIT, self.asking.acquire()).await;
        turn.map_err(|_| FetchError::Slow)?.map_err(|_| FetchError::Busy)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
