//! The data directory that a platform is restored into: empty before, whole afterwards.
//! Invariant: while the mark is there the directory is nobody's platform: `up` refuses it, and the next
//! restore begins by removing what the cut-off one left. The mark goes last.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{files, layout::Layout, output};

/// How long a part of a cut-off restore may still hold the storage of disks, and the pause between
/// two looks.
const UNMOUNT_TRIES: u32 = 40;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(250);

/// Refuses a directory that a restore has not finished.
///
/// # Errors
/// Says so.
pub(crate) fn refuse_half_restored(layout: &Layout) -> anyhow::Result<()> {
    if layout.restoring().exists() {
        let data = layout.data();
        bail!(
            "a restore into {data} was cut off, so that it is no platform\n\
             hint: repeat it: rigbox restore BACKUP --data {data}"
        );
    }
    Ok(())
}

/// The directory while it is filled. Dropped without [`Target::finish`] it is emptied again.
#[derive(Debug)]
pub(super) struct Target<'l> {
    layout: &'l Layout,
    is_whole: bool,
    /// Whether it was there before.
    was_there: bool,
}

impl<'l> Target<'l> {
    /// Makes or takes an empty directory, and marks it.
    ///
    /// # Errors
    /// Where it is in use.
    pub(super) fn take(layout: &'l Layout, from: &str) -> anyhow::Result<Self> {
        let data = layout.data();
        let was_there = data.exists();
        if layout.restoring().exists() {
            output::note(&format!("removing what a restore into {data} left that was cut off"));
            empty(layout)?;
        } else if was_there {
            check_empty(data)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(data)
            .with_context(|| format!("make {data}"))?;
        files::write(&layout.restoring(), from.as_bytes(), files::SECRET, None)?;
        Ok(Self { layout, is_whole: false, was_there })
    }

    /// A new file below the directory, with the folders on the way.
    ///
    /// # Errors
    /// Names it.
    pub(super) fn file(&self, name: &str, whose: Whose) -> anyhow::Result<fs::File> {
        let path = self.layout.data().join(name);
        let failed = || format!("make {path}");
        let mut above: Vec<_> = path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.layout.data())
            .map(Utf8Path::to_owned)
            .collect();
        above.reverse();
        for folder in above {
            if !folder.exists() {
                fs::DirBuilder::new().create(&folder).with_context(failed)?;
                whose.give(&folder, 0o700).with_context(failed)?;
            }
        }
        let mut options = fs::File::options();
        let file = options.read(true).write(true).create_new(true).mode(files::SECRET).open(&path);
        let file = file.with_context(failed)?;
        whose.give(&path, files::SECRET).with_context(failed)?;
        Ok(file)
    }

    /// Everything is there: makes it durable and takes the mark away.
    ///
    /// # Errors
    /// Where it does not get onto the disk.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let data = self.layout.data();
        let folder = fs::File::open(data).with_context(|| format!("open {data}"))?;
        rustix::fs::syncfs(&folder).with_context(|| format!("write {data}"))?;
        files::remove(&self.layout.restoring())?;
        self.is_whole = true;
        folder.sync_all().with_context(|| format!("write {data}"))
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        let emptied = empty(self.layout);
        if let Err(error) = emptied {
            output::note(&format!("note: not everything was removed again: {error:#}"));
        } else if !self.was_there {
            drop(fs::remove_dir(self.layout.data()));
        }
    }
}

/// For whom a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Root alone.
    Root,
    /// Control's user alone.
    Control(u32),
    /// Everybody may read it.
    Everybody,
}

