//! Small durable files: written whole or not at all, with the mode they are meant to have.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};

/// For root alone.
pub(crate) const SECRET: u32 = 0o600;
/// For everybody to read.
pub(crate) const PLAIN: u32 = 0o644;

/// Replaces a file: temporary file, fsync, rename. The owner can be another user from the first
/// moment on at which the file has its name.
///
/// # Errors
/// Names the file.
pub(crate) fn write(
    path: &Utf8Path,
    contents: &[u8],
    mode: u32,
    owner: Option<u32>,
) -> anyhow::Result<()> {
    // Of this process alone: two may write the same file at once, and each writes it whole.
    let temporary = temporary(path);
    replace(path, &temporary, contents, mode, owner).with_context(|| format!("write {path}"))
}

fn replace(
    path: &Utf8Path,
    temporary: &Utf8Path,
    contents: &[u8],
    mode: u32,
    owner: Option<u32>,
) -> io::Result<()> {
    prepare(temporary, contents, mode, owner)?;
    fs::rename(temporary, path)?;
    sync_folder(path)
}

/// Makes a file that is not there yet; says whether it was. Of two that make it at once, one does.
///
/// # Errors
/// Names the file.
pub(crate) fn create(path: &Utf8Path, contents: &[u8], mode: u32) -> anyhow::Result<bool> {
    let temporary = temporary(path);
    let made = || -> io::Result<bool> {
        prepare(&temporary, contents, mode, None)?;
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => sync_folder(path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    made().with_context(|| format!("make {path}"))
}

/// The name that a file has until it is whole.
pub(crate) fn temporary(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.{}.new", std::process::id()))
}

/// Writes the temporary file, whole and on disk.
fn prepare(temporary: &Utf8Path, contents: &[u8], mode: u32, owner: Option<u32>) -> io::Result<()> {
    // Left by a write that was cut off; it never had its name.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    file.write_all(contents)?;
    if let Some(uid) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(uid))?;
    }
    file.sync_all()
}

fn sync_folder(path: &Utf8Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Utf8Path::new("/"));
    fs::File::open(folder)?.sync_all()
}

/// Removes what writes left that were cut off. Only for who is alone in the directory.
///
/// # Errors
/// Names the directory.
pub(crate) fn sweep(folder: &Utf8Path) -> anyhow::Result<()> {
    let swept = || -> io::Result<()> {
        for entry in folder.read_dir_utf8()? {
            let entry = entry?;
            let number =
                entry.file_name().strip_suffix(".new").and_then(|name| name.rsplit('.').next());
            // As `temporary` names them; `rigbox.toml.new` is somebody's own.
            let is_ours = number.is_some_and(|number| number.parse::<u32>().is_ok());
            if is_ours && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    swept().with_context(|| format!("clean up {folder}"))
}

/// A file without a name, for this process alone.
///
/// # Errors
/// Names the directory.
pub(crate) fn unnamed(folder: &Utf8Path) -> anyhow::Result<fs::File> {
    let path = folder.join(format!("unnamed.{}.new", std::process::id()));
    let made = || -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(SECRET).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    };
    made().with_context(|| format!("make a file in {folder}"))
}

/// Makes a directory, or gives the one that is there its mode and owner.
///
/// # Errors
/// Names the directory.
pub(crate) fn folder(path: &Utf8Path, mode: u32, owner: Option<u32>) -> anyhow::Result<()> {
    let made = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(mode).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let uid = owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        std::os::unix::fs::chown(path, Some(uid), Some(uid))
    };
    made().with_context(|| format!("make the directory {path}"))
}

/// Contents of a file; none where there is no such file.
///
/// # Errors
/// Names the file.
pub(crate) fn read(path: &Utf8Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {path}")),
    }
}

/// Removes a file; success where there is none.
///
/// # Errors
/// Names the file.
pub(crate) fn remove(path: &Utf8Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {path}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_write_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for name in ["host.toml.4711.new", "rigbox.toml.new", "rigbox.toml", "4711.new.old"] {
            fs::write(folder.join(name), "").unwrap();
        }
        sweep(folder).unwrap();
        let mut left: Vec<_> = folder
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["4711.new.old", "rigbox.toml", "rigbox.toml.new"]);
    }

    #[test]
    fn of_two_that_make_a_file_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("instance");
        assert!(create(&path, b"one", PLAIN).unwrap());
        assert!(!create(&path, b"two", PLAIN).unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some("one"));
    }
}
