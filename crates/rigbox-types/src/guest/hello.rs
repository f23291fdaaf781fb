//! What the agent says of itself. `GET /hello`, and the answer of `PUT /setup`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{WorkspaceId, host::SetupResult};

/// The agent's account of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Version of the agent.
    pub version: String,
    /// The kernel's id of this boot; another one means that the guest has booted again.
    pub boot_id: String,
    /// Whether the setup of this boot has been applied: from here on the workspace is usable.
    /// Setup scripts may still run (see `setup_state`).
    pub ready: bool,
    /// How far the guest's init is.
    pub system: SystemState,
    /// Since boot.
    pub uptime_ms: u64,
    /// Which workspace the last setup named.
    pub workspace: Option<WorkspaceId>,
    /// Where the setup scripts of this boot are.
    pub setup_state: SetupState,
    /// How they went, in the order in which they ran.
    pub setup: Vec<SetupResult>,
    /// What its SSH server is known by, as `ssh-ed25519 AAAA…`; none while there is no key yet, where
    /// there is no such server, and from an agent that is too old to say. A guest may say anything:
    /// [`crate::Ed25519Key`] tells a key from something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<String>,
}

/// How far the guest's init is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SystemState {
    /// Not systemd, or it does not say.
    #[default]
    Unknown,
    /// Units are still being started.
    Starting,
    /// Everything that should run does.
    Running,
    /// Booted, but a unit has failed.
    Degraded,
    /// Shutting down.
    Stopping,
}

/// Where the setup scripts of this boot are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupState {
    /// No setup has arrived since boot.
    #[default]
    Waiting,
    /// Scripts run, or services are being started after them.
    Running,
    /// All ended, well or not.
    Done,
}

/// Query of `GET /hello`: how long to wait for [`SetupState::Done`] and for the host key of a new
/// disk, in milliseconds.
pub const HELLO_WAIT_PARAM: &str = "wait_ms";

/// Longest that one `GET /hello` waits.
pub const HELLO_WAIT_MAX_MS: u64 = 30_000;
