//! The durable note of what the host made for each workspace, one file a workspace.
//! Invariant: a side effect is in the record before it is made, and stays in it until it is gone;
//! so whatever exists is either in a record or left over, and a crash at any line can be cleaned.
//! Does not look at reality (see `plan::Reality`).

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{
    Ed25519Key, Generation, Timestamp, WorkspaceId,
    host::{Assignment, DriverName},
};
use rigbox_vmm::{ProcessId, VmSpec};
use serde::{Deserialize, Serialize};

use crate::{Layout, durable, trouble::Trouble};

/// Changes when a record can no longer be read by an older agent.
const FORMAT: u32 = 1;

/// Largest record that is read: the largest assignment, escaped, with room.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What the host has made, or is about to make, for one workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Counts the writes of this record.
    pub revision: u64,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The newest assignment; none in a record that was made up from what was found.
    pub assignment: Option<Assignment>,
    /// What admission counts.
    pub promise: Option<Promise>,
    /// The user that the VMM runs as; kept for as long as there is a disk of that user.
    pub uid: Option<u32>,
    /// The disk.
    pub disk: Option<DiskNote>,
    /// The network slot: namespace, veth pair, tap and rules.
    pub slot: Option<u32>,
    /// The cgroup and its limits.
    pub cgroup: Option<CgroupNote>,
    /// The VMM.
    pub vm: Option<VmNote>,
    /// The last failure.
    pub trouble: Option<Trouble>,
}

/// Resources that are promised to a workspace, whether it uses them or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory of the guest and of its VMM, in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
}

/// A disk that is made or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNote {
    /// Its size, or the size that it is about to get.
    pub size_mib: u32,
    /// Whether it is whole.
    pub state: DiskState,
}

/// How far a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    /// Being made; nothing is lost with it.
    Making,
    /// Whole, and the user's.
    Made,
}

/// A cgroup that is made or about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupNote {
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory of the guest and of its VMM, in MiB.
    pub memory_mib: u64,
}

/// A VMM that runs or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmNote {
    /// The driver that booted it; none in records of agents that had only one.
    #[serde(default)]
    pub driver: Option<DriverName>,
    /// What was booted.
    pub spec: VmSpec,
    /// The assignment's generation when it was booted.
    pub generation: Generation,
    /// The process; none until it was admitted, and then it does not run yet.
    pub process: Option<ProcessId>,
    /// How far it is on its way out; none while it should run.
    pub ending: Option<Ending>,
    /// What the guest was told; none until it was ready for the first time.
    pub told: Option<Told>,
}

/// How far a VMM is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The guest was asked to shut down.
    Asked,
    /// The power button was pressed.
    Pressed,
    /// It is killed as soon as possible.
    Doomed,
}

/// What the guest was told at its last set-up, and what it said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Digest of what it was told.
    pub digest: String,
    /// When it first said that it is ready.
    pub ready_at: Timestamp,
    /// What it said that its SSH server is known by, then or soon after.
    #[serde(default)]
    pub ssh_host_key: Option<Ed25519Key>,
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct RecordError {
    action: &'static str,
    path: Utf8PathBuf,
    #[source]
    source: io::Error,
}

/// What was found for one workspace at the start of the agent.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "read once at start, one at a time")]
pub enum Found {
    /// A record.
    Record(Record),
    /// A file that is no record; it was renamed, so that nothing is lost.
    SetAside {
        /// Whose it would be.
        workspace: WorkspaceId,
        /// Where it is now.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory without a record: nothing was made yet, or all of it is gone.
    Nothing {
        /// Whose it would be.
        workspace: WorkspaceId,
    },
}

impl Record {
    /// A record of nothing.
    #[must_use]
    pub fn new(workspace: WorkspaceId) -> Self {
        Self {
            format: FORMAT,
            revision: 0,
            workspace,
            assignment: None,
            promise: None,
            uid: None,
            disk: None,
            slot: None,
            cgroup: None,
            vm: None,
            trouble: None,
        }
    }

