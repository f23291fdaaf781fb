//! A platform of another one's backup.

use std::{path::Path, sync::Mutex};

use anyhow::{Context, Result, ensure};

use super::{Platform, text};

impl Platform {
    /// A platform of a backup of this one, in a directory of its own. It listens where this one did, so
    /// that this one must have ended.
    ///
    /// # Errors
    /// When the backup cannot be restored, with the words of `rigbox restore`.
    pub fn restored(&self, backup: &Path) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("rbt").tempdir().context("make a directory")?;
        let platform = Self { data, port: self.port, up: Mutex::new(None) };
        let mut restore = platform.rigbox(&["restore"]);
        let output = restore.arg(backup).output().context("run rigbox restore")?;
        ensure!(output.status.success(), "rigbox restore: {}", text(&output));
        Ok(platform)
    }
}
