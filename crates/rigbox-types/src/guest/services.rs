//! Units of the workspace. `GET /services`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the names of our units begin with.
pub const UNIT_PREFIX: &str = "rigbox-svc-";

/// `GET /services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServicesResponse {
    /// Sorted by name.
    pub services: Vec<ServiceStatus>,
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// Its name without prefix and suffix.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// systemd's word: active, inactive, failed, activating, deactivating.
    pub active_state: String,
    /// systemd's finer word: running, exited, dead, auto-restart.
    pub sub_state: String,
    /// Main process, while it runs.
    pub pid: Option<u32>,
    /// How often systemd has started it again.
    pub restarts: u32,
    /// Exit code of the last end.
    pub exit_code: Option<i32>,
}
