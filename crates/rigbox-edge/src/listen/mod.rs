//! The listener for visitors: accepts, shakes hands, serves HTTP/1.1 or HTTP/2, and ends in order.
//! Invariants: a connection without a good name in its handshake serves nothing; open connections,
//! handshakes and idle time are bounded; what was accepted before the end is served to its end, within
//! the time for that.

pub(crate) mod clients;
mod guard;
mod stall;
mod streams;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::TaskTracker;

use crate::{
    clock, config::Listen, edge::Edge, error::EdgeError, headers::Said, request, request::Visit,
    tls,
};
use clients::Place;
use stall::Tasks;
use streams::Activity;

pub(crate) use guard::Guard;
pub(crate) use streams::UnderWay;

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4_096;

/// After this time without traffic a visitor's machine is asked whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(45);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// How often an HTTP/2 connection is asked whether it lives, and how long that may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams that a client may reset before it is answered (rapid reset), as RFC 9113 advises.
const RESETS_MAX: usize = 32;

/// Streams that are reset because of what the client did wrong.
const ERRORS_MAX: usize = 64;

/// What one HTTP/2 stream may send, and one connection, before it waits for us.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// What is held for one HTTP/2 stream that its client does not read.
const STREAM_BUFFER: usize = 128 * 1024;

/// How much longer than a connection of which nothing is taken one HTTP/2 stream may stall beside others:
/// where all do, it is the connection that is to end.
const STREAM_PATIENCE: u32 = 2;

/// Largest buffer of an HTTP/1.1 connection.
const BUFFER: usize = 128 * 1024;

type Stream = TlsStream<Guard<TcpStream>>;

/// Opens a listener, or takes one over.
pub(crate) fn bind(listen: Listen, what: &'static str) -> Result<TcpListener, EdgeError> {
    let bind = || -> io::Result<TcpListener> {
        match listen {
            Listen::Bound(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
            Listen::Address(address) => {
                let socket = match address {
                    SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
                };
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(BACKLOG)
            }
        }
    };
    bind().map_err(|source| EdgeError::Listen { what, source })
}

/// Accepts until the edge is told to end.
pub(crate) async fn serve(
    edge: Arc<Edge>,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    connections: TaskTracker,
) {
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(edge.limits.connections));
    let accept = async {
        loop {
            let (stream, from) = accept(&listener).await;
            let entered = places.clone().try_acquire_owned().ok().and_then(|all| {
                let max = edge.limits.connections_per_client;
                let own = edge.clients.enter(from.ip(), max, clock::now_micros())?;
                Some((all, own))
            });
            edge.metrics.connections_total.add(1);
            let Some(places) = entered else {
                edge.metrics.connections_refused_total.add(1);
                continue;
            };
            let (edge, acceptor) = (edge.clone(), acceptor.clone());
            connections.spawn(connection(edge, acceptor, (stream, from.ip()), places));
        }
    };
    edge.shutdown.run_until_cancelled(accept).await;
}

/// The next connection of a listener, whatever it takes.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match prepare(&stream) {
                Ok(()) => return (stream, from),
                Err(error) => tracing::debug!(%error, "connection ended at once"),
            },
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    edge: Arc<Edge>,
    acceptor: TlsAcceptor,
    (stream, from): (TcpStream, IpAddr),
    (_all, place): (OwnedSemaphorePermit, Place),
) {
    edge.metrics.connections_open.add(1);
    let guarded = Guard::new(stream, edge.limits.write_timeout);
    match timeout(edge.limits.handshake_timeout, acceptor.accept(guarded)).await {
        Ok(Ok(stream)) => Box::pin(shaken(&edge, Box::new(stream), from, place)).await,
        Ok(Err(error)) => {
            edge.metrics.handshakes_failed_total.add(1);
            tracing::debug!(%from, %error, "TLS handshake failed");
        }
        Err(_) => {
            edge.metrics.handshakes_failed_total.add(1);
            tracing::debug!(%from, "TLS handshake took too long");
        }
    }
    edge.metrics.connections_open.sub(1);
}

async fn shaken(edge: &Arc<Edge>, stream: Box<Stream>, from: IpAddr, place: Place) {
    let (_, tls) = stream.get_ref();
    if tls.handshake_kind() == Some(HandshakeKind::Resumed) {
        edge.metrics.handshakes_resumed_total.add(1);
    }
    // Without a name there was no certificate, so no handshake.
    let Some(name) = tls.server_name().map(str::to_ascii_lowercase) else { return };
    let is_h2 = match tls.alpn_protocol() {
        // The handshake was the answer.
        Some(tls::ACME_ALPN) => return,
        Some(b"h2") => true,
        _ => false,
    };
    let port = edge.table.load().settings.as_ref().map_or(443, |known| known.https_port);
    let Some(said) = Said::new(&name, port, from) else { return };
    let visit = Arc::new(Visit { edge: edge.clone(), from, name: name.into(), said, place });
    let ended = if is_h2 { serve_h2(visit, *stream).await } else { serve_h1(visit, *stream).await };
    if let Err(error) = ended {
        // A visitor that goes away in the middle is its own affair.
        tracing::debug!(%from, %error, "connection ended early");
    }
}

async fn serve_h1(visit: Arc<Visit>, stream: Stream) -> Result<(), hyper::Error> {
    let (edge, limits) = (visit.edge.clone(), visit.edge.limits);
    let service = service_fn(move |request: Request<Incoming>| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(request::answer(visit, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(BUFFER.max(limits.header_bytes))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = edge.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = edge.ended.cancelled() => Ok(()),
    }
}

async fn serve_h2(visit: Arc<Visit>, stream: Stream) -> Result<(), hyper::Error> {
    let (edge, limits) = (visit.edge.clone(), visit.edge.limits);
    let activity = Arc::new(Activity::default());
    let seen = activity.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if request.method() == Method::CONNECT {
            // A WebSocket goes on after its answer.
            request.extensions_mut().insert(Arc::new(UnderWay::begin(&seen)));
        }
        let (visit, mut under_way) = (visit.clone(), UnderWay::begin(&seen));
        async move {
            under_way.tells_its_task();
            let mut answer = request::answer(visit, request).await;
            answer.body_mut().under_way(under_way);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http2::Builder::new(Tasks { limit: limits.write_timeout * STREAM_PATIENCE })
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_BUFFER)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service);
    let mut connection: Pin<Box<_>> = Box::pin(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = edge.shutdown.cancelled() => {}
        () = activity.idle_for(limits.idle_timeout) => {
            // What is on its way still may be something that its client never takes.
            connection.as_mut().graceful_shutdown();
            return timeout(limits.write_timeout, connection).await.unwrap_or(Ok(()));
        }
        () = activity.stalled_for(limits.write_timeout) => return Ok(()),
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = edge.ended.cancelled() => Ok(()),
    }
}

/// No delay for small writes, and a machine that vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

/// Waits for connections to end, at most as long as `limit`, then ends what is left.
pub(crate) async fn drain(edge: &Edge, connections: &TaskTracker, limit: Duration) {
    connections.close();
    if timeout(limit, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections cut at shutdown");
    }
    edge.ended.cancel();
}
