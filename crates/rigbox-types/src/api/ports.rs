//! What listens in a workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /workspaces/{id}/listening-ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListListeningPortsResponse {
    /// By port.
    pub ports: Vec<ListeningPort>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListeningPort {
    /// The TCP port.
    pub port: u16,
    /// The address it listens on.
    pub address: String,
    /// The program that listens, where it can be told.
    pub process: Option<String>,
    /// Whether an app publishes it.
    pub already_exposed: bool,
}
