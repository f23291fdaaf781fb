//! Answers that come as a whole: what they have cost is in their head.
//! Invariants: its memory counts until the last byte of an answer is passed on; one that there is no room
//! for passes as a stream, without its cost.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use rigbox_ai::{
    route::headers,
    translate::cost::in_body,
    usage::{Framing, Meter},
};
use rigbox_types::{Credits, api::ai::AiMode};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{Seen, dialect, stream, tell_cost, verdict};
use crate::{places::Memory, plan::Plan, provider::Verdict, refusal::Refusal, settling::Settling};

/// Longest answer: some large images.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long one may take from its head on.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

pub(super) async fn answer(
    plan: &Plan<'_>,
    mut call: Option<Settling>,
    mut seen: Seen,
) -> Result<Response<Body>, Refusal> {
    let mut meter = Meter::new(dialect(plan), Framing::Json).of_answers(plan.request.answers);
    let (mut memory, mut all) = (Memory::default(), BytesMut::new());
    let deadline = Instant::now() + PATIENCE;
    let end = loop {
        let frame = match timeout_at(deadline, seen.response.body_mut().frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break End::Whole,
            Ok(Some(Err(_))) | Err(_) => break End::Cut,
        };
        // Trailers are the provider's own.
        let Ok(piece) = frame.into_data() else { continue };
        meter.feed(&piece);
        all.extend_from_slice(&piece);
        let has_room =
            all.len() <= ANSWER_MAX_BYTES && seen.share.grow(&mut memory, all.len()).await.is_ok();
        match (has_room, &seen.answering) {
            (true, _) => {}
            (false, None) => {
                return Ok(stream::go_on(call, seen, (meter, all.freeze())).await);
            }
            (false, Some(_)) => break End::TooMuch,
        }
    };
    let report = meter.finish();
    let shown = match end {
        End::Whole => Some(verdict(&report)),
        End::Cut => Some(Verdict::Failed),
        End::TooMuch => None,
    };
    if let (Some(admitted), Some(verdict)) = (seen.admitted.take(), shown) {
        admitted.is(verdict);
    }
    let cost = call.as_mut().and_then(|call| call.settle(&report));
    if end != End::Whole {
        let message = format!("{} broke off, or answered with too much", plan.provider.name);
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "provider_cut", message));
    }
    if let Some(call) = &call {
        call.on_disk().await;
    }
    let head = seen.response.into_parts().0;
    let (mut body, mut status) = (Vec::from(all), head.status);
    if let Some(answering) = &seen.answering {
        let said = answering.whole(status.as_u16(), &body, seen.stamp.get());
        status = StatusCode::from_u16(said.status).unwrap_or(status);
        body = said.body;
    }
    // A provider's own API answers with what it has said, byte for byte.
    if let Some(cost) = cost.filter(|_| plan.is_gateway) {
        body = in_body(body, cost);
    }
    let body = Held { bytes: body.into(), _memory: memory, _place: seen.place };
    let mut answer = Response::new(Body::new(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers::downstream(&head.headers);
    answer.headers_mut().remove(http::header::CONTENT_LENGTH);
    let free = (seen.mode == AiMode::Managed && call.is_none()).then_some(Credits::ZERO);
    if let Some(cost) = cost.or(free) {
        tell_cost(answer.headers_mut(), cost);
    }
    Ok(answer)
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Its provider broke off.
    Cut,
    /// There is no room for more of it.
    TooMuch,
}

/// A body that counts as memory, and whose call as one under way, until it was passed on.
struct Held {
    bytes: Bytes,
    _memory: Memory,
    _place: [OwnedSemaphorePermit; 2],
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        /// As much as a stream holds: the rest stays here, where it counts.
        const PIECE_BYTES: usize = 64 * 1024;
        let count = self.bytes.len().min(PIECE_BYTES);
        let piece = self.bytes.split_to(count);
        Poll::Ready((count > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }
}