    /// Whether nothing is made, so that the file may go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.disk.is_none() && self.slot.is_none() && self.cgroup.is_none() && self.vm.is_none()
    }

    /// Writes the record down. Blocks until it is durable.
    ///
    /// # Errors
    /// Where it could not be written; the file then still holds the former state.
    pub fn save(&mut self, layout: &Layout) -> Result<(), RecordError> {
        self.revision = self.revision.saturating_add(1);
        let path = layout.record(&self.workspace);
        let failed = |action| {
            let path = path.clone();
            move |source| RecordError { action, path, source }
        };
        let text = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .map_err(failed("write record"))?;
        if self.revision == 1 {
            let dir = layout.workspace_dir(&self.workspace);
            fs::create_dir_all(&dir).map_err(failed("make the directory of record"))?;
            durable::sync_parent(&dir).map_err(failed("make the directory of record"))?;
        }
        durable::write(&path, &text).map_err(failed("write record"))
    }

    /// Removes the record and the directory around it.
    ///
    /// # Errors
    /// Where it could not be removed.
    pub fn forget(layout: &Layout, workspace: &WorkspaceId) -> Result<(), RecordError> {
        let path = layout.record(workspace);
        durable::remove(&path)
            .and_then(|()| durable::remove_dir(&layout.workspace_dir(workspace)))
            .map_err(|source| RecordError { action: "remove record", path, source })
    }

    /// Reads everything that is below the directory of records.
    ///
    /// # Errors
    /// Where the directory cannot be read or a bad record cannot be set aside. A bad record alone is
    /// no error.
    pub fn load_all(layout: &Layout) -> Result<Vec<Found>, RecordError> {
        let dir = layout.records_dir();
        let failed = |source| RecordError { action: "read", path: dir.clone(), source };
        let mut all = Vec::new();
        for entry in dir.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().parse::<WorkspaceId>() {
                Ok(workspace) => all.push(Self::load(layout, workspace)?),
                Err(_) => tracing::warn!(path = %entry.path(), "not a workspace's directory"),
            }
        }
        Ok(all)
    }

    /// The record as it is now, for whoever must change nothing; none where there is none or it cannot
    /// be read.
    pub(crate) fn peek(layout: &Layout, workspace: &WorkspaceId) -> Option<Self> {
        let content = read_bounded(&layout.record(workspace)).ok().flatten()?;
        let record: Self = serde_json::from_slice(&content).ok()?;
        (record.format == FORMAT && record.workspace == *workspace).then_some(record)
    }

    pub(crate) fn load(layout: &Layout, workspace: WorkspaceId) -> Result<Found, RecordError> {
        let path = layout.record(&workspace);
        let failed = |action| {
            let path = path.clone();
            move |source| RecordError { action, path, source }
        };
        let Some(content) = read_bounded(&path).map_err(failed("read record"))? else {
            return Ok(Found::Nothing { workspace });
        };
        let reason = match serde_json::from_slice::<Self>(&content) {
            Ok(record) if record.format != FORMAT => {
                format!("format {} instead of {FORMAT}", record.format)
            }
            Ok(record) if record.workspace != workspace => {
                format!("it is the record of {}", record.workspace)
            }
            Ok(record) => return Ok(Found::Record(record)),
            Err(error) => error.to_string(),
        };
        let aside = free_name(&path);
        fs::rename(&path, &aside).map_err(failed("set aside record"))?;
        durable::sync_parent(&aside).map_err(failed("set aside record"))?;
        Ok(Found::SetAside { workspace, path: aside, reason })
    }
}

/// Reads at most the largest record; a longer file is cut, and so is no record.
fn read_bounded(path: &Utf8Path) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;

    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// `record.json.bad`, or with a number behind it.
fn free_name(path: &Utf8Path) -> Utf8PathBuf {
    let mut aside = Utf8PathBuf::from(format!("{path}.bad"));
    let mut count = 1_u32;
    while aside.exists() {
        count = count.saturating_add(1);
        aside = format!("{path}.bad{count}").into();
    }
    aside
}

#[cfg(test)]
mod tests;
