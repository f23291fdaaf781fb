//! Answers that come as a whole: what they have cost is in their head.
//! Invariant: one that is too long to be held passes as a stream, without its cost.

use axum::body::Body;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use rigbox_ai::{
    route::headers,
    translate::cost::in_body,
    usage::{Framing, Meter},
};
use rigbox_types::{Credits, api::ai::AiMode};
use tokio::time::{Instant, timeout_at};

use super::{Seen, dialect, tell_cost};
use crate::{places::Memory, plan::Plan, proxy::Proxy, refusal::Refusal, settling::Settling};

/// Longest answer: some large images.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long one may take from its head on.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

pub(super) async fn answer(
    proxy: &Proxy,
    plan: &Plan<'_>,
    mut call: Option<Settling>,
    seen: Seen,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = seen.response.into_parts();
    let mut meter = Meter::new(dialect(plan), Framing::Json);
    let (mut memory, mut all) = (Memory::default(), BytesMut::new());
    let mut pieces = body.into_data_stream();
    let deadline = Instant::now() + PATIENCE;
    let read = loop {
        let piece = match timeout_at(deadline, pieces.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) | Err(_) => break Err("broke off in the middle of its answer"),
        };
        meter.feed(&piece);
        let bytes = all.len().saturating_add(piece.len());
        if bytes > ANSWER_MAX_BYTES {
            break Err("answered with more than can be passed on");
        }
        if let Err(refusal) = proxy.places.grow(&mut memory, bytes).await {
            settle(&mut call, meter);
            return Err(refusal);
        }
        all.extend_from_slice(&piece);
    };
    let cost = settle(&mut call, meter);
    if let Err(what) = read {
        let message = format!("{} {what}", plan.provider.name);
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "provider_cut", message));
    }
    if let Some(call) = &call {
        call.on_disk().await;
    }
    let mut body = Vec::from(all);
    let mut status = head.status;
    if let Some(answering) = &seen.answering {
        let said = answering.whole(status.as_u16(), &body, seen.stamp.get());
        status = StatusCode::from_u16(said.status).unwrap_or(status);
        body = said.body;
    }
    // A provider's own API answers with what it has said, byte for byte.
    if let Some(cost) = cost.filter(|_| plan.is_gateway) {
        body = in_body(body, cost);
    }
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers::downstream(&head.headers);
    answer.headers_mut().remove(http::header::CONTENT_LENGTH);
    let free = (seen.mode == AiMode::Managed && call.is_none()).then_some(Credits::ZERO);
    if let Some(cost) = cost.or(free) {
        tell_cost(answer.headers_mut(), cost);
    }
    Ok(answer)
}

fn settle(call: &mut Option<Settling>, meter: Meter) -> Option<Credits> {
    let report = meter.finish();
    Some(call.as_mut()?.settle(&report)?.credits)
}
