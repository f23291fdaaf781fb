//! Small file operations with errors that name the file.

use std::{io, time::Duration};

use camino::Utf8Path;
use tokio::time::{Instant, sleep};

use crate::{ProcessId, VmmError};

/// Removes a file; success if there is none.
pub(crate) async fn remove(path: &Utf8Path) -> Result<(), VmmError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(VmmError::file("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Length of a file in bytes.
pub(crate) async fn len(path: &Utf8Path) -> Result<u64, VmmError> {
    tokio::fs::metadata(path)
        .await
        .map(|metadata| metadata.len())
        .map_err(VmmError::file("look at", path))
}

/// Tries until `is_there` says so. False if it does not in time, or the process ends.
/// It tries again and again because a socket that exists may not be listening yet, and one in a jail
/// appears in directories that do not exist yet, which leaves nothing to be notified about.
pub(crate) async fn wait_until<F: Future<Output = bool>>(
    is_there: impl Fn() -> F,
    process: &ProcessId,
    limit: Duration,
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if is_there().await {
            return true;
        }
        if Instant::now() >= deadline || !process.is_alive() {
            return false;
        }
        sleep(TRY_INTERVAL).await;
    }
}

/// Whether a connection that failed says that nobody listens. Any other failure, such as that of a
/// process without a free descriptor, says nothing about the other side.
pub(crate) fn says_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Short against the 45 ms that a QEMU takes from its start to its greeting.
const TRY_INTERVAL: Duration = Duration::from_millis(2);
