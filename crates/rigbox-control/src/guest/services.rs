//! Services of a workspace: what its specs say, with what systemd in the guest says of their units.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use rigbox_store::{service_specs::ServiceSpecRow, workspaces::WorkspaceRow};
use rigbox_types::{
    Status, WorkspaceId,
    api::services::{LogSource, LogSourceType, WorkspaceService, WorkspaceServicesResponse},
    guest::{ServiceStatus, ServicesResponse, services::UNIT_PREFIX},
};

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::access::{ForWorkspace, NameOf},
};

/// State of a unit that nobody can be asked about.
const UNKNOWN: &str = "unknown";

/// Lists.
pub(crate) async fn workspace_services_list(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<WorkspaceServicesResponse>> {
    let services = services(&control, &about).await?;
    Ok(Json(WorkspaceServicesResponse { services }))
}

/// Shows one.
pub(crate) async fn workspace_service_show(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    NameOf(name): NameOf<String>,
) -> ApiResult<Json<WorkspaceService>> {
    let mut services = services(&control, &about).await?.into_iter();
    let found = services.find(|service| service.name == name);
    found.map(Json).ok_or_else(|| ApiError::not_found("service"))
}

/// The specs that are attached to a workspace, by name.
pub(super) async fn specs(control: &Control, row: &WorkspaceRow) -> ApiResult<Vec<ServiceSpecRow>> {
    if row.wanted.service_specs.is_empty() {
        return Ok(Vec::new());
    }
    Ok(control.store.service_specs().of_ids(row.account, &row.wanted.service_specs).await?)
}

async fn services(control: &Control, about: &ForWorkspace) -> ApiResult<Vec<WorkspaceService>> {
    let specs = specs(control, &about.row).await?;
    let states = states(control, about).await;
    let view = |spec: ServiceSpecRow| {
        let state = states.get(&spec.spec.name).map_or(UNKNOWN, String::as_str).to_owned();
        service(about.id.target().clone(), spec, state)
    };
    Ok(specs.into_iter().map(view).collect())
}

/// What systemd says of each unit. The list of services is worth having without it.
async fn states(control: &Control, about: &ForWorkspace) -> BTreeMap<String, String> {
    if about.row.status() != Status::Running {
        return BTreeMap::new();
    }
    let asked = async {
        let agent = control.agent(about, "list its services").await?;
        agent.get::<ServicesResponse>("/services").await
    };
    match asked.await {
        Ok(answer) => {
            let state = |active: &str| match active {
                "active" | "inactive" | "failed" | "activating" | "deactivating" => {
                    active.to_owned()
                }
                _ => UNKNOWN.to_owned(),
            };
            // Others are of apps, whose names mean nothing here.
            let of_specs = |status: &ServiceStatus| status.unit.starts_with(UNIT_PREFIX);
            let states = answer.services.into_iter().filter(of_specs);
            states.map(|status| (status.name, state(&status.active_state))).collect()
        }
        Err(error) => {
            tracing::info!(reason = error.message(), "states of services are not known");
            BTreeMap::new()
        }
    }
}

fn service(workspace_id: WorkspaceId, row: ServiceSpecRow, status: String) -> WorkspaceService {
    let unit = format!("{UNIT_PREFIX}{}.service", row.spec.name);
    WorkspaceService {
        id: row.id.to_string(),
        workspace_id,
        name: row.spec.name,
        kind: "service_spec".to_owned(),
        source: "user".to_owned(),
        status,
        health_cmd: String::new(),
        exposed: false,
        port: None,
        unit_name: Some(unit.clone()),
        log_sources: vec![LogSource {
            source_type: LogSourceType::SystemdUnit,
            source_ref: unit,
            display_name: None,
            is_primary: true,
        }],
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
