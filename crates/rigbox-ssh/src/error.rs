//! What ends a session before its time.

use std::io;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side said that it ends, and why.
    #[error("the other side ended the session: {0}")]
    Disconnected(String),
    /// Something that the protocol does not allow.
    #[error("protocol error: {0}")]
    Malformed(&'static str),
    /// The two sides have no algorithm in common.
    #[error("no {what} in common: offered were {offered}")]
    NothingInCommon {
        /// What kind of algorithm.
        what: &'static str,
        /// What the other side offers.
        offered: String,
    },
    /// A packet was changed on its way, or the keys differ.
    #[error("a packet does not verify")]
    Tampered,
    /// Keys could not be made.
    #[error("the key exchange failed: {0}")]
    KeyExchange(&'static str),
    /// The workspace's server is not the one that is known.
    #[error("the workspace's host key is not the one that is known")]
    HostKey,
    /// It took longer than allowed.
    #[error("{0} took too long")]
    TooSlow(&'static str),
    /// Nobody was let in.
    #[error("nobody was let in")]
    NotLetIn,
    /// A session of the menu cannot go on in the workspace.
    #[error("the workspace's SSH server cannot take over a session of the menu")]
    Elsewhere,
    /// The workspace's server did not accept the certificate of the gateway.
    #[error("the workspace's SSH server refuses the platform's certificate")]
    Refused,
}
