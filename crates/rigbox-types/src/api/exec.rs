//! `POST /workspaces/{id}/exec`: one command, without a terminal (see `terminal` for one with).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /workspaces/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Program and arguments, not run through a shell.
    pub command: Vec<String>,
    /// Where it runs; the user's home when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment on top of the workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Who runs it; `developer` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What it reads; nothing when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// After how many seconds it is ended; 60 when missing, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    /// Whether the answer is a stream of [`ExecEvent`]s, one a line, instead of one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

/// How a command went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecResponse {
    /// Exit code; none when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was ended because it took too long.
    pub timed_out: bool,
    /// What it wrote; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// What it wrote as errors; bytes that are no UTF-8 are replaced.
    pub stderr: String,
    /// Whether something written is missing above, because it was more than 4 MiB.
    pub truncated: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ExecEvent {
    /// Something was written.
    Stdout(ExecChunk),
    /// Something was written as an error.
    Stderr(ExecChunk),
    /// It ended; nothing follows.
    Exit {
        /// Exit code; none when a signal ended it.
        exit_code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Whether it was ended because it took too long.
        timed_out: bool,
        /// How long it took.
        duration_ms: u64,
    },
    /// The stream broke; nothing follows and how the command went is not known.
    Error {
        /// Stable, for programs.
        code: String,
        /// For people.
        message: String,
    },
}

/// Bytes of a stream: exactly one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecChunk {
    /// The bytes as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes that are no UTF-8, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}
