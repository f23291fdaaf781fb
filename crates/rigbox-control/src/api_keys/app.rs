//! Making, changing and ending API keys.
//! Invariant: once one of these has answered, no request of this process believes the old secret;
//! other processes are told by the store's feed.

use rigbox_store::{Adding, StoreError, api_keys::NewApiKey};
use rigbox_types::{
    AccountId, ApiKeyId, AppId, Authorised, Credential, KeyScope, KeyScopes, Principal, Right,
    Timestamp, WorkspaceId,
    api::{
        api_keys::{ApiKeySecretResponse, CreateApiKeyRequest},
        error::ErrorCode,
    },
    authz::authorise,
    limits::API_KEYS_MAX_COUNT,
};
use secrecy::ExposeSecret as _;

use crate::{
    access_control::{of_app, of_workspace},
    authn::ApiKey,
    control::Control,
    error::{ApiError, ApiResult},
    source::random,
    validate::text::check_title,
};

/// Makes a key for the account.
pub(super) async fn api_key_create(
    control: &Control,
    account: &Authorised<AccountId>,
    who: &Principal,
    request: CreateApiKeyRequest,
) -> ApiResult<ApiKeySecretResponse> {
    if let Some(name) = &request.name {
        check_title("name", name)?;
    }
    if request.expires_at.is_some_and(|end| end <= control.store.now()) {
        return Err(ApiError::field("expires_at", "must be in the future"));
    }
    let scopes = request.scopes.unwrap_or_else(KeyScopes::full);
    check_scopes(control, who, &scopes).await?;
    let key = ApiKey::new().map_err(ApiError::internal)?;
    let new = NewApiKey {
        id: ApiKeyId::from_random(random().map_err(ApiError::internal)?),
        account: *account.target(),
        prefix: key.prefix().to_owned(),
        hash: control.authn.hash(&key, &scopes),
        name: request.name,
        expires_at: request.expires_at,
        scopes,
    };
    control.store.api_keys().insert(&new, Adding::at_most(API_KEYS_MAX_COUNT)).await?;
    Ok(answer(new.id, &key, new.scopes, new.expires_at))
}

/// Gives a key another secret.
pub(super) async fn api_key_rotate(
    control: &Control,
    account: &Authorised<AccountId>,
    id: ApiKeyId,
) -> ApiResult<ApiKeySecretResponse> {
    let (keys, account) = (control.store.api_keys(), *account.target());
    let row = keys.get(account, id).await?;
    if row.expires_at.is_some_and(|end| end <= control.store.now()) {
        let text = "this API key has ended, and another secret would not open anything";
        return Err(ApiError::new(ErrorCode::InvalidState, text));
    }
    let key = ApiKey::new().map_err(ApiError::internal)?;
    let hash = control.authn.hash(&key, &row.scopes);
    let rotated = keys.rotate(account, id, (key.prefix(), &hash)).await;
    // Also where it is not known whether it came to be.
    control.ended(Credential::Key(id)).await;
    rotated?;
    Ok(answer(id, &key, row.scopes, row.expires_at))
}

/// Ends a key. Gives what an edge that did not confirm it may still do.
pub(super) async fn api_key_delete(
    control: &Control,
    account: &Authorised<AccountId>,
    id: ApiKeyId,
) -> ApiResult<Option<String>> {
    let deleted = control.store.api_keys().delete(*account.target(), id).await;
    let warning = control.ended(Credential::Key(id)).await;
    deleted?;
    Ok(warning)
}

/// Refuses a key for a workspace or an app that the caller could not see: it would open nothing, and
/// most likely the id was mistyped. What may not be seen is like what is not there.
async fn check_scopes(control: &Control, who: &Principal, scopes: &KeyScopes) -> ApiResult<()> {
    for scope in scopes.iter() {
        let (seen, missing) = match scope {
            KeyScope::Full | KeyScope::Read => continue,
            KeyScope::Workspace(id) => {
                (sees_workspace(control, who, id).await, format!("there is no workspace {id}"))
            }
            KeyScope::App(id) => {
                (sees_app(control, who, id).await, format!("there is no app {id}"))
            }
        };
        match seen {
            Ok(true) => {}
            Ok(false) | Err(StoreError::NotFound { .. }) => {
                return Err(ApiError::field("scopes", missing));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn sees_workspace(
    control: &Control,
    who: &Principal,
    id: &WorkspaceId,
) -> Result<bool, StoreError> {
    let row = control.store.workspaces().get(id).await?;
    let facts = of_workspace(&control.store, who, &row).await?;
    Ok(authorise(who, Right::WorkspaceRead, &facts, ()).is_ok())
}

async fn sees_app(control: &Control, who: &Principal, id: &AppId) -> Result<bool, StoreError> {
    let row = control.store.apps().get(id).await?;
    let facts = of_app(&control.store, who, &row).await?;
    Ok(authorise(who, Right::AppRead, &facts, ()).is_ok())
}

fn answer(
    id: ApiKeyId,
    key: &ApiKey,
    scopes: KeyScopes,
    expires_at: Option<Timestamp>,
) -> ApiKeySecretResponse {
    ApiKeySecretResponse { id, key: key.text().expose_secret().to_owned(), scopes, expires_at }
}
