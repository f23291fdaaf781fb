//! A stream that is not cut while the other side still sends: an answer that came before the end
//! of its request (a refused upload) would be lost with the stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Longest that the rest of a request is read and thrown away.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// Thrown away at once.
const DISCARD_BYTES: usize = 16 * 1024;

/// A stream that, dropped, is finished and then read until the other side is done, too.
pub(crate) struct Lingering<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    stream: Option<S>,
}

impl<S> Lingering<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: Some(stream) }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut discarded = vec![0; DISCARD_BYTES];
    while let Ok(1..) = stream.read(&mut discarded).await {}
}

impl<S> Drop for Lingering<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the agent itself is ending, and every stream with it.
        if let (Some(stream), Ok(runtime)) =
            (self.stream.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(tokio::time::timeout(LINGER_MAX, linger(stream)));
        }
    }
}

impl<S> AsyncRead for Lingering<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, into)
    }
}

impl<S> AsyncWrite for Lingering<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
