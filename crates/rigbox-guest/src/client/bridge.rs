//! Makes the serial line of a VM look like Firecracker's hybrid-vsock socket.
//!
//! ```text
//! client ── CONNECT 1024 ──> uds ─ bridge ─ multiplexer ── chardev socket ── VMM ── guest
//! ```
//!
//! Owns the unix socket while it runs. Invariant: one bridge a VM (a lock beside the socket), and
//! the socket appears under its name only when it answers.
//! Does not restart a VM; it ends when the VMM's socket is gone.

use std::{fs::File, io, os::unix::fs::PermissionsExt as _, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use rigbox_types::guest::mux::MAX_STREAMS;

use crate::mux::{Connection, MuxStream};

/// Longest `CONNECT` line.
const REQUEST_MAX_BYTES: usize = 32;

/// A client that has not said where to in this time is cut off.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest that a client is held while no agent is there; its own time-out is usually shorter.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// Copied at once between a client and a stream.
const COPY_BYTES: usize = 32 * 1024;

/// Tries to reach the VMM's socket at first, and after the line was lost: a VMM that is alive
/// listens again within milliseconds. One that is about to start may take seconds.
const CONNECT_TRIES: u32 = 200;
const RECONNECT_TRIES: u32 = 20;
const RECONNECT_WAIT: Duration = Duration::from_millis(50);

/// Why there is no bridge.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Another bridge serves this VM.
    #[error("another bridge serves {0}")]
    Taken(Utf8PathBuf),
    /// The socket could not be made.
    #[error("listen on {path}")]
    Listen {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Serves `uds` from the VMM's chardev socket `serial` until that is gone or `shutdown` is called.
/// The VMM may be about to start: its socket is waited for, ten seconds long.
///
/// # Errors
/// When the socket cannot be made or another bridge serves it.
pub async fn bridge(
    serial: &Utf8Path,
    uds: &Utf8Path,
    shutdown: CancellationToken,
) -> Result<(), BridgeError> {
    let _lock = lock(uds)?;
    let listener =
        listen(uds).map_err(|source| BridgeError::Listen { path: uds.to_owned(), source })?;
    let connection = Connection::host();
    tokio::select! {
        () = carry(serial, &connection) => {}
        () = serve(&listener, &connection) => {}
        () = shutdown.cancelled() => {}
    }
    connection.line_down();
    // Gone already when somebody has cleaned the directory, which is as well.
    match std::fs::remove_file(uds) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%uds, %error, "bridge socket not removed");
        }
        _ => {}
    }
    Ok(())
}

/// Keeps the line up until the VMM's socket is gone.
async fn carry(serial: &Utf8Path, connection: &Connection) {
    let mut tries = CONNECT_TRIES;
    while let Some(line) = reach(serial, tries).await {
        tries = RECONNECT_TRIES;
        let carried = match connection.line_up() {
            Ok(()) => connection.drive(&line).await,
            Err(error) => Err(error),
        };
        connection.line_down();
        match carried {
            Ok(()) => debug!(%serial, "serial line ended"),
            Err(error) => debug!(%serial, %error, "serial line lost"),
        }
    }
    info!(%serial, "serial socket is gone");
}

async fn reach(serial: &Utf8Path, tries: u32) -> Option<UnixStream> {
    for _ in 0..tries {
        if let Ok(line) = UnixStream::connect(serial).await {
            return Some(line);
        }
        tokio::time::sleep(RECONNECT_WAIT).await;
    }
    None
}

async fn serve(listener: &UnixListener, connection: &Connection) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            // Clients beyond the limit wait in the kernel's queue.
            accepted = listener.accept(), if clients.len() < MAX_STREAMS => match accepted {
                Ok((client, _)) => {
                    clients.spawn(serve_client(client, connection.clone()));
                }
                Err(error) => {
                    warn!(%error, "client not accepted");
                    tokio::time::sleep(RECONNECT_WAIT).await;
                }
            },
            Some(ended) = clients.join_next() => {
                if let Ok(Err(error)) = ended {
                    debug!(%error, "client of the guest ended");
                }
            }
        }
    }
}

async fn serve_client(mut client: UnixStream, connection: Connection) -> io::Result<()> {
    let port = tokio::time::timeout(REQUEST_TIMEOUT, requested_port(&mut client)).await??;
    let stream = tokio::select! {
        opened = tokio::time::timeout(HOLD_MAX, open(&connection, port)) => opened??,
        () = gone(&client) => return Ok(()),
    };
    client.write_all(format!("OK {}\n", stream.id()).as_bytes()).await?;
    copy(client, stream).await
}

/// Carries both directions until the guest's is over and the client's, too. A guest that takes no
/// more does not end its own: what it has said before is still on its way to the client.
async fn copy(mut client: UnixStream, stream: MuxStream) -> io::Result<()> {
    let (client_reader, mut client_writer) = client.split();
    let (reader, mut writer) = tokio::io::split(stream);
    let up = async {
        let mut from = BufReader::with_capacity(COPY_BYTES, client_reader);
        match tokio::io::copy_buf(&mut from, &mut writer).await {
            Ok(_) => writer.shutdown().await,
            Err(error) => Err(error),
        }
    };
    let down = async {
        let mut from = BufReader::with_capacity(COPY_BYTES, reader);
        tokio::io::copy_buf(&mut from, &mut client_writer).await?;
        client_writer.shutdown().await
    };
    tokio::pin!(up);
    tokio::select! {
        ended = down => {
            ended?;
            // Nobody hears what a client says to a guest that has refused it.
            let _refused = up.await;
        }
        _ = async { up.as_mut().await?; std::future::pending::<io::Result<()>>().await } => {}
    }
    Ok(())
}

/// Waits for the end of a client that has to be silent until it is answered.
async fn gone(client: &UnixStream) {
    while client.readable().await.is_ok() {
        match client.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

async fn requested_port(client: &mut UnixStream) -> io::Result<u32> {
    let mut line = Vec::with_capacity(REQUEST_MAX_BYTES);
    while line.len() < REQUEST_MAX_BYTES {
        match client.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    let port = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("CONNECT "));
    port.and_then(|port| port.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Opens a stream as soon as the agent is there.
async fn open(connection: &Connection, port: u32) -> io::Result<MuxStream> {
    let mut up: watch::Receiver<bool> = connection.watch_up();
    up.wait_for(|up| *up).await.map_err(io::Error::other)?;
    let mut stream = connection.open(port).map_err(io::Error::other)?;
    stream.opened().await?;
    Ok(stream)
}

/// Held by the one bridge of a VM; the kernel lets go of it whenever the process ends.
fn lock(uds: &Utf8Path) -> Result<File, BridgeError> {
    let path = uds.with_extension("lock");
    let listen = |source| BridgeError::Listen { path: path.clone(), source };
    let file = File::create(&path).map_err(listen)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(BridgeError::Taken(uds.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(listen(source)),
    }
}

/// Listens under a temporary name and then takes the place of whatever a former bridge left.
fn listen(uds: &Utf8Path) -> io::Result<UnixListener> {
    let making = uds.with_extension("new");
    match std::fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&making)?;
    std::fs::set_permissions(&making, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&making, uds)?;
    Ok(listener)
}
