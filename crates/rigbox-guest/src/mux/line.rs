//! The byte line under the multiplexer. Does not interpret the bytes.

use std::{future::Future, io};

use tokio::{io::Interest, net::UnixStream};

/// What a line is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// A non-blocking byte line. A read of 0 bytes means that the other side is not there.
pub(crate) trait Line: Send + Sync {
    /// Waits until the line is ready for at least one of what is wanted.
    fn ready(&self, wanted: Readiness) -> impl Future<Output = io::Result<Readiness>> + Send;

    /// Reads what is there; `WouldBlock` when nothing is.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits; `WouldBlock` when nothing does.
    fn try_write(&self, from: &[u8]) -> io::Result<usize>;
}

impl Line for UnixStream {
    async fn ready(&self, wanted: Readiness) -> io::Result<Readiness> {
        let interest = match (wanted.readable, wanted.writable) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, false) => return std::future::pending().await,
        };
        let ready = UnixStream::ready(self, interest).await?;
        Ok(Readiness { readable: ready.is_readable(), writable: ready.is_writable() })
    }

    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        UnixStream::try_read(self, into)
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        UnixStream::try_write(self, from)
    }
}
