//! Handlers of setup scripts.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::setup_scripts::{SetupScript, SetupScriptRow};
use rigbox_types::{
    SetupScriptId,
    api::{
        setup_scripts::{
            CreateSetupScriptRequest, SetupScriptResponse, SetupScriptsListResponse,
            UpdateSetupScriptRequest,
        },
        workspaces::MessageResponse,
    },
    limits::SETUP_SCRIPTS_MAX_COUNT,
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    http::{
        access::{ForAccount, Id},
        body::Document,
        idempotency::Once,
        made::Made,
        page::page_request,
    },
    source::random,
    validate::text::{check_script, check_title},
};

/// Lists.
pub(crate) async fn setup_script_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<SetupScriptsListResponse>> {
    let account = *about.account.target();
    let page = control.store.setup_scripts().list(account, &page_request(&about.params)).await?;
    let scripts = page.items.into_iter().map(view).collect();
    Ok(Json(SetupScriptsListResponse { scripts, next_cursor: page.next_cursor }))
}

/// Adds.
pub(crate) async fn setup_script_create(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    once: Once,
    Document(request): Document<CreateSetupScriptRequest>,
) -> ApiResult<Made<SetupScriptResponse>> {
    check(Some(&request.name), Some(&request.content))?;
    let (scripts, account) = (control.store.setup_scripts(), *about.account.target());
    if let Some(id) = once.made::<SetupScriptId>() {
        // An attempt that was cut off had made it already.
        return Ok(Made::at("/setup-scripts", id, view(scripts.get(account, id).await?)));
    }
    let id = SetupScriptId::from_random(random().map_err(ApiError::internal)?);
    let script = SetupScript {
        name: request.name,
        content: request.content,
        run_on: request.run_on,
        order: request.script_order.unwrap_or_default(),
    };
    let row = scripts.insert(id, account, &script, once.adding(SETUP_SCRIPTS_MAX_COUNT)).await?;
    Ok(Made::at("/setup-scripts", id, view(row)))
}

/// Shows.
pub(crate) async fn setup_script_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<SetupScriptId>,
) -> ApiResult<Json<SetupScriptResponse>> {
    let row = control.store.setup_scripts().get(*about.account.target(), id).await?;
    Ok(Json(view(row)))
}

/// Changes.
pub(crate) async fn setup_script_update(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<SetupScriptId>,
    Document(request): Document<UpdateSetupScriptRequest>,
) -> ApiResult<Json<SetupScriptResponse>> {
    check(request.name.as_deref(), request.content.as_deref())?;
    let edit = move |script: &mut SetupScript| {
        let UpdateSetupScriptRequest { name, content, run_on, script_order } = request;
        script.name = name.unwrap_or_else(|| std::mem::take(&mut script.name));
        script.content = content.unwrap_or_else(|| std::mem::take(&mut script.content));
        script.run_on = run_on.unwrap_or(script.run_on);
        script.order = script_order.unwrap_or(script.order);
    };
    let row = control.store.setup_scripts().change(*about.account.target(), id, edit).await?;
    Ok(Json(view(row)))
}

/// Deletes.
pub(crate) async fn setup_script_delete(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<SetupScriptId>,
) -> ApiResult<Json<MessageResponse>> {
    control.store.setup_scripts().delete(*about.account.target(), id).await?;
    Ok(Json(MessageResponse { message: "setup script deleted".to_owned() }))
}

fn check(name: Option<&str>, content: Option<&str>) -> Result<(), Invalid> {
    name.map_or(Ok(()), |name| check_title("name", name))?;
    content.map_or(Ok(()), |content| check_script("content", content))
}

fn view(row: SetupScriptRow) -> SetupScriptResponse {
    SetupScriptResponse {
        id: row.id,
        user_id: row.account,
        name: row.script.name,
        content: row.script.content,
        run_on: row.script.run_on,
        script_order: row.script.order,
        source: "user".to_owned(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
