//! Changes of workspaces that are there.

use rigbox_store::{
    idempotency::Claim,
    workspaces::{ChangeError, EnvVars, Wanted, WorkspaceRow},
};
use rigbox_types::{
    Authorised, WorkspaceId,
    api::workspaces::{ResizeWorkspaceRequest, UpdateWorkspaceEnvRequest},
};

use super::{
    create::{check_resize, check_resources},
    rules,
};
use crate::{account::templates, control::Control, error::ApiResult, validate::env};

/// Asks for another life of a workspace.
pub(super) async fn workspace_ask(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    request: rules::Request,
    claim: Option<&Claim>,
) -> ApiResult<WorkspaceRow> {
    change(control, id, claim, move |row, wanted| request.apply(row, wanted)).await
}

/// Changes the size of a workspace.
pub(super) async fn workspace_resources_update(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    request: ResizeWorkspaceRequest,
) -> ApiResult<WorkspaceRow> {
    check_resize(&request)?;
    let edit = move |row: &WorkspaceRow, wanted: &mut Wanted| {
        rules::resize(row, &request, wanted)?;
        let template = row.template.as_ref().and_then(templates::find);
        Ok(check_resources(&wanted.resources, template.as_ref())?)
    };
    change(control, id, None, edit).await
}

/// Replaces the environment of a workspace.
pub(super) async fn workspace_env_update(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    request: UpdateWorkspaceEnvRequest,
    claim: Option<&Claim>,
) -> ApiResult<WorkspaceRow> {
    env::check("env_vars", &request.env_vars)?;
    let edit = move |row: &WorkspaceRow, wanted: &mut Wanted| {
        rules::check_kept(row, "change its environment")?;
        wanted.env = Some(EnvVars(request.env_vars));
        Ok(())
    };
    change(control, id, claim, edit).await
}

async fn change(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    claim: Option<&Claim>,
    edit: impl FnOnce(&WorkspaceRow, &mut Wanted) -> ApiResult<()> + Send,
) -> ApiResult<WorkspaceRow> {
    let changed = control.store.workspaces().change(id.target(), claim, edit).await;
    changed.map_err(|error| match error {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Store(error) => error.into(),
    })
}
