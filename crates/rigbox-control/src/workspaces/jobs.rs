//! Jobs of a workspace: how the setup scripts of its last boot went, each under its script's id.

use axum::Json;
use rigbox_types::{
    SetupScriptId,
    api::jobs::{JobStatus, JobStatusResponse},
    host::SetupResult,
};

use crate::{
    error::{ApiError, ApiResult},
    http::access::{ForWorkspace, JobId},
};

/// Shows one.
pub(crate) async fn workspace_job_show(
    about: ForWorkspace,
    JobId(id): JobId<SetupScriptId>,
) -> ApiResult<Json<JobStatusResponse>> {
    let mut runs = about.row.seen.setup.into_iter();
    let run = runs.find(|run| run.id == id).ok_or_else(|| ApiError::not_found("job"))?;
    Ok(Json(view(run)))
}

fn view(run: SetupResult) -> JobStatusResponse {
    let status = match (run.finished_at, run.exit_code) {
        (None, _) => JobStatus::Running,
        (Some(_), Some(0)) => JobStatus::Completed,
        (Some(_), Some(_) | None) => JobStatus::Failed,
    };
    JobStatusResponse {
        status,
        exit_code: run.exit_code,
        stdout: Some(run.output_tail),
        stderr: None,
        app_status: None,
    }
}
