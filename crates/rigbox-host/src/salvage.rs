//! Makes up a record for a workspace whose own cannot be read.
//! Invariant: a record that is made up names no VM, so what is left of one goes before it is used:
//! nobody else would end it, and two VMs on one disk destroy it.
//! Does not touch the disk: it is somebody's work.

use std::{fs, io};

use camino::Utf8PathBuf;
use rigbox_types::WorkspaceId;

use crate::{
    Layout,
    cgroup::Cgroups,
    disk::Disks,
    durable,
    record::{DiskNote, DiskState, Promise, Record},
    trouble::StepError,
};

/// A record of the disk that was found; none where there is none.
pub(crate) fn make_up(
    layout: &Layout,
    disks: &Disks,
    cgroups: &Cgroups,
    workspace: &WorkspaceId,
) -> Option<Record> {
    // What fails here is tried again: a boot ends what is in its cgroup, the sweeper does the rest.
    if let Err(error) = cgroups.remove(workspace.as_str()) {
        let error = StepError::from(error);
        tracing::error!(%workspace, error = %error.chain(), "VM without a record not ended");
    }
    let jails = jails(layout).unwrap_or_default().into_iter();
    let jails = jails.filter(|(_, of)| of == workspace).map(|(path, _)| path);
    for path in jails.chain([layout.vm_run_dir(workspace)]) {
        if let Err(error) = durable::remove_dir(&path) {
            tracing::warn!(%path, %error, "what a VM without a record left stays");
        }
    }
    let (size_mib, uid) = disks.found(workspace)?;
    let mut record = Record::new(workspace.clone());
    record.uid = Some(uid);
    record.disk = Some(DiskNote { size_mib, state: DiskState::Made });
    // Promised once, or it would not be there; it must start again however full the host is.
    record.promise = Some(Promise { disk_mib: u64::from(size_mib), ..Promise::default() });
    if let Err(error) = record.save(layout) {
        // It is made up again at the next start; on a full file system this one must go on.
        tracing::error!(%workspace, %error, "record that was made up not written down");
    }
    Some(record)
}

/// Jails that are there, each with its workspace: one directory a program, in it one a workspace.
pub(crate) fn jails(layout: &Layout) -> io::Result<Vec<(Utf8PathBuf, WorkspaceId)>> {
    let programs = match layout.jails_dir().read_dir_utf8() {
        Ok(programs) => programs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for program in programs {
        let program = program?;
        if !program.file_type()?.is_dir() {
            continue;
        }
        for jail in program.path().read_dir_utf8()? {
            let jail = jail?;
            // Files that all jails share have other names.
            if let Ok(workspace) = jail.file_name().parse()
                && fs::symlink_metadata(jail.path()).is_ok_and(|found| found.is_dir())
            {
                all.push((jail.path().to_owned(), workspace));
            }
        }
    }
    Ok(all)
}
