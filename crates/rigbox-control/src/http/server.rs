//! The public listener: HTTP/1.1 over TCP.
//! Invariant: open connections, in all and of one address, heads of requests and silent connections
//! are bounded; shutting down lets requests under way end.
//! Does not know what a request is about.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rigbox_fabric::task;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    linger::Lingering,
    of_addresses::{OfAddress, OfAddresses},
    router::router,
};
use crate::{control::Control, rates::network};

/// Most open connections; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1_024;

/// Most of one address, so that nobody takes those of all. A proxy has them for all of its clients.
const MAX_CONNECTIONS_OF_ADDRESS: usize = 256;

/// How long a head may take to arrive, and how long a connection may be idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest head: a cursor, a path of 4 KiB in percent-encoding and a key fit with room.
const HEADER_MAX_BYTES: usize = 32 * 1024;

/// Most header fields of a request.
const MAX_HEADERS: usize = 64;

/// Buffer of a connection: bounds what is read ahead of a handler.
const BUFFER_MAX_BYTES: usize = 64 * 1024;

/// How long requests under way may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`. Connections of proxies that are trusted are limited by the number of all
/// alone.
pub(crate) async fn serve(
    listener: TcpListener,
    control: Arc<Control>,
    shutdown: CancellationToken,
) {
    let router = router(control.clone());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let of_addresses = Arc::new(OfAddresses::default());
    let connections = TaskTracker::new();
    while let Some((stream, from, place)) = next(&listener, &places, &shutdown).await {
        let own = match control.proxies.trusts(from.ip()) {
            true => None,
            false => match of_addresses.take(network(from.ip()), MAX_CONNECTIONS_OF_ADDRESS) {
                Some(own) => Some(own),
                // It has as many as it may: this one is closed, and those it has go on.
                None => continue,
            },
        };
        let place = (place, own);
        let exchange = exchange(stream, from, router.clone(), shutdown.clone(), place);
        task::spawn("control.connection", connections.track_future(exchange));
    }
    drop(listener);
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections cut at shutdown");
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accept = async {
        loop {
            let place = places.clone().acquire_owned().await.ok()?;
            match listener.accept().await {
                Ok((stream, from)) => return Some((stream, from, place)),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await.flatten()
}

async fn exchange(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
    _place: (OwnedSemaphorePermit, Option<OfAddress>),
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(HEADER_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES)
        .half_close(true)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away in the middle is its own affair.
        tracing::debug!(%from, %error, "connection ended early");
    }
}
