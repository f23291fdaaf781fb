//! The file system that the agent works on: the guest's own, or for tests a directory that stands
//! for it. Invariant: with a root of its own, no path of the machine is written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Largest file of configuration that is read.
const CONFIG_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Where `/` is.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    base: PathBuf,
}

impl Root {
    pub(crate) fn new(base: PathBuf) -> Self {
        Self { base }
    }

    /// Whether this is the machine's own.
    pub(crate) fn is_real(&self) -> bool {
        self.base == Path::new("/")
    }

    /// Where an absolute path of the guest is.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.base.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Reads a small text file; what is no UTF-8 is replaced.
    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        read_text(&self.path(path))
    }

    /// Like [`Root::read`]; empty when the file is missing or unreadable.
    pub(crate) fn read_or_empty(&self, path: &str) -> String {
        self.read(path).unwrap_or_default()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Makes a directory and those above it.
    pub(crate) fn make_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(path))
    }

    /// Replaces a file at once and whole, unless it already has this content. Says whether it was
    /// changed.
    pub(crate) fn write(&self, path: &str, content: &[u8], mode: u32) -> io::Result<bool> {
        write_whole(&self.path(path), content, mode)
    }

    /// As [`Root::write`], of what the host tells at every boot: see [`write_told`].
    pub(crate) fn write_told(&self, path: &str, content: &[u8], mode: u32) -> io::Result<bool> {
        write_told(&self.path(path), content, mode)
    }
}

/// Reads a small text file; what is no UTF-8 is replaced.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path)?).into_owned())
}

/// Reads a small file. A pipe in its place is refused at once, where waiting for somebody to write
/// to it would hold up the agent.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(CONFIG_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file at once and whole, unless it already has this content and mode. On disk when it
/// returns.
pub(crate) fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    replace(path, content, mode, Kept::OnDisk)
}

/// As [`write_whole`], but not waiting for the disk: for what is told again at the next boot, should
/// this one end without power. Each wait costs a boot some milliseconds.
pub(crate) fn write_told(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    replace(path, content, mode, Kept::Later)
}

/// When what was written is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    OnDisk,
    Later,
}

fn replace(path: &Path, content: &[u8], mode: u32, kept: Kept) -> io::Result<bool> {
    if has_content(path, content, mode) {
        return Ok(false);
    }
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(folder)?;
    let mut making = name.to_owned();
    making.push(".rigbox-new");
    let making = folder.join(making);
    remove_if_there(&making)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&making)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    if kept == Kept::OnDisk {
        file.sync_all()?;
    }
    fs::rename(&making, path)?;
    if kept == Kept::OnDisk {
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

/// Removes a file; a missing one is as well.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn has_content(path: &Path, content: &[u8], mode: u32) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    metadata.is_file()
        && metadata.permissions().mode() & 0o7777 == mode
        && u64::try_from(content.len()).is_ok_and(|length| length == metadata.len())
        && read(path).is_ok_and(|bytes| bytes == content)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(write_whole(&path, b"text", 0o600).unwrap(), "it is replaced");
        assert_eq!(read_text(&path).unwrap(), "text");
    }
}
