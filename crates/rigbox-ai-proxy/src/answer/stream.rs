//! Answers that come piece by piece: each piece goes on as it came, and is read on the way.
//! Invariants: nothing is held back but what we asked for ourselves, and what a shape repeats at its end
//! counts as memory; who does not read holds up its own
//! provider and nobody else; what a stream has cost is written down before the piece is passed on that
//! makes it known; when the stream ends, for whatever reason, its call is settled once; a stream that was
//! cut ends as one that was cut.

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
    route::{Operation, headers},
    translate::{self, cost::CostStream},
    usage::{Meter, Strip},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

use super::{Seen, dialect, framing, verdict};
use crate::{
    places::{Memory, Share},
    plan::Plan,
    provider::{Admitted, Verdict},
    settling::Settling,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest time between two pieces: providers send something to keep a stream alive.
const IDLE: Duration = Duration::from_secs(300);

/// How long a stream may take in all.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// How long a caller is not told of a cut: the reset of a stream overtakes what was sent just before it.
const UNTOLD: Duration = Duration::from_millis(500);

/// Why a stream was cut.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the provider's answer broke off")]
    Provider(#[source] hyper::Error),
    #[error("nothing came for too long")]
    Idle,
}

pub(super) async fn answer(plan: &Plan<'_>, call: Option<Settling>, seen: Seen) -> Response<Body> {
    let change = Change::of(plan, &seen);
    let meter = Meter::new(dialect(plan), framing(seen.response.headers()));
    let meter = meter.of_answers(plan.request.answers);
    let cost = tells_cost(plan).then(CostStream::new);
    pass(call, seen, (meter, Bytes::new()), (change, cost)).await
}

/// An answer of which a part has come that was to be passed on as a whole.
pub(super) async fn go_on(
    call: Option<Settling>,
    seen: Seen,
    so_far: (Meter, Bytes),
) -> Response<Body> {
    pass(call, seen, so_far, (Change::None, None)).await
}

async fn pass(
    call: Option<Settling>,
    seen: Seen,
    (meter, first): (Meter, Bytes),
    (change, cost): (Change, Option<CostStream>),
) -> Response<Body> {
    if let Some(call) = &call {
        call.on_disk().await;
    }
    let (head, body) = seen.response.into_parts();
    let end = Instant::now() + LIFE;
    let passing = Passing {
        first,
        provider: body,
        admitted: seen.admitted,
        meter: Some(meter),
        change,
        cost,
        call,
        timer: Box::pin(sleep_until((Instant::now() + IDLE).min(end))),
        end,
        is_over: false,
        cut: None,
        share: seen.share,
        memory: Memory::default(),
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

/// What becomes of the pieces of a stream.
enum Change {
    /// Nothing.
    None,
    /// What we have asked for ourselves is taken out.
    Strip(Box<Strip>),
    /// All of it is said in another shape.
    Translate(Box<translate::Stream>),
}

impl Change {
    fn of(plan: &Plan<'_>, seen: &Seen) -> Self {
        if let Some(answering) = seen.answering.as_ref().filter(|it| it.is_stream()) {
            return Self::Translate(Box::new(answering.stream(seen.stamp.get())));
        }
        if plan.adds_usage() { Self::Strip(Box::default()) } else { Self::None }
    }

    fn feed(&mut self, piece: Bytes) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::None => return piece,
            Self::Strip(strip) => strip.feed(&piece, &mut out),
            Self::Translate(stream) => stream.feed(&piece, &mut out),
        }
        out.into()
    }

    fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        match std::mem::replace(self, Self::None) {
            Self::None => {}
            Self::Strip(strip) => strip.finish(&mut out),
            Self::Translate(stream) => stream.finish(&mut out),
        }
        out.into()
    }

    /// Whether the last of it is out, whatever the provider goes on to say.
    fn is_over(&self) -> bool {
        matches!(self, Self::Translate(stream) if stream.is_over())
    }
}

/// Whether the usage that a stream tells has a cost beside it: that of OpenAI's shape, for who asks for it.
fn tells_cost(plan: &Plan<'_>) -> bool {
    let is_asked = plan.request.asks_for_usage || plan.operation == Operation::Response;
    plan.is_gateway && is_asked && plan.estimate.is_some()
}

