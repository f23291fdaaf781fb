//! Where images, kernels and half-made things are, and the lock that keeps builds apart.
//! Invariant: below `cache/work` is only what the holder of the lock is making; the next holder
//! removes what it finds there.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;
use rustix::{
    fs::{CWD, FlockOperation, RenameFlags, flock, rename, renameat_with},
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{
    error::ImageError,
    progress::{Progress, Report, Stage},
};
use crate::{durable, task::blocking};

/// How often a waiting build looks whether it is its turn.
const TURN_POLL: Duration = Duration::from_millis(500);

/// Longest wait for another build, in minutes: a kernel build on a slow machine.
const TURN_MAX_MINUTES: u64 = 120;

/// Free space that a build leaves, in MiB: the rest of the machine needs some.
const SPARE_MIB: u64 = 256;

const MIB: u64 = 1024 * 1024;

/// The images and kernels of one data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    data: Utf8PathBuf,
}

impl Store {
    /// The store of a data directory. Makes nothing.
    #[must_use]
    pub fn below(data: &Utf8Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// Where images are, one directory each.
    #[must_use]
    pub fn images(&self) -> Utf8PathBuf {
        self.data.join("images")
    }

    /// The directory of one image.
    #[must_use]
    pub fn image(&self, name: &ImageName) -> Utf8PathBuf {
        self.images().join(name.as_str())
    }

    /// Where kernels are, one directory each.
    #[must_use]
    pub fn kernels(&self) -> Utf8PathBuf {
        self.data.join("kernels")
    }

    /// What can be made again, but takes long.
    #[must_use]
    pub fn cache(&self) -> Utf8PathBuf {
        self.data.join("cache")
    }
}

/// The turn of one build, and its directory. When it is dropped without [`Turn::end`], the next
/// build removes the directory.
#[derive(Debug)]
pub(super) struct Turn {
    lock: File,
    work: Utf8PathBuf,
}

impl Turn {
    /// Waits until no other build runs in the store, and removes what a killed one has left.
    pub(super) async fn take(store: &Store, report: Report<'_>) -> Result<Self, ImageError> {
        let cache = store.cache();
        for dir in [&cache, &store.images(), &store.kernels()] {
            fs::create_dir_all(dir).map_err(ImageError::file("make", dir))?;
        }
        let path = cache.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(ImageError::file("open", &path))?;
        let waiting = tokio::time::timeout(
            Duration::from_secs(TURN_MAX_MINUTES * 60),
            wait_for(&lock, &path, report),
        );
        let minutes = TURN_MAX_MINUTES;
        waiting.await.map_err(|_| ImageError::Busy { path: cache.clone(), minutes })??;
        let work = cache.join("work");
        let former = work.clone();
        blocking(move || sweep(&former)).await?;
        fs::DirBuilder::new().mode(0o700).create(&work).map_err(ImageError::file("make", &work))?;
        Ok(Self { lock, work })
    }

    pub(super) fn lock(&self) -> &File {
        &self.lock
    }

    /// A directory that only this build uses.
    pub(super) fn work(&self) -> &Utf8Path {
        &self.work
    }

    /// Refuses a build that would fill the disk.
    pub(super) fn need(&self, mib: u64) -> Result<(), ImageError> {
        let (free_mib, needed_mib) = (self.free_mib()?, mib.saturating_add(SPARE_MIB));
        if free_mib < needed_mib {
            let path = self.work.clone();
            return Err(ImageError::NoSpace { path, free_mib, needed_mib });
        }
        Ok(())
    }

    /// Tells a failure that came from a full disk as such.
    pub(super) fn explain<T>(
        &self,
        result: Result<T, ImageError>,
        mib: u64,
    ) -> Result<T, ImageError> {
        match result {
            Err(error) if error.is_no_space() => {
                let (path, free_mib) = (self.work.clone(), self.free_mib()?);
                Err(ImageError::NoSpace { path, free_mib, needed_mib: mib })
            }
            other => other,
        }
    }

    fn free_mib(&self) -> Result<u64, ImageError> {
        let stat = rustix::fs::statvfs(self.work.as_std_path())
            .map_err(|error| ImageError::file("measure", &self.work)(error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize) / MIB)
    }

    /// Ends the turn; says whether everything could be removed.
    pub(super) async fn end(self) -> Result<(), ImageError> {
        let work = self.work.clone();
        let swept = blocking(move || sweep(&work)).await;
        drop(self.lock);
        swept
    }
}

async fn wait_for(lock: &File, path: &Utf8Path, report: Report<'_>) -> Result<(), ImageError> {
    let mut is_told = false;
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) => {
                if !is_told {
                    let why = "another build runs in this data directory";
                    report(&Progress::at(Stage::Waiting, why));
                    is_told = true;
                }
                tokio::time::sleep(TURN_POLL).await;
            }
            Err(error) => return Err(ImageError::file("lock", path)(error.into())),
        }
    }
}

/// Gives a finished file its name: on disk first, then under the name.
pub(super) fn publish_file(made: &Utf8Path, name: &Utf8Path) -> Result<(), ImageError> {
    sync(made)?;
    fs::rename(made, name).map_err(ImageError::file("name", name))?;
    durable::sync_parent(name).map_err(ImageError::file("name", name))
}

/// Gives a finished directory its name, in one step also where there is one of this name already,
/// which then has the other's.
pub(super) fn publish_dir(made: &Utf8Path, name: &Utf8Path) -> Result<(), ImageError> {
    for entry in made.read_dir_utf8().map_err(ImageError::file("read", made))? {
        sync(entry.map_err(ImageError::file("read", made))?.path())?;
    }
    sync(made)?;
    let failed = |error: Errno| ImageError::file("name", name)(error.into());
    let (from, to) = (made.as_std_path(), name.as_std_path());
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => rename(from, to).map_err(failed)?,
        other => other.map_err(failed)?,
    }
    durable::sync_parent(name).map_err(ImageError::file("name", name))
}

fn sync(path: &Utf8Path) -> Result<(), ImageError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(ImageError::file("write", path))
}

/// Removes a directory of half-made things. What a killed tool has left mounted below it is
/// unmounted first: removing through a mount of `/dev` would remove the machine's own devices.
pub(super) fn sweep(dir: &Utf8Path) -> Result<(), ImageError> {
    if !dir.exists() {
        return Ok(());
    }
    let canonical = dir.canonicalize_utf8().map_err(ImageError::file("find", dir))?;
    for mount in mounts_below(&canonical)?.into_iter().rev() {
        unmount(mount.as_std_path(), UnmountFlags::DETACH)
            .map_err(|error| ImageError::file("unmount", &mount)(error.into()))?;
    }
    durable::remove_dir(dir).map_err(ImageError::file("remove", dir))
}

fn mounts_below(dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ImageError> {
    let path = Utf8Path::new("/proc/self/mountinfo");
    let table = fs::read_to_string(path).map_err(ImageError::file("read", path))?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    Ok(points.map(Utf8PathBuf::from).filter(|point| point.starts_with(dir)).collect())
}

/// The kernel writes blanks in paths as `\040` and the like.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
