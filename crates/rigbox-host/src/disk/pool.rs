//! Owns the pool file: an XFS with reflinks in a sparse file, mounted where the file system of the
//! data directory has none. Invariants: a pool file is whole when it has its name; its loop device
//! goes with the mount. Does not know what is stored in it.

use std::{
    fs::{self, File},
    io,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{DiskError, MIB, PoolChoice, copy, statvfs};
use crate::{
    Layout, config, durable,
    exec::{ExecError, Run},
};

/// Share of the free space that a new pool file may grow to: the database, images and logs need
/// the rest, and a pool that cannot grow to its size loses writes of guests.
const SHARE_PERCENT: u64 = 70;

/// The least that `mkfs.xfs` makes.
const LEAST_MIB: u64 = 300;

/// Making and mounting touch little of a sparse file; a log replay after a crash takes longest.
const LIMIT: Duration = Duration::from_secs(120);

/// How often an unmount is tried while something still has a file open, and the pause between.
const UNMOUNT_TRIES: u32 = 20;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(250);

/// Makes the pool directory usable: plain, adopted, mounted, or made and mounted.
pub(crate) async fn open(layout: &Layout, config: &config::Disk) -> Result<(), DiskError> {
    let (dir, file) = (layout.pool_dir(), layout.pool_file());
    fs::create_dir_all(&dir).map_err(DiskError::file("make", &dir))?;
    if let Some(source) = mounted_from(&dir)? {
        // A former agent mounted it, and running VMs have their disks in it.
        return if source == file {
            Ok(())
        } else {
            Err(DiskError::ForeignMount { path: dir, pool: file })
        };
    }
    if !file.exists() {
        let wanted = match config.pool {
            PoolChoice::Never => false,
            PoolChoice::Always => true,
            PoolChoice::Auto => !copy::has_reflinks(&dir)?,
        };
        if !wanted {
            return Ok(());
        }
        match make(layout, config).await {
            Ok(()) => {}
            Err(DiskError::Tool { source, .. })
                if config.pool == PoolChoice::Auto
                    && matches!(*source, ExecError::Start { .. }) =>
            {
                tracing::warn!("mkfs.xfs cannot be run: disks will be copied, not cloned");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    mount(&file, &dir).await
}

/// Whether something is mounted at the pool directory.
pub(crate) fn is_mounted(layout: &Layout) -> Result<bool, DiskError> {
    mounted_from(&layout.pool_dir()).map(|source| source.is_some())
}

/// Unmounts the pool; its loop device goes with it. One that is not mounted is success.
pub(crate) async fn unmount(layout: &Layout) -> Result<(), DiskError> {
    let dir = layout.pool_dir();
    let mut tries = 0;
    while is_mounted(layout)? {
        let ended = Run::new("umount", &[dir.as_str()]).output().await;
        tries += 1;
        match ended {
            Ok(_) => {}
            Err(error) if tries >= UNMOUNT_TRIES => {
                return Err(DiskError::tool("unmount", &dir)(error));
            }
            Err(_) => tokio::time::sleep(UNMOUNT_PAUSE).await,
        }
    }
    Ok(())
}

async fn make(layout: &Layout, config: &config::Disk) -> Result<(), DiskError> {
    let file = layout.pool_file();
    let half = Utf8PathBuf::from(format!("{file}.new"));
    let size_mib = match config.pool_gib {
        Some(gib) => u64::from(gib) * 1024,
        None => {
            let stat = statvfs(layout.data())?;
            let free_mib = stat.f_bavail.saturating_mul(stat.f_frsize) / MIB;
            free_mib / 100 * SHARE_PERCENT
        }
    };
    if size_mib < LEAST_MIB {
        return Err(DiskError::Full { free_mib: size_mib, reserve_mib: LEAST_MIB });
    }
    tracing::info!(path = %file, size_mib, "making the pool file");
    let sparse = File::create(&half).map_err(DiskError::file("make", &half))?;
    sparse.set_len(size_mib * MIB).map_err(DiskError::file("make", &half))?;
    Run::new("mkfs.xfs", &["-q", "-f", "-m", "reflink=1", half.as_str()])
        .limit(LIMIT)
        .output()
        .await
        .map_err(DiskError::tool("make a file system in", &half))?;
    sparse.sync_all().map_err(DiskError::file("write", &half))?;
    fs::rename(&half, &file).map_err(DiskError::file("name", &file))?;
    durable::sync_parent(&file).map_err(DiskError::file("name", &file))
}

async fn mount(file: &Utf8Path, dir: &Utf8Path) -> Result<(), DiskError> {
    // `discard` gives what guests trim back to the file system below; the loop device that `mount`
    // makes goes away by itself with the unmount.
    let options = ["-t", "xfs", "-o", "loop,noatime,discard", file.as_str(), dir.as_str()];
    Run::new("mount", &options)
        .limit(LIMIT)
        .output()
        .await
        .map_err(DiskError::tool("mount", file))?;
    Ok(())
}

/// The file that a directory is mounted from; an empty path for a mount that is no file's.
fn mounted_from(dir: &Utf8Path) -> Result<Option<Utf8PathBuf>, DiskError> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).map_err(DiskError::file("read", table))?;
    let Some(source) = text.lines().rev().find_map(|line| source_of(line, dir)) else {
        return Ok(None);
    };
    let Some(device) = source.strip_prefix("/dev/") else { return Ok(Some(Utf8PathBuf::new())) };
    let backing = format!("/sys/block/{device}/loop/backing_file");
    match fs::read_to_string(&backing) {
        Ok(path) => Ok(Some(path.trim_end().into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Utf8PathBuf::new())),
        Err(error) => Err(DiskError::file("read", backing)(error)),
    }
}

/// The source of a line of `mountinfo`, where it is of this mount point.
fn source_of<'a>(line: &'a str, dir: &Utf8Path) -> Option<&'a str> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?.replace("\\040", " ");
    (point == dir.as_str()).then(|| after.split(' ').nth(1)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_point() {
        let line = "42 27 7:0 / /d/my\\040pool rw,noatime shared:1 - xfs /dev/loop0 rw";
        assert_eq!(source_of(line, Utf8Path::new("/d/my pool")), Some("/dev/loop0"));
        assert_eq!(source_of(line, Utf8Path::new("/d")), None);
        assert_eq!(source_of("", Utf8Path::new("/d")), None);
    }
}
