//! `/rig/v1` as it comes from a host: code in a workspace asks about that workspace. The host says
//! which network namespace the question came from; control checks that the workspace is that host's.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::Method;
use rigbox_store::workspaces::WorkspaceRow;
use rigbox_types::{
    Authorised, HostId, Principal, Right, WorkspaceId,
    api::inside::{InsideStatusResponse, WhoamiResponse},
    authz::{Resource, authorise},
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::entry::not_this_method,
    workspaces::view,
};

/// Answers one question.
pub(super) async fn answer(
    control: &Control,
    host: &HostId,
    (workspace, path): (&str, &str),
    method: &Method,
) -> ApiResult<Response> {
    let (_proof, row) = identify(control, host, workspace).await?;
    let known = matches!(path, "rig/v1/whoami" | "rig/v1/status");
    if known && !matches!(*method, Method::GET | Method::HEAD) {
        return Err(not_this_method());
    }
    match path {
        "rig/v1/whoami" => Ok(Json(whoami(control, row)).into_response()),
        "rig/v1/status" => Ok(Json(status(row)).into_response()),
        _ => Err(ApiError::not_found("path")),
    }
}

/// The workspace that asks, if this host has it.
async fn identify(
    control: &Control,
    host: &HostId,
    workspace: &str,
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
    let proof = authorise(&who, Right::GuestRead, &resource, id)?;
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
