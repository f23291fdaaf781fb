//! The terminal: a WebSocket whose binary frames are bytes of a pseudo-terminal and whose text
//! frames are the documents below. A client that closes it with code 1000 is done with the shell,
//! which then ends; with any other end the shell lives on and can be attached to again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guest::{ExecExit, TtySize};

/// `POST /workspaces/{id}/terminal-token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalTokenResponse {
    /// Opens one terminal of this workspace, once: `?token=` of the WebSocket's address.
    pub token: String,
    /// After how many seconds it opens nothing any more.
    pub expires_in_s: u32,
}

/// A text frame from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminalRequest {
    /// The window has a new size.
    Resize(TtySize),
}

/// A text frame to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminalNotice {
    /// First frame: `?session=` with this value attaches again after a break.
    Session(String),
    /// Last frame: the shell ended.
    Exit(ExecExit),
    /// Last frame: the terminal broke.
    Error(TerminalError),
}

/// Why a terminal broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalError {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}
