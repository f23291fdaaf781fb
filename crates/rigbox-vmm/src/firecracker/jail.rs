//! The jail of one Firecracker: a directory tree that the jailer makes a root of.
//! Owns `<jail_dir>/<program>/<workspace>` and the shared files below `<jail_dir>/shared`.
//! Invariants: nothing is mounted, so nothing is left mounted; what a jail needs is hard-linked
//! into it before the jailer starts; the tree of a former start is removed first, whole, because a
//! jailer fails on any part of it.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt, chown},
    },
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, openat, openat2,
        renameat, unlinkat,
    },
    io::Errno,
};

use super::documents::{DISK, INITRD, KERNEL, SNAPSHOT};
use crate::{VmSpec, VmmError, manifest::blocking};

/// Where things are.
#[derive(Debug, Clone)]
pub(super) struct Jail {
    base: Utf8PathBuf,
    /// Removed with everything in it.
    tree: Utf8PathBuf,
    /// The directory that is `/` inside.
    pub(super) root: Utf8PathBuf,
    uid: u32,
    gid: u32,
}

impl Jail {
    /// Of this workspace, for the program of this name.
    pub(super) fn of(base: &Utf8Path, program: &str, spec: &VmSpec) -> Self {
        let tree = base.join(program).join(spec.workspace.as_str());
        let root = tree.join("root");
        Self { base: base.to_owned(), tree, root, uid: spec.uid, gid: spec.gid }
    }

    /// A path inside, as the host sees it.
    pub(super) fn outside(&self, inside: &str) -> Utf8PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Makes the tree anew with kernel, initrd and disk in it.
    pub(super) async fn prepare(&self, spec: &VmSpec) -> Result<(), VmmError> {
        self.remove().await?;
        let (jail, spec) = (self.clone(), spec.clone());
        blocking(move || {
            // Where the jailer would make them; it takes what exists.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&jail.root)
                .map_err(VmmError::file("create", &jail.root))?;
            jail.link_shared(&spec.kernel.image, KERNEL)?;
            if let Some(initrd) = &spec.kernel.initrd {
                jail.link_shared(initrd, INITRD)?;
            }
            jail.make_directory(SNAPSHOT)?;
            fs::hard_link(&spec.root_disk, jail.outside(DISK))
                .map_err(VmmError::file("link into the jail", &spec.root_disk))
        })
        .await
    }

    /// Makes a directory inside that the VMM may write to. Only while no VMM runs in the jail.
    pub(super) fn make_directory(&self, inside: &str) -> Result<(), VmmError> {
        let path = self.outside(inside);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .and_then(|()| chown(&path, Some(self.uid), Some(self.gid)))
            .map_err(VmmError::file("create", &path))
    }

    /// Moves a file that the VMM has written out of a directory of the jail, for root alone, and
    /// makes it durable. The jail belongs to the VMM's user, who may have put links anywhere in it:
    /// none is followed.
    pub(super) fn take_out(
        &self,
        directory: &str,
        name: &str,
        to: &Utf8Path,
    ) -> Result<(), VmmError> {
        let keep = || -> io::Result<()> {
            let from = open_inside(&self.root, directory, OFlags::PATH | OFlags::DIRECTORY)?;
            match renameat(&from, name, CWD, to.as_std_path()) {
                Err(Errno::XDEV) => {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                    let source = openat(&from, name, flags | OFlags::CLOEXEC, Mode::empty())?;
                    let mut source = regular(source)?;
                    io::copy(&mut source, &mut fs::File::create(to)?)?;
                    unlinkat(&from, name, AtFlags::empty())?;
                }
                other => other?,
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = regular(rustix::fs::open(to.as_std_path(), flags, Mode::empty())?)?;
            fchown(&file, Some(Uid::ROOT), Some(Gid::ROOT))?;
            fchmod(&file, Mode::from_raw_mode(0o600))?;
            file.sync_all()
        };
        keep().map_err(VmmError::file("keep", to))
    }

    /// Gives the VMM a file of its own with the content of `from`: a reflink where the file system
    /// has them.
    pub(super) fn place_copy(&self, from: &Utf8Path, inside: &str) -> Result<(), VmmError> {
        let to = self.outside(inside);
        copy(from, &to)
            .and_then(|()| chown(&to, Some(self.uid), Some(self.gid)))
            .map_err(VmmError::file("copy into the jail", from))
    }

    /// Removes the tree. The process must be gone.
    pub(super) async fn remove(&self) -> Result<(), VmmError> {
        let tree = self.tree.clone();
        blocking(move || remove_tree(&tree)).await
    }

    /// Links a file that all jails share and none may write. From another file system it is copied
    /// once, so that the kernel is not in memory once for every workspace.
    fn link_shared(&self, from: &Utf8Path, inside: &str) -> Result<(), VmmError> {
        let to = self.outside(inside);
        match fs::hard_link(from, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            other => return other.map_err(VmmError::file("link into the jail", from)),
        }
        let metadata = fs::metadata(from).map_err(VmmError::file("look at", from))?;
        let shared = self.base.join("shared");
        // The name tells the content's version: a kernel is replaced, never rewritten.
        let name = format!(
            "{}-{}-{}-{}",
            metadata.dev(),
            metadata.ino(),
            metadata.mtime_nsec() ^ metadata.mtime(),
            metadata.len()
        );
        let kept = shared.join(name);
        if !kept.exists() {
            fs::create_dir_all(&shared).map_err(VmmError::file("create", &shared))?;
            remove_unused(&shared).map_err(VmmError::file("tidy", &shared))?;
            let new = Utf8PathBuf::from(format!("{kept}.{}", self.uid));
            copy(from, &new)
                .and_then(|()| fs::rename(&new, &kept))
                .map_err(VmmError::file("copy for the jails", from))?;
        }
        fs::hard_link(&kept, &to).map_err(VmmError::file("link into the jail", &kept))
    }
}

/// Removes a directory tree, or nothing. Links in it are removed, not followed.
fn remove_tree(path: &Utf8Path) -> Result<(), VmmError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(VmmError::file("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens what the jail sees at `path`. The jail's directory belongs to its user: a VMM that has been
/// taken over could put a link there that leads root to another file.
pub(super) fn open_inside(root: &Utf8Path, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root.as_std_path(), directory, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat2(&root, path, flags, Mode::empty(), resolve)?)
}

fn regular(fd: OwnedFd) -> io::Result<fs::File> {
    let file = fs::File::from(fd);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a file")) }
}

/// Copies by reflink, or byte for byte, with the mode.
fn copy(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let source = fs::File::open(from)?;
    let target = fs::File::create(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        fs::copy(from, to)?;
    }
    fs::set_permissions(to, source.metadata()?.permissions())
}

/// Removes shared files that no jail links, unless they are so new that one is about to.
fn remove_unused(shared: &Utf8Path) -> io::Result<()> {
    for entry in fs::read_dir(shared)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        if metadata.nlink() == 1 && age > UNUSED_AGE {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A start takes seconds.
const UNUSED_AGE: Duration = Duration::from_secs(3600);
