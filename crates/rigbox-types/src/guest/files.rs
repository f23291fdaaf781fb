//! Files of a workspace: `GET|PUT|DELETE /files?path=` and `GET /files/list?path=`.
//!
//! A call acts with the rights of a user of the guest (`developer` unless `user=` names another),
//! and a relative path begins in that user's home. `GET` answers the bytes with the permission bits
//! in [`FILE_MODE_HEADER`](super::FILE_MODE_HEADER); `PUT` replaces the file at once and whole, or
//! not at all; `DELETE` takes `recursive=true` for a directory that is not empty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Query: which file.
pub const PATH_PARAM: &str = "path";
/// Query of `PUT`: permission bits in octal, such as `0644`. Missing keeps those of the replaced
/// file, or is 0644 for a new one.
pub const MODE_PARAM: &str = "mode";
/// Query: whose rights; `developer` when missing.
pub const USER_PARAM: &str = "user";
/// Query of `DELETE`: `true` removes a directory with all that is in it.
pub const RECURSIVE_PARAM: &str = "recursive";
/// Query of `PUT`: `true` makes missing directories above the file.
pub const PARENTS_PARAM: &str = "parents";

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size.
    pub size_bytes: u64,
    /// Permission bits in octal, such as `0644`.
    pub mode: String,
    /// Name of its owner, or the number where it has no name.
    pub owner: String,
    /// When it last changed.
    pub modified_at: Timestamp,
}

/// `GET /files/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileListResponse {
    /// The directory, absolute.
    pub path: String,
    /// Sorted by name.
    pub entries: Vec<FileEntry>,
    /// Whether there are more than are listed (10,000).
    pub truncated: bool,
}

/// `PUT /files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilePutResponse {
    /// The file, absolute.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Permission bits in octal.
    pub mode: String,
}
