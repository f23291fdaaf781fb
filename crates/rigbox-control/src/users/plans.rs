//! Plans: whoever runs the installation says what accounts may use.
//! Invariant: the plans that accounts get without being asked are always there, and the operator's
//! has no numbers, so that nobody locks himself out of his own machines.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::{StoreError, plans::PlanRow};
use rigbox_types::{
    PlanName, QuotaChanges, Quotas,
    api::{
        error::ErrorCode,
        users::{CreatePlanRequest, ListPlansResponse, Plan, PlanResponse, UpdatePlanRequest},
        workspaces::MessageResponse,
    },
    limits::{PLANS_MAX_COUNT, QUOTA_MAX},
};
use serde_json::json;

use super::app::{FIRST_PLAN, OPERATOR_PLAN};
use crate::{
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    http::{
        access::{ForPlatform, NameOf},
        body::Document,
        made::Made,
    },
};

/// Lists.
pub(crate) async fn plan_list(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
) -> ApiResult<Json<ListPlansResponse>> {
    let plans = control.store.plans().list().await?.into_iter().map(view).collect();
    Ok(Json(ListPlansResponse { plans }))
}

/// Adds.
pub(crate) async fn plan_create(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Document(request): Document<CreatePlanRequest>,
) -> ApiResult<Made<PlanResponse>> {
    check_numbers("limits", &request.limits)?;
    let plans = control.store.plans();
    if plans.list().await?.len() >= PLANS_MAX_COUNT {
        let text = format!("there are {PLANS_MAX_COUNT} plans already: delete one first");
        return Err(ApiError::conflict(text));
    }
    let row = PlanRow { name: request.name, quotas: Quotas::default().changed(request.limits) };
    plans.insert(&row).await?;
    tracing::info!(plan = %row.name, "plan made");
    Ok(Made::at("/plans", row.name.clone(), PlanResponse { plan: view(row) }))
}

/// Changes.
pub(crate) async fn plan_update(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    NameOf(name): NameOf<PlanName>,
    Document(request): Document<UpdatePlanRequest>,
) -> ApiResult<Json<PlanResponse>> {
    check_numbers("limits", &request.limits)?;
    if name.as_str() == OPERATOR_PLAN {
        let text = "the plan operator has the machines' limits: make another one instead";
        return Err(ApiError::conflict(text));
    }
    let row = control.store.plans().change(&name, |now| now.changed(request.limits)).await?;
    tracing::info!(plan = %row.name, "plan changed");
    Ok(Json(PlanResponse { plan: view(row) }))
}

/// Deletes.
pub(crate) async fn plan_delete(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    NameOf(name): NameOf<PlanName>,
) -> ApiResult<Json<MessageResponse>> {
    if [OPERATOR_PLAN, FIRST_PLAN].contains(&name.as_str()) {
        let text = format!("the plan {name} is what accounts get without another, so it stays");
        return Err(ApiError::conflict(text));
    }
    control.store.plans().delete(&name).await.map_err(|error| match error {
        StoreError::Conflict { .. } => {
            let text = format!("accounts have the plan {name}: give them another one first");
            ApiError::new(ErrorCode::Conflict, text).with(json!({ "plan": name }))
        }
        other => other.into(),
    })?;
    tracing::info!(plan = %name, "plan deleted");
    Ok(Json(MessageResponse { message: format!("plan {name} deleted") }))
}

/// Refuses numbers beyond what anybody has.
pub(super) fn check_numbers(field: &str, changes: &QuotaChanges) -> Result<(), Invalid> {
    for (name, value) in changes.set() {
        if value > QUOTA_MAX {
            let rule = format!("must be from 0 to {QUOTA_MAX}, or null");
            return Err(Invalid::new(format!("{field}.{name}"), rule));
        }
    }
    Ok(())
}

fn view(PlanRow { name, quotas }: PlanRow) -> Plan {
    Plan { name, limits: quotas }
}
