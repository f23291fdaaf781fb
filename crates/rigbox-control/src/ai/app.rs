//! What is decided, as the API shows it, and how it is changed.

use rigbox_ai::vault::VaultError;
use rigbox_store::{
    StoreError,
    ai::{AiDefaults, AiKeyPlace, AiKeyRow, AiSettings, AiWorkspaceRow, KeyChange},
    workspaces::WorkspaceRow,
};
use rigbox_types::{
    AccountId, Authorised, WorkspaceId,
    api::{
        ai::{
            AiInject, AiKey, AiKeyChanges, AiMode, AiProvider, GetAiDefaultsResponse,
            MODEL_DEFAULT, UpdateAiDefaultsRequest, UpdateWorkspaceAiConfigRequest,
            WorkspaceAiConfigResponse, WorkspaceAiConfigStatus, WorkspaceAiModeResponse,
            WorkspaceAiModeSource,
        },
        change::Change,
    },
    text::{ModelName, ProviderKey},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::told;
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    validate::text::in_field,
};

/// When to come again while keys are rotated.
const ROTATION_RETRY_S: u32 = 2;

/// Characters of a key's end that are shown: enough to tell keys apart, of at least 16.
const PREVIEW_LEN: usize = 4;

/// Who pays where a workspace has not decided.
pub(crate) async fn mode_of(control: &Control, account: AccountId) -> ApiResult<AiMode> {
    Ok(control.store.ai().account(account).await?.mode.unwrap_or_default())
}

/// What an account has decided.
pub(super) async fn defaults_show(
    control: &Control,
    account: AccountId,
) -> ApiResult<GetAiDefaultsResponse> {
    let defaults = control.store.ai().account(account).await?;
    shown_defaults(control, account, defaults).await
}

/// Changes it.
pub(super) async fn defaults_update(
    control: &Control,
    account: &Authorised<AccountId>,
    request: UpdateAiDefaultsRequest,
) -> ApiResult<GetAiDefaultsResponse> {
    check_model("default_model", &request.default_model)?;
    let place = AiKeyPlace { account: *account.target(), workspace: None };
    let UpdateAiDefaultsRequest { default_mode, default_model, default_provider, enabled, .. } =
        request;
    // Held until the keys are in the database: no rotation ends meanwhile.
    let (keys, sealing) = sealed(control, &place, request.api_keys.changed())?;
    let edit = move |defaults: &mut AiDefaults| {
        defaults.mode = default_mode.or_keep_optional(defaults.mode);
        defaults.model = default_model.or_keep_optional(defaults.model.take());
        defaults.provider = default_provider.or_keep_optional(defaults.provider);
        defaults.enabled = enabled.or_keep_optional(defaults.enabled);
    };
    let after = control.store.ai().account_change(place.account, &keys, edit).await?;
    drop(sealing);
    told::of_account(control, place.account).await;
    shown_defaults(control, place.account, after).await
}

/// What holds for a workspace; with its keys, for whoever they belong to.
pub(super) async fn config_show(
    control: &Control,
    row: &WorkspaceRow,
    with_keys: bool,
) -> ApiResult<WorkspaceAiConfigResponse> {
    let kept = control.store.ai().workspace(&row.id).await?;
    let keys = keys_for(control, row).await?;
    Ok(shown_config(row, &kept, (keys, with_keys)))
}

/// Changes what was decided for a workspace.
pub(super) async fn config_update(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    (row, with_keys): (&WorkspaceRow, bool),
    request: UpdateWorkspaceAiConfigRequest,
) -> ApiResult<WorkspaceAiConfigResponse> {
    check_model("model", &request.model)?;
    let place = AiKeyPlace { account: row.account, workspace: Some(id.target().clone()) };
    let before = control.store.ai().workspace(id.target()).await?;
    let mut keys = request.api_keys.clone().changed();
    if !request.api_key.is_keep() {
        let mut after = before.settings.clone();
        after.choice.provider = request.provider.clone().or_keep_optional(after.choice.provider);
        keys.push((after.provider().unwrap_or_default(), request.api_key.clone()));
    }
    let (keys, sealing) = sealed(control, &place, keys)?;
    let edit = move |settings: &mut AiSettings| {
        let choice = &mut settings.choice;
        choice.mode = request.mode.or_keep_optional(choice.mode);
        choice.provider = request.provider.or_keep_optional(choice.provider);
        choice.model = request.model.or_keep_optional(choice.model.take());
        choice.inject = request.inject.or_keep_optional(choice.inject);
        choice.enabled = request.enabled.or_keep_optional(choice.enabled);
        Ok::<_, StoreError>(keys)
    };
    let kept = control.store.ai().workspace_change(id.target(), edit).await?;
    drop(sealing);
    told::of_workspace(control, id.target()).await;
    Ok(shown_config(row, &kept, (keys_for(control, row).await?, with_keys)))
}

/// Who pays for a workspace.
pub(super) async fn mode_show(
    control: &Control,
    id: &WorkspaceId,
) -> ApiResult<WorkspaceAiModeResponse> {
    Ok(shown_mode(&control.store.ai().workspace(id).await?.settings))
}

/// Says who pays for a workspace.
pub(super) async fn mode_update(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    mode: Change<AiMode>,
) -> ApiResult<WorkspaceAiModeResponse> {
    let edit = move |settings: &mut AiSettings| {
        settings.choice.mode = mode.or_keep_optional(settings.choice.mode);
        Ok::<_, StoreError>(Vec::new())
    };
    let kept = control.store.ai().workspace_change(id.target(), edit).await?;
    told::of_workspace(control, id.target()).await;
    Ok(shown_mode(&kept.settings))
}

