//! Adds a recipe's files, links, owners and the guest's programs to an unpacked system.
//! Invariant: every path is looked up as the guest would, so that a link such as
//! `/var/run -> /run` leads to the tree's directory and never to the machine's. All times end up at
//! or before one moment, because the same recipe must give the same image.
//! Does not choose what is added (see `recipe`).

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT,
        Uid, chmodat, chownat, fchmod, mkdirat, open, openat, openat2, statat, symlinkat, unlinkat,
        utimensat,
    },
    io::Errno,
};

use super::{
    error::ImageError,
    recipe::{Owner, Recipe},
    tool::EPOCH,
};

/// Unit of copying.
const CHUNK: usize = 256 * 1024;

/// The programs of the guest on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramFiles {
    pub(super) agent: Utf8PathBuf,
    pub(super) rig: Option<Utf8PathBuf>,
}

/// Makes the unpacked system what the recipe says.
pub(super) fn apply(
    root: &Utf8Path,
    recipe: &Recipe,
    programs: &ProgramFiles,
) -> Result<(), ImageError> {
    let tree = Tree::open(root)?;
    for path in &recipe.remove {
        tree.remove(path)?;
    }
    for (path, entry) in &recipe.files {
        tree.write(path, &mut entry.content.as_slice(), entry.mode)?;
    }
    let places = [
        (&recipe.programs.agent, Some(&programs.agent)),
        (&recipe.programs.rig, programs.rig.as_ref()),
    ];
    for (place, program) in places {
        if let (Some(place), Some(program)) = (place, program) {
            let mut file = File::open(program).map_err(ImageError::file("open", program))?;
            tree.write(place, &mut file, 0o755)?;
        }
    }
    for (path, target) in &recipe.links {
        tree.link(path, target)?;
    }
    for owner in &recipe.owners {
        tree.own(owner)?;
    }
    tree.settle_times()
}

/// An unpacked system.
struct Tree {
    root: OwnedFd,
    path: Utf8PathBuf,
}

impl Tree {
    fn open(path: &Utf8Path) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path.as_std_path(), flags, Mode::empty());
        let root = root.map_err(|error| ImageError::file("open", path)(error.into()))?;
        Ok(Self { root, path: path.to_owned() })
    }

    fn failed(&self, action: &'static str, path: &Utf8Path) -> impl Fn(Errno) -> ImageError {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = self.path.join(path);
        move |error| ImageError::File { action, path: path.clone(), source: error.into() }
    }

    /// The directory of a path, made where it does not exist, and the last part of the path.
    fn place<'p>(&self, path: &'p Utf8Path) -> Result<(OwnedFd, &'p str), ImageError> {
        let failed = self.failed("find", path);
        let name = path.file_name().ok_or_else(|| failed(Errno::INVAL))?;
        let parent = path.parent().ok_or_else(|| failed(Errno::INVAL))?;
        let mut so_far = Utf8PathBuf::from("/");
        for part in parent.strip_prefix("/").unwrap_or(parent) {
            let dir = self.dir(&so_far).map_err(&failed)?;
            match mkdirat(&dir, part, Mode::from_raw_mode(0o755)) {
                // The mode again, because the process's mask took from it.
                Ok(()) => chmodat(&dir, part, Mode::from_raw_mode(0o755), AtFlags::empty())
                    .map_err(&failed)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
            so_far.push(part);
        }
        Ok((self.dir(&so_far).map_err(&failed)?, name))
    }

    fn dir(&self, path: &Utf8Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, path.as_str(), flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }

    fn remove(&self, path: &Utf8Path) -> Result<(), ImageError> {
        let (dir, name) = self.place(path)?;
        remove_at(&dir, name).map_err(self.failed("remove", path))
    }

    fn write(
        &self,
        path: &Utf8Path,
        content: &mut dyn io::Read,
        mode: u32,
    ) -> Result<(), ImageError> {
        let (dir, name) = self.place(path)?;
        let failed = self.failed("write", path);
        unlink(&dir, name).map_err(&failed)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&dir, name, flags, Mode::from_raw_mode(mode)).map_err(&failed)?;
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(&failed)?;
        copy(content, &mut File::from(file)).map_err(|error| {
            ImageError::file("write", &self.path.join(path.strip_prefix("/").unwrap_or(path)))(
                error,
            )
        })
    }

    fn link(&self, path: &Utf8Path, target: &str) -> Result<(), ImageError> {
        let (dir, name) = self.place(path)?;
        let failed = self.failed("link", path);
        unlink(&dir, name).map_err(&failed)?;
        symlinkat(target, &dir, name).map_err(&failed)
    }

    fn own(&self, owner: &Owner) -> Result<(), ImageError> {
        let (dir, name) = self.place(&owner.path)?;
        let failed = self.failed("give away", &owner.path);
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        own_at(&dir, name, (uid, gid), owner.recursive).map_err(&failed)?;
        // After the owner, because a change of owner takes set-user-id away.
        let bits = owner
            .bits()
            .map_err(|source| ImageError::InvalidRecipe { path: owner.path.clone(), source })?;
        if let Some(bits) = bits {
            chmodat(&dir, name, Mode::from_raw_mode(bits), AtFlags::empty()).map_err(&failed)?;
        }
        Ok(())
    }

    /// Moves what is younger than the image's moment back to it.
    fn settle_times(&self) -> Result<(), ImageError> {
        let failed = self.failed("date", Utf8Path::new("/"));
        settle_below(&self.root).map_err(&failed)?;
        // The root itself last: its content is settled.
        settle(&self.root, ".").map_err(&failed)
    }
}

