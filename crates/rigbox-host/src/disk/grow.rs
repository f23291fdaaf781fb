//! Makes the file of a disk larger while nobody has it open.
//! Invariant: no tool of the host reads what a guest has written.

use std::{fs::OpenOptions, time::Duration};

use camino::Utf8Path;

use super::DiskError;
use crate::exec::{ExecError, Run};

/// A check of a full disk of the largest plan reads its metadata only.
const CHECK_LIMIT: Duration = Duration::from_secs(300);

/// Status bit of `e2fsck`: errors were found and could not be corrected.
const UNCORRECTED: i32 = 4;

/// Makes a workspace's disk longer. What is in it was written by a guest and is not looked at: the
/// guest makes its file system as large when it is set up.
pub(super) fn lengthen(disk: &Utf8Path, size_bytes: u64) -> Result<(), DiskError> {
    let open = || DiskError::file("grow", disk);
    let file = OpenOptions::new().write(true).open(disk).map_err(open())?;
    if file.metadata().map_err(open())?.len() < size_bytes {
        file.set_len(size_bytes).map_err(open())?;
    }
    file.sync_all().map_err(open())
}

/// Makes a file and the file system in it larger; only for one that was never in a guest.
pub(super) async fn grow(image: &Utf8Path, size_bytes: u64) -> Result<(), DiskError> {
    lengthen(image, size_bytes)?;
    check(image).await?;
    Run::new("resize2fs", &[image.as_str()])
        .limit(CHECK_LIMIT)
        .output()
        .await
        .map_err(DiskError::tool("grow the file system of", image))?;
    let open = || DiskError::file("grow", image);
    let file = OpenOptions::new().write(true).open(image).map_err(open())?;
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
