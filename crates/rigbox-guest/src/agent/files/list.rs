//! `GET /files/list`: what is in a directory.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use rigbox_types::{
    guest::{FileEntry, FileKind, FileListResponse},
    limits::FILE_LIST_MAX,
};

use super::{Target, octal};
use crate::agent::{
    clock,
    exchange::{self, Answer},
    refusal::Refusal,
    users::User,
};

pub(super) async fn answer(target: Target) -> Result<Answer, Refusal> {
    let shown = target.shown.clone();
    let (mut entries, truncated) = target.act(entries).await?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(exchange::json(&FileListResponse { path: shown, entries, truncated }))
}

fn entries(target: &Target) -> io::Result<(Vec<FileEntry>, bool)> {
    let passwd = target.root.read_or_empty("/etc/passwd");
    let mut entries = Vec::new();
    for entry in fs::read_dir(&target.path)? {
        let entry = entry?;
        if entries.len() >= FILE_LIST_MAX {
            return Ok((entries, true));
        }
        // Gone since it was listed: not an entry any more.
        let Ok(metadata) = entry.metadata() else { continue };
        let uid = metadata.uid();
        entries.push(FileEntry {
            name: entry.file_name().to_string_lossy().into_owned(),
            kind: kind(metadata.file_type()),
            size_bytes: metadata.len(),
            mode: octal(metadata.permissions().mode()),
            owner: User::name_of(&passwd, uid).unwrap_or_else(|| uid.to_string()),
            modified_at: clock::of(metadata.modified()?),
        });
    }
    Ok((entries, false))
}

fn kind(kind: fs::FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}