/// The keys that count for a workspace: its own, then those of the account.
pub(super) async fn keys_for(control: &Control, row: &WorkspaceRow) -> ApiResult<Vec<AiKeyRow>> {
    let place = AiKeyPlace { account: row.account, workspace: Some(row.id.clone()) };
    let mut keys = control.store.ai().keys(&place).await?;
    // The workspace's own come first.
    let mut seen = Vec::new();
    keys.retain(|key| {
        let is_first = !seen.contains(&key.provider);
        seen.push(key.provider);
        is_first
    });
    Ok(keys)
}

/// Provider and model, with what is meant where nobody has decided.
pub(super) fn meant(settings: &AiSettings) -> (AiProvider, String) {
    let model = settings.model().unwrap_or(MODEL_DEFAULT).to_owned();
    (settings.provider().unwrap_or_default(), model)
}

fn shown_config(
    row: &WorkspaceRow,
    kept: &AiWorkspaceRow,
    (keys, with_keys): (Vec<AiKeyRow>, bool),
) -> WorkspaceAiConfigResponse {
    let settings = &kept.settings;
    let ((provider, model), (enabled, enabled_by)) = (meant(settings), settings.enabled());
    // Where nobody has chosen a provider, requests choose.
    let has_key = match settings.provider() {
        Some(provider) => keys.iter().any(|key| key.provider == provider),
        None => !keys.is_empty(),
    };
    let status = match (settings.mode(), has_key) {
        (AiMode::Managed, _) => WorkspaceAiConfigStatus::ManagedActive,
        (AiMode::Byok, true) => WorkspaceAiConfigStatus::ByokActive,
        (AiMode::Byok, false) => WorkspaceAiConfigStatus::InvalidMissingKey,
    };
    WorkspaceAiConfigResponse {
        mode: settings.mode(),
        provider,
        model,
        status,
        enabled,
        enabled_by,
        inject: settings.choice.inject.unwrap_or_default(),
        keys: if with_keys { keys.into_iter().map(shown_key).collect() } else { Vec::new() },
        updated_at: kept.updated_at.unwrap_or(row.created_at),
    }
}

async fn shown_defaults(
    control: &Control,
    account: AccountId,
    defaults: AiDefaults,
) -> ApiResult<GetAiDefaultsResponse> {
    let keys = control.store.ai().keys(&AiKeyPlace { account, workspace: None }).await?;
    Ok(GetAiDefaultsResponse {
        default_mode: defaults.mode.unwrap_or_default(),
        default_model: defaults.model.unwrap_or_else(|| MODEL_DEFAULT.to_owned()),
        default_provider: defaults.provider.unwrap_or_default(),
        enabled: defaults.enabled,
        keys: keys.into_iter().map(shown_key).collect(),
    })
}

fn shown_mode(settings: &AiSettings) -> WorkspaceAiModeResponse {
    let source = match settings.choice.mode {
        Some(_) => WorkspaceAiModeSource::Workspace,
        None => WorkspaceAiModeSource::UserDefault,
    };
    WorkspaceAiModeResponse { mode: settings.mode(), source }
}

fn shown_key(key: AiKeyRow) -> AiKey {
    let source = match key.place.workspace {
        Some(_) => WorkspaceAiModeSource::Workspace,
        None => WorkspaceAiModeSource::UserDefault,
    };
    AiKey { provider: key.provider, preview: key.preview, source, updated_at: key.updated_at }
}

fn check_model(field: &str, model: &Change<String>) -> ApiResult<()> {
    if let Some(model) = model.value() {
        in_field(field, ModelName::check(model))?;
    }
    Ok(())
}

/// The keys of a request, encrypted; with what has to be kept until they are in the database.
fn sealed(
    control: &Control,
    place: &AiKeyPlace,
    keys: Vec<(AiProvider, Change<String>)>,
) -> ApiResult<(Vec<KeyChange>, Option<rigbox_ai::vault::Sealing>)> {
    if keys.is_empty() {
        return Ok((Vec::new(), None));
    }
    let sealing = control.vault.sealing().map_err(refused)?;
    let mut changes = Vec::new();
    for (provider, change) in keys {
        let Change::Set(key) = change else {
            changes.push(KeyChange::Forget { provider });
            continue;
        };
        in_field("api_key", ProviderKey::check(&key))?;
        let key = SecretString::from(key);
        let sealed = sealing.seal(place, provider, &key).map_err(refused)?;
        changes.push(KeyChange::Put { provider, sealed, preview: preview(&key) });
    }
    Ok((changes, Some(sealing)))
}

/// What a vault that does not work means to the user.
pub(super) fn refused(error: VaultError) -> ApiError {
    match error {
        VaultError::Rotating => ApiError::unavailable(error.to_string(), ROTATION_RETRY_S),
        error => ApiError::internal(error),
    }
}

fn preview(key: &SecretString) -> String {
    let key = key.expose_secret();
    // A key is ASCII, so any cut is one.
    format!("…{}", key.get(key.len().saturating_sub(PREVIEW_LEN)..).unwrap_or_default())
}

/// Whether a request brings or takes keys, or has keys put where others read them.
pub(super) fn is_about_keys(request: &UpdateWorkspaceAiConfigRequest) -> bool {
    let own: &AiKeyChanges = &request.api_keys;
    let reveals = request.inject.value() == Some(&AiInject::Env);
    !request.api_key.is_keep() || !own.is_empty() || reveals
}
