//! Serves requests of other parts. Every connection is known before its first byte is read: by uid
//! on a unix socket, by certificate elsewhere; requests carry the [`Peer`] in their extensions.
//! Invariant: open connections, handshakes and silent connections are bounded.
//! Does not decide what a known peer may do beyond being one that this listener is for.

mod greeting;
mod socket;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rigbox_types::HostId;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    Address,
    connect::prepare_tcp,
    identity::{Identity, IdentityError, PeerName, peer_name},
    multiplexed::{ALPN, server_builder},
    whole::Whole,
};

use greeting::Greeted;
pub(crate) use socket::LocalListener;

/// Most open connections of one listener. A watch, a shell or a dial holds one for as long as it
/// lasts; further peers wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4_096;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may stay silent between requests or within a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest head of a request.
const HEADER_MAX_BYTES: usize = 64 * 1024;

/// How long requests under way may take to end once the listener is told to.
const GRACE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, as the kernel says.
    Local {
        /// Its user.
        uid: u32,
        /// Its process.
        pid: u32,
    },
    /// A host, by its certificate.
    Host(HostId),
    /// The control plane, by its certificate.
    Control,
}

/// Which parts a TLS listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Control, as a host's listener does.
    Control,
    /// Any host, as control's listener does. The handler compares the id.
    Hosts,
}

/// How a listener knows its peers.
#[derive(Clone)]
pub enum ServerAuth {
    /// A unix socket, mode 0600: for root, for our own user, and for `peer_uid`, which then owns
    /// the socket.
    Local {
        /// A further user.
        peer_uid: Option<u32>,
    },
    /// Certificates both ways.
    Tls {
        /// Who we are.
        identity: Arc<Identity>,
        /// Who may come.
        accepts: Accepts,
    },
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process answers there.
    #[error("{address} is in use by another process")]
    InUse {
        /// Where.
        address: Address,
    },
    /// A unix socket with certificates, or TCP without.
    #[error("{address} does not go with this kind of trust")]
    Mismatch {
        /// Where.
        address: Address,
    },
    /// The identity is of no use.
    #[error("listen at {address}")]
    Identity {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The system said no.
    #[error("listen at {address}")]
    Io {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An open listener. A unix socket's file goes when it is dropped.
pub struct Listener {
    address: Address,
    kind: Kind,
}

enum Kind {
    Local(LocalListener),
    Tls { tcp: TcpListener, config: Arc<ServerConfig>, accepts: Accepts },
}

impl Listener {
    /// Opens a listener. Port 0 picks a free one, see [`Listener::address`].
    ///
    /// # Errors
    /// As [`BindError`].
    pub async fn bind(address: Address, auth: &ServerAuth) -> Result<Self, BindError> {
        match (&address, auth) {
            (Address::Unix(path), ServerAuth::Local { peer_uid }) => {
                let local = LocalListener::bind(path, *peer_uid).await?;
                Ok(Self { address, kind: Kind::Local(local) })
            }
            (Address::Tls { host, port }, ServerAuth::Tls { identity, accepts }) => {
                let config = identity
                    .server_config()
                    .map_err(|source| BindError::Identity { address: address.clone(), source })?;
                let bind = async {
                    let tcp = TcpListener::bind((host.as_str(), *port)).await?;
                    let port = tcp.local_addr()?.port();
                    Ok((tcp, port))
                };
                let (tcp, port) = bind.await.map_err(|source| bind_error(&address, source))?;
                let address = Address::Tls { host: host.clone(), port };
                Ok(Self { address, kind: Kind::Tls { tcp, config, accepts: *accepts } })
            }
            _ => Err(BindError::Mismatch { address }),
        }
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Local(local) => local.accept().await.map(|(s, peer)| Accepted::Local(s, peer)),
            Kind::Tls { tcp, .. } => tcp.accept().await.map(|(stream, _)| Accepted::Tcp(stream)),
        }
    }
}

enum Accepted {
    Local(UnixStream, Peer),
    Tcp(TcpStream),
}

/// How a listener is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// HTTP/1.1: one request after another, and upgrades.
    Single,
    /// HTTP/2: many requests at once.
    Multiplexed,
}

/// Serves `router` until `shutdown`, then lets requests under way end, for at most 10 s. Handlers of
/// endless answers must watch the same token.
pub async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    serve_as(Protocol::Single, listener, router, shutdown).await;
}

