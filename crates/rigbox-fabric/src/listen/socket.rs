//! A unix socket that only known users may connect to.
//! Owns the socket's file. Invariant: no process can connect before owner and mode are set, and
//! only root, our own user and one configured user are ever answered.

use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::{BindError, Peer, bind_error};
use crate::Address;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 256;

const MODE: u32 = 0o600;
const MODE_OF_GROUP: u32 = 0o660;

/// A listening unix socket.
pub(crate) struct LocalListener {
    socket: UnixListener,
    peer_uid: Option<u32>,
    path: Utf8PathBuf,
    /// Device and inode of the file that we made: another process may have put its own there since.
    file: (u64, u64),
}

impl LocalListener {
    pub(crate) async fn bind(path: &Utf8Path, peer_uid: Option<u32>) -> Result<Self, BindError> {
        let address = Address::Unix(path.to_owned());
        if UnixStream::connect(path).await.is_ok() {
            return Err(BindError::InUse { address });
        }
        let open = || -> io::Result<Self> {
            // Nobody answers, so a file there is what a killed process left behind.
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            // Before `listen` nobody can connect, so there is no moment with a wider mode.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
            if let Some(uid) = peer_uid {
                give(path, uid)?;
            }
            let meta = std::fs::metadata(path)?;
            let file = (meta.dev(), meta.ino());
            let socket = socket.listen(BACKLOG)?;
            Ok(Self { socket, peer_uid, path: path.to_owned(), file })
        };
        open().map_err(|source| bind_error(&address, source))
    }

    /// The next connection of a user that may come; others are closed unanswered.
    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            let credentials = stream.peer_cred()?;
            let uid = credentials.uid();
            let own = rustix::process::geteuid().as_raw();
            if uid != 0 && uid != own && Some(uid) != self.peer_uid {
                tracing::warn!(path = %self.path, uid, "a user that this socket is not for");
                continue;
            }
            let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
            return Ok((stream, Peer::Local { uid, pid }));
        }
    }
}

/// Lets a user reach the socket: as its owner where we may give it away, else by the group that has
/// the user's number, which we must be in then.
fn give(path: &Utf8Path, uid: u32) -> io::Result<()> {
    if rustix::process::geteuid().is_root() || rustix::process::geteuid().as_raw() == uid {
        return std::os::unix::fs::chown(path, Some(uid), None);
    }
    std::os::unix::fs::chown(path, None, Some(uid))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE_OF_GROUP))
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        let ours =
            std::fs::metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path, %error, "socket file left behind");
        }
    }
}
