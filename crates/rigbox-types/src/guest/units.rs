//! Making a systemd unit of a process that listens. `POST /units`.

use serde::{Deserialize, Serialize};

/// What the names of such units begin with; what follows is the name that was asked for.
pub const WRAP_PREFIX: &str = "rigbox-app-";

/// The unit that the agent runs in, and with it whatever was started by `exec` or in a terminal: that a
/// process belongs to it does not mean that anything starts it again.
pub const AGENT_UNIT: &str = "rigbox-guest.service";

/// Longest name.
pub const WRAP_NAME_MAX_LEN: usize = 63;

/// Variables that a unit keeps of its process's environment. All others may be secrets, which do not
/// belong into a file that everybody reads.
pub const KEPT_VARIABLES: [&str; 12] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "PORT",
    "HOST",
    "NODE_ENV",
    "NODE_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "RAILS_ENV",
];

/// `POST /units`: the process that listens at a port is ended, and a unit that does the same is started
/// now and at each boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrapRequest {
    /// A name of lower-case letters, digits and `-`.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// The unit that listens now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapAnswer {
    /// Its name for systemd.
    pub unit: String,
}