fn copy(from: &mut dyn io::Read, to: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(chunk.get(..read).unwrap_or_default())?;
    }
}

fn unlink(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is in a directory, with what each is. Linux always says the type on the file systems that
/// builds run on; where it does not, `stat` does.
fn entries(dir: &OwnedFd) -> Result<Vec<(std::ffi::CString, FileType)>, Errno> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        all.push((name.to_owned(), kind));
    }
    Ok(all)
}

fn enter(dir: &OwnedFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

fn remove_at(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    remove_below(&enter(dir, name)?)?;
    unlinkat(dir, name, AtFlags::REMOVEDIR)
}

fn remove_below(dir: &OwnedFd) -> Result<(), Errno> {
    for (name, kind) in entries(dir)? {
        if kind == FileType::Directory {
            remove_below(&enter(dir, &name)?)?;
            unlinkat(dir, &name, AtFlags::REMOVEDIR)?;
        } else {
            unlinkat(dir, &name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn own_at(dir: &OwnedFd, name: &str, to: (Uid, Gid), recursive: bool) -> Result<(), Errno> {
    chownat(dir, name, Some(to.0), Some(to.1), AtFlags::SYMLINK_NOFOLLOW)?;
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if recursive && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        own_below(&enter(dir, name)?, to)?;
    }
    Ok(())
}

fn own_below(dir: &OwnedFd, to: (Uid, Gid)) -> Result<(), Errno> {
    for (name, kind) in entries(dir)? {
        chownat(dir, &name, Some(to.0), Some(to.1), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind == FileType::Directory {
            own_below(&enter(dir, &name)?, to)?;
        }
    }
    Ok(())
}

fn settle_below(dir: &OwnedFd) -> Result<(), Errno> {
    for (name, kind) in entries(dir)? {
        if kind == FileType::Directory {
            settle_below(&enter(dir, &name)?)?;
        }
        settle(dir, &name)?;
    }
    Ok(())
}

fn settle(dir: &OwnedFd, name: impl rustix::path::Arg + Copy) -> Result<(), Errno> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let moment = i64::from(EPOCH);
    if (stat.st_mtime, stat.st_mtime_nsec) <= (moment, 0) {
        return Ok(());
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: moment, tv_nsec: 0 },
    };
    utimensat(dir.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests;
