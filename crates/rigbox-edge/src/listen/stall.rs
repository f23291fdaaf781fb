//! Runs each request of an HTTP/2 connection as a task that ends where its client takes nothing of the
//! answer for too long, while others of the same connection go on.
//! Invariants: only waiting for the client counts, never waiting for an app; what the request holds is
//! let go at once, and its stream is reset behind what was on its way already. Costs one allocation a
//! request, and a timer only where an answer has to wait for its client.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, Sleep, sleep};

tokio::task_local! {
    /// That of the request whose task runs.
    static OWN: Arc<Stall>;
}

/// How far a client is with the answer to a request: the lowest bit is set while it was given a part and
/// did not come back for the next one, the others count how often it came.
#[derive(Debug, Default)]
pub(super) struct Stall(AtomicU64);

impl Stall {
    /// That of the request whose task asks, at its first turn.
    pub(super) fn own() -> Option<Arc<Self>> {
        OWN.try_with(Arc::clone).ok()
    }

    /// The client has room for more; whether something is put there.
    pub(super) fn polled(&self, given: bool) {
        // Only the task of the request comes here.
        let turns = (self.0.load(Ordering::Relaxed) >> 1).wrapping_add(1);
        self.0.store(turns << 1 | u64::from(given), Ordering::Relaxed);
    }

    /// How far it is, where it is the client that is waited for.
    fn held(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|now| now & 1 == 1)
    }
}

/// The tasks of one connection.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) limit: Duration,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        TokioExecutor::new().execute(until_stalled(request, self.limit));
    }
}

/// Runs to the end, or until nothing was taken for between one and two times `limit`.
async fn until_stalled(request: impl Future<Output = ()>, limit: Duration) {
    let stall = Arc::new(Stall::default());
    let (mut request, mut is_new, mut watch) = (pin!(request), true, Watch::default());
    poll_fn(|cx| {
        let polled = if is_new {
            is_new = false;
            OWN.sync_scope(stall.clone(), || request.as_mut().poll(cx))
        } else {
            request.as_mut().poll(cx)
        };
        if polled.is_ready() {
            return polled;
        }
        let Some(held) = stall.held() else { return Poll::Pending };
        ready!(watch.poll(held, limit, cx));
        tracing::debug!("the client takes nothing of an answer");
        Poll::Ready(())
    })
    .await;
}

/// Notices that a client is where it was.
#[derive(Default)]
struct Watch {
    /// Made when it is first waited for, then left to run: setting it anew at each wait would cost.
    timer: Option<Pin<Box<Sleep>>>,
    seen: u64,
}

impl Watch {
    fn poll(&mut self, held: u64, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            self.seen = held;
            Box::pin(sleep(limit))
        });
        loop {
            ready!(timer.as_mut().poll(cx));
            if self.seen == held {
                return Poll::Ready(());
            }
            self.seen = held;
            timer.as_mut().reset(Instant::now() + limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A request that does as it is told at each turn, until nobody tells it anything any more.
    async fn request(mut turns: mpsc::Receiver<bool>) {
        let own = Stall::own().unwrap();
        while let Some(given) = turns.recv().await {
            own.polled(given);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_when_its_client_takes_nothing_and_not_while_an_app_is_waited_for() {
        let (turns, told) = mpsc::channel(1);
        let running = tokio::spawn(until_stalled(request(told), LIMIT));
        // Slow, but it goes on.
        for _ in 0..10 {
            turns.send(true).await.unwrap();
            sleep(LIMIT * 9 / 10).await;
        }
        turns.send(false).await.unwrap();
        sleep(LIMIT * 10).await;
        assert!(!running.is_finished(), "its app is slow");
        turns.send(true).await.unwrap();
        running.await.unwrap();
        assert!(turns.send(true).await.is_err(), "what it held is gone");
    }
}
