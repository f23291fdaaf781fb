//! The documents of a backup: the head that it begins with, and the manifest that it ends with.
//! Invariant: a backup is good only if its manifest is there and every part is what it says. What is
//! read from a backup was written by somebody else: names and numbers are checked here, once.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use camino::{Utf8Component, Utf8Path};
use rigbox_types::{HostId, Timestamp, WorkspaceId, host::CopyState};
use serde::{Deserialize, Serialize};

/// Changes when a backup can no longer be read by an older program.
pub(super) const FORMAT: u32 = 1;

/// Parts with a meaning of their own.
pub(super) const HEAD: &str = "rigbox-backup.json";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const CONFIG: &str = "config/rigbox.toml";
pub(super) const HOST_ID: &str = "host-id";
pub(super) const DATABASE: &str = "database.ndjson";

/// Folders with many parts.
pub(super) const CONTROL: &str = "control/";
pub(super) const HOST: &str = "host/";
pub(super) const DISKS: &str = "disks/";
pub(super) const IMAGES: &str = "images/";
pub(super) const KERNELS: &str = "kernels/";

/// Longest name of a part.
const NAME_MAX_LEN: usize = 255;

/// The largest disk: what a file system of the pool can hold, with room.
const PART_MAX_BYTES: u64 = 64 << 40;

/// Largest part that is read into memory: a configuration, a key, an id.
pub(super) const SMALL_MAX_BYTES: u64 = 1 << 20;

/// The first part: known before anything else is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    /// The version that made it.
    pub(super) rigbox: String,
    pub(super) started_at: Timestamp,
}

/// The last part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) rigbox: String,
    pub(super) contents: Contents,
    pub(super) platform: PlatformIds,
    /// The engine that the database was on; it can be loaded into either.
    pub(super) engine: String,
    pub(super) started_at: Timestamp,
    /// The moment that the database shows. Each disk is of a moment shortly after it.
    pub(super) consistent_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) database_rows: u64,
    pub(super) workspaces: Vec<WorkspacePart>,
    /// All parts but this one, in their order.
    pub(super) parts: Vec<Part>,
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Contents {
    /// Database, secrets, configuration, and the disks of this machine.
    Everything,
    /// The same without disks.
    Database,
}

/// Whose backup it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlatformIds {
    /// What its kernel objects carried. A restored platform gets one of its own: it names things of
    /// one machine.
    pub(super) tag: String,
    /// The machine that has the disks, in the words of the database.
    pub(super) host: HostId,
}

/// One workspace at the moment of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkspacePart {
    pub(super) id: WorkspaceId,
    pub(super) disk: DiskThen,
    /// When its disk was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) copied_at: Option<Timestamp>,
    /// Why it was not copied in a better way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// The disk of a workspace in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DiskThen {
    /// It did not run.
    AtRest,
    /// Its guest held still.
    Frozen,
    /// As after a loss of power.
    CrashConsistent,
    /// It never had one: it was not started yet.
    None,
    /// It had one, which is not in the backup: it was deleted meanwhile, or was lost before.
    Lost,
    /// Another machine has it.
    Elsewhere,
    /// This backup has no disks.
    LeftOut,
}

impl From<CopyState> for DiskThen {
    fn from(state: CopyState) -> Self {
        match state {
            CopyState::AtRest => Self::AtRest,
            CopyState::Frozen => Self::Frozen,
            CopyState::CrashConsistent => Self::CrashConsistent,
        }
    }
}

impl DiskThen {
    /// Whether the backup has it.
    pub(super) fn is_kept(self) -> bool {
        match self {
            Self::AtRest | Self::Frozen | Self::CrashConsistent => true,
            Self::None | Self::Lost | Self::Elsewhere | Self::LeftOut => false,
        }
    }
}

/// One part, as it must come out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    /// Size of the file, holes included.
    pub(super) bytes: u64,
    /// What is stored of it: without holes.
    pub(super) stored_bytes: u64,
    /// Over what is stored, in hex.
    pub(super) sha256: String,
}

