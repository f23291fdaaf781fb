//! Where a backup goes and comes from: a file, a stream, an object store.
//! Invariants: a file has its name when it is whole and on disk, and until then none at all where the
//! file system can do that; a name that is taken is not taken over unless that was asked for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    str::FromStr,
};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

use super::s3;
use crate::files;

/// A place of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard output.
    Stream,
    /// A file, or a directory to make one in.
    Path(Utf8PathBuf),
    /// An object, or a prefix that ends with a slash.
    Object(s3::Address),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return match scheme {
                "s3" => Ok(Self::Object(text.parse()?)),
                other => Err(format!("{other}:// is not known; a file, - or s3://BUCKET/KEY is")),
            };
        }
        if text.is_empty() {
            Err("must not be empty".to_owned())
        } else {
            Ok(Self::Path(text.into()))
        }
    }
}

/// What a backup is written to.
pub(super) trait Sink: Write {
    /// Makes it durable, gives it its name and says where it is.
    fn finish(self: Box<Self>) -> anyhow::Result<String>;
}

impl Place {
    /// Opens it for a backup that is called `name` where the place does not say how.
    ///
    /// # Errors
    /// Where there is something already, or it cannot be made.
    pub(super) fn create(&self, name: &str, force: bool) -> anyhow::Result<Box<dyn Sink>> {
        match self {
            Self::Stream => Ok(Box::new(Stdout)),
            Self::Path(path) => Ok(Box::new(FileSink::create(&file_in(path, name), force)?)),
            Self::Object(address) => Ok(Box::new(s3::Upload::begin(&address.named(name), force)?)),
        }
    }

    /// Opens it for reading. May be called again, for the same bytes.
    ///
    /// # Errors
    /// Where it is not there.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Read>> {
        match self {
            Self::Stream => bail!(
                "a backup is read twice, once to check it, and a stream cannot be\n\
                 hint: write it to a file first"
            ),
            Self::Path(path) => {
                let file = File::open(path).with_context(|| format!("open {path}"))?;
                Ok(Box::new(BufReader::with_capacity(256 * 1024, file)))
            }
            Self::Object(address) => Ok(Box::new(s3::Download::begin(address)?)),
        }
    }

    /// How it is called in messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Stream => "standard output".to_owned(),
            Self::Path(path) => path.to_string(),
            Self::Object(address) => address.to_string(),
        }
    }
}

fn file_in(path: &Utf8Path, name: &str) -> Utf8PathBuf {
    if path.is_dir() { path.join(name) } else { path.to_owned() }
}

/// Standard output: whoever reads it makes it durable.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

impl Sink for Stdout {
    fn finish(self: Box<Self>) -> anyhow::Result<String> {
        io::stdout().lock().flush().context("write to standard output")?;
        Ok(Place::Stream.shown())
    }
}

/// A file that has no name yet, or one of this process alone.
#[derive(Debug)]
struct FileSink {
    path: Utf8PathBuf,
    file: File,
    /// Where the file system has no files without a name.
    temporary: Option<Utf8PathBuf>,
    force: bool,
}

impl FileSink {
    fn create(path: &Utf8Path, force: bool) -> anyhow::Result<Self> {
        if !force && path.symlink_metadata().is_ok() {
            bail!("{path} is there already\nhint: choose another name, or --force");
        }
        let folder = folder_of(path);
        let mode = Mode::from_raw_mode(files::SECRET);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let (file, temporary) = match openat(CWD, folder.as_std_path(), flags, mode) {
            Ok(file) => (File::from(file), None),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                let temporary = files::temporary(path);
                let mut options = OpenOptions::new();
                let file =
                    options.write(true).create_new(true).mode(files::SECRET).open(&temporary);
                (file.with_context(|| format!("make {temporary}"))?, Some(temporary))
            }
            Err(error) => {
                return Err(io::Error::from(error))
                    .with_context(|| format!("make a file in {folder}"));
            }
        };
        Ok(Self { path: path.to_owned(), file, temporary, force })
    }

    /// Gives it its name. One that somebody else has made meanwhile stays theirs.
    fn name(&mut self) -> io::Result<()> {
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None if self.force => {
                let temporary = files::temporary(&self.path);
                self.link(&temporary)?;
                temporary
            }
            None => return self.link(&self.path),
        };
        let named = if self.force {
            fs::rename(&temporary, &self.path)
        } else {
            fs::hard_link(&temporary, &self.path).and_then(|()| fs::remove_file(&temporary))
        };
        named.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    fn link(&self, path: &Utf8Path) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;

        let own = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
        Ok(linkat(CWD, own, CWD, path.as_std_path(), AtFlags::SYMLINK_FOLLOW)?)
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for FileSink {
    fn finish(mut self: Box<Self>) -> anyhow::Result<String> {
        let path = self.path.clone();
        let done = self.file.sync_all().and_then(|()| self.name());
        let done = done.and_then(|()| File::open(folder_of(&path))?.sync_all());
        done.with_context(|| format!("write {path}"))?;
        Ok(path.to_string())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            drop(fs::remove_file(temporary));
        }
    }
}

fn folder_of(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(folder) if folder.as_str().is_empty() => Utf8Path::new("."),
        Some(folder) => folder,
        None => Utf8Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    fn names(folder: &Utf8Path) -> Vec<String> {
        let all = folder.read_dir_utf8().unwrap();
        all.map(|entry| entry.unwrap().file_name().to_owned()).collect()
    }

    #[test]
    fn a_file_has_no_name_until_it_is_whole() {
        use std::os::unix::fs::PermissionsExt as _;

        let (_folder, path) = folder();
        let place = Place::Path(path.clone());
        let mut sink = place.create("made.backup", false).unwrap();
        sink.write_all(b"half").unwrap();
        drop(sink);
        assert_eq!(names(&path), Vec::<String>::new());
        let mut sink = place.create("made.backup", false).unwrap();
        sink.write_all(b"whole").unwrap();
        assert_eq!(names(&path), Vec::<String>::new());
        sink.finish().unwrap();
        assert_eq!(names(&path), ["made.backup"]);
        let made = path.join("made.backup");
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&made).unwrap(), b"whole");
    }

    #[test]
    fn what_is_there_stays_unless_it_is_to_go() {
        let (_folder, path) = folder();
        let file = Place::Path(path.join("kept"));
        let racing = file.create("", false).unwrap();
        fs::write(path.join("kept"), "mine").unwrap();
        assert!(racing.finish().is_err(), "made by somebody else meanwhile");
        let said = file.create("", false).err().unwrap().to_string();
        assert!(said.contains("--force"), "{said}");
        assert_eq!(fs::read(path.join("kept")).unwrap(), b"mine");
        let mut sink = file.create("", true).unwrap();
        sink.write_all(b"new").unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read(path.join("kept")).unwrap(), b"new");
        assert_eq!(names(&path), ["kept"]);
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!("-".parse(), Ok(Place::Stream));
        assert_eq!("/a/b".parse(), Ok(Place::Path("/a/b".into())));
        assert!(matches!("s3://b/k".parse(), Ok(Place::Object(_))));
        for wrong in ["", "gs://b/k", "s3://", "s3:///k"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
