//! Finds a program and asks it for its version.

use std::{process::Stdio, time::Duration};

use camino::Utf8Path;
use tokio::{process::Command, time::timeout};

use super::Tool;

/// The program at this path, if it is one that tells its version in time.
pub(super) async fn find(path: &Utf8Path) -> Option<Tool> {
    let output = Command::new(path)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(VERSION_TIMEOUT, output).await.ok()?.ok()?;
    // Firecracker's exit code says little, but none of the three fails at this.
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().next().filter(|_| output.status.success())?;
    Some(Tool { path: path.to_owned(), version: version.trim().to_owned() })
}

/// QEMU takes 30 ms.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
