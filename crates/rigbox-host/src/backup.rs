//! Copies of all disks for a backup, and disks that come back from one.
//! Owns the folder of copies. Invariants: a disk is read only as a copy that was made in one step;
//! copies go when whoever wanted them does, however it goes; a disk that is put back gets its name
//! when it is whole, and a record with it.
//! Does not know what a backup looks like, and talks to nobody but the one who started it.

mod copies;
mod put;

use std::{fs::File, io};

use camino::Utf8PathBuf;
use rustix::fs::{FlockOperation, flock};

use crate::{
    DataLock, Layout, LockError, agent::HostError, config::PoolChoice, disk, disk::DiskError,
    durable,
};

pub use copies::copy_disks;
pub use put::put_disks;

/// How long an agent that is just starting or ending is waited for.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// Why disks were not copied or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Layout(#[from] crate::LayoutError),
    /// Another process has the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another backup is under way.
    #[error("another backup of this platform is under way")]
    UnderWay,
    /// A disk.
    #[error("disk of {workspace}")]
    Disk {
        /// Whose.
        workspace: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The storage cannot clone files, so that only disks at rest can be copied.
    #[error(
        "{workspace} runs, and the storage of disks has no reflinks: stop it, or the platform, first"
    )]
    NoReflinks {
        /// Which workspace.
        workspace: String,
    },
    /// What all disks need.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The other side broke off or said what nobody understands.
    #[error("read or write the lines of the backup")]
    Talk(#[from] io::Error),
}

/// Held by whoever has copies.
struct CopiesLock {
    _file: File,
}

impl CopiesLock {
    fn take(layout: &Layout) -> Result<Self, BackupError> {
        let path = layout.copies_lock();
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::UnderWay),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// Removes copies whose backup is gone: it was killed, or the machine lost its power.
pub(crate) fn clear_left(layout: &Layout) -> Result<(), BackupError> {
    if !layout.copies_dir().exists() {
        return Ok(());
    }
    match CopiesLock::take(layout) {
        Ok(_alone) => Ok(durable::remove_dir(&layout.copies_dir())?),
        Err(BackupError::UnderWay) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The mounted storage of disks, and whether nobody had mounted it before.
struct Storage {
    layout: Layout,
    is_ours: bool,
}

impl Storage {
    /// Mounts what is there; makes nothing.
    async fn open(layout: &Layout, config: &crate::Config) -> Result<Self, BackupError> {
        let mounted = disk::is_mounted(layout).map_err(HostError::part("look at the pool"))?;
        let is_ours = layout.pool_file().exists() && !mounted;
        if is_ours {
            // Held only while it is mounted: an agent that starts then takes the mount over.
            let _lock = take_lock(layout).await?;
            let mut config = config.disk.clone();
            config.pool = PoolChoice::Never;
            disk::open_pool(layout, &config).await.map_err(HostError::part("mount the pool"))?;
        }
        Ok(Self { layout: layout.clone(), is_ours })
    }

    /// Leaves it as it was found, unless an agent uses it now.
    async fn close(self) -> Result<(), BackupError> {
        if !self.is_ours {
            return Ok(());
        }
        match DataLock::take(&self.layout) {
            Ok(_lock) => {
                let done = disk::unmount(&self.layout).await;
                Ok(done.map_err(HostError::part("unmount the pool"))?)
            }
            Err(LockError::Held { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn take_lock(layout: &Layout) -> Result<DataLock, LockError> {
    let mut tries = 0;
    loop {
        match DataLock::take(layout) {
            Err(LockError::Held { .. }) if tries < LOCK_TRIES => {
                tries += 1;
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            taken => return taken,
        }
    }
}

fn of_disk<E>(workspace: &rigbox_types::WorkspaceId) -> impl FnOnce(E) -> BackupError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let workspace = workspace.to_string();
    move |source| BackupError::Disk { workspace, source: source.into() }
}

/// A folder of this instance's pool that nobody else uses, empty.
fn empty_folder(path: &Utf8PathBuf) -> Result<(), BackupError> {
    use std::os::unix::fs::DirBuilderExt as _;

    durable::remove_dir(path)?;
    Ok(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?)
}

/// For `map_err` at a disk's file.
fn file_error(
    action: &'static str,
    path: &camino::Utf8Path,
) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |source| DiskError::file(action, &path)(source)
}
