//! The first bytes of an HTTP/2 connection. The protocol library waits for them without end.
//! Invariant: what is read after the greeting is what the peer sent, the greeting included.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::multiplexed::PREFACE;

/// A stream whose peer has said that it speaks HTTP/2.
pub(super) struct Greeted<S> {
    stream: S,
    /// What of the greeting is yet to be read again.
    greeting: &'static [u8],
}

impl<S: AsyncRead + Unpin> Greeted<S> {
    /// Reads the greeting.
    ///
    /// # Errors
    /// Where the peer says something else.
    pub(super) async fn await_preface(mut stream: S) -> io::Result<Self> {
        let mut said = [0; PREFACE.len()];
        stream.read_exact(&mut said).await?;
        if said != PREFACE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { stream, greeting: PREFACE })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let (now, later) = self.greeting.split_at(self.greeting.len().min(into.remaining()));
        into.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
