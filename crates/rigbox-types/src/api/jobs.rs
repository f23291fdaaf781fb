//! Jobs of a workspace: the runs of its setup scripts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /workspaces/{id}/jobs/{job_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobStatusResponse {
    /// How far it is.
    pub status: JobStatus,
    /// Exit code; null while it runs, and where a signal ended it.
    pub exit_code: Option<i32>,
    /// The last part of its output, of both kinds as they came.
    pub stdout: Option<String>,
    /// Null: it is within `stdout`.
    pub stderr: Option<String>,
    /// Status of the app that it installs; null until jobs install apps.
    pub app_status: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// It runs.
    Running,
    /// It ended with 0.
    Completed,
    /// It ended otherwise.
    Failed,
}
