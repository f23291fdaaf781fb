//! Makes an ext4 file larger while nobody has it open.

use std::{fs::OpenOptions, time::Duration};

use camino::Utf8Path;

use super::DiskError;
use crate::exec::{ExecError, Run};

/// A check of a full disk of the largest plan reads its metadata only.
const CHECK_LIMIT: Duration = Duration::from_secs(300);

/// Status bit of `e2fsck`: errors were found and could not be corrected.
const UNCORRECTED: i32 = 4;

/// Grows the file, then the file system in it. Does nothing to one that is large enough.
pub(super) async fn grow(disk: &Utf8Path, size_bytes: u64) -> Result<(), DiskError> {
    let open = || DiskError::file("grow", disk);
    let file = OpenOptions::new().write(true).open(disk).map_err(open())?;
    let length = file.metadata().map_err(open())?.len();
    if length < size_bytes {
        file.set_len(size_bytes).map_err(open())?;
    }
    // After a crash in between the file is larger already, and its file system is not.
    check(disk).await?;
    Run::new("resize2fs", &[disk.as_str()])
        .limit(CHECK_LIMIT)
        .output()
        .await
        .map_err(DiskError::tool("grow the file system of", disk))?;
    file.sync_all().map_err(open())
}

/// Replays the journal and corrects what is safe to correct; `resize2fs` wants it done.
async fn check(disk: &Utf8Path) -> Result<(), DiskError> {
    let checked = Run::new("e2fsck", &["-f", "-p", disk.as_str()]).limit(CHECK_LIMIT).output();
    match checked.await {
        Ok(_) => Ok(()),
        // 1 and 2 mean that errors were found and corrected.
        Err(ExecError::Failed { code: Some(code @ 1..), .. }) if code & !3 == 0 => Ok(()),
        Err(ExecError::Failed { code: Some(code), .. }) if code & UNCORRECTED != 0 => {
            Err(DiskError::Damaged { path: disk.to_owned() })
        }
        Err(error) => Err(DiskError::tool("check", disk)(error)),
    }
}
