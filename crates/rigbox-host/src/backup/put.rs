//! Puts disks back into a data directory that has none, and writes a record for each.
//! Invariant: a record names what is true on any machine (a disk, its size, its user) and nothing of
//! the one where the disk was: what should run comes from control.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{
    WorkspaceId,
    host::{Capacity, PutAnswer, PutEvent},
};

use super::{BackupError, empty_folder, file_error, of_disk};
use crate::{
    Config, DataLock, Layout,
    admission::Ledger,
    agent::HostError,
    disk::{self, Disks},
    durable,
    record::{DiskNote, DiskState, Promise, Record},
};

const MIB: u64 = 1024 * 1024;

/// Takes disks that are brought, one at a time, until it is told that that was all.
///
/// # Errors
/// As [`BackupError`]; also where what is said ends before that. What was put back stays then: it is
/// for whoever restores to remove it.
pub async fn put_disks(
    config: &Config,
    next: &mut (dyn FnMut() -> std::io::Result<PutEvent> + Send),
    tell: &mut (dyn FnMut(&PutAnswer) -> std::io::Result<()> + Send),
) -> Result<(), BackupError> {
    let layout = Layout::open(&config.data)?;
    let lock = DataLock::take(&layout)?;
    let disks = Disks::open(&layout, &config.disk)
        .await
        .map_err(HostError::part("make the storage for disks"))?;
    let done = put_all(&Putting { layout: layout.clone(), disks, config }, next, tell);
    let left = durable::remove_dir(&layout.copies_dir());
    let unmounted = disk::unmount(&layout).await;
    drop(lock);
    done?;
    left?;
    unmounted.map_err(HostError::part("unmount the pool"))?;
    Ok(tell(&PutAnswer::Done)?)
}

struct Putting<'c> {
    layout: Layout,
    disks: Disks,
    config: &'c Config,
}

fn put_all(
    put: &Putting<'_>,
    next: &mut (dyn FnMut() -> std::io::Result<PutEvent> + Send),
    tell: &mut (dyn FnMut(&PutAnswer) -> std::io::Result<()> + Send),
) -> Result<(), BackupError> {
    let folder = put.layout.copies_dir();
    empty_folder(&folder)?;
    tell(&PutAnswer::Ready { folder: folder.to_string() })?;
    // Only hands out users of their own: what is promised is counted by the agent.
    let ledger = Ledger::new(Capacity::default(), put.config.network.first_uid);
    loop {
        let workspace = match next()? {
            PutEvent::Brought { workspace } => {
                put.place(&folder, &workspace, ledger.uid(&workspace))
                    .map_err(of_disk(&workspace))?;
                workspace
            }
            PutEvent::Lost { workspace } => {
                put.note(&workspace, ledger.uid(&workspace), 0).map_err(of_disk(&workspace))?;
                workspace
            }
            PutEvent::Done => return Ok(()),
        };
        tell(&PutAnswer::Kept { workspace })?;
    }
}

impl Putting<'_> {
    fn place(
        &self,
        folder: &Utf8Path,
        workspace: &WorkspaceId,
        uid: u32,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let brought: Utf8PathBuf = folder.join(format!("{workspace}.ext4"));
        let file = fs::File::open(&brought).map_err(file_error("put back", &brought))?;
        let length = file.metadata().map_err(file_error("put back", &brought))?.len();
        let size_mib = u32::try_from(length / MIB)?;
        chown(&brought, Some(uid), Some(uid)).map_err(file_error("put back", &brought))?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(file_error("put back", &brought))?;
        file.sync_all().map_err(file_error("put back", &brought))?;
        // On record before it has its name, as everything is.
        self.note(workspace, uid, size_mib)?;
        let disk = self.disks.path(workspace);
        fs::rename(&brought, &disk).map_err(file_error("put back", &disk))?;
        durable::sync_parent(&disk).map_err(file_error("put back", &disk))?;
        Ok(())
    }

    /// A record of a disk that must be there, whether it is or not: the agent makes no empty one then.
    fn note(
        &self,
        workspace: &WorkspaceId,
        uid: u32,
        size_mib: u32,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut record = Record::new(workspace.clone());
        record.uid = Some(uid);
        record.disk = Some(DiskNote { size_mib, state: DiskState::Made });
        // Promised where it came from; it must start again however full this host is.
        record.promise = Some(Promise { disk_mib: u64::from(size_mib), ..Promise::default() });
        Ok(record.save(&self.layout)?)
    }
}
