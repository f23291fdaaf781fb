//! Opens a stream to a port of the guest over a hybrid-vsock unix socket: `CONNECT <port>`, then
//! `OK <number>`, then bytes. Firecracker's own socket and the one of our bridge behave the same.

use std::{io, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Longest answer to `CONNECT`: `OK `, ten digits, a newline.
const ANSWER_MAX_BYTES: usize = 32;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No VMM listens there.
    #[error("connect to {path}")]
    Socket {
        /// The unix socket.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guest does not listen on the port, or not yet.
    #[error("nothing in the guest listens on port {0}")]
    Refused(u32),
    /// The guest's driver is not up yet, or the guest hangs: both are silence.
    #[error("the guest did not answer within {0:?}")]
    Silent(Duration),
}

impl ConnectError {
    /// Whether a later try may succeed while the same VM runs.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Socket { .. } | Self::Refused(_) | Self::Silent(_) => true,
        }
    }
}

/// Opens a stream to a port of the guest.
///
/// # Errors
/// When there is no VMM, nothing listens, or the answer takes longer than `timeout`.
pub async fn connect(
    uds: &Utf8Path,
    port: u32,
    timeout: Duration,
) -> Result<UnixStream, ConnectError> {
    let broken = |source| ConnectError::Socket { path: uds.to_owned(), source };
    let opening = async {
        let mut stream = UnixStream::connect(uds).await.map_err(broken)?;
        // The other side may close at once, without a word: that is a refusal, not a failure.
        let asked = stream.write_all(format!("CONNECT {port}\n").as_bytes()).await;
        if asked.is_err() || !is_ok(&mut stream).await {
            return Err(ConnectError::Refused(port));
        }
        Ok(stream)
    };
    tokio::time::timeout(timeout, opening).await.map_err(|_| ConnectError::Silent(timeout))?
}

/// Reads the answer byte by byte, because what follows it belongs to the caller.
async fn is_ok(stream: &mut UnixStream) -> bool {
    let mut answer = Vec::with_capacity(ANSWER_MAX_BYTES);
    while answer.len() < ANSWER_MAX_BYTES {
        match stream.read_u8().await {
            Ok(b'\n') => return answer.starts_with(b"OK "),
            Ok(byte) => answer.push(byte),
            Err(_) => return false,
        }
    }
    false
}
