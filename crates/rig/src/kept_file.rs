//! Text files of the user's of which a part is ours.
//! Invariant: a file is replaced whole or not at all; a link stays a link; mode and owner stay.
//! Does not know which part is ours.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use crate::{
    config::read_bounded,
    error::{CommandError, CommandResult},
};

/// Such a file, as it was read.
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
}

impl File {
    /// One that is not there yet is empty.
    pub(crate) fn read(path: PathBuf) -> CommandResult<Self> {
        match read_bounded(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { path, text: String::new() })
            }
            Err(error) => Err(CommandError::file(format!("read {}", path.display()), &error)),
        }
    }

    /// Writes another text in its place. One that is a link stays a link; mode and owner stay.
    pub(crate) fn replace(&self, text: &str) -> CommandResult {
        if text == self.text {
            return Ok(());
        }
        let target = fs::canonicalize(&self.path).or_else(|_| fs::read_link(&self.path));
        let target = target.unwrap_or_else(|_| self.path.clone());
        replace(&target, text)
            .map_err(|error| CommandError::file(format!("write {}", self.path.display()), &error))
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = folder_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let former = fs::metadata(path).ok();
    let mode = former.as_ref().map_or(0o600, |former| former.permissions().mode() & 0o777);
    // Written with the rights of root for somebody else, it is still theirs.
    let owner = former.map_or_else(|| fs::metadata(folder), Ok)?;
    let draft = path.with_extension(format!("rig.{}", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        if owner.uid() != file.metadata()?.uid() {
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        // The reason that is told is why it was not written; the draft may not even exist.
        fs::remove_file(&draft).unwrap_or_default();
    }
    written
}

/// The folder that a file is in; of a name alone, this one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_in_this_folder() {
        for (path, folder) in [(".env", "."), ("a/.env", "a"), ("/.env", "/"), ("/", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }

    #[test]
    fn a_link_stays_a_link_and_a_new_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("dotfiles"), dir.path().join("ssh/config"));
        fs::create_dir(dir.path().join("ssh")).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (before, text) in [("", "a\n"), ("a\n", "b\n")] {
            let read = File::read(link.clone()).unwrap();
            assert_eq!(read.text, before);
            read.replace(text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let new = dir.path().join("new/config");
        File::read(new.clone()).unwrap().replace("c\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&new), mode(new.parent().unwrap())), (0o600, 0o700));
    }
}
