//! Owns the disks of workspaces: one raw ext4 file each, cloned from an image's template.
//! Invariants: a disk appears under its name only when it is whole; it only ever grows; nothing is
//! made when the storage is nearly full. Deletes happen one at a time, in the order of arrival.
//! Does not count promises (see `admission`) and never looks into a disk: a guest wrote it.

mod copy;
mod error;
mod grow;
mod pool;
mod template;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::Arc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{ImageName, WorkspaceId};
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    Layout,
    config::{self, PoolChoice},
    durable,
    fault::{self, Point},
    plan::Presence,
    task::blocking,
};

pub(crate) use copy::copy;
pub(crate) use error::DiskError;
pub(crate) use pool::{is_mounted, open as open_pool, unmount};

const MIB: u64 = 1024 * 1024;

/// The unit in which a file's blocks are counted, whatever its file system's.
const BLOCK: u64 = 512;

/// How often it is looked for room, and the pause between: one second in all.
const ROOM_TRIES: u32 = 11;
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// The disks of one data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Disks {
    layout: Layout,
    reserve_mib: u64,
    /// One delete at a time: the queue is fair, and as long as there are workspaces.
    deletes: Arc<Semaphore>,
    /// One template at a time: the second start with an image waits for the first.
    templates: Arc<Semaphore>,
}

/// What a new disk is made of.
#[derive(Debug, Clone)]
pub(crate) struct CloneOrder {
    pub(crate) workspace: WorkspaceId,
    pub(crate) image: ImageName,
    pub(crate) size_mib: u32,
    pub(crate) uid: u32,
}

impl Disks {
    /// Opens the storage; makes and mounts a pool file where the file system has no reflinks.
    pub(crate) async fn open(layout: &Layout, config: &config::Disk) -> Result<Self, DiskError> {
        pool::open(layout, config).await?;
        for dir in [layout.disks_dir(), template::dir(layout)] {
            fs::create_dir_all(&dir).map_err(DiskError::file("make", &dir))?;
            let private = fs::Permissions::from_mode(0o711);
            fs::set_permissions(&dir, private).map_err(DiskError::file("make", &dir))?;
        }
        Ok(Self {
            layout: layout.clone(),
            reserve_mib: config.reserve_mib,
            deletes: Arc::new(Semaphore::new(1)),
            templates: Arc::new(Semaphore::new(1)),
        })
    }

    /// The disk of a workspace.
    pub(crate) fn path(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.layout.disks_dir().join(format!("{workspace}.ext4"))
    }

    pub(crate) fn presence(&self, workspace: &WorkspaceId) -> Presence {
        if self.path(workspace).exists() { Presence::There } else { Presence::Missing }
    }

    /// Size and owner of a disk that no record names; none where there is none.
    pub(crate) fn found(&self, workspace: &WorkspaceId) -> Option<(u32, u32)> {
        let metadata = fs::metadata(self.path(workspace)).ok()?;
        Some((u32::try_from(metadata.len() / MIB).ok()?, metadata.uid()))
    }

    /// Names of all files that disks are in, with what they would be the disk of.
    pub(crate) fn files(&self) -> io::Result<Vec<(Utf8PathBuf, Option<WorkspaceId>)>> {
        let mut all = Vec::new();
        for entry in self.layout.disks_dir().read_dir_utf8()? {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.strip_suffix(".new").unwrap_or(name).strip_suffix(".ext4");
            all.push((entry.path().to_owned(), stem.and_then(|stem| stem.parse().ok())));
        }
        Ok(all)
    }

    /// What disks may take in all, in MiB: the file system that they are on, or what the one below a
    /// sparse pool file lets it grow to, whichever is less.
    pub(crate) fn capacity_mib(&self) -> Result<u64, DiskError> {
        let stat = statvfs(&self.layout.disks_dir())?;
        let size = stat.f_blocks.saturating_mul(stat.f_frsize);
        let Some((below, taken)) = self.below_pool()? else { return Ok(size / MIB) };
        Ok(size.min(below.saturating_add(taken)) / MIB)
    }

    /// Free bytes of the file system below the pool file, and those that the file has taken of it;
    /// none where there is no pool file. A guest's write fails when either file system is full.
    fn below_pool(&self) -> Result<Option<(u64, u64)>, DiskError> {
        let file = self.layout.pool_file();
        let Ok(metadata) = fs::metadata(&file) else { return Ok(None) };
        let stat = statvfs(&file)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(Some((free, metadata.blocks().saturating_mul(BLOCK))))
    }

