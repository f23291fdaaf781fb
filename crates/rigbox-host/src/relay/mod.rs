//! What listens at 172.16.0.1 inside a workspace's namespace: DNS on 53, the gateway on 9090.
//! The sockets are bound in the namespace by the caller; everything they lead to is outside.
//! Invariant: a relay holds no key, and the workspace it speaks for is the one whose namespace
//! its socket was bound in, whatever a request says.
//! Does not decide what a workspace may reach (the policy comes with the assignment).

pub mod dns;
pub mod gateway;
mod idle;

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pause after a socket failed (no file descriptors left), so that its loop does not spin.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// What a socket has next, over failures; none once told to stop.
async fn next<T>(
    stop: &CancellationToken,
    mut socket: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> Option<T> {
    let next = async {
        loop {
            match poll_fn(&mut socket).await {
                Ok(next) => return next,
                Err(error) => {
                    tracing::debug!(%error, "a relay's socket failed");
                    sleep(FAILURE_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(next).await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_fails_is_not_asked_again_at_once() {
        let (stop, began, mut failures) = (CancellationToken::new(), Instant::now(), 0_u32);
        let got = next(&stop, |_| {
            failures += 1;
            Poll::Ready(if failures > 3 { Ok(failures) } else { Err(io::Error::other("full")) })
        });
        assert_eq!(got.await, Some(4));
        assert!(began.elapsed() >= FAILURE_PAUSE * 3);
    }

    #[tokio::test]
    async fn the_pause_after_a_failure_ends_when_told_to_stop() {
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let told = stop.clone();
        let got = next(&stop, |_| {
            told.cancel();
            Poll::Ready(Err::<(), _>(io::Error::other("full")))
        });
        assert_eq!(got.await, None);
        assert!(began.elapsed() < FAILURE_PAUSE);
    }
}
