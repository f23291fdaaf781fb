//! The trampoline's contract and its parent's half.
//!
//! A VMM is started in two steps, so that none exists which is not on record: the parent starts
//! `rigbox-launch`, which waits on its standard input; the caller's gate records the process and
//! places it in its cgroup; then the parent sends one [`LaunchSpec`] as a line of JSON, and the
//! trampoline opens what the VMM needs, gives up what it does not, and becomes the VMM by `execve`
//! under the same pid. A parent that dies before the line leaves nothing: end of file ends it.
//!
//! The VMM gets descriptors, not paths: the trampoline opens and binds as root, so the data
//! directory can stay closed to the VMM's user.
//! Does not know what a VMM is (see the drivers).

mod held;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

pub(crate) use held::Held;

/// Everything between "a process" and "the VMM", in the order in which it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSpec {
    /// What is executed.
    pub program: Utf8PathBuf,
    /// Its arguments, without the program's name. The environment is empty.
    pub args: Vec<String>,
    /// Where standard output goes. Standard input is `/dev/null`.
    pub stdout: Output,
    /// Where standard error goes.
    pub stderr: Output,
    /// Files to open.
    pub files: Vec<OpenFile>,
    /// Unix sockets to listen on; a socket left behind at the path is removed.
    pub sockets: Vec<ListenSocket>,
    /// The guest's memory.
    pub memory: Option<Memory>,
    /// The namespace to be in, and the tap to open there.
    pub network: Option<Network>,
    /// A device node for KVM that only the VMM's user may open is made at this path and shown as
    /// `/dev/kvm` in a mount namespace of the VMM's own. So the node of the machine may belong to
    /// root alone.
    pub kvm_node: Option<Utf8PathBuf>,
    /// Resource limits.
    pub limits: Limits,
    /// Who the VMM runs as, without any capability; none: root, for a program that drops by itself.
    pub identity: Option<Identity>,
}

/// Where an output stream goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Nowhere.
    Null,
    /// To the named pipe at this path, opened for reading too and without blocking: the kernel
    /// keeps the first 64 KiB until somebody reads, drops the rest, and the writer neither waits
    /// nor gets SIGPIPE, whether or not anybody reads.
    Pipe(Utf8PathBuf),
}

/// A file that the VMM gets as a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenFile {
    /// Which file; a symbolic link in its last place is refused.
    pub path: Utf8PathBuf,
    /// The number that the VMM's arguments name.
    pub fd: i32,
    /// How.
    pub access: Access,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
}

/// A listening socket that the VMM gets as a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSocket {
    /// Where; mode 0600, owner root.
    pub path: Utf8PathBuf,
    /// The number that the VMM's arguments name.
    pub fd: i32,
}

/// The guest's memory: an anonymous file of fixed size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The number that the VMM's arguments name.
    pub fd: i32,
    /// How much.
    pub size_bytes: u64,
    /// What it holds at first: the memory of a snapshot. None: zeros.
    pub from: Option<Utf8PathBuf>,
}

/// The VMM's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The namespace's file.
    pub netns: Utf8PathBuf,
    /// The tap's name.
    pub tap: String,
    /// The number that the VMM's arguments name.
    pub fd: i32,
}

/// Resource limits, soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most open descriptors.
    pub open_files: u64,
    /// Largest file: a VMM that has been taken over cannot grow its disk.
    pub file_size_bytes: u64,
}

/// Who the VMM runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group; there are no others.
    pub gid: u32,
}

/// Longest line that carries a specification, in bytes. A full one has about 4 KiB.
pub const SPEC_MAX_BYTES: u64 = 64 * 1024;
/// Longest report of a failure, in bytes.
pub const REPORT_MAX_BYTES: u64 = 4 * 1024;
/// Name under which the guest's memory shows in `/proc/<pid>/fd`.
pub const MEMORY_NAME: &str = "rigbox-memory";
/// The least descriptor number that a specification may use: below are the standard streams and
/// the trampoline's own.
pub const FD_MIN: i32 = 10;
