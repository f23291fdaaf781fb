//! `dial(workspace, port)`: a stream to a port of a workspace, opened by the host that has it.
//! On the same machine the host passes the connected socket itself; between machines the bytes go
//! through an upgraded request. Invariant: a dial needs a proof of the right to enter, names its
//! purpose, and is judged by the host too. Does not know users or routes.

mod local;
mod remote;

use std::{
    fmt, io,
    num::NonZeroU16,
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use camino::Utf8PathBuf;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rigbox_types::{Authorised, Right, WorkspaceId, api::error::ErrorCode};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use crate::{Client, FabricError, Peer};

pub use local::DialListener;
pub use remote::router;

/// How long a dial may take in all, the guest's answer included.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// A TCP port in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

/// A number that is no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("port must be from 1 to 65535")]
pub struct InvalidPort;

impl Port {
    /// The port as a number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for Port {
    type Error = InvalidPort;

    fn try_from(number: u16) -> Result<Self, InvalidPort> {
        NonZeroU16::new(number).map(Self).ok_or(InvalidPort)
    }
}

impl FromStr for Port {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        text.parse().map(Self).map_err(|_| InvalidPort)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a dial is for. The host may allow one and not another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A request of a visitor to an app.
    App,
    /// An SSH session, to the guest's own server.
    Ssh,
    /// A look whether something listens.
    Health,
}

/// What the caller asks of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialRequest {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Which port in it.
    pub port: Port,
    /// What for.
    pub purpose: Purpose,
}

/// Why the host opened nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct DialRefused {
    /// For programs.
    pub code: DialRefusal,
    /// For people.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialRefusal {
    /// The host does not have that workspace.
    UnknownWorkspace,
    /// It is not running.
    NotRunning,
    /// Nothing listens at the port.
    PortClosed,
    /// The guest does not answer.
    TimedOut,
    /// This peer may not dial for this purpose.
    Forbidden,
    /// Too many dials at once; a later try may succeed.
    Busy,
    /// The request is not well-formed.
    Invalid,
    /// Our fault.
    Internal,
}

impl DialRefusal {
    /// The API's word for it.
    #[must_use]
    pub fn api_code(self) -> ErrorCode {
        match self {
            Self::UnknownWorkspace => ErrorCode::NotFound,
            Self::NotRunning => ErrorCode::InvalidState,
            Self::PortClosed | Self::TimedOut | Self::Busy => ErrorCode::Unavailable,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::Invalid => ErrorCode::InvalidRequest,
            Self::Internal => ErrorCode::Internal,
        }
    }
}

/// The host's side: opens a connection from inside the workspace's namespace.
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Connects, or says why not. Called with the peer that asks, so that the host judges too.
    async fn dial(&self, peer: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused>;
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The proof is about another right than entering.
    #[error("a dial needs the right to enter the workspace, or to visit or see an app in it")]
    WrongRight,
    /// The host said no.
    #[error("dial refused")]
    Refused(#[source] DialRefused),
    /// No answer in time.
    #[error("no answer from the host in {} s", DIAL_TIMEOUT.as_secs())]
    TimedOut,
    /// The host does not answer, or the connection to it broke.
    #[error("reach the host")]
    Host(#[source] io::Error),
    /// The host does not answer, or refused the request itself.
    #[error("reach the host")]
    Fabric(#[source] FabricError),
}

/// The caller's side, for one host.
#[derive(Clone)]
pub enum DialClient {
    /// The host is on this machine: its socket for passing connections.
    Local(Utf8PathBuf),
    /// The host is on another machine.
    Remote(Box<Client>),
}

impl DialClient {
    /// Opens a stream to a port of a workspace.
    ///
    /// # Errors
    /// As [`DialError`].
    pub async fn dial(
        &self,
        to: Authorised<WorkspaceId>,
        port: Port,
        purpose: Purpose,
    ) -> Result<DialStream, DialError> {
        let enough = match purpose {
            Purpose::App => matches!(to.right(), Right::AppVisit | Right::WorkspaceEnter),
            Purpose::Ssh => to.right() == Right::WorkspaceEnter,
            Purpose::Health => matches!(to.right(), Right::AppRead | Right::WorkspaceEnter),
        };
        if !enough {
            return Err(DialError::WrongRight);
        }
        let request = DialRequest { workspace: to.into_target(), port, purpose };
        let open = async {
            match self {
                Self::Local(path) => local::dial(path, &request).await.map(Stream::Socket),
                Self::Remote(client) => remote::dial(client, &request)
                    .await
                    .map(|stream| Stream::Upgraded(TokioIo::new(stream))),
            }
        };
        let stream = timeout(DIAL_TIMEOUT, open).await.map_err(|_| DialError::TimedOut)??;
        Ok(DialStream(stream))
    }
}

/// An open stream to a port of a workspace.
pub struct DialStream(Stream);

enum Stream {
    Socket(TcpStream),
    Upgraded(TokioIo<Upgraded>),
}

impl AsyncRead for DialStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Socket(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Upgraded(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for DialStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Stream::Socket(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Upgraded(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Socket(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Upgraded(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Socket(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Upgraded(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
