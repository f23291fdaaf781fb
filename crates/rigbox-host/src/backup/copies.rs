//! Makes a copy of each disk by reflink, of a running guest's while it holds still.
//! Invariants: a guest is held for at most [`HELD`], and lets go by itself where this process dies;
//! one that cannot be held is copied all the same, and that is said.

use std::{fs::File, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_guest::client::Agent;
use rigbox_types::{
    WorkspaceId,
    host::{CopyEvent, CopyState, DiskCopy},
};
use rustix::fs::ioctl_ficlone;
use tokio::time::timeout;

use super::{BackupError, CopiesLock, Storage, empty_folder, file_error, of_disk};
use crate::{
    Config, Layout, clock,
    disk::{DiskError, copy},
    record::{DiskState, Record},
    salvage,
    task::blocking,
};

/// How long a guest holds still at most: a reflink takes milliseconds.
const HELD: Duration = Duration::from_secs(5);

/// How long it may take to write out what it has not written yet.
const FREEZE_PATIENCE: Duration = Duration::from_secs(15);

/// How often a workspace may start or stop while its disk is copied before it counts as running.
const TRIES: u32 = 3;

/// Copies all disks, tells of each, and keeps the copies until `end`.
///
/// # Errors
/// As [`BackupError`].
pub async fn copy_disks(
    config: &Config,
    tell: &mut (dyn FnMut(&CopyEvent) -> std::io::Result<()> + Send),
    end: impl Future<Output = ()>,
) -> Result<(), BackupError> {
    if !Layout::exists(&config.data) {
        return Ok(tell(&CopyEvent::Done)?);
    }
    let layout = Layout::open(&config.data)?;
    let lock = CopiesLock::take(&layout)?;
    let storage = Storage::open(&layout, config).await?;
    let done = copy_all(&layout, tell).await;
    if done.is_ok() {
        end.await;
    }
    let removed = crate::durable::remove_dir(&layout.copies_dir());
    drop(lock);
    storage.close().await?;
    done?;
    Ok(removed?)
}

async fn copy_all(
    layout: &Layout,
    tell: &mut (dyn FnMut(&CopyEvent) -> std::io::Result<()> + Send),
) -> Result<(), BackupError> {
    let disks = disks(layout)?;
    if !disks.is_empty() {
        empty_folder(&layout.copies_dir())?;
    }
    for (workspace, disk) in disks {
        match copy_one(layout, &workspace, &disk).await? {
            Some(copied) => tell(&CopyEvent::Copied(copied))?,
            None => tracing::info!(%workspace, "deleted meanwhile"),
        }
    }
    for workspace in missing(layout)? {
        tell(&CopyEvent::Missing { workspace })?;
    }
    Ok(tell(&CopyEvent::Done)?)
}

/// The disks that have their name: those are whole.
fn disks(layout: &Layout) -> Result<Vec<(WorkspaceId, Utf8PathBuf)>, BackupError> {
    let mut all = Vec::new();
    if !layout.disks_dir().exists() {
        return Ok(all);
    }
    for entry in layout.disks_dir().read_dir_utf8()? {
        let entry = entry?;
        let of = entry.file_name().strip_suffix(".ext4").and_then(|stem| stem.parse().ok());
        all.extend(of.map(|workspace| (workspace, entry.path().to_owned())));
    }
    all.sort();
    Ok(all)
}

/// Workspaces whose disk should be there and is not.
fn missing(layout: &Layout) -> Result<Vec<WorkspaceId>, BackupError> {
    let mut all = Vec::new();
    for entry in layout.records_dir().read_dir_utf8()? {
        let Ok(workspace) = entry?.file_name().parse::<WorkspaceId>() else { continue };
        let note = Record::peek(layout, &workspace).and_then(|record| record.disk);
        let is_made = note.is_some_and(|note| note.state == DiskState::Made);
        if is_made && !layout.disks_dir().join(format!("{workspace}.ext4")).exists() {
            all.push(workspace);
        }
    }
    all.sort();
    Ok(all)
}

/// None where the disk is gone by now: its workspace was deleted.
async fn copy_one(
    layout: &Layout,
    workspace: &WorkspaceId,
    disk: &Utf8Path,
) -> Result<Option<DiskCopy>, BackupError> {
    let target = layout.copies_dir().join(format!("{workspace}.ext4"));
    let mut tries = 0;
    let copied = loop {
        tries += 1;
        let before = Record::peek(layout, workspace);
        let vm = before.as_ref().and_then(|record| record.vm.as_ref());
        let runs = vm.and_then(|vm| vm.process).is_some_and(|process| process.is_alive());
        let copied = if runs || tries == TRIES {
            copy_running(layout, workspace, (disk, &target)).await
        } else {
            let (source, target) = (disk.to_owned(), target.clone());
            let copied = blocking(move || copy(&source, &target)).await;
            copied.map(|_| (CopyState::AtRest, None)).map_err(of_disk(workspace))
        };
        // One that was started meanwhile was not at rest.
        let revision = |record: Option<&Record>| record.map(|record| record.revision);
        let after = Record::peek(layout, workspace);
        if runs || tries == TRIES || revision(before.as_ref()) == revision(after.as_ref()) {
            break copied;
        }
        crate::durable::remove(&target)?;
    };
    match copied {
        Ok((state, reason)) => {
            let (workspace, path) = (workspace.clone(), target.into_string());
            Ok(Some(DiskCopy { workspace, path, state, copied_at: clock::now(), reason }))
        }
        Err(_) if !disk.exists() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies the disk of a guest that runs or may run.
async fn copy_running(
    layout: &Layout,
    workspace: &WorkspaceId,
    (disk, target): (&Utf8Path, &Utf8Path),
) -> Result<(CopyState, Option<String>), BackupError> {
    // Written out before the guest holds still, so that it does so for a moment only.
    let source = disk.to_owned();
    drop(blocking(move || File::open(source).and_then(|file| file.sync_data())).await);
    let held = hold(layout, workspace).await;
    let cloned = clone(workspace, disk, target).await;
    let reason = match held {
        Ok(agent) => match timeout(HELD, agent.thaw()).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("the guest did not hold still for so long".to_owned()),
            Ok(Err(error)) => Some(format!("the guest: {error}")),
            Err(_) => Some("the guest does not answer".to_owned()),
        },
        Err(why) => Some(why),
    };
    cloned?;
    let state = if reason.is_none() { CopyState::Frozen } else { CopyState::CrashConsistent };
    Ok((state, reason))
}

/// By reflink or not at all: reading a disk piece by piece while a guest writes gives neither what was
/// there before nor after.
async fn clone(
    workspace: &WorkspaceId,
    disk: &Utf8Path,
    target: &Utf8Path,
) -> Result<(), BackupError> {
    let (source, copy) = (disk.to_owned(), target.to_owned());
    let cloned = blocking(move || {
        let from = File::open(&source).map_err(file_error("open", &source))?;
        let to = File::create_new(&copy).map_err(file_error("make", &copy))?;
        Ok::<_, DiskError>(ioctl_ficlone(&to, &from))
    });
    match cloned.await.map_err(of_disk(workspace))? {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::XDEV | rustix::io::Errno::INVAL) => {
            Err(BackupError::NoReflinks { workspace: workspace.to_string() })
        }
        Err(error) => Err(of_disk(workspace)(std::io::Error::from(error))),
    }
}

/// The agent of a guest that holds still now, or why it does not.
async fn hold(layout: &Layout, workspace: &WorkspaceId) -> Result<Agent, String> {
    let jails = salvage::jails(layout).unwrap_or_default().into_iter();
    let jails = jails.filter(|(_, of)| of == workspace);
    let sockets = jails.map(|(jail, _)| jail.join("root/run/agent.sock"));
    let own = layout.vm_run_dir(workspace).join("guest.sock");
    let socket = std::iter::once(own).chain(sockets).find(|socket| socket.exists());
    let agent = Agent::new(socket.ok_or("the guest has not come up yet")?);
    match timeout(FREEZE_PATIENCE, agent.freeze(HELD)).await {
        Ok(Ok(())) => Ok(agent),
        Ok(Err(error)) if error.is_refusal() => {
            Err(format!("the agent in the guest cannot hold it: {error}"))
        }
        Ok(Err(error)) => Err(format!("the guest: {error}")),
        Err(_) => {
            // It may hold still a moment later; then it need not wait for its time to be over.
            drop(timeout(HELD, agent.thaw()).await);
            Err("the guest does not hold still".to_owned())
        }
    }
}
