//! Where the agent is reached: AF_VSOCK and the virtio-serial port, whichever the VM has; for tests
//! unix sockets that behave the same.

mod serial;
mod vport;

use std::{future::Future, io, path::PathBuf, time::Duration};

use rigbox_types::guest::AGENT_PORT;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tracing::{info, warn};

use super::{Guest, exchange, sys::vsock::VsockListener};

/// Most streams that are open at once on vsock, where nobody else counts them.
const STREAMS_MAX: usize = 256;

/// Wait after a stream could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest `CONNECT` line of a test's client.
const REQUEST_MAX_BYTES: usize = 32;

/// Where the agent listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Listen {
    /// The devices of the VM.
    #[default]
    Devices,
    /// A unix socket that stands for the VMM's end of the serial line.
    Serial(PathBuf),
    /// A unix socket that stands for a hybrid-vsock socket.
    Hybrid(PathBuf),
}

impl std::str::FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some(("serial", path)) => Ok(Self::Serial(path.into())),
            Some(("hybrid", path)) => Ok(Self::Hybrid(path.into())),
            _ => Err("must be serial:PATH or hybrid:PATH"),
        }
    }
}

/// Serves until it can listen nowhere.
pub(crate) async fn serve(guest: Guest, listen: Listen) -> io::Result<()> {
    match listen {
        Listen::Devices => serve_devices(guest).await,
        Listen::Serial(path) => serial::serve_socket(guest, UnixListener::bind(path)?).await,
        Listen::Hybrid(path) => serve_hybrid(guest, UnixListener::bind(path)?).await,
    }
}

async fn serve_devices(guest: Guest) -> io::Result<()> {
    let vsock = async {
        match VsockListener::bind(AGENT_PORT) {
            Ok(listener) => {
                info!(port = AGENT_PORT, "listening on vsock");
                serve_streams(&guest, || listener.accept()).await
            }
            Err(error) => info!(%error, "no vsock"),
        }
    };
    let serial = serial::serve_port(guest.clone());
    // Both, because a driver that is a module may come later than we do.
    tokio::join!(vsock, serial).1
}

async fn serve_streams<F>(guest: &Guest, accept: impl Fn() -> F)
where
    F: Future<Output = io::Result<UnixStream>>,
{
    let places = std::sync::Arc::new(Semaphore::new(STREAMS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match accept().await {
            Ok(stream) => {
                let guest = guest.clone();
                tokio::spawn(async move {
                    exchange::serve(guest, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "stream not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A test's hybrid-vsock socket: `CONNECT 1024`, then the stream.
async fn serve_hybrid(guest: Guest, listener: UnixListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let guest = guest.clone();
        tokio::spawn(async move {
            if greet(&mut stream).await.is_ok() {
                exchange::serve(guest, stream).await;
            }
        });
    }
}

async fn greet(stream: &mut UnixStream) -> io::Result<()> {
    let mut line = Vec::new();
    while line.len() < REQUEST_MAX_BYTES {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    if line != format!("CONNECT {AGENT_PORT}").as_bytes() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.write_all(b"OK 1073741824\n").await
}
