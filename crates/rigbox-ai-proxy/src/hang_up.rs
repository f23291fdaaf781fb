//! Callers that hang up before their answer begins.
//! Invariants: a call that streams, or was not sent, ends with its caller. One whose answer comes as a whole
//! is seen to its end once it was sent: its provider writes the answer and charges for it, whoever listens.
//! Nothing is sent again for a caller that is gone.
//! Does not bound how many there are: each has its place among its account's calls until it is over.
//! Does not know of answers that have begun: a body that is dropped ends its call.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

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
    /// Whether the call goes on without its caller.
    is_kept: bool,
}

impl Calls {
    /// Runs a call for its caller, and beside everything else once that one is gone; nothing where the
    /// proxy ends first.
    pub(crate) fn run<C, A>(&self, call: impl FnOnce(Presence) -> C) -> Attended<A>
    where
        C: Future<Output = A> + Send + 'static,
        A: Send + 'static,
    {
        let presence = Presence::default();
        let until = self.ends.clone().run_until_cancelled_owned(call(presence.clone()));
        Attended { call: Some(Box::pin(until)), presence, counted: self.tasks.token() }
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
    /// Says whether the call is seen to its end without its caller.
    pub(crate) fn keep(&self, is_kept: bool) {
        self.state().is_kept = is_kept;
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn is_gone(&self) -> bool {
        self.state().is_gone
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that its caller waits for. Dropped before its end, the caller has gone.
///
/// It runs where its caller does: a task of its own would hand each call to another thread and back.
pub(crate) struct Attended<A: Send + 'static> {
    /// None once it is over.
    call: Option<Pin<Box<dyn Future<Output = Option<A>> + Send>>>,
    presence: Presence,
    counted: TaskTrackerToken,
}

impl<A: Send + 'static> Future for Attended<A> {
    type Output = Option<A>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out meanwhile: one that panics is over.
        let Some(mut call) = self.call.take() else { return Poll::Ready(None) };
        let answer = call.as_mut().poll(context);
        if answer.is_pending() {
            self.call = Some(call);
        }
        answer
    }
}

impl<A: Send + 'static> Drop for Attended<A> {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let mut state = self.presence.state();
        state.is_gone = true;
        let is_kept = state.is_kept;
        drop(state);
        // Without a runtime the process ends, and the next one finds the call in the journal.
        if is_kept && let Ok(runtime) = Handle::try_current() {
            let tracker = self.counted.task_tracker().clone();
            drop(runtime.spawn(tracker.track_future(call)));
        }
    }
}
