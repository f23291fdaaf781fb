//! Does something inside a network namespace. Invariant: only a thread of its own ever enters one,
//! and it ends there; sockets keep the namespace that they were made in.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    thread,
};

use camino::Utf8Path;
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::sync::oneshot;

/// An open namespace. It exists for as long as one of these does.
#[derive(Debug, Clone)]
pub(crate) struct Namespace(Arc<OwnedFd>);

impl Namespace {
    /// Opens a namespace by its path.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Self> {
        Ok(Self(Arc::new(File::open(path)?.into())))
    }

    /// For a tool that runs in it.
    pub(crate) fn fd(&self) -> Arc<OwnedFd> {
        self.0.clone()
    }

    /// Does a short piece of work inside.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, done) = oneshot::channel();
        let namespace = self.0.clone();
        thread::Builder::new().name("host.netns".to_owned()).spawn(move || {
            let result =
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(io::Error::from)
                    .and_then(|()| work());
            // Nobody may wait any more; then nobody misses it.
            drop(answer.send(result));
        })?;
        done.await.map_err(|_| io::Error::other("the thread in the namespace ended early"))?
    }

    /// Listens inside.
    pub(crate) async fn listen(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
        self.within(move || {
            let listener = TcpListener::bind(SocketAddrV4::new(address, port))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .await
    }

    /// A datagram socket inside.
    pub(crate) async fn datagrams(&self, address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
        self.within(move || {
            let socket = UdpSocket::bind(SocketAddrV4::new(address, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .await
    }

    /// An unconnected stream socket inside; it may be connected from anywhere.
    pub(crate) async fn stream_socket(&self) -> io::Result<OwnedFd> {
        self.within(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
        })
        .await
    }
}
