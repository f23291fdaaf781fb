//! Lines of a workspace's journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /workspaces/{id}/logs` and `GET /workspaces/{id}/services/{name}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkspaceLogsResponse {
    /// Oldest first, whatever the direction.
    pub lines: Vec<LogLine>,
    /// Where the next page in the same direction begins.
    pub cursor: Option<String>,
    /// Whether there are more lines in this direction.
    pub has_more: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Counts the lines of this answer or stream, from 1.
    pub line_number: u64,
    /// The line.
    pub message: String,
    /// When it was written, in RFC 3339.
    pub timestamp: Option<String>,
    /// What wrote it: a unit or a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Which end of the journal a page is read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogDirection {
    /// From the beginning, or on from the cursor.
    Oldest,
    /// From the end, or back from the cursor.
    #[default]
    Newest,
}
