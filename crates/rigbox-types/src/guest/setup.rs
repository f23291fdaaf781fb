//! What the host asks of the guest as a whole: set-up, time, shutdown.

use serde::{Deserialize, Serialize};

use super::Hello;
use crate::{Timestamp, WorkspaceId, host::GuestSetup};

/// `PUT /setup`. Sent after every boot and whenever `guest` changes; applying it again is harmless.
/// Units and scripts are touched only by the first one of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupRequest {
    /// Which workspace this guest is. Another one than the disk remembers means a copied disk:
    /// machine id, SSH host keys and random seed are made anew.
    pub workspace: WorkspaceId,
    /// The time now.
    pub now: Timestamp,
    /// What to set up.
    pub guest: GuestSetup,
}

/// Answer of `PUT /setup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupReport {
    /// The guest afterwards.
    pub hello: Hello,
    /// What could not be applied, one sentence each; the rest was.
    pub problems: Vec<String>,
}

/// `PUT /time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRequest {
    /// The time now.
    pub now: Timestamp,
}

/// `POST /shutdown`. Answered before anything is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Which way to end.
    pub kind: ShutdownKind,
}

/// Which way the guest ends. A VMM that exits only on a reset needs `Reboot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownKind {
    /// Power off.
    Poweroff,
    /// Reset.
    Reboot,
}

/// Least and most bytes of `POST /reseed`: a full key of the kernel's generator, and what the
/// kernel takes at once.
pub const RESEED_MIN_BYTES: usize = 32;
/// See [`RESEED_MIN_BYTES`].
pub const RESEED_MAX_BYTES: usize = 512;

/// Longest that one setup script may run, in seconds; the guest ends it then.
pub const SCRIPT_MAX_S: u64 = 2 * 3600;

/// Largest `PUT /setup`, in bytes: 32 scripts of 256 KiB, 256 variables of 32 KiB, keys and units,
/// with room for JSON's escapes.
pub const SETUP_MAX_BYTES: usize = 32 * 1024 * 1024;
