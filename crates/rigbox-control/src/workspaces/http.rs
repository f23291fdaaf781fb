//! Handlers of workspaces: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::workspaces::{Owner, WorkspaceRow};
use rigbox_types::{
    Status, WorkspaceId,
    access::Role,
    api::{
        error::ErrorCode,
        workspaces::{
            CreateWorkspaceRequest, GetWorkspaceResponse, ListWorkspacesResponse, MessageResponse,
            ResizeWorkspaceRequest, ResizeWorkspaceResponse, UpdateWorkspaceEnvRequest,
        },
    },
};

use super::{app, create, rules::Request, view};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{ForOwner, ForWorkspace},
        body::Document,
        idempotency::Once,
        made::Made,
        page::page_request,
    },
    source::now,
};

type Answer = ApiResult<Json<GetWorkspaceResponse>>;

/// Lists.
pub(crate) async fn workspace_list(
    State(control): State<Arc<Control>>,
    about: ForOwner,
) -> ApiResult<Json<ListWorkspacesResponse>> {
    let (account, asked) = (*about.account.target(), page_request(&about.params));
    let page = if about.params.flag("shared") {
        if about.params.text("owner").is_some() {
            return Err(ApiError::field("shared", "does not go with owner"));
        }
        app::workspace_list_shared(&control, &about.principal, &about.account, &asked).await?
    } else {
        control.store.workspaces().list(Owner::Account(account), &asked).await?
    };
    let ssh = &control.config.ssh;
    let vms = page.items.iter().map(|row| view::vm(row, ssh)).collect();
    Ok(Json(ListWorkspacesResponse { vms, next_cursor: page.next_cursor }))
}

/// Creates.
pub(crate) async fn workspace_create(
    State(control): State<Arc<Control>>,
    about: ForOwner,
    once: Once,
    Document(request): Document<CreateWorkspaceRequest>,
) -> ApiResult<Made<GetWorkspaceResponse>> {
    let row = match once.made::<WorkspaceId>() {
        // An attempt that was cut off had made it already.
        Some(id) => control.workspace(&id).await?,
        None => {
            let claim = once.claim.as_ref();
            create::workspace_create(&control, &about.account, request, claim).await?
        }
    };
    tracing::info!(workspace = %row.id, host = %row.host, "workspace created");
    Ok(Made::at("/workspaces", row.id.clone(), answer(&control, &row).0))
}

/// Shows.
pub(crate) async fn workspace_show(
    State(control): State<Arc<Control>>,
    mut about: ForWorkspace,
) -> Answer {
    if about.role == Some(Role::Viewer) {
        // It may hold secrets, and whoever may not enter cannot read them inside either.
        about.row.wanted.env = None;
    }
    Ok(answer(&control, &about.row))
}

/// Deletes.
pub(crate) async fn workspace_delete(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<MessageResponse>> {
    let force = about.params.flag("force");
    let row = app::workspace_ask(&control, &about.id, Request::Delete { force }, None).await?;
    let message = format!("workspace {} is being deleted", row.name);
    Ok(Json(MessageResponse { message }))
}

/// Boots.
pub(crate) async fn workspace_start(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
) -> Answer {
    ask(&control, &about, &once, Request::Start { now: now() }).await
}

/// Shuts down.
pub(crate) async fn workspace_stop(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
) -> Answer {
    ask(&control, &about, &once, Request::Stop).await
}

/// Shuts down and boots.
pub(crate) async fn workspace_restart(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
) -> Answer {
    ask(&control, &about, &once, Request::Restart).await
}

/// Ends a start.
pub(crate) async fn workspace_cancel(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
) -> Answer {
    ask(&control, &about, &once, Request::Cancel).await
}

/// Tries again.
pub(crate) async fn workspace_retry(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
) -> Answer {
    ask(&control, &about, &once, Request::Retry).await
}

/// Will suspend.
pub(crate) async fn workspace_suspend(_: ForWorkspace) -> ApiError {
    unsupported("suspend workspaces; stop it instead")
}

/// Will resume.
pub(crate) async fn workspace_resume(_: ForWorkspace) -> ApiError {
    unsupported("resume workspaces; start it instead")
}

/// Will fork.
pub(crate) async fn workspace_fork(_: ForWorkspace) -> ApiError {
    unsupported("fork workspaces")
}

/// Changes the size.
pub(crate) async fn workspace_resources_update(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    Document(request): Document<ResizeWorkspaceRequest>,
) -> ApiResult<Json<ResizeWorkspaceResponse>> {
    let row = app::workspace_resources_update(&control, &about.id, request).await?;
    let message = if row.generation == about.row.generation {
        "nothing to change".to_owned()
    } else {
        "the new size is used from the next start on".to_owned()
    };
    Ok(Json(ResizeWorkspaceResponse { message, vm: view::vm(&row, &control.config.ssh) }))
}

/// Replaces the environment.
pub(crate) async fn workspace_env_update(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    once: Once,
    Document(request): Document<UpdateWorkspaceEnvRequest>,
) -> ApiResult<Json<MessageResponse>> {
    let status = if once.made::<WorkspaceId>().is_some() {
        about.row.status()
    } else {
        let claim = once.claim.as_ref();
        app::workspace_env_update(&control, &about.id, request, claim).await?.status()
    };
    let message = if status == Status::Running {
        "environment replaced; new shells and services have it in a moment"
    } else {
        "environment replaced; the workspace has it from its next start on"
    };
    Ok(Json(MessageResponse { message: message.to_owned() }))
}

fn unsupported(what: &str) -> ApiError {
    ApiError::new(ErrorCode::Unsupported, format!("this version cannot {what}"))
}

async fn ask(control: &Control, about: &ForWorkspace, once: &Once, request: Request) -> Answer {
    if once.made::<WorkspaceId>().is_some() {
        // An attempt that was cut off had asked already, before this row was read.
        return Ok(answer(control, &about.row));
    }
    let row = app::workspace_ask(control, &about.id, request, once.claim.as_ref()).await?;
    Ok(answer(control, &row))
}

fn answer(control: &Control, row: &WorkspaceRow) -> Json<GetWorkspaceResponse> {
    Json(view::answer(row, &control.config.ssh))
}
