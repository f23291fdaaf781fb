//! Small file operations with errors that name the file.

use std::{io, os::unix::fs::FileTypeExt, time::Duration};

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

/// Waits until there is a socket at `path`. False if there is none in time or the process ends.
/// It looks again and again because the path may lie in a jail whose directories do not exist yet,
/// which leaves nothing to be notified about.
pub(crate) async fn wait_for_socket(path: &Utf8Path, process: &ProcessId, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let found = tokio::fs::symlink_metadata(path).await;
        if found.is_ok_and(|metadata| metadata.file_type().is_socket()) {
            return true;
        }
        if Instant::now() >= deadline || !process.is_alive() {
            return false;
        }
        sleep(SOCKET_INTERVAL).await;
    }
}

/// Short against the 45 ms that a QEMU takes from its start to its greeting.
const SOCKET_INTERVAL: Duration = Duration::from_millis(2);