impl Whose {
    /// Gives a file or folder to them. `secret` is its mode where it is for one alone.
    fn give(self, path: &Utf8Path, secret: u32) -> io::Result<()> {
        /// What everybody may besides: to read, and to pass through a folder.
        const OTHERS: u32 = 0o055;
        let mode = match self {
            Self::Root | Self::Control(_) => secret,
            Self::Everybody => secret | (secret >> 3 | secret >> 6) & OTHERS,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        match self {
            Self::Control(uid) => chown(path, Some(uid), Some(uid)),
            Self::Root | Self::Everybody => Ok(()),
        }
    }
}

fn check_empty(data: &Utf8Path) -> anyhow::Result<()> {
    /// What a new file system has.
    const LOST: &str = "lost+found";
    let failed = || format!("read {data}");
    for entry in data.read_dir_utf8().with_context(failed)? {
        let entry = entry.with_context(failed)?;
        ensure!(
            entry.file_name() == LOST,
            "{data} is not empty: there is {}\n\
             hint: a backup is restored into an empty directory: rigbox restore BACKUP --data DIR",
            entry.file_name()
        );
    }
    Ok(())
}

/// Removes everything below the directory, its mark last.
fn empty(layout: &Layout) -> anyhow::Result<()> {
    let data = layout.data();
    unmount(&data.join("pool"))?;
    let mark = layout.restoring();
    let failed = |path: &Utf8Path| format!("remove {path}");
    for entry in data.read_dir_utf8().with_context(|| format!("read {data}"))? {
        let entry = entry.with_context(|| format!("read {data}"))?;
        let path: Utf8PathBuf = entry.path().to_owned();
        if path == mark || entry.file_name() == "lost+found" {
            continue;
        }
        let kind = entry.file_type().with_context(|| failed(&path))?;
        let removed =
            if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| failed(&path))?;
    }
    files::remove(&mark)
}

/// The storage of disks, where whoever had mounted it was killed.
fn unmount(pool: &Utf8Path) -> anyhow::Result<()> {
    let mut tries = 0;
    while is_mounted(pool)? {
        let done = rustix::mount::unmount(pool.as_std_path(), rustix::mount::UnmountFlags::empty());
        tries += 1;
        match done {
            Ok(()) => {}
            Err(error) if tries >= UNMOUNT_TRIES => {
                return Err(io::Error::from(error)).with_context(|| format!("unmount {pool}"));
            }
            Err(_) => thread::sleep(UNMOUNT_PAUSE),
        }
    }
    Ok(())
}

fn is_mounted(pool: &Utf8Path) -> anyhow::Result<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read the list of mounts")?;
    let point = pool.as_str().replace(' ', "\\040");
    Ok(table.lines().any(|line| line.split(' ').nth(4) == Some(point.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let layout = Layout::new(data.to_str().unwrap().into()).unwrap();
        (folder, layout)
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let (_folder, layout) = layout();
        let target = Target::take(&layout, "backup").unwrap();
        target.file("control/ca/key", Whose::Root).unwrap();
        assert!(refuse_half_restored(&layout).is_err());
        drop(target);
        assert!(!layout.data().exists());
        // A directory that was there stays, empty.
        fs::create_dir(layout.data()).unwrap();
        drop(Target::take(&layout, "backup").unwrap());
        assert_eq!(layout.data().read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn what_was_killed_is_begun_anew_and_what_is_used_refused() {
        let (_folder, layout) = layout();
        let killed = Target::take(&layout, "backup").unwrap();
        killed.file("control/rigbox.db", Whose::Root).unwrap();
        std::mem::forget(killed);
        let target = Target::take(&layout, "backup").unwrap();
        assert!(!layout.control().exists());
        target.file("host-id", Whose::Root).unwrap();
        target.file("images/tiny/manifest.json", Whose::Everybody).unwrap();
        let mode = |name: &str| {
            fs::metadata(layout.data().join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("host-id"), mode("images/tiny")), (0o600, 0o755));
        assert_eq!(mode("images/tiny/manifest.json"), 0o644);
        target.finish().unwrap();
        refuse_half_restored(&layout).unwrap();
        let said = Target::take(&layout, "backup").unwrap_err().to_string();
        assert!(said.contains("not empty") && said.contains("host-id"), "{said}");
        assert!(layout.host_id().exists());
    }
}
