//! Copies a file: by reflink where the file system can, else its data and none of its holes.
//! Does not give the copy its final name.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
};

use camino::Utf8Path;
use rustix::fs::{SeekFrom, ioctl_ficlone, seek};

use super::DiskError;

/// Unit of reading and writing.
const CHUNK: usize = 256 * 1024;

/// Makes `target` a copy of `source`. It must not exist.
pub(crate) fn copy(source: &Utf8Path, target: &Utf8Path) -> Result<File, DiskError> {
    let from = File::open(source).map_err(DiskError::file("open", source))?;
    let to = create(target)?;
    if ioctl_ficlone(&to, &from).is_ok() {
        return Ok(to);
    }
    copy_data(&from, &to).map_err(DiskError::file("write", target))?;
    Ok(to)
}

/// Whether the file system of a directory clones files, found out by doing it.
pub(super) fn has_reflinks(dir: &Utf8Path) -> Result<bool, DiskError> {
    let names = [dir.join("probe.a.tmp"), dir.join("probe.b.tmp")];
    let tried = (|| {
        let [first, second] = &names;
        let mut from = create(first)?;
        // An empty file clones anywhere on some file systems.
        from.write_all(&[1; 4096]).map_err(DiskError::file("write", first))?;
        let to = create(second)?;
        Ok(ioctl_ficlone(&to, &from).is_ok())
    })();
    for name in &names {
        crate::durable::remove(name).map_err(DiskError::file("remove", name))?;
    }
    tried
}

fn create(path: &Utf8Path) -> Result<File, DiskError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(DiskError::file("make", path))
}

fn copy_data(mut from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        from.seek(io::SeekFrom::Start(start))?;
        let mut rest = (&mut from).take(end.saturating_sub(start));
        at = start;
        loop {
            let read = rest.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            let data = chunk.get(..read).unwrap_or_default();
            // A block of zeros that is stored as data becomes a hole.
            if data.iter().any(|byte| *byte != 0) {
                to.write_all_at(data, at)?;
            }
            at = at.saturating_add(u64::try_from(read).unwrap_or(0));
        }
        at = at.max(end);
    }
    Ok(())
}
