//! A stream that ends when its peer moves nothing, unless it is others that the peer waits for.
//! Does not look at what it carries.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// How much of a connection waits for others than its peer. What it waits for has limits of its own.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicUsize);

impl Waiting {
    /// Whether the peer's silence says nothing.
    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// One thing that a connection may come to wait for; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Waits {
    waiting: Arc<Waiting>,
    begun: AtomicBool,
}

impl Waits {
    pub(super) fn new(waiting: &Arc<Waiting>) -> Self {
        Self { waiting: Arc::clone(waiting), begun: AtomicBool::new(false) }
    }

    /// The peer has said all that it has to say. More than once is the same.
    pub(super) fn begin(&self) {
        if !self.begun.swap(true, Ordering::AcqRel) {
            self.waiting.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if self.begun.load(Ordering::Acquire) {
            self.waiting.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A connection that fails once nothing was moved in either direction for a time, although
/// something was waited for.
pub(super) struct Idle {
    stream: TcpStream,
    limit: Duration,
    end: Pin<Box<Sleep>>,
    waiting: Arc<Waiting>,
    /// Until when the peer must take something of what is written to it: that it does not is nobody's
    /// doing but its own.
    taken: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(super) fn new(stream: TcpStream, limit: Duration, waiting: Arc<Waiting>) -> Self {
        Self { stream, limit, end: Box::pin(sleep(limit)), waiting, taken: None }
    }

    /// The outcome of the stream, or the end of its time.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.begin_again();
            return moved;
        }
        loop {
            ready!(self.end.as_mut().poll(context));
            if !self.waiting.is_any() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.begin_again();
        }
    }

    fn begin_again(&mut self) {
        let end = Instant::now() + self.limit;
        self.end.as_mut().reset(end);
    }
}

impl AsyncRead for Idle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, into);
        self.within(context, moved)
    }
}

impl AsyncWrite for Idle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, from);
        if moved.is_ready() {
            self.taken = None;
            self.begin_again();
            return moved;
        }
        let limit = self.limit;
        let taken = self.taken.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(taken.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