impl Manifest {
    /// Reads a manifest and checks what it says of itself.
    ///
    /// # Errors
    /// Says what is wrong.
    pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes).context("read the manifest")?;
        known_format(manifest.format, &manifest.rigbox)?;
        let mut names = BTreeSet::new();
        for part in &manifest.parts {
            check_name(&part.name)?;
            if part.bytes > PART_MAX_BYTES || part.stored_bytes > part.bytes.saturating_add(MAP_MAX)
            {
                bail!("the manifest gives {} a size that it cannot have", part.name);
            }
            if !names.insert(part.name.as_str()) {
                bail!("the manifest has {} twice", part.name);
            }
        }
        let mut ids = BTreeSet::new();
        for workspace in &manifest.workspaces {
            let disk = disk_name(&workspace.id);
            if !ids.insert(workspace.id.as_str()) {
                bail!("the manifest has the workspace {} twice", workspace.id);
            }
            if workspace.disk.is_kept() != names.contains(disk.as_str()) {
                bail!("the manifest and the parts differ about {disk}");
            }
        }
        if !names.contains(DATABASE) || !names.contains(HOST_ID) {
            bail!("the database or the machine's id is missing in the manifest");
        }
        Ok(manifest)
    }

    /// Bytes of disks that a restore writes.
    pub(super) fn disk_bytes(&self) -> u64 {
        let disks = self.parts.iter().filter(|part| part.name.starts_with(DISKS));
        disks.map(|part| part.stored_bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of everything that a restore writes.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.stored_bytes).fold(0, u64::saturating_add)
    }

    /// How many disks it has.
    pub(super) fn disks(&self) -> usize {
        self.workspaces.iter().filter(|workspace| workspace.disk.is_kept()).count()
    }
}

/// A stored disk begins with the list of its pieces.
pub(super) const MAP_MAX: u64 = 256 << 20;

/// Refuses what a newer program made.
pub(super) fn known_format(format: u32, rigbox: &str) -> anyhow::Result<()> {
    if format != FORMAT {
        let shown: String = rigbox.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
        bail!(
            "this backup has format {format}, made by rigbox {shown}; this is rigbox {}, which knows \
             format {FORMAT}\nhint: restore it with that version",
            env!("CARGO_PKG_VERSION")
        );
    }
    Ok(())
}

/// The part that a disk is in.
pub(super) fn disk_name(workspace: &WorkspaceId) -> String {
    format!("{DISKS}{workspace}.ext4")
}

/// The workspace whose disk a part is.
pub(super) fn disk_of(name: &str) -> Option<WorkspaceId> {
    name.strip_prefix(DISKS)?.strip_suffix(".ext4")?.parse().ok()
}

/// A name that leads nowhere but below where it is put, and is one of ours.
///
/// # Errors
/// Says that it is none.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let shown: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    let plain = name.len() <= NAME_MAX_LEN
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !name.contains("//")
        && !name.ends_with('/')
        && Utf8Path::new(name).components().all(|part| matches!(part, Utf8Component::Normal(_)))
        && !name.split('/').any(|part| part == ".");
    let ours = [HEAD, MANIFEST, CONFIG, HOST_ID, DATABASE].contains(&name)
        || [CONTROL, HOST, IMAGES, KERNELS].iter().any(|folder| name.starts_with(folder))
        || disk_of(name).is_some();
    if !plain || !ours {
        bail!("{shown:.80} is no name of a part: this is not a backup that rigbox made");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for good in [
            HEAD,
            MANIFEST,
            CONFIG,
            DATABASE,
            "control/a.key",
            "control/ca/ca.pem",
            "disks/ws-aaaaaaaa.ext4",
            "host/incarnation",
            "images/tiny/rootfs.ext4",
        ] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "/etc/passwd",
            "control/../../etc/passwd",
            "../control/a",
            "control/",
            "control//a",
            "control/./a",
            "./control/a",
            "etc/passwd",
            "disks/../x.ext4",
            "disks/ws-aaaaaaaa.ext4/x",
            "control/a\nb",
            "control/a\\b",
            "disks/none",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&format!("control/{}", "a".repeat(300))).is_err());
    }
}
