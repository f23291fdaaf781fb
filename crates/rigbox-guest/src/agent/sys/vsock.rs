//! Listens on AF_VSOCK. The address family has no safe wrapper among our dependencies.
//! Invariant: only the host (CID 2) is let in. A program in the guest can reach the port too,
//! where the loopback transport is there, and the agent runs as root.

#![expect(unsafe_code, reason = "socket addresses of AF_VSOCK")]

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use tokio::{io::unix::AsyncFd, net::UnixStream};

use super::watched::watched;

/// Streams that wait to be accepted.
const BACKLOG: libc::c_int = 128;

/// A listening socket.
pub(crate) struct VsockListener {
    socket: AsyncFd<OwnedFd>,
}

impl VsockListener {
    /// Listens on a port of this guest; an error where there is no vsock.
    pub(crate) fn bind(port: u32) -> io::Result<Self> {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers; the result is checked.
        let socket = unsafe { libc::socket(libc::AF_VSOCK, kind, 0) };
        check(socket)?;
        // SAFETY: the descriptor is new and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let mut address = empty_address();
        address.svm_port = port;
        address.svm_cid = libc::VMADDR_CID_ANY;
        // SAFETY: the pointer is to a whole address of the given length.
        check(unsafe {
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), address_length())
        })?;
        // SAFETY: the descriptor is open.
        check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
        Ok(Self { socket: watched(socket)? })
    }

    /// The next stream of the host; those of anybody else are closed.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| accept(socket.get_ref())) {
                Ok(accepted) => {
                    let (stream, peer) = accepted?;
                    if peer != libc::VMADDR_CID_HOST {
                        tracing::warn!(peer, "vsock stream of somebody else refused");
                        continue;
                    }
                    // A vsock stream takes the same calls as a unix stream; only the addresses
                    // differ, and nobody asks for them.
                    return UnixStream::from_std(stream.into());
                }
                Err(_would_block) => {}
            }
        }
    }
}

fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, u32)> {
    let mut peer = empty_address();
    let mut length = address_length();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is writable for `length` bytes, and the kernel writes no more.
    let stream = unsafe {
        libc::accept4(listener.as_raw_fd(), (&raw mut peer).cast(), &raw mut length, flags)
    };
    check(stream)?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok((unsafe { OwnedFd::from_raw_fd(stream) }, peer.svm_cid))
}

fn empty_address() -> libc::sockaddr_vm {
    // SAFETY: all fields are numbers, for which zeros are a value.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::sa_family_t::try_from(libc::AF_VSOCK).unwrap_or_default();
    address
}

fn address_length() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<libc::sockaddr_vm>()).unwrap_or_default()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
