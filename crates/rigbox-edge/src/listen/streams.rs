//! What happens on one HTTP/2 connection: whether it has requests, and whether any of them goes on.
//! Invariant: a client that takes nothing of any of its answers is let go, though the connection itself
//! lives: its window is the client's to open, and the socket's own guard sees nothing of that. One that
//! takes something of others is `stall`'s affair.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::interval;

use super::stall::Stall;

/// Counts of one connection.
#[derive(Default)]
pub(super) struct Activity {
    /// Requests that are under way.
    open: AtomicU32,
    /// Requests so far.
    begun: AtomicU64,
    /// Requests that wait for their client to take what it was given.
    held: AtomicU32,
    /// How often a client came back for more.
    taken: AtomicU64,
}

/// A request of an HTTP/2 connection, until its answer is through.
pub(crate) struct UnderWay {
    activity: Arc<Activity>,
    held: bool,
    /// Its own, beside that of the connection.
    own: Option<Arc<Stall>>,
}

impl UnderWay {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self { activity: activity.clone(), held: false, own: None }
    }

    /// Has the task of the request, which is to ask this, know how far its client is.
    pub(super) fn tells_its_task(&mut self) {
        self.own = Stall::own();
    }

    /// The client was asked for room, and has some; whether something is put there.
    pub(crate) fn polled(&mut self, given: bool) {
        self.activity.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(own) = &self.own {
            own.polled(given);
        }
        if given != self.held {
            self.held = given;
            if given {
                self.activity.held.fetch_add(1, Ordering::Relaxed);
            } else {
                self.activity.held.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.open.fetch_sub(1, Ordering::Relaxed);
        if self.held {
            self.activity.held.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Activity {
    /// Until nothing was asked for between one and one and a half times `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        self.still_for(limit, |activity| {
            let open = activity.open.load(Ordering::Relaxed);
            (open == 0).then(|| activity.begun.load(Ordering::Relaxed))
        })
        .await;
    }

    /// Until nothing was taken for as long, while every request waits for that.
    pub(super) async fn stalled_for(&self, limit: Duration) {
        self.still_for(limit, |activity| {
            let held = activity.held.load(Ordering::Relaxed);
            let all = held > 0 && held == activity.open.load(Ordering::Relaxed);
            all.then(|| activity.taken.load(Ordering::Relaxed))
        })
        .await;
    }

    /// Until a state has lasted in which a count stays the same.
    async fn still_for(&self, limit: Duration, state: impl Fn(&Self) -> Option<u64>) {
        let mut ticks = interval(limit / 2);
        let (mut quiet, mut seen) = (0, None);
        ticks.tick().await;
        while quiet < 2 {
            ticks.tick().await;
            let now = state(self);
            quiet = if now.is_some() && now == seen { quiet + 1 } else { 0 };
            seen = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_asked_for_long() {
        let activity = Arc::new(Activity::default());
        let busy = UnderWay::begin(&activity);
        tokio::spawn(async move {
            sleep(LIMIT * 10).await;
            drop(busy);
        });
        let began = Instant::now();
        activity.idle_for(LIMIT).await;
        assert!(began.elapsed() >= LIMIT * 11, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_stalled_when_all_wait_for_the_client_and_not_for_an_app() {
        let activity = Arc::new(Activity::default());
        let (mut first, mut second) = (UnderWay::begin(&activity), UnderWay::begin(&activity));
        first.polled(true);
        second.polled(false);
        let stalled = tokio::time::timeout(LIMIT * 10, activity.stalled_for(LIMIT));
        assert!(stalled.await.is_err(), "one waits for its app");
        second.polled(true);
        activity.stalled_for(LIMIT).await;
    }
}
