//! Callers that hang up before their answer begins.
//! Invariants: a call that streams, or was not sent, ends with its caller. One whose answer comes as a whole
//! is seen to its end once it was sent: its provider writes the answer and charges for it, whoever listens.
//! Nothing is sent again for a caller that is gone.
//! Does not know of answers that have begun: a body that is dropped ends its call.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::AbortHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Calls that may outlive their callers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    tasks: TaskTracker,
    ends: CancellationToken,
}

/// Whether a caller is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_gone: AtomicBool,
    is_kept: AtomicBool,
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

    /// Ends those that nobody waits for any more.
    pub(crate) async fn end(&self) {
        self.ends.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Presence {
    /// Says whether the call is seen to its end without its caller.
    pub(crate) fn keep(&self, is_kept: bool) {
        self.0.is_kept.store(is_kept, Ordering::SeqCst);
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_gone.load(Ordering::SeqCst)
    }
}

/// A caller, who is gone when it is dropped.
struct Caller {
    presence: Presence,
    call: AbortHandle,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.presence.0.is_gone.store(true, Ordering::SeqCst);
        if !self.presence.0.is_kept.load(Ordering::SeqCst) {
            self.call.abort();
        }
    }
}
