//! Answers that come piece by piece: each piece goes on as it came, and is read on the way.
//! Invariants: nothing is held back but what we asked for ourselves; who does not read holds up its own
//! provider and nobody else; when the stream ends, for whatever reason, its call is settled once; a stream
//! that was cut ends as one that was cut.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use rigbox_ai::{
    route::headers,
    usage::{Meter, Strip},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

use super::{Seen, dialect, framing};
use crate::{plan::Plan, settling::Settling};

/// Longest time between two pieces: providers send something to keep a stream alive.
const IDLE: Duration = Duration::from_secs(300);

/// How long a stream may take in all.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// Why a stream was cut.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the provider's answer broke off")]
    Provider(#[source] hyper::Error),
    #[error("nothing came for too long")]
    Idle,
}

pub(super) async fn answer(plan: &Plan<'_>, call: Option<Settling>, seen: Seen) -> Response<Body> {
    if let Some(call) = &call {
        call.on_disk().await;
    }
    let (head, body) = seen.response.into_parts();
    let end = Instant::now() + LIFE;
    let passing = Passing {
        provider: body,
        meter: Some(Meter::new(dialect(plan), framing(&head.headers))),
        strip: plan.adds_usage().then(Strip::new),
        call,
        timer: Box::pin(sleep_until((Instant::now() + IDLE).min(end))),
        end,
        is_over: false,
        _place: seen.place,
    };
    let mut answer = Response::new(Body::new(passing));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers::downstream(&head.headers);
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    // Whoever stands in between is not to gather pieces.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// A stream on its way. Dropped before its end, its caller has gone: the provider is let go, and what was
/// seen is settled.
struct Passing {
    provider: Incoming,
    meter: Option<Meter>,
    strip: Option<Strip>,
    call: Option<Settling>,
    timer: Pin<Box<Sleep>>,
    end: Instant,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Passing {
    fn settle(&mut self) {
        self.is_over = true;
        let report = self.meter.take().map(Meter::finish);
        if let (Some(mut call), Some(report)) = (self.call.take(), report) {
            call.settle(&report);
        }
    }

    /// What is to go on of a piece.
    fn pass(&mut self, piece: Bytes) -> Bytes {
        if let Some(meter) = &mut self.meter {
            meter.feed(&piece);
        }
        let Some(strip) = &mut self.strip else { return piece };
        let mut out = Vec::with_capacity(piece.len());
        strip.feed(&piece, &mut out);
        out.into()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.settle();
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if this.is_over {
                return Poll::Ready(None);
            }
            let Poll::Ready(next) = Pin::new(&mut this.provider).poll_frame(context) else {
                ready!(this.timer.as_mut().poll(context));
                this.settle();
                return Poll::Ready(Some(Err(Cut::Idle.into())));
            };
            match next {
                Some(Ok(frame)) => {
                    let until = (Instant::now() + IDLE).min(this.end);
                    this.timer.as_mut().reset(until);
                    // Trailers are the provider's own.
                    let Ok(piece) = frame.into_data() else { continue };
                    let out = this.pass(piece);
                    if !out.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(out))));
                    }
                }
                Some(Err(error)) => {
                    this.settle();
                    return Poll::Ready(Some(Err(Cut::Provider(error).into())));
                }
                None => {
                    let mut rest = Vec::new();
                    if let Some(strip) = this.strip.take() {
                        strip.finish(&mut rest);
                    }
                    this.settle();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                    }
                }
            }
        }
    }
}
