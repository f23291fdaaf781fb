//! Handlers of API keys: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use rigbox_store::api_keys::ApiKeyRow;
use rigbox_types::{
    ApiKeyId,
    api::{
        api_keys::{ApiKey, ApiKeySecretResponse, ApiKeysResponse, CreateApiKeyRequest},
        workspaces::MessageResponse,
    },
};

use super::app;
use crate::{
    control::Control,
    error::ApiResult,
    http::{
        access::{Access, ForAccount, Id},
        body::Document,
        made::Made,
        page::page_request,
    },
};

/// Lists.
pub(crate) async fn api_key_list(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<ApiKeysResponse>> {
    let account = *about.account.target();
    let page = control.store.api_keys().list(account, &page_request(&about.params)).await?;
    let api_keys = page.items.into_iter().map(view).collect();
    Ok(Json(ApiKeysResponse { api_keys, next_cursor: page.next_cursor }))
}

/// Makes one.
pub(crate) async fn api_key_create(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    about: ForAccount,
    Document(request): Document<CreateApiKeyRequest>,
) -> ApiResult<Made<ApiKeySecretResponse>> {
    let who = access.principal()?;
    let made = app::api_key_create(&control, &about.account, who, request).await?;
    tracing::info!(api_key = %made.id, scopes = %made.scopes, "API key made");
    Ok(Made::at("/api-keys", made.id, made))
}

/// Gives one another secret.
pub(crate) async fn api_key_rotate(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<ApiKeyId>,
) -> ApiResult<Json<ApiKeySecretResponse>> {
    let rotated = app::api_key_rotate(&control, &about.account, id).await?;
    tracing::info!(api_key = %id, "API key rotated");
    Ok(Json(rotated))
}

/// Deletes.
pub(crate) async fn api_key_delete(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Id(id): Id<ApiKeyId>,
) -> ApiResult<Json<MessageResponse>> {
    let warning = app::api_key_delete(&control, &about.account, id).await?;
    tracing::info!(api_key = %id, "API key deleted");
    let message = match warning {
        None => "API key deleted".to_owned(),
        Some(warning) => format!("API key deleted; {warning}"),
    };
    Ok(Json(MessageResponse { message }))
}

fn view(row: ApiKeyRow) -> ApiKey {
    ApiKey {
        id: row.id,
        name: row.name,
        key_preview: row.prefix,
        is_workspace_key: row.scopes.is_of_workspaces(),
        scopes: row.scopes,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    }
}
