//! The guest's log. `GET /logs?lines&direction&cursor&unit` and `GET /logs/stream?cursor&unit`,
//! which answers one [`LogLine`] a line (`application/x-ndjson`) until it is left.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest message; what is beyond is cut.
pub const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// Longest cursor that is taken.
pub const CURSOR_MAX_BYTES: usize = 512;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Counts the lines of one answer from 1.
    pub line_number: u64,
    /// The text.
    pub message: String,
    /// When it was written, as RFC 3339.
    pub timestamp: Option<String>,
    /// Position of this line: what follows it is read with `cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Which unit or program wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Severity as in syslog, 0 (emergency) to 7 (debug).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

/// A page of a log, in order of time whichever the direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkspaceLogsResponse {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Where the next page in the same direction begins.
    pub cursor: Option<String>,
    /// Whether there is more in that direction.
    pub has_more: bool,
}

/// From which end a log is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogDirection {
    /// From the beginning, or from the cursor towards now.
    Oldest,
    /// The last lines, or those before the cursor.
    #[default]
    Newest,
}

impl LogDirection {
    /// The word of the query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Newest => "newest",
        }
    }
}

/// A direction that is neither of the two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 'oldest' or 'newest'")]
pub struct InvalidDirection;

impl FromStr for LogDirection {
    type Err = InvalidDirection;

    fn from_str(text: &str) -> Result<Self, InvalidDirection> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "newest" => Ok(Self::Newest),
            _ => Err(InvalidDirection),
        }
    }
}
