//! The body of an HTTP/2 message that is whole or fails. The protocol library takes the end of a
//! connection that was announced for the end of the body, so that one which was cut off would pass
//! for a short one. Invariant: a body ends without an error only after the other side ended it.
//! Owns the place of its stream for as long as it lasts. Does not hold anything back.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// A body that tells its end from its being cut off.
pub(crate) struct Whole {
    body: Incoming,
    /// Whether it has failed: there is nothing more to say then.
    failed: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Whole {
    pub(crate) fn new(body: Incoming, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { body, failed: false, _place: place }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let error = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => io::Error::other(error),
            None if self.body.is_end_stream() => return Poll::Ready(None),
            None => io::Error::new(io::ErrorKind::UnexpectedEof, "the body was cut off"),
        };
        self.failed = true;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