    /// What is free for disks now, in MiB.
    fn free_mib(&self) -> Result<u64, DiskError> {
        let stat = statvfs(&self.layout.disks_dir())?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let below = self.below_pool()?.map_or(free, |(below, _)| below);
        Ok(free.min(below) / MIB)
    }

    /// The device that disks are on, for cgroups. None where the file system has none of its own, as
    /// btrfs: there the VMM alone limits.
    pub(crate) fn device(&self) -> Option<u64> {
        let device = fs::metadata(self.layout.disks_dir()).ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let entry = Utf8PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        if major == 0 || !entry.exists() {
            return None;
        }
        if !entry.join("partition").exists() {
            return Some(device);
        }
        // Only whole disks take limits.
        let whole =
            fs::read_to_string(entry.canonicalize_utf8().ok()?.parent()?.join("dev")).ok()?;
        let (major, minor) = whole.trim().split_once(':')?;
        Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
    }

    /// Makes a disk from its image, at least as large as asked for. A disk that is there already is
    /// whole, because it only got its name when it was.
    pub(crate) async fn clone_image(&self, order: CloneOrder) -> Result<u32, DiskError> {
        let disk = self.path(&order.workspace);
        if !disk.exists() {
            self.check_room().await?;
            let turn = self.templates.acquire().await.map_err(|_| DiskError::Closed)?;
            let source = template::prepare(&self.layout, &order.image, order.size_mib).await?;
            drop(turn);
            let target = disk.clone();
            blocking(move || clone(&source, &target, order.uid)).await?;
        }
        let length = fs::metadata(&disk).map_err(DiskError::file("look at", &disk))?.len();
        Ok(u32::try_from(length / MIB).unwrap_or(u32::MAX))
    }

    /// Makes a disk that no VM has open larger. Its file system follows when the guest is set up.
    pub(crate) async fn grow(
        &self,
        workspace: &WorkspaceId,
        size_mib: u32,
    ) -> Result<(), DiskError> {
        self.check_room().await?;
        let disk = self.path(workspace);
        blocking(move || grow::lengthen(&disk, u64::from(size_mib) * MIB)).await
    }

    /// Removes a disk, whole or half made. One that is not there is success.
    pub(crate) async fn delete(&self, workspace: &WorkspaceId) -> Result<(), DiskError> {
        let _turn = self.deletes.acquire().await.map_err(|_| DiskError::Closed)?;
        let disk = self.path(workspace);
        blocking(move || {
            for path in [half_made(&disk), disk] {
                durable::remove(&path).map_err(DiskError::file("remove", &path))?;
            }
            Ok(())
        })
        .await
    }

    /// Whether there is room. XFS gives the space of a file that was just removed back in the
    /// background, so that too little is looked at again.
    async fn check_room(&self) -> Result<(), DiskError> {
        let mut tries = 0;
        loop {
            let free_mib = self.free_mib()?;
            if free_mib >= self.reserve_mib {
                return Ok(());
            }
            tries += 1;
            if tries >= ROOM_TRIES {
                return Err(DiskError::Full { free_mib, reserve_mib: self.reserve_mib });
            }
            sleep(ROOM_PAUSE).await;
        }
    }
}

fn half_made(disk: &Utf8Path) -> Utf8PathBuf {
    format!("{disk}.new").into()
}

fn clone(source: &Utf8Path, disk: &Utf8Path, uid: u32) -> Result<(), DiskError> {
    let half = half_made(disk);
    durable::remove(&half).map_err(DiskError::file("remove", &half))?;
    let made = copy::copy(source, &half).and_then(|file| {
        fault::point(Point::DiskCloneHalf);
        let owner = DiskError::file("give away", &half);
        std::os::unix::fs::fchown(&file, Some(uid), Some(uid)).map_err(owner)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.sync_all())
            .map_err(DiskError::file("write", &half))?;
        fs::rename(&half, disk).map_err(DiskError::file("name", disk))?;
        durable::sync_parent(disk).map_err(DiskError::file("name", disk))
    });
    if made.is_err()
        && let Err(error) = durable::remove(&half)
    {
        tracing::warn!(path = %half, %error, "half-made disk stays until the next try");
    }
    made
}

fn statvfs(path: &Utf8Path) -> Result<rustix::fs::StatVfs, DiskError> {
    rustix::fs::statvfs(path.as_std_path())
        .map_err(|error| DiskError::file("measure", path)(error.into()))
}

#[cfg(test)]
mod tests;
