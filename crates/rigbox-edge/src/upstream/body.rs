//! Bodies on their way through: a visitor's towards the workspace, and a workspace's answer.
//! Invariant: nothing is held back and nothing is gathered; a frame is passed on when it is there. An
//! answer's connection goes back to its place only when the answer is through.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::{Conn, Upstream};
use crate::headers;

/// Why a body broke off.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub(crate) enum RequestBody {
    Empty,
    Visitor(VisitorBody),
}

/// What a visitor sends, which has to go on.
pub(crate) struct VisitorBody {
    body: Incoming,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

/// A visitor sent nothing of a body for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body does not go on")]
struct Stalled;

impl RequestBody {
    /// A visitor's body; each part may take `limit`.
    pub(crate) fn visitor(body: Incoming, limit: Duration) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Visitor(VisitorBody { body, limit, timer: None, waits: false })
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Visitor(visitor) = self.get_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(&mut visitor.body).poll_frame(cx) {
            visitor.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map(cleaned).map_err(BodyError::from)));
        }
        let limit = visitor.limit;
        let timer = visitor.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !visitor.waits {
            visitor.waits = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Visitor(visitor) => visitor.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Visitor(visitor) => visitor.body.size_hint(),
        }
    }
}

/// What follows a body says no more of its visitor than headers may.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// The body of an answer, and the connection that it comes over.
pub(crate) struct UpstreamBody {
    body: Incoming,
    conn: Option<Conn>,
    home: Arc<Upstream>,
}

impl UpstreamBody {
    /// Takes over the connection that `body` comes from.
    pub(crate) fn new(body: Incoming, conn: Conn, home: Arc<Upstream>) -> Self {
        Self { body, conn: Some(conn), home }
    }

    /// Gives the connection back where nothing more comes: nobody asks a body that is at its end.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        if self.body.is_end_stream() {
            self.finish(cx);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(mut conn) = self.conn.take()
            && conn.is_at_rest(cx)
        {
            self.home.keep(conn);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(conn) = &mut this.conn
        {
            // What it reads is in the body at once, and its end too.
            if conn.drive(cx).is_ready() {
                this.conn = None;
            }
            polled = Pin::new(&mut this.body).poll_frame(cx);
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                this.finish(cx);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.settle(cx);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.conn = None;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
