//! `/rig/v1` as it comes from a host: code in a workspace asks about that workspace. The host says
//! which network namespace the question came from; control checks that the workspace is that host's.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::Method;
use rigbox_store::workspaces::WorkspaceRow;
use rigbox_types::{
    Authorised, HostId, Principal, Right, WorkspaceId,
    api::{
        error::ErrorCode,
        inside::{InsideStatusResponse, UpdateInsideAiRequest, WhoamiResponse},
    },
    authz::{Resource, authorise},
};

use crate::{
    ai::inside as ai,
    apps::inside as apps,
    control::Control,
    error::{ApiError, ApiResult},
    http::entry::not_this_method,
    workspaces::view,
};

/// Largest body of a question: what may be said in one is short.
const BODY_MAX_BYTES: usize = 4 * 1024;

/// One question, as a host hands it on.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) body: Bytes,
}

/// Answers one question.
pub(super) async fn answer(
    control: &Control,
    host: &HostId,
    workspace: &str,
    question: Question,
) -> ApiResult<Response> {
    let is_read = matches!(question.method, Method::GET | Method::HEAD);
    let is_switch = question.path == "rig/v1/ai" && question.method == Method::PUT;
    let right = if is_switch { Right::GuestWrite } else { Right::GuestRead };
    let (proof, row) = identify(control, host, (workspace, right)).await?;
    let known = ["rig/v1/whoami", "rig/v1/status", "rig/v1/ai", "rig/v1/usage", "rig/v1/apps"];
    if known.contains(&question.path.as_str()) && !is_read && !is_switch {
        return Err(not_this_method());
    }
    match question.path.as_str() {
        "rig/v1/whoami" => Ok(Json(whoami(control, row)).into_response()),
        "rig/v1/status" => Ok(Json(status(row)).into_response()),
        "rig/v1/ai" if is_switch => {
            let request = document(&question.body)?;
            Ok(Json(ai::ai_update(control, &row, &proof, request).await?).into_response())
        }
        "rig/v1/ai" => Ok(Json(ai::ai_show(control, &row).await?).into_response()),
        "rig/v1/usage" => {
            let query = question.query.as_deref();
            Ok(Json(ai::usage_show(control, proof.target(), query).await?).into_response())
        }
        "rig/v1/apps" => {
            let query = question.query.as_deref();
            Ok(Json(apps::apps_list(control, &proof, query).await?).into_response())
        }
        _ => Err(ApiError::not_found("path")),
    }
}

fn document(body: &Bytes) -> ApiResult<UpdateInsideAiRequest> {
    if body.len() > BODY_MAX_BYTES {
        return Err(ApiError::new(ErrorCode::TooLarge, "the body is over 4 KiB"));
    }
    let wrong = |_| ApiError::request(r#"the body must be a document such as {"enabled":true}"#);
    serde_json::from_slice(body).map_err(wrong)
}

/// The workspace that asks, if this host has it.
async fn identify(
    control: &Control,
    host: &HostId,
    (workspace, right): (&str, Right),
) -> ApiResult<(Authorised<WorkspaceId>, WorkspaceRow)> {
    let missing = || ApiError::not_found("workspace");
    let id: WorkspaceId = workspace.parse().map_err(|_| missing())?;
    let row = control.workspace(&id).await?;
    if row.host != *host {
        tracing::warn!(%host, workspace = %id, "a host spoke for a workspace that it does not have");
        return Err(missing());
    }
    let who = Principal::Guest { workspace: id.clone(), account: row.account };
    let resource = Resource::Workspace { id: id.clone(), owner: row.account, granted: None };
    let proof = authorise(&who, right, &resource, id)?;
    Ok((proof, row))
}

fn whoami(control: &Control, row: WorkspaceRow) -> WhoamiResponse {
    WhoamiResponse {
        workspace_id: row.id,
        name: row.name,
        user_id: row.account,
        region: row.region,
        api_url: control.config.api_url.clone(),
    }
}

fn status(row: WorkspaceRow) -> InsideStatusResponse {
    InsideStatusResponse {
        status: row.status(),
        failure: view::failure(&row).cloned(),
        workspace_id: row.id,
        name: row.name,
        image: row.image,
        region: row.region,
        ram_mb: row.wanted.resources.memory_mib,
        vcpu_count: row.wanted.resources.vcpus,
        disk_size_mb: row.wanted.resources.disk_mib,
        generation: row.generation,
        setup: row.seen.setup,
        created_at: row.created_at,
        ready_at: row.seen.ready_at,
    }
}
