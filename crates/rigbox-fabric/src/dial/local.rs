//! Dials on one machine: the caller writes a line, the host answers with a line and the connected
//! socket itself (`SCM_RIGHTS`), so that no byte of the stream passes the host agent.
//! One dial a connection. Does not judge (see [`Dialer`]).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use camino::Utf8Path;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{DIAL_TIMEOUT, DialError, DialRefusal, DialRefused, DialRequest, Dialer};
use crate::{BindError, Peer, listen::LocalListener, task};

/// Longest request and longest answer.
const LINE_MAX_BYTES: usize = 4 * 1024;

/// Most dials under way; streams that are open do not count.
const MAX_PENDING: usize = 512;

/// How long a caller may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    /// The socket comes with this line.
    Connected,
    Refused(DialRefused),
}

/// The host's socket for passing connections.
pub struct DialListener(LocalListener);

impl DialListener {
    /// Opens the socket, mode 0600, for root, our own user and `peer_uid`.
    ///
    /// # Errors
    /// As [`BindError`].
    pub async fn bind(path: &Utf8Path, peer_uid: Option<u32>) -> Result<Self, BindError> {
        LocalListener::bind(path, peer_uid).await.map(Self)
    }

    /// Answers dials until `shutdown`. Streams that were passed on are not touched by it.
    pub async fn serve(self, dialer: Arc<dyn Dialer>, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_PENDING));
        let accept = async {
            while let Ok(place) = places.clone().acquire_owned().await {
                match self.0.accept().await {
                    Ok((stream, peer)) => {
                        let dialer = dialer.clone();
                        task::spawn("fabric.dial", async move {
                            let _place = place;
                            if let Err(error) = answer(stream, &peer, &*dialer).await {
                                tracing::debug!(%error, "dial not answered");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(accept).await;
    }
}

pub(super) async fn dial(path: &Utf8Path, request: &DialRequest) -> Result<TcpStream, DialError> {
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(&line(request)?).await?;
        let (answer, socket) = receive(&stream).await?;
        match (answer, socket) {
            (Answer::Connected, Some(socket)) => {
                let socket = std::net::TcpStream::from(socket);
                socket.set_nonblocking(true)?;
                TcpStream::from_std(socket).map(Ok)
            }
            (Answer::Connected, None) => Err(malformed("an answer without its socket")),
            (Answer::Refused(refused), _) => Ok(Err(refused)),
        }
    };
    exchange.await.map_err(DialError::Host)?.map_err(DialError::Refused)
}

async fn answer(mut stream: UnixStream, peer: &Peer, dialer: &dyn Dialer) -> io::Result<()> {
    let request = match timeout(REQUEST_TIMEOUT, read_request(&mut stream)).await {
        Ok(request) => request?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let dialed = timeout(DIAL_TIMEOUT, dialer.dial(peer, &request)).await.unwrap_or_else(|_| {
        let message = "the workspace does not answer".to_owned();
        Err(DialRefused { code: DialRefusal::TimedOut, message })
    });
    match dialed {
        Ok(socket) => send(&stream, &line(&Answer::Connected)?, &socket).await,
        Err(refused) => stream.write_all(&line(&Answer::Refused(refused))?).await,
    }
}

async fn read_request(stream: &mut UnixStream) -> io::Result<DialRequest> {
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while line.last() != Some(&b'\n') {
        let read = stream.read(&mut chunk).await?;
        line.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 || line.len() > LINE_MAX_BYTES {
            return Err(malformed("no request line"));
        }
    }
    serde_json::from_slice(&line).map_err(io::Error::from)
}

/// Sends the line with the socket. The kernel attaches the socket to the line's first byte, and a
/// line this short goes in one piece.
async fn send(stream: &UnixStream, line: &[u8], socket: &TcpStream) -> io::Result<()> {
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let fds = [socket.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(sendmsg(stream, &[IoSlice::new(line)], &mut control, flags)?)
        })
        .await?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads the line, and the socket where one comes with it.
async fn receive(stream: &UnixStream) -> io::Result<(Answer, Option<OwnedFd>)> {
    let mut line = Vec::new();
    let mut socket = None;
    while line.last() != Some(&b'\n') {
        let read = stream
            .async_io(Interest::READABLE, || receive_part(stream, &mut line, &mut socket))
            .await?;
        if read == 0 || line.len() > LINE_MAX_BYTES {
            return Err(malformed("no answer line"));
        }
    }
    Ok((serde_json::from_slice(&line)?, socket))
}

fn receive_part(
    stream: &UnixStream,
    line: &mut Vec<u8>,
    socket: &mut Option<OwnedFd>,
) -> io::Result<usize> {
    let mut chunk = [0; 512];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut control, flags)?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = part {
            *socket = fds.last();
        }
    }
    line.extend_from_slice(chunk.get(..message.bytes).unwrap_or_default());
    Ok(message.bytes)
}

fn line<T: Serialize>(document: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    Ok(line)
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
