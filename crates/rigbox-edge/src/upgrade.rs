//! WebSockets, over HTTP/1.1 and over HTTP/2 (RFC 8441): opened at the workspace as HTTP/1.1, then
//! bytes both ways. Invariants: nothing of what a visitor sends after the request goes on before the
//! workspace has agreed; the connection is used for nothing before and nothing after.
//! Does not look at frames.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use rigbox_fabric::task;
use tokio::{io::copy_bidirectional_with_sizes, time::timeout};

use crate::{
    body::EdgeBody,
    forward::{self, Exchange},
    headers,
    listen::{Guard, UnderWay},
    pages::Refusal,
    permit::Permit,
    record::Record,
    upstream::RequestBody,
};

/// Bytes that are on their way in one direction.
const BUFFER_BYTES: usize = 16 * 1024;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// Opens one.
pub(crate) async fn pass(
    exchange: Exchange,
    mut request: Request<Incoming>,
    record: &mut Box<Record>,
) -> Result<Response<EdgeBody>, Refusal> {
    let is_h2 = request.version() == Version::HTTP_2;
    let visitor = hyper::upgrade::on(&mut request);
    let under_way = request.extensions_mut().remove::<Arc<UnderWay>>();
    let (mut parts, _) = request.into_parts();
    exchange.prepare(&mut parts);
    parts.method = Method::GET;
    parts.headers.insert(header::CONNECTION, UPGRADE);
    parts.headers.insert(header::UPGRADE, WEBSOCKET);
    if is_h2 {
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::SEC_WEBSOCKET_KEY, key()?);
    }
    let io = exchange.open().await?;
    let limit = exchange.visit.edge.limits.answer_timeout;
    let opening = open(io, Request::from_parts(parts, RequestBody::Empty));
    let answer = timeout(limit, opening).await.map_err(|_| forward::too_late())?;
    let mut answer = answer.map_err(|error| {
        tracing::debug!(%error, "WebSocket not opened");
        forward::unasked()
    })?;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if is_h2 && status.is_success() {
            // For HTTP/2 that would mean yes.
            return Err(forward::unasked());
        }
        let (mut parts, body) = answer.into_parts();
        headers::answer(&mut parts.headers, exchange.id);
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        return Ok(Response::from_parts(parts, EdgeBody::driven(body)));
    }
    let agreed = answer.headers().get(header::UPGRADE);
    if !agreed.is_some_and(|agreed| agreed.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(forward::unasked());
    }
    let workspace = hyper::upgrade::on(&mut answer);
    let mut opened = Response::new(EdgeBody::empty());
    *opened.headers_mut() = std::mem::take(answer.headers_mut());
    headers::answer(opened.headers_mut(), exchange.id.clone());
    // Nothing follows that would have a length.
    opened.headers_mut().remove(header::CONTENT_LENGTH);
    if is_h2 {
        opened.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    } else {
        *opened.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        opened.headers_mut().insert(header::CONNECTION, UPGRADE);
        opened.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    }
    let permit = record.permit();
    let counted = record.share();
    task::spawn("edge.upgrade", async move {
        splice(visitor, workspace, permit, &exchange).await;
        drop((counted, under_way));
    });
    Ok(opened)
}

/// Sends the request; a task drives the connection to its end, or to its upgrade.
async fn open(
    io: crate::upstream::Io,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(io)).await?;
    task::spawn("edge.upgrade.open", async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(%error, "connection to a workspace ended early");
        }
    });
    sender.send_request(request).await
}

async fn splice(
    visitor: OnUpgrade,
    workspace: OnUpgrade,
    mut permit: Option<Permit>,
    exchange: &Exchange,
) {
    let edge = &exchange.visit.edge;
    let both = async { tokio::try_join!(visitor, workspace) };
    let (visitor, workspace) = match timeout(edge.limits.write_timeout, both).await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return tracing::debug!(%error, "upgrade came to nothing"),
        Err(_) => return,
    };
    edge.metrics.upgrades_open.add(1);
    let ended = std::future::poll_fn(|cx| match &mut permit {
        Some(permit) => permit.poll_ended(cx),
        None => std::task::Poll::Pending,
    });
    tokio::select! {
        () = carry(visitor, workspace, edge.limits.write_timeout) => {}
        () = ended => tracing::debug!("the right to a WebSocket has ended"),
        () = edge.ended.cancelled() => {}
    }
    edge.metrics.upgrades_open.sub(1);
}

async fn carry(visitor: Upgraded, workspace: Upgraded, limit: Duration) {
    // Over HTTP/2 it stalls by itself, beside others of its connection that do not.
    let mut visitor = Guard::new(TokioIo::new(visitor), limit);
    let mut workspace = TokioIo::new(workspace);
    let carried =
        copy_bidirectional_with_sizes(&mut visitor, &mut workspace, BUFFER_BYTES, BUFFER_BYTES);
    if let Err(error) = carried.await {
        tracing::debug!(%error, "WebSocket ended early");
    }
}

/// What HTTP/1.1 wants and HTTP/2 does not have.
fn key() -> Result<HeaderValue, Refusal> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::unavailable("no randomness"))?;
    HeaderValue::try_from(STANDARD.encode(random))
        .map_err(|_| Refusal::unavailable("no randomness"))
}
