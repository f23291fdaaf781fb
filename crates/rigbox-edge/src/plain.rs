//! The listener without TLS: answers an authority's question, and sends everybody else to TLS.
//! Invariant: nobody is sent to a name that is not served here.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    body::EdgeBody,
    clock,
    edge::Edge,
    headers, host, listen,
    pages::{self, Refusal},
    table::Snapshot,
};

/// Where an authority asks.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// How long a connection may say nothing. It is for one redirect.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request.
const HEADER_MAX_BYTES: usize = 16 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Accepts until the edge is told to end.
pub(crate) async fn serve(edge: Arc<Edge>, listener: TcpListener, connections: TaskTracker) {
    // Of its own, so that neither listener keeps visitors from the other one.
    let places = Arc::new(Semaphore::new(edge.limits.connections));
    let accept = async {
        loop {
            let (stream, from) = listen::accept(&listener).await;
            let entered = places.clone().try_acquire_owned().ok().and_then(|all| {
                let max = edge.limits.connections_per_client;
                Some((all, edge.clients.enter(from.ip(), max, clock::now_micros())?))
            });
            let Some(places) = entered else { continue };
            let of_service = edge.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&of_service, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_headers(HEADERS_MAX)
                .max_header_size(HEADER_MAX_BYTES)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let ended = edge.ended.clone();
            connections.spawn(async move {
                let _places = places;
                ended.run_until_cancelled(connection).await;
            });
        }
    };
    edge.shutdown.run_until_cancelled(accept).await;
}

/// The answer to an authority, where it asks something that is known.
pub(crate) fn challenge(table: &Snapshot, name: &str, path: &str) -> Option<Response<EdgeBody>> {
    let text = table.http_challenge(name, path.strip_prefix(CHALLENGE)?)?;
    let mut answer = Response::new(EdgeBody::full(Bytes::copy_from_slice(text.as_bytes())));
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Some(answer)
}

fn answer(edge: &Edge, request: &Request<Incoming>) -> Response<EdgeBody> {
    let id = headers::request_id(request.headers()).unwrap_or_else(|| edge.request_id());
    let name = host::of_request(request.version(), request.uri(), request.headers());
    let refuse =
        |refusal: Refusal| refusal.answer(pages::for_people(request.headers()), id.clone());
    let Ok(name) = name else { return refuse(Refusal::malformed("this is no host name")) };
    let table = edge.table.load();
    if let Some(answer) = challenge(&table, &name, request.uri().path()) {
        return answer;
    }
    let is_served = table.is_dashboard(&name) || table.app(&name).is_some();
    let Some(settings) = table.settings.as_ref().filter(|_| is_served) else {
        return refuse(Refusal::unknown());
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let to = if settings.https_port == 443 {
        format!("https://{name}{path}")
    } else {
        format!("https://{name}:{}{path}", settings.https_port)
    };
    let Ok(to) = HeaderValue::try_from(to) else {
        return refuse(Refusal::malformed("this is no path"));
    };
    let mut answer = Response::new(EdgeBody::empty());
    *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
    answer.headers_mut().insert(header::LOCATION, to);
    answer.headers_mut().insert(headers::REQUEST_ID, id);
    answer
}
