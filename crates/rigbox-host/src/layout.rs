//! Names: every path below the data directory and every kernel object of this instance.
//! Invariant: kernel objects carry the instance's tag, so that platforms live side by side and each
//! finds and removes only its own. Makes nothing but directories and the tag.

use std::{fs, io, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::WorkspaceId;

use crate::durable;

/// Length of the tag: with the longest slot, `rb<tag>v<slot>` still fits a network interface's 15.
const TAG_LEN: usize = 4;

/// Holds the tag.
const TAG_FILE: &str = "instance";

/// The data directory of one instance and its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data: Utf8PathBuf,
    tag: String,
}

/// Why the layout could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A file or directory could not be made or read.
    #[error("prepare {path}")]
    Io {
        /// Which one.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tag file does not hold a tag.
    #[error("{path} must hold {TAG_LEN} lower-case letters or digits")]
    InvalidTag {
        /// Which file.
        path: Utf8PathBuf,
    },
}

impl Layout {
    /// Opens the data directory; makes it, and its tag, where they do not exist.
    ///
    /// # Errors
    /// As [`LayoutError`].
    pub fn open(data: &Utf8Path) -> Result<Self, LayoutError> {
        let io = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| LayoutError::Io { path, source }
        };
        fs::create_dir_all(data).map_err(io(data))?;
        let data = data.canonicalize_utf8().map_err(io(data))?;
        let path = data.join(TAG_FILE);
        let tag = match durable::read(&path).map_err(io(&path))? {
            Some(content) => String::from_utf8_lossy(&content).trim().to_owned(),
            None => make_tag(&path).map_err(io(&path))?,
        };
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if tag.len() != TAG_LEN || !tag.bytes().all(valid) {
            return Err(LayoutError::InvalidTag { path });
        }
        let layout = Self { data, tag };
        layout.make_directories()?;
        Ok(layout)
    }

    /// Whether a data directory was ever used.
    #[must_use]
    pub fn exists(data: &Utf8Path) -> bool {
        data.join(TAG_FILE).exists()
    }

    fn make_directories(&self) -> Result<(), LayoutError> {
        let private = [self.host_dir(), self.records_dir(), self.vm_runs_dir()];
        for path in private.iter().chain([&self.data.join("run"), &self.images_dir()]) {
            let io = |source| LayoutError::Io { path: path.clone(), source };
            fs::create_dir_all(path).map_err(io)?;
        }
        for path in &private {
            let io = |source| LayoutError::Io { path: path.clone(), source };
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
        }
        Ok(())
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Utf8Path {
        &self.data
    }

    /// Four characters that all kernel objects of this instance carry.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What only the host agent reads.
    #[must_use]
    pub fn host_dir(&self) -> Utf8PathBuf {
        self.data.join("host")
    }

    /// One directory a workspace.
    #[must_use]
    pub fn records_dir(&self) -> Utf8PathBuf {
        self.data.join("host/workspaces")
    }

    /// Record and console of one workspace.
    #[must_use]
    pub fn workspace_dir(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.records_dir().join(workspace.as_str())
    }

    /// The durable record of one workspace.
    #[must_use]
    pub fn record(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.workspace_dir(workspace).join("record.json")
    }

    /// The bounded log of the guest's console.
    #[must_use]
    pub fn console(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.workspace_dir(workspace).join("console.log")
    }

    /// Sockets of all VMs. Short, because a socket's path holds 107 bytes.
    #[must_use]
    pub fn vm_runs_dir(&self) -> Utf8PathBuf {
        self.data.join("run/vm")
    }

    /// Sockets of one VM.
    #[must_use]
    pub fn vm_run_dir(&self, workspace: &WorkspaceId) -> Utf8PathBuf {
        self.vm_runs_dir().join(workspace.as_str())
    }

    /// Built images.
    #[must_use]
    pub fn images_dir(&self) -> Utf8PathBuf {
        self.data.join("images")
    }

    /// Guest kernels.
    #[must_use]
    pub fn kernels_dir(&self) -> Utf8PathBuf {
        self.data.join("kernels")
    }

    /// Where disks are: a mounted pool file, or a plain directory where the file system has reflinks.
    #[must_use]
    pub fn pool_dir(&self) -> Utf8PathBuf {
        self.data.join("pool")
    }

    /// The disks of workspaces.
    #[must_use]
    pub fn disks_dir(&self) -> Utf8PathBuf {
        self.pool_dir().join("workspaces")
    }

    /// Copies of disks while a backup reads them, and disks that a restore brings.
    #[must_use]
    pub fn copies_dir(&self) -> Utf8PathBuf {
        self.pool_dir().join("backup")
    }

    /// Locked by whoever has copies of disks.
    #[must_use]
    pub fn copies_lock(&self) -> Utf8PathBuf {
        self.data.join("host/backup.lock")
    }

    /// Jails of VMMs: beside the disks, which are hard-linked into them.
    #[must_use]
    pub fn jails_dir(&self) -> Utf8PathBuf {
        self.pool_dir().join("jail")
    }

    /// The pool's file, where there is one.
    #[must_use]
    pub fn pool_file(&self) -> Utf8PathBuf {
        self.data.join("pool.xfs")
    }

    /// Locked by the agent that owns the data directory.
    #[must_use]
    pub fn lock(&self) -> Utf8PathBuf {
        self.data.join("host/lock")
    }

    /// Counts the starts of the agent.
    #[must_use]
    pub fn incarnation(&self) -> Utf8PathBuf {
        self.data.join("host/incarnation")
    }

    /// The range of addresses of this instance.
    #[must_use]
    pub fn network(&self) -> Utf8PathBuf {
        self.data.join("host/network.json")
    }

    /// The name of a slot's namespace.
    #[must_use]
    pub fn netns(&self, slot: u32) -> String {
        format!("{}{slot}", self.netns_prefix())
    }

    /// What the names of all our namespaces begin with.
    #[must_use]
    pub fn netns_prefix(&self) -> String {
        format!("rb-{}-", self.tag)
    }

    /// The host's end of a slot's veth pair.
    #[must_use]
    pub fn veth(&self, slot: u32) -> String {
        format!("{}{slot}", self.veth_prefix())
    }

    /// What the names of all our veths begin with.
    #[must_use]
    pub fn veth_prefix(&self) -> String {
        format!("rb{}v", self.tag)
    }

    /// The nft table in the host's namespace.
    #[must_use]
    pub fn nft_table(&self) -> String {
        format!("rigbox_{}", self.tag)
    }

    /// The cgroup above those of all workspaces.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("rigbox-{}", self.tag)
    }
}

