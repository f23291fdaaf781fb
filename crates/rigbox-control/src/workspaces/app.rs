//! Changes of workspaces that are there, and the list of those that others share.

use rigbox_store::{
    Page, PageRequest,
    idempotency::Claim,
    workspaces::{ChangeError, EnvVars, Wanted, WorkspaceRow},
};
use rigbox_types::{
    AccountId, Authorised, Principal, Right, WorkspaceId,
    api::workspaces::{ResizeWorkspaceRequest, UpdateWorkspaceEnvRequest},
    authz::authorise,
};

use super::{
    create::{check_resize, check_resources},
    rules,
};
use crate::{
    access_control::of_workspace, account::templates, control::Control, error::ApiResult,
    validate::env,
};

/// A page of the workspaces of others that the account may see. Where roles count only under
/// conditions each one is asked about, and a page may have fewer than asked for.
pub(super) async fn workspace_list_shared(
    control: &Control,
    who: &Principal,
    account: &Authorised<AccountId>,
    asked: &PageRequest,
) -> ApiResult<Page<WorkspaceRow>> {
    let store = &control.store;
    let mut page = store.workspaces().list_shared(*account.target(), asked).await?;
    if store.bindings().has_conditions().await? {
        let mut seen = Vec::with_capacity(page.items.len());
        for row in page.items {
            let facts = of_workspace(store, who, &row).await?;
            if authorise(who, Right::WorkspaceRead, &facts, ()).is_ok() {
                seen.push(row);
            }
        }
        page.items = seen;
    }
    Ok(page)
}

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
