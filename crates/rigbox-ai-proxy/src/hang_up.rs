//! Callers that hang up before their answer begins.
//! Invariants: a call that streams, or was not sent, ends with its caller. One whose answer comes as a whole
//! is seen to its end once it was sent: its provider writes the answer and charges for it, whoever listens.
//! Of these an account has a few at most.
//! Nothing is sent again for a caller that is gone.
//! Does not know of answers that have begun: a body that is dropped ends its call.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the end of the proxy waits for calls without callers. Callers had their time before.
const GRACE: Duration = Duration::from_secs(3);

/// Calls that may outlive their callers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    tasks: TaskTracker,
    ends: CancellationToken,
}

/// Whether a caller is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_gone: bool,
    /// Where a place is taken for the call once its caller is gone; without one it ends then.
    places: Option<Arc<Semaphore>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Calls {
    /// Runs a call beside its caller; nothing where the proxy ends first.
    pub(crate) async fn run<C, A>(&self, call: impl FnOnce(Presence) -> C) -> Option<A>
    where
        C: Future<Output = A> + Send + 'static,
        A: Send + 'static,
    {
        let presence = Presence::default();
        let until = self.ends.clone().run_until_cancelled_owned(call(presence.clone()));
        let task = self.tasks.spawn(until);
        let _caller = Caller { presence, call: task.abort_handle() };
        task.await.ok().flatten()
    }

    /// Lets those that nobody waits for any more end, for a moment.
    pub(crate) async fn end(&self) {
        self.tasks.close();
        timeout(GRACE, self.tasks.wait()).await.ok();
        self.ends.cancel();
        self.tasks.wait().await;
    }
}

impl Presence {
    /// Says whether the call is seen to its end without its caller, and which places there are for such.
    pub(crate) fn keep(&self, places: Option<Arc<Semaphore>>) {
        self.state().places = places;
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn is_gone(&self) -> bool {
        self.state().is_gone
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller, who is gone when it is dropped.
struct Caller {
    presence: Presence,
    call: AbortHandle,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut state = self.presence.state();
        state.is_gone = true;
        state.place = state.places.take().and_then(|places| places.try_acquire_owned().ok());
        if state.place.is_none() {
            self.call.abort();
        }
    }
}
