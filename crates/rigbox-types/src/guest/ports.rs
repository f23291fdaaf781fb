//! What listens inside a workspace. `GET /ports`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most ports in one answer.
pub const PORTS_MAX: usize = 1024;

/// `GET /workspaces/{id}/listening-ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListListeningPortsResponse {
    /// Sorted by port.
    pub ports: Vec<ListeningPort>,
}

/// A TCP port that something in the guest listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListeningPort {
    /// The port.
    pub port: u16,
    /// The address it is bound to.
    pub address: String,
    /// Name of the process; none where it is already gone.
    pub process: Option<String>,
    /// The process.
    pub pid: Option<u32>,
    /// Whether an app publishes it. The guest does not know: control fills it in.
    pub already_exposed: bool,
}
