//! One stream of a transport as an HTTP/1.1 exchange, and the bodies of answers.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{Guest, linger::Lingering, refusal::Refusal, routes};

/// Makes the body of an answer.
pub(crate) struct Body;

/// An answer.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Largest head of a request.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Longest that a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest pause within a document that is sent to us.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one stream: one request, and what it is upgraded to.
pub(crate) async fn serve<S>(guest: Guest, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let guest = guest.clone();
        async move { Ok::<_, Infallible>(routes::route(&guest, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "exchange ended early");
    }
}

/// Reads the document of a request.
pub(crate) async fn document<T: DeserializeOwned>(
    request: Request<Incoming>,
    max_bytes: usize,
) -> Result<T, Refusal> {
    let bytes = bytes(request, max_bytes).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::field("body", format_args!("is not what is expected: {error}")))
}

/// Reads the whole body of a request.
pub(crate) async fn bytes(request: Request<Incoming>, max_bytes: usize) -> Result<Bytes, Refusal> {
    use rigbox_types::api::error::ErrorCode;

    let collecting = Limited::new(request.into_body(), max_bytes).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collecting).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::new(
            ErrorCode::TooLarge,
            format!("the body has more than {max_bytes} bytes"),
        )),
        Ok(Err(_)) | Err(_) => Err(Refusal::field("body", "was cut")),
    }
}

/// An answer with a document.
pub(crate) fn json(document: &impl Serialize) -> Answer {
    answer(StatusCode::OK, document)
}

/// A refusal as an answer.
pub(crate) fn refused(refusal: Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.code.http_status());
    answer(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &refusal.body())
}

/// An answer whose body comes line by line.
pub(crate) fn ndjson(body: UnsyncBoxBody<Bytes, io::Error>) -> Answer {
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static("application/x-ndjson");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn answer(status: StatusCode, document: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    let mut answer = Response::new(Body::whole(bytes));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, io::Error> {
        Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
    }

    pub(crate) fn empty() -> UnsyncBoxBody<Bytes, io::Error> {
        Self::whole(Bytes::new())
    }
}
