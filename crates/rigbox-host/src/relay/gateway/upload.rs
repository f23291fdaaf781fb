//! The body of a guest's AI call on its way to the proxy, counted and within its time.
//! Invariant: what nobody takes of it is read all the same, within bounds, so that the guest gets to
//! read the answer in place of a broken connection. Does not look at what it carries.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use rigbox_fabric::task;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::{idle::Waits, refusal::Refusal};

/// Where counting ends. The proxy refuses from 32 MiB on, in its own words.
pub(super) const UPLOAD_MAX_BYTES: u64 = 33 * 1024 * 1024;

/// Most that is read of a body which is refused: who sends more than that does not read its answer.
const REST_MAX_BYTES: usize = 2 * 33 * 1024 * 1024;

/// Longest that it is read.
const REST_TIMEOUT: Duration = Duration::from_secs(15);

/// What became of a call's body.
#[derive(Default)]
pub(super) struct Fate(AtomicU8);

impl Fate {
    const LARGE: u8 = 1;
    const SLOW: u8 = 2;
    const BROKEN: u8 = 3;

    /// What the guest is told, where it was the body that ended the call.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self.0.load(Ordering::Acquire) {
            Self::LARGE => Some(Refusal::CALL_TOO_LARGE),
            Self::SLOW => Some(Refusal::BODY_TOO_SLOW),
            Self::BROKEN => Some(Refusal::BODY_BROKEN),
            _ => None,
        }
    }
}

/// A body that is being sent on.
pub(super) struct Upload {
    body: Option<Incoming>,
    left: u64,
    end: Pin<Box<Sleep>>,
    fate: Arc<Fate>,
    waits: Option<Arc<Waits>>,
    /// Whether the guest keeps its body back until it is asked for it.
    held_back: bool,
}

impl Upload {
    /// A body that must have come within `limit`.
    pub(super) fn new(body: Incoming, limit: Duration, held_back: bool) -> Self {
        let (end, fate) = (Box::pin(sleep(limit)), Arc::default());
        Self { body: Some(body), left: UPLOAD_MAX_BYTES, end, fate, waits: None, held_back }
    }

    pub(super) fn fate(&self) -> Arc<Fate> {
        Arc::clone(&self.fate)
    }

    /// Has the guest's silence count for nothing once all of the body has come.
    pub(super) fn wait_after(&mut self, waits: &Arc<Waits>) {
        self.waits = Some(Arc::clone(waits));
        self.note_end();
    }

    fn note_end(&mut self) {
        if self.body.as_ref().is_none_or(Incoming::is_end_stream)
            && let Some(waits) = self.waits.take()
        {
            waits.begin();
        }
    }

    fn failed(&mut self, fate: u8) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.fate.0.store(fate, Ordering::Release);
        Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.held_back = false;
        if self.end.as_mut().poll(context).is_ready() && !self.is_end_stream() {
            return self.failed(Fate::SLOW);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                // There is nothing left to read.
                self.body = None;
                return self.failed(if is_silence(&error) { Fate::SLOW } else { Fate::BROKEN });
            }
            None => {
                self.body = None;
                self.note_end();
                return Poll::Ready(None);
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = u64::try_from(bytes).ok().and_then(|bytes| self.left.checked_sub(bytes))
        else {
            return self.failed(Fate::LARGE);
        };
        self.left = left;
        self.note_end();
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// Whether it was the connection's patience that ended, and not the guest.
fn is_silence(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        // Whoever was not asked for its body will not send it once it has its answer.
        if body.is_end_stream() || self.held_back || tokio::runtime::Handle::try_current().is_err()
        {
            return;
        }
        let until = self.end.deadline().min(Instant::now() + REST_TIMEOUT);
        task::spawn("relay.gateway.rest", async move {
            let mut rest = Limited::new(body, REST_MAX_BYTES);
            let read = async { while let Some(Ok(_)) = rest.frame().await {} };
            if timeout_at(until, read).await.is_err() {
                tracing::debug!("the rest of a refused body did not come");
            }
        });
    }
}
