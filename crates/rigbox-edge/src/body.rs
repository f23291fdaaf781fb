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

/// Most bytes that an HTTP/2 stream is given at once: what is given has to be taken in the time that a
/// client has for it, whatever its share of a slow connection is.
const PART_MAX: usize = 64 * 1024;

/// A body as visitors get it.
pub(crate) struct EdgeBody {
    content: Content,
    record: Option<Box<Record>>,
    /// For an HTTP/2 connection, which counts it.
    under_way: Option<UnderWay>,
    /// What of the last part is not given to it yet.
    rest: Bytes,
}

enum Content {
    Full(Option<Bytes>),
    Upstream(Box<UpstreamBody>),
    /// Over a connection that a task of its own drives.
    Driven(Box<Incoming>),
}

impl EdgeBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Full(None), record: None, under_way: None, rest: Bytes::new() }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full(Some(bytes)), ..Self::empty() }
    }

    pub(crate) fn upstream(body: UpstreamBody) -> Self {
        Self { content: Content::Upstream(Box::new(body)), ..Self::empty() }
    }

    pub(crate) fn driven(body: Incoming) -> Self {
        Self { content: Content::Driven(Box::new(body)), ..Self::empty() }
    }

    /// Has its connection know that it is not through.
    pub(crate) fn under_way(&mut self, under_way: UnderWay) {
        self.under_way = Some(under_way);
    }

    /// As much of a frame as goes at once; what is more stays for the next turn.
    fn first_part(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) => {
                self.rest = data.split_off(data.len().min(PART_MAX));
                Frame::data(data)
            }
            Err(frame) => frame,
        }
    }

    /// Has a note made once the body is through.
    pub(crate) fn noted(&mut self, record: Box<Record>) {
        self.record = Some(record);
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Driven(body) => Pin::new(&mut **body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::from))),
        }
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
        let polled = match this.rest.is_empty() {
            true => this.content.poll_frame(cx),
            false => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest))))),
        };
        let polled = match polled {
            Poll::Ready(Some(Ok(frame))) if this.under_way.is_some() => {
                Poll::Ready(Some(Ok(this.first_part(frame))))
            }
            polled => polled,
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
        if !self.rest.is_empty() {
            return false;
        }
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Upstream(body) => body.is_end_stream(),
            Content::Driven(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.content {
            Content::Full(bytes) => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
            }
            Content::Upstream(body) => body.size_hint(),
            Content::Driven(body) => body.size_hint(),
        };
        let rest = u64::try_from(self.rest.len()).unwrap_or_default();
        if rest > 0 {
            // The upper bound first: a lower one above it is a panic.
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(rest));
            }
            hint.set_lower(hint.lower().saturating_add(rest));
        }
        hint
    }
}
