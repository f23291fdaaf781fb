//! The body of an answer, and what is noted when it is through.
//! Invariant: the note is made once, also where the visitor goes away in the middle.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    listen::UnderWay,
    record::Record,
    upstream::{BodyError, UpstreamBody},
};

/// Why an answer breaks off that its visitor may not see any longer.
const ENDED: &str = "the right to see this has ended";

/// A body as visitors get it.
pub(crate) struct EdgeBody {
    content: Content,
    record: Option<Box<Record>>,
    /// For an HTTP/2 connection, which counts it.
    under_way: Option<UnderWay>,
}

enum Content {
    Full(Option<Bytes>),
    Upstream(Box<UpstreamBody>),
    /// Over a connection that a task of its own drives.
    Driven(Box<Incoming>),
}

impl EdgeBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Full(None), record: None, under_way: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full(Some(bytes)), record: None, under_way: None }
    }

    pub(crate) fn upstream(body: UpstreamBody) -> Self {
        Self { content: Content::Upstream(Box::new(body)), record: None, under_way: None }
    }

    pub(crate) fn driven(body: Incoming) -> Self {
        Self { content: Content::Driven(Box::new(body)), record: None, under_way: None }
    }

    /// Has its connection know that it is not through.
    pub(crate) fn under_way(&mut self, under_way: UnderWay) {
        self.under_way = Some(under_way);
    }

    /// Has a note made once the body is through.
    pub(crate) fn noted(&mut self, record: Box<Record>) {
        self.record = Some(record);
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        // Before the content, which may never have nothing to send.
        if let Some(record) = &mut this.record
            && record.is_due()
            && record.poll_ended(cx).is_ready()
        {
            return Poll::Ready(Some(Err(ENDED.into())));
        }
        let polled = match &mut this.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Upstream(body) => Pin::new(&mut **body).poll_frame(cx),
            Content::Driven(body) => Pin::new(&mut **body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::from))),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(record)) = (&polled, &mut this.record)
            && let Some(data) = frame.data_ref()
        {
            record.sent(data.len());
        }
        if let Some(under_way) = &mut this.under_way {
            under_way.polled(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
        if polled.is_pending()
            && let Some(record) = &mut this.record
            && record.poll_ended(cx).is_ready()
        {
            return Poll::Ready(Some(Err(ENDED.into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Upstream(body) => body.is_end_stream(),
            Content::Driven(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
            }
            Content::Upstream(body) => body.size_hint(),
            Content::Driven(body) => body.size_hint(),
        }
    }
}
