//! Handlers of service specs.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use rigbox_store::{
    service_specs::{ServiceSpec, ServiceSpecRow},
    workspaces::EnvVars,
};
use rigbox_types::{
    ServiceSpecId,
    api::{
        service_specs::{
            CreateServiceSpecRequest, ServiceSpecResponse, ServiceSpecsListResponse,
            UpdateServiceSpecRequest,
        },
        workspaces::MessageResponse,
    },
    limits::SERVICE_SPECS_MAX_COUNT,
};

use super::{unit, unit_of};
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
    validate::text::check_script,
};

/// Lists.
pub(crate) async fn service_spec_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<ServiceSpecsListResponse>> {
    let account = *about.account.target();
    let page = control.store.service_specs().list(account, &page_request(&about.params)).await?;
    let services = page.items.into_iter().map(view).collect();
    Ok(Json(ServiceSpecsListResponse { services, next_cursor: page.next_cursor }))
}

/// Adds.
pub(crate) async fn service_spec_create(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    once: Once,
    Document(request): Document<CreateServiceSpecRequest>,
) -> ApiResult<Made<ServiceSpecResponse>> {
    let spec = ServiceSpec {
        name: request.name,
        exec_start: request.exec_start,
        env: EnvVars(request.env_vars.unwrap_or_default()),
        environment_file: request.environment_file.filter(|file| !file.is_empty()),
        restart_policy: request.restart_policy,
        auto_enable: request.auto_enable,
        setup_script: request.setup_script.unwrap_or_default(),
    };
    check(&spec)?;
    let (specs, account) = (control.store.service_specs(), *about.account.target());
    if let Some(id) = once.made::<ServiceSpecId>() {
        // An attempt that was cut off had made it already.
        return Ok(Made::at("/service-specs", id, view(specs.get(account, id).await?)));
    }
    let id = ServiceSpecId::from_random(random().map_err(ApiError::internal)?);
    let row = specs.insert(id, account, &spec, once.adding(SERVICE_SPECS_MAX_COUNT)).await?;
    Ok(Made::at("/service-specs", id, view(row)))
}

/// Shows.
pub(crate) async fn service_spec_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<ServiceSpecId>,
) -> ApiResult<Json<ServiceSpecResponse>> {
    let row = control.store.service_specs().get(*about.account.target(), id).await?;
    Ok(Json(view(row)))
}

/// Changes.
pub(crate) async fn service_spec_update(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<ServiceSpecId>,
    Document(request): Document<UpdateServiceSpecRequest>,
) -> ApiResult<Json<ServiceSpecResponse>> {
    let account = *about.account.target();
    let specs = control.store.service_specs();
    // Each field is checked by itself, so what another request changes meanwhile stays good.
    let mut changed = specs.get(account, id).await?.spec;
    update(&mut changed, request.clone());
    check(&changed)?;
    let row = specs.change(account, id, move |spec| update(spec, request)).await?;
    Ok(Json(view(row)))
}

/// Deletes.
pub(crate) async fn service_spec_delete(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<ServiceSpecId>,
) -> ApiResult<Json<MessageResponse>> {
    control.store.service_specs().delete(*about.account.target(), id).await?;
    Ok(Json(MessageResponse { message: "service spec deleted".to_owned() }))
}

/// A missing field keeps its value.
fn update(spec: &mut ServiceSpec, request: UpdateServiceSpecRequest) {
    let UpdateServiceSpecRequest {
        name,
        exec_start,
        env_vars,
        environment_file,
        restart_policy,
        auto_enable,
        setup_script,
    } = request;
    let env: BTreeMap<_, _> = std::mem::take(&mut spec.env.0);
    spec.name = name.unwrap_or_else(|| std::mem::take(&mut spec.name));
    spec.exec_start = exec_start.unwrap_or_else(|| std::mem::take(&mut spec.exec_start));
    spec.env = EnvVars(env_vars.or_keep(env));
    spec.environment_file = environment_file
        .or_keep_optional(spec.environment_file.take())
        .filter(|file| !file.is_empty());
    spec.restart_policy = restart_policy.unwrap_or(spec.restart_policy);
    spec.auto_enable = auto_enable.unwrap_or(spec.auto_enable);
    spec.setup_script = setup_script.or_keep(std::mem::take(&mut spec.setup_script));
}

fn check(spec: &ServiceSpec) -> Result<(), Invalid> {
    unit::check(&unit::UnitParts {
        name: &spec.name,
        exec_start: &spec.exec_start,
        env_vars: &spec.env.0,
        environment_file: spec.environment_file.as_deref(),
        restart_policy: spec.restart_policy,
    })?;
    check_script("setup_script", &spec.setup_script)
}

fn view(row: ServiceSpecRow) -> ServiceSpecResponse {
    ServiceSpecResponse {
        systemd_unit_preview: unit_of(&row.spec),
        id: row.id,
        user_id: row.account,
        name: row.spec.name,
        exec_start: row.spec.exec_start,
        env_vars: row.spec.env.0,
        restart_policy: row.spec.restart_policy,
        auto_enable: row.spec.auto_enable,
        environment_file: row.spec.environment_file,
        setup_script: row.spec.setup_script,
        source: "user".to_owned(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
