//! Small files of an identity: written whole or not at all, mode 0600.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use camino::Utf8Path;

use super::IdentityError;

const MODE: u32 = 0o600;

/// Permission bits that a key file must not have.
const OTHERS: u32 = 0o077;

pub(super) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let temporary = path.with_extension("new");
    let put = || -> io::Result<()> {
        // What a former attempt left behind may have any mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    put().map_err(|source| IdentityError::File { path: path.to_owned(), source })
}

pub(super) fn read(path: &Utf8Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::File { path: path.to_owned(), source })
}

/// Reads a private key, and refuses one that others could have read too.
pub(super) fn read_secret(path: &Utf8Path) -> Result<Vec<u8>, IdentityError> {
    let meta = fs::metadata(path)
        .map_err(|source| IdentityError::File { path: path.to_owned(), source })?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode });
    }
    read(path)
}
