//! What an account has chosen for itself, and what that means for a new workspace.
//! Invariant: what is chosen exists when it is chosen; a workspace made later is checked again.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::{
    accounts::{AccountRow, Profile},
    workspaces::ChangeError,
};
use rigbox_types::{
    AccountId,
    api::{
        accounts::{GetUserSettingsResponse, UpdateUserSettingsRequest, UserSettings},
        workspaces::CreateWorkspaceRequest,
    },
    text::PictureUrl,
};

use super::{app, templates};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::{access::ForAccount, body::Document},
    validate::text::{check_title, in_field},
    workspaces::check_known,
};

/// Shows.
pub(crate) async fn account_settings_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<GetUserSettingsResponse>> {
    let row = control.store.accounts().get(*about.account.target()).await?;
    Ok(answer(&control, row))
}

/// Changes.
pub(crate) async fn account_settings_update(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Document(request): Document<UpdateUserSettingsRequest>,
) -> ApiResult<Json<GetUserSettingsResponse>> {
    check(&control, &request).await?;
    let edit = move |_: &AccountRow, profile: &mut Profile| {
        apply(request, profile);
        Ok(())
    };
    let changed = control.store.accounts().change(*about.account.target(), edit).await;
    let row = changed.map_err(|error: ChangeError<ApiError>| match error {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Store(error) => error.into(),
    })?;
    Ok(answer(&control, row))
}

/// A request with what its account has chosen where it says nothing.
pub(crate) async fn with_defaults(
    control: &Control,
    account: AccountId,
    mut request: CreateWorkspaceRequest,
) -> ApiResult<CreateWorkspaceRequest> {
    let chosen = control.store.accounts().get(account).await?.profile.preferences;
    if request.template_id.is_none() {
        request.image = request.image.or(chosen.default_image);
    }
    request.region = request.region.or(chosen.default_region);
    Ok(request)
}

async fn check(control: &Control, request: &UpdateUserSettingsRequest) -> ApiResult<()> {
    if let Some(name) = request.display_name.value() {
        check_title("display_name", name)?;
    }
    if let Some(url) = request.avatar_url.value() {
        in_field("avatar_url", PictureUrl::check(url))?;
    }
    if let Some(image) = request.default_image.value() {
        check_known(control, "default_image", image).await?;
    }
    if let Some(region) = request.default_region.value()
        && !app::regions(control).await?.contains(region)
    {
        let rule = "there is no such region: see GET /users/me/regions";
        return Err(ApiError::field("default_region", rule));
    }
    Ok(())
}

fn apply(request: UpdateUserSettingsRequest, profile: &mut Profile) {
    profile.display_name = request.display_name.or_keep_optional(profile.display_name.take());
    let own = &mut profile.preferences;
    own.avatar_url = request.avatar_url.or_keep_optional(own.avatar_url.take());
    own.default_image = request.default_image.or_keep_optional(own.default_image.take());
    own.default_region = request.default_region.or_keep_optional(own.default_region.take());
    own.maintenance_updates = request.maintenance_updates.or_keep_optional(own.maintenance_updates);
    own.usage_alerts = request.usage_alerts.or_keep_optional(own.usage_alerts);
}

fn answer(control: &Control, row: AccountRow) -> Json<GetUserSettingsResponse> {
    let own = row.profile.preferences;
    let settings = UserSettings {
        user_id: row.id,
        display_name: row.profile.display_name,
        avatar_url: own.avatar_url,
        default_image: own.default_image.unwrap_or_else(|| templates::default().image),
        default_region: own.default_region.unwrap_or_else(|| control.config.region.clone()),
        maintenance_updates: own.maintenance_updates.unwrap_or(true),
        usage_alerts: own.usage_alerts.unwrap_or(true),
        updated_at: row.updated_at,
    };
    Json(GetUserSettingsResponse { settings })
}
