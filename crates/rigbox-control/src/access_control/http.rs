//! Handlers of access control: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use rigbox_store::bindings::PresetRow;
use rigbox_types::{
    access::ResourceRef,
    api::access::{
        AccessBinding, BindingsResponse, CreateBindingRequest, DeleteBindingRequest,
        DeleteResponse, PrincipalLookupResponse, RolePreset, RolePresetsResponse,
        SimulateAccessRequest, SimulateAccessResponse, TagsResponse, UpdateBindingRequest,
        UpdateTagsRequest,
    },
    authz::permissions,
};

use super::{bindings, people, simulate};
use crate::{
    audit::Trail,
    control::Control,
    error::ApiResult,
    http::{
        access::{Access, ForAccount, ForResource},
        body::Document,
    },
};

/// Lists who has which role.
pub(crate) async fn access_binding_list(
    State(control): State<Arc<Control>>,
    about: ForResource,
) -> ApiResult<Json<BindingsResponse>> {
    let bindings = bindings::list(&control, &about.thing).await?;
    Ok(Json(BindingsResponse { bindings }))
}

/// Gives a role.
pub(crate) async fn access_binding_create(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    Extension(trail): Extension<Trail>,
    Document(request): Document<CreateBindingRequest>,
) -> ApiResult<Json<AccessBinding>> {
    let made = bindings::create(&control, (&access, &trail), request).await?;
    let AccessBinding { principal_ref, resource_ref, role, .. } = &made;
    tracing::info!(principal = %principal_ref, resource = %resource_ref, %role, "role given");
    Ok(Json(made))
}

/// Gives another role.
pub(crate) async fn access_binding_update(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    Extension(trail): Extension<Trail>,
    Document(request): Document<UpdateBindingRequest>,
) -> ApiResult<Json<AccessBinding>> {
    let changed = bindings::update(&control, (&access, &trail), request).await?;
    let AccessBinding { principal_ref, resource_ref, role, .. } = &changed;
    tracing::info!(principal = %principal_ref, resource = %resource_ref, %role, "role changed");
    Ok(Json(changed))
}

/// Takes a role away.
pub(crate) async fn access_binding_delete(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    Extension(trail): Extension<Trail>,
    Document(request): Document<DeleteBindingRequest>,
) -> ApiResult<Json<DeleteResponse>> {
    let (principal, resource) = (request.principal, request.resource.clone());
    let deleted = bindings::delete(&control, (&access, &trail), request).await?;
    tracing::info!(%principal, %resource, deleted, "role taken away");
    Ok(Json(DeleteResponse { deleted }))
}

/// Looks people up.
pub(crate) async fn access_principal_list(
    State(control): State<Arc<Control>>,
    about: ForResource,
) -> ApiResult<Json<PrincipalLookupResponse>> {
    let query = about.params.text("query").unwrap_or_default();
    let asked = (query, about.params.number("limit"));
    let principals = people::list(&control, (&about.thing, about.standing), asked).await?;
    Ok(Json(PrincipalLookupResponse { principals }))
}

/// Lists the roles.
pub(crate) async fn access_role_preset_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<RolePresetsResponse>> {
    let kind = about.params.text("scope_kind");
    let presets = control.store.bindings().presets().await?.into_iter();
    let asked = |preset: &PresetRow| kind.is_none_or(|kind| kind == preset.kind.as_str());
    Ok(Json(RolePresetsResponse { presets: presets.filter(asked).map(preset).collect() }))
}

/// Answers a question.
pub(crate) async fn access_simulate(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    Document(request): Document<SimulateAccessRequest>,
) -> ApiResult<Json<SimulateAccessResponse>> {
    simulate::simulate(&control, &access, request).await.map(Json)
}

/// Shows tags.
pub(crate) async fn access_tags_show(
    State(control): State<Arc<Control>>,
    about: ForResource,
) -> ApiResult<Json<TagsResponse>> {
    tags(&control, about.thing.at).await
}

/// Replaces tags.
pub(crate) async fn access_tags_update(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    Document(request): Document<UpdateTagsRequest>,
) -> ApiResult<Json<TagsResponse>> {
    let asked = (&request.resource, access.endpoint.right);
    let thing = bindings::of(&control, access.principal()?, asked).await?;
    control.store.tags().set(&thing.at, &request.tags).await?;
    tags(&control, thing.at).await
}

async fn tags(control: &Control, resource: ResourceRef) -> ApiResult<Json<TagsResponse>> {
    let tags = control.store.tags().get(&resource).await?;
    Ok(Json(TagsResponse { resource, tags }))
}

fn preset(row: PresetRow) -> RolePreset {
    RolePreset {
        permissions: permissions(row.role, row.kind),
        role: row.role,
        scope_kind: row.kind,
        match_tag_keys: row.conditions.match_tag_keys,
        required_resource_tags: row.conditions.required_resource_tags,
        system_managed: row.system_managed,
        updated_at: row.updated_at,
    }
}
