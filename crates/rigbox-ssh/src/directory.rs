//! What the gateway asks, and is told, of who comes.
//! Invariant: who somebody is follows from a key that was verified, and from nothing else.

use std::{any::Any, net::SocketAddr, pin::Pin};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::key::PublicKey;

/// Somebody who wants to come in.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The user name, which names a workspace. Whatever the client sent, up to 255 bytes.
    pub user: String,
    /// Where the connection comes from.
    pub from: SocketAddr,
}

/// What somebody gets whose key was verified.
pub enum Verdict {
    /// There is nothing under this name for this key: the same for what does not exist and for what is
    /// somebody else's.
    Unknown,
    /// It is theirs, and cannot be entered now: why, and what to do, in words for people.
    Refused(String),
    /// The workspace to enter.
    Target(Box<Target>),
    /// They may choose among their workspaces.
    Menu(Menu),
}

/// The workspaces of somebody. Who chooses one enters it as if its user name had been asked for.
pub struct Menu {
    /// The workspaces, in the order in which they are shown.
    pub entries: Vec<MenuEntry>,
    /// Something else to know, in words for people.
    pub note: Option<String>,
    /// Ends when the right to look at it does.
    pub ends: CancellationToken,
    /// Goes when the menu does.
    pub held: Box<dyn Any + Send + Sync>,
}

/// A workspace of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuEntry {
    /// The user name that leads to it.
    pub user: String,
    /// What it is called.
    pub name: String,
    /// How it is.
    pub status: String,
}

/// A byte stream to a workspace.
pub trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A workspace's own SSH server, and what opens it.
pub struct Target {
    /// A connection to it.
    pub stream: Pin<Box<dyn Stream>>,
    /// The user within the workspace.
    pub user: String,
    /// The key that the server has to have.
    pub host_key: PublicKey,
    /// A certificate for the key of this session, by the authority that the server trusts.
    pub certificate: Vec<u8>,
    /// Ends when the right to this session does.
    pub ends: CancellationToken,
}

/// Nobody answers who could say.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the platform cannot say who this is now")]
pub struct Unavailable;

/// Knows accounts and workspaces.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Whether a key that was named is of any account. Nothing has been proved yet: the answer only
    /// says whether it is worth a signature.
    ///
    /// # Errors
    /// Where that cannot be said now.
    async fn is_known(&self, attempt: &Attempt, key: &PublicKey) -> Result<bool, Unavailable>;

    /// What the owner of a key gets, which was verified. `session` is the public half of the key that
    /// the gateway will show to the workspace.
    ///
    /// # Errors
    /// Where that cannot be said now.
    async fn enter(
        &self,
        attempt: &Attempt,
        key: &PublicKey,
        session: &[u8],
    ) -> Result<Verdict, Unavailable>;

    /// Notes what is forwarded within a session that was let in.
    fn forwards(&self, attempt: &Attempt, what: &Forward);
}

/// Something that a session forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// A connection of the client to an address that the workspace reaches.
    Tcp {
        /// The address, as the client has named it.
        host: String,
        /// The port.
        port: u32,
    },
    /// A connection of the client to a socket in the workspace.
    Socket(String),
    /// Connections to the workspace are to come to the client.
    Listen(String),
}