/// As [`serve`], for those who come with [`Client::multiplexed`](crate::Client::multiplexed): up to
/// 2,048 requests under way on each connection. A handler is dropped as soon as its request is given
/// up, and a body of a request that was cut off fails.
pub async fn serve_multiplexed(listener: Listener, router: Router, shutdown: CancellationToken) {
    serve_as(Protocol::Multiplexed, listener, router, shutdown).await;
}

async fn serve_as(
    protocol: Protocol,
    mut listener: Listener,
    router: Router,
    shutdown: CancellationToken,
) {
    if let (Protocol::Multiplexed, Kind::Tls { config, .. }) = (protocol, &mut listener.kind) {
        Arc::make_mut(config).alpn_protocols = vec![ALPN.to_vec()];
    }
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some((accepted, place)) = next(&listener, &places, &shutdown).await {
        // Those that have ended are let go, so that the set holds only open ones.
        while connections.try_join_next().is_some() {}
        let served = Served { protocol, router: router.clone(), shutdown: shutdown.clone(), place };
        match (accepted, &listener.kind) {
            (Accepted::Local(stream, peer), _) => {
                connections.spawn(exchange(stream, peer, served));
            }
            (Accepted::Tcp(stream), Kind::Tls { config, accepts, .. }) => {
                let (acceptor, accepts) = (TlsAcceptor::from(config.clone()), *accepts);
                connections.spawn(async move {
                    if let Some((stream, peer)) = handshake(acceptor, stream, accepts).await {
                        exchange(stream, peer, served).await;
                    }
                });
            }
            (Accepted::Tcp(_), Kind::Local(_)) => {}
        }
    }
    drop(listener);
    let ended = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(open = connections.len(), "connections cut at shutdown");
    }
}

/// What a connection is served with.
struct Served {
    protocol: Protocol,
    router: Router,
    shutdown: CancellationToken,
    place: OwnedSemaphorePermit,
}

/// The next connection and its place; none once shut down.
async fn next(
    listener: &Listener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(Accepted, OwnedSemaphorePermit)> {
    let accept = async {
        loop {
            let place = places.clone().acquire_owned().await.ok()?;
            match listener.accept().await {
                Ok(accepted) => return Some((accepted, place)),
                Err(error) => {
                    tracing::warn!(address = %listener.address, %error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await.flatten()
}

/// Serves one connection to its end.
async fn exchange<S>(stream: S, peer: Peer, served: Served)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Served { protocol, router, shutdown, place: _place } = served;
    let ended = match protocol {
        Protocol::Single => exchange_single(stream, peer, router, shutdown).await,
        Protocol::Multiplexed => exchange_multiplexed(stream, peer, router, shutdown).await,
    };
    if let Err(error) = ended {
        // A peer that goes away in the middle is its own affair.
        tracing::debug!(%error, "connection ended early");
    }
}

async fn exchange_single<S>(
    stream: S,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(HEADER_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn exchange_multiplexed<S>(
    stream: S,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let greeted = timeout(HEADER_TIMEOUT, Greeted::await_preface(stream));
    let Some(Ok(Ok(stream))) = shutdown.run_until_cancelled(greeted).await else {
        tracing::debug!("a connection that does not begin as HTTP/2");
        return Ok(());
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(|body| Whole::new(body, None));
        request.extensions_mut().insert(peer.clone());
        hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request)
    });
    let connection = server_builder().serve_connection(TokioIo::new(stream), service);
    let mut connection = Box::pin(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    accepts: Accepts,
) -> Option<(impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Peer)> {
    let from = stream.peer_addr().ok();
    let protocols = acceptor.config().alpn_protocols.clone();
    let shake = async {
        prepare_tcp(&stream)?;
        acceptor.accept(stream).await
    };
    let stream = match timeout(HANDSHAKE_TIMEOUT, shake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(?from, %error, "TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(?from, "TLS handshake took too long");
            return None;
        }
    };
    if stream.get_ref().1.alpn_protocol() != protocols.first().map(Vec::as_slice) {
        tracing::debug!(?from, "another protocol than this listener's");
        return None;
    }
    let name = stream.get_ref().1.peer_certificates()?.first().and_then(peer_name)?;
    let peer = match (name, accepts) {
        (PeerName::Control, Accepts::Control) => Peer::Control,
        (PeerName::Host(id), Accepts::Hosts) => Peer::Host(id),
        (name @ (PeerName::Control | PeerName::Host(_)), _) => {
            tracing::warn!(?from, %name, "a part that this listener is not for");
            return None;
        }
    };
    Some((stream, peer))
}

fn bind_error(address: &Address, source: io::Error) -> BindError {
    let address = address.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::InUse { address }
    } else {
        BindError::Io { address, source }
    }
}