/// Where the kernel's names for network namespaces are.
pub(crate) const NETNS_DIR: &str = "/run/netns";

/// The path by which a namespace is entered.
pub(crate) fn netns_path(name: &str) -> Utf8PathBuf {
    Utf8Path::new(NETNS_DIR).join(name)
}

/// Gives the instance a tag, unless somebody else does so at the same time: then theirs is taken.
/// The lock does not help here, because its place is known only when the directory is open.
fn make_tag(path: &Utf8Path) -> io::Result<String> {
    let own = random_tag()?;
    let temporary = path.with_extension(format!("{own}-{}.tmp", std::process::id()));
    // Whole and durable before it gets its name, and a name that is there is never replaced.
    let made = durable::write(&temporary, own.as_bytes())
        .and_then(|()| fs::hard_link(&temporary, path))
        .and_then(|()| durable::sync_parent(path));
    durable::remove(&temporary)?;
    match made {
        Ok(()) => Ok(own),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::read_to_string(path).map(|tag| tag.trim().to_owned())
        }
        Err(error) => Err(error),
    }
}

fn random_tag() -> io::Result<String> {
    let mut bytes = [0; TAG_LEN / 2];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_starts_at_once_agree_on_the_tag() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let data = Utf8Path::from_path(dir.path()).unwrap();
            let start = std::sync::Barrier::new(8);
            let open = || {
                start.wait();
                Layout::open(data).unwrap().tag().to_owned()
            };
            let tags: Vec<String> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let kept = fs::read_to_string(data.join(TAG_FILE)).unwrap();
            assert!(tags.iter().all(|tag| *tag == kept), "{tags:?} {kept}");
            let left = data.read_dir_utf8().unwrap().flatten();
            assert_eq!(left.filter(|entry| entry.file_name().ends_with("tmp")).count(), 0);
        }
    }
}