/// A stream on its way. Dropped before its end, its caller has gone: the provider is let go, and what was
/// seen is settled.
struct Passing {
    /// What was read of it already, and changed.
    first: Bytes,
    provider: Incoming,
    admitted: Option<Admitted>,
    meter: Option<Meter>,
    change: Change,
    cost: Option<CostStream>,
    call: Option<Settling>,
    timer: Pin<Box<Sleep>>,
    end: Instant,
    is_over: bool,
    /// Why it was cut, once all that came before is passed on.
    cut: Option<Cut>,
    share: Share,
    /// For what is kept of a translated answer.
    memory: Memory,
    _place: [OwnedSemaphorePermit; 2],
}

/// Who has ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ender {
    /// The provider, as it should or with an error.
    Answer,
    /// The provider, in the middle.
    Provider,
    Caller,
}

impl Passing {
    fn settle(&mut self, ender: Ender) {
        self.is_over = true;
        let Some(report) = self.meter.take().map(Meter::finish) else { return };
        let shown = match ender {
            Ender::Answer => Some(verdict(&report)),
            Ender::Provider => Some(Verdict::Failed),
            Ender::Caller => None,
        };
        if let (Some(admitted), Some(verdict)) = (self.admitted.take(), shown) {
            admitted.is(verdict);
        }
        if let Some(mut call) = self.call.take() {
            call.settle(&report);
        }
    }

    /// What is to go on of a piece.
    fn pass(&mut self, piece: Bytes) -> Bytes {
        if let Some(meter) = &mut self.meter {
            let before = meter.shown();
            meter.feed(&piece);
            // What fails from here on may be the answer's own fault.
            if let Some(admitted) = self.admitted.take_if(|_| meter.shown() > 0) {
                admitted.is(Verdict::Works);
            }
            if let Some(call) = self.call.as_mut().filter(|_| meter.shown() > before) {
                call.shown();
            }
            if let Some(call) = self.call.as_mut().filter(|_| meter.is_final()) {
                call.is_ending(&meter.so_far());
            }
        }
        let mut piece = self.change.feed(piece);
        if let Change::Translate(stream) = &mut self.change
            && !self.share.grow_at_once(&mut self.memory, stream.kept_bytes())
        {
            let mut out = Vec::from(piece);
            stream.fail_for_room(&mut out);
            piece = out.into();
        }
        self.with_cost(piece)
    }

    fn with_cost(&mut self, piece: Bytes) -> Bytes {
        let Self { cost: Some(stream), call, meter, .. } = self else { return piece };
        let mut out = Vec::with_capacity(piece.len());
        stream.feed(&piece, &mut out, || {
            let report = meter.as_ref()?.so_far();
            call.as_ref()?.cost_so_far(&report)
        });
        out.into()
    }

    /// What is left to be passed on of a stream that is over.
    fn rest(&mut self, ender: Ender) -> Bytes {
        let rest = self.change.finish();
        let rest = self.with_cost(rest);
        let mut out = Vec::from(rest);
        if let Some(cost) = self.cost.take() {
            cost.finish(&mut out);
        }
        self.settle(ender);
        out.into()
    }

    /// The provider has broken off. What was held back comes first: it was said. A translated stream says
    /// itself that it was cut, in words that its caller knows.
    fn cut(&mut self, cut: Cut) -> Bytes {
        self.cut = (!matches!(self.change, Change::Translate(_))).then_some(cut);
        self.timer.as_mut().reset(Instant::now() + UNTOLD);
        self.rest(Ender::Provider)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.settle(Ender::Caller);
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        loop {
            if this.is_over {
                if this.cut.is_some() {
                    ready!(this.timer.as_mut().poll(context));
                }
                return Poll::Ready(this.cut.take().map(|cut| Err(cut.into())));
            }
            let next = match Pin::new(&mut this.provider).poll_frame(context) {
                Poll::Ready(Some(frame)) => Some(frame.map_err(Cut::Provider)),
                Poll::Ready(None) => None,
                Poll::Pending => {
                    ready!(this.timer.as_mut().poll(context));
                    Some(Err(Cut::Idle))
                }
            };
            let out = match next {
                Some(Ok(frame)) => {
                    let until = (Instant::now() + IDLE).min(this.end);
                    this.timer.as_mut().reset(until);
                    // Trailers are the provider's own.
                    let Ok(piece) = frame.into_data() else { continue };
                    let mut out = this.pass(piece);
                    if this.change.is_over() {
                        out = [out, this.rest(Ender::Answer)].concat().into();
                    }
                    out
                }
                Some(Err(cut)) => this.cut(cut),
                None => {
                    if let Some(meter) = &mut this.meter {
                        meter.ended();
                    }
                    this.rest(Ender::Answer)
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
    }
}
