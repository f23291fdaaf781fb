//! Makes one authenticated connection to another part. Owns the count of open connections of one
//! client. Does not speak HTTP (see `client`) and does not try twice.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::{
    client::legacy::connect::{Connected, Connection as HyperConnection},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Address,
    identity::{Identity, IdentityError, PeerName},
    multiplexed::ALPN,
};

/// How long a connection may take, waiting for a free place and the TLS handshake included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most open connections of one client: a watch or a shell holds one for as long as it lasts.
pub(crate) const MAX_CONNECTIONS: usize = 1_024;

/// After this time without traffic a TCP connection is probed, so that a machine that vanished is
/// noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// How a client shows who it is and knows who answers.
#[derive(Clone)]
pub enum ClientAuth {
    /// A unix socket: its path and mode are the trust, the kernel shows who we are.
    Local,
    /// Certificates both ways.
    Tls {
        /// Who we are.
        identity: Arc<Identity>,
        /// Who must answer.
        expect: PeerName,
    },
}

/// An open connection to another part.
pub struct Connection {
    stream: Stream,
    _place: OwnedSemaphorePermit,
}

enum Stream {
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("an address and a kind of trust that do not belong together")]
    Mismatch,
    #[error("the other side does not speak HTTP/2")]
    Protocol,
    #[error("identity")]
    Identity(#[from] IdentityError),
    #[error("all {MAX_CONNECTIONS} connections are in use")]
    Full,
    #[error("no connection in {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<AcquireError> for ConnectError {
    fn from(_: AcquireError) -> Self {
        Self::Full
    }
}

impl From<Elapsed> for ConnectError {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
}

/// Opens connections to one address.
#[derive(Clone)]
pub(crate) struct Connector {
    to: To,
    places: Arc<Semaphore>,
}

#[derive(Clone)]
enum To {
    Unix(Arc<std::path::Path>),
    Tls { host: Arc<str>, port: u16, config: Arc<ClientConfig> },
}

impl Connector {
    pub(crate) fn new(address: &Address, auth: &ClientAuth) -> Result<Self, ConnectError> {
        let to = match (address, auth) {
            (Address::Unix(path), ClientAuth::Local) => To::Unix(path.as_std_path().into()),
            (Address::Tls { host, port }, ClientAuth::Tls { identity, expect }) => To::Tls {
                host: host.as_str().into(),
                port: *port,
                config: identity.client_config(expect)?,
            },
            (Address::Unix(_), ClientAuth::Tls { .. })
            | (Address::Tls { .. }, ClientAuth::Local) => {
                return Err(ConnectError::Mismatch);
            }
        };
        Ok(Self { to, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) })
    }

    /// Opens connections that speak HTTP/2. Between machines both sides say so in the handshake; at
    /// a unix socket whoever knows the path knows what is spoken there.
    pub(crate) fn multiplexed(address: &Address, auth: &ClientAuth) -> Result<Self, ConnectError> {
        let mut connector = Self::new(address, auth)?;
        if let To::Tls { config, .. } = &mut connector.to {
            Arc::make_mut(config).alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(connector)
    }

    pub(crate) async fn connect(self) -> Result<Connection, ConnectError> {
        let wait = timeout(CONNECT_TIMEOUT, self.places.acquire_owned()).await;
        let place = wait.map_err(|_| ConnectError::Full)?.map_err(|_| ConnectError::Full)?;
        let stream = timeout(CONNECT_TIMEOUT, open(&self.to))
            .await
            .map_err(|_| ConnectError::TimedOut)??;
        Ok(Connection { stream, _place: place })
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

async fn open(to: &To) -> Result<Stream, ConnectError> {
    match to {
        To::Unix(path) => Ok(UnixStream::connect(path).await.map(Stream::Unix)?),
        To::Tls { host, port, config } => {
            let tcp = TcpStream::connect((&**host, *port)).await?;
            prepare_tcp(&tcp)?;
            let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
            let tls = TlsConnector::from(config.clone()).connect(name, tcp).await?;
            // One that knows no protocols answers all the same.
            if tls.get_ref().1.alpn_protocol() != config.alpn_protocols.first().map(Vec::as_slice) {
                return Err(ConnectError::Protocol);
            }
            Ok(Stream::Tls(Box::new(tls)))
        }
    }
}

/// No delay for small writes, and a peer that vanished is noticed.
pub(crate) fn prepare_tcp(tcp: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(tcp, KEEPALIVE_PROBES)?;
    Ok(())
}

impl Connection {
    /// Another descriptor of the same socket, to ask the kernel about it.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Stream::Tls(stream) => stream.get_ref().0.as_fd().try_clone_to_owned(),
        }
    }
}

impl HyperConnection for Connection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Unix(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
