//! What passes between `rigbox backup` or `rigbox restore` and the host's executable: a document a
//! line. The host's executable alone touches disks; the other reads copies and brings files.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, WorkspaceId};

/// How a disk was when it was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Nothing had it open: its workspace did not run.
    AtRest,
    /// Its guest had written everything out and waited meanwhile.
    Frozen,
    /// As after a loss of power: the guest ran on. Its file system's journal brings it in order.
    CrashConsistent,
}

/// What the host says while disks are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CopyEvent {
    /// A copy is there, for as long as the host's executable runs.
    Copied(DiskCopy),
    /// A disk is on record and not there.
    Missing {
        /// Whose.
        workspace: WorkspaceId,
    },
    /// All are.
    Done,
}

/// A copy of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskCopy {
    /// Whose disk.
    pub workspace: WorkspaceId,
    /// The file with the copy.
    pub path: String,
    /// How the disk was.
    pub state: CopyState,
    /// When.
    pub copied_at: Timestamp,
    /// Why it is not better than crash consistent, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the host is told while disks are put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PutEvent {
    /// The file `<workspace>.ext4` in the folder is whole.
    Brought {
        /// Whose disk.
        workspace: WorkspaceId,
    },
    /// There was a disk and it is not in the backup: the workspace must not get an empty one.
    Lost {
        /// Whose disk.
        workspace: WorkspaceId,
    },
    /// That was all.
    Done,
}

/// What the host says while disks are put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PutAnswer {
    /// Disks may be brought.
    Ready {
        /// The folder that they are brought to.
        folder: String,
    },
    /// It has its place and its record.
    Kept {
        /// Whose.
        workspace: WorkspaceId,
    },
    /// Everything is on the disk.
    Done,
}
