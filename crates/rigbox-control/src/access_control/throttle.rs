//! Profiles of request rates: which there are, and which account has which. Only accounts have them.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::{StoreError, rate_profiles::RateProfileRow};
use rigbox_types::{
    access::ResourceRef,
    api::{
        access::{
            ThrottleBindingResponse, ThrottlePreset, ThrottlePresetsResponse,
            UpdateThrottleBindingRequest,
        },
        change::Change,
    },
};
use serde_json::json;

use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{ForPlatform, ForResource},
        body::Document,
    },
};

/// Lists the profiles that a thing can have.
pub(crate) async fn access_throttle_preset_list(
    State(control): State<Arc<Control>>,
    about: ForResource,
) -> ApiResult<Json<ThrottlePresetsResponse>> {
    let presets = match about.thing.at {
        ResourceRef::Account(_) => control.store.rate_profiles().presets().await?,
        ResourceRef::Workspace(_) | ResourceRef::App(_) => Vec::new(),
    };
    let presets = presets.into_iter().map(view).collect::<ApiResult<_>>()?;
    Ok(Json(ThrottlePresetsResponse { presets }))
}

/// Shows which profile a thing has.
pub(crate) async fn access_throttle_binding_show(
    State(control): State<Arc<Control>>,
    about: ForResource,
) -> ApiResult<Json<ThrottleBindingResponse>> {
    answer(&control, about.thing.at).await
}

/// Gives an account a profile.
pub(crate) async fn access_throttle_binding_update(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Document(request): Document<UpdateThrottleBindingRequest>,
) -> ApiResult<Json<ThrottleBindingResponse>> {
    let UpdateThrottleBindingRequest { resource, profile } = request;
    let ResourceRef::Account(account) = resource else {
        return Err(ApiError::field("resource", "only an account has a profile of request rates"));
    };
    control.store.accounts().get(account).await?;
    let profile = match profile {
        Change::Keep => return answer(&control, resource).await,
        Change::Clear => None,
        Change::Set(name) => Some(name),
    };
    match control.store.rate_profiles().set(account, profile.as_deref()).await {
        Err(StoreError::NotFound { what: "throttle profile", .. }) => {
            let presets = control.store.rate_profiles().presets().await?;
            let known: Vec<_> = presets.into_iter().map(|preset| preset.name).collect();
            let rule = format!("there is no such profile: the known ones are {}", known.join(", "));
            let details = json!({ "field": "profile", "known": known });
            return Err(ApiError::field("profile", rule).with(details));
        }
        other => other?,
    }
    control.rates.forget_profile(Some(account));
    tracing::info!(%account, profile = profile.as_deref(), "request rates of an account changed");
    answer(&control, resource).await
}

async fn answer(
    control: &Control,
    resource: ResourceRef,
) -> ApiResult<Json<ThrottleBindingResponse>> {
    let profile = match &resource {
        ResourceRef::Account(account) => control.store.rate_profiles().get(*account).await?,
        ResourceRef::Workspace(_) | ResourceRef::App(_) => None,
    };
    let profile = profile.map(|(name, _)| name);
    Ok(Json(ThrottleBindingResponse { resource, profile }))
}

fn view(row: RateProfileRow) -> ApiResult<ThrottlePreset> {
    Ok(ThrottlePreset {
        name: row.name,
        rules: serde_json::to_value(row.rules).map_err(ApiError::internal)?,
        system_managed: row.system_managed,
        updated_at: row.updated_at,
    })
}
