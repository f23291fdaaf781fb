//! Handlers of accounts: parse, authorise, call, convert. All of them take the proof that the caller
//! is the operator before an id is looked at, so that nobody else learns which accounts there are.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::StatusCode;
use rigbox_store::{
    accounts::AccountRow,
    identities::{Identity, IdentityRow},
};
use rigbox_types::{
    AccountId, Credential, Principal,
    api::{
        api_keys::ApiKeySecretResponse,
        users::{
            CreateUserKeyRequest, CreateUserRequest, CreateUserResponse, CredentialKind,
            CredentialView, GetAccountResponse, GetUserResponse, ListUsersResponse,
            SignInLinkResponse, UpdateUserPasswordRequest, UpdateUserRequest, User, UserIdentity,
        },
        workspaces::MessageResponse,
    },
};
use secrecy::ExposeSecret as _;

use super::app;
use crate::{
    account::limits_of,
    control::Control,
    error::{ApiError, ApiResult},
    http::{
        access::{Access, ForAccount, ForPlatform, Id},
        body::Document,
        made::Made,
        page::page_request,
    },
    identity::{change, links},
};

/// Lists.
pub(crate) async fn user_list(
    State(control): State<Arc<Control>>,
    about: ForPlatform,
) -> ApiResult<Json<ListUsersResponse>> {
    let page = control.store.accounts().list(&page_request(&about.params)).await?;
    let users = page.items.into_iter().map(view).collect();
    Ok(Json(ListUsersResponse { users, next_cursor: page.next_cursor }))
}

/// Makes.
pub(crate) async fn user_create(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Document(request): Document<CreateUserRequest>,
) -> ApiResult<Made<CreateUserResponse>> {
    let (row, key) = app::user_create(&control, request).await?;
    tracing::info!(account = %row.id, plan = %row.profile.plan, "account made");
    let api_key = key.map(|key| key.text().expose_secret().to_owned());
    Ok(Made::at("/users", row.id, CreateUserResponse { user: view(row), api_key }))
}

/// Shows.
pub(crate) async fn user_show(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
) -> ApiResult<Json<GetUserResponse>> {
    answer(&control, control.store.accounts().get(id).await?).await
}

/// Changes.
pub(crate) async fn user_update(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
    Document(request): Document<UpdateUserRequest>,
) -> ApiResult<Json<GetUserResponse>> {
    let row = app::user_update(&control, id, request).await?;
    let disabled = row.profile.disabled_at.is_some();
    tracing::info!(account = %row.id, plan = %row.profile.plan, disabled, "account changed");
    answer(&control, row).await
}

/// Makes a key for somebody.
pub(crate) async fn user_key_create(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
    Document(request): Document<CreateUserKeyRequest>,
) -> ApiResult<Made<ApiKeySecretResponse>> {
    let made = app::user_key_create(&control, id, request).await?;
    tracing::info!(account = %id, key = %made.id, "key made for an account");
    Ok(Made::at("/api-keys", made.id, made))
}

/// Makes a link for somebody to set a password by.
pub(crate) async fn user_link_create(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
) -> ApiResult<(StatusCode, Json<SignInLinkResponse>)> {
    let made = links::make(&control, id).await?;
    tracing::info!(account = %id, "sign-in link made");
    Ok((StatusCode::CREATED, Json(made)))
}

/// Sets somebody's password.
pub(crate) async fn user_password_update(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
    Document(request): Document<UpdateUserPasswordRequest>,
) -> ApiResult<Json<MessageResponse>> {
    change::password_set(&control, id, request.password.into()).await?;
    tracing::info!(account = %id, "password set by the operator");
    Ok(Json(MessageResponse { message: "password set".to_owned() }))
}

/// Takes somebody's second factor away.
pub(crate) async fn user_factor_delete(
    State(control): State<Arc<Control>>,
    _: ForPlatform,
    Id(id): Id<AccountId>,
) -> ApiResult<Json<MessageResponse>> {
    // Whoever it is for must be there; whether they had one matters to nobody.
    control.store.accounts().get(id).await?;
    control.store.second_factors().delete(id).await?;
    tracing::info!(account = %id, "second factor taken away");
    Ok(Json(MessageResponse { message: "second factor taken away".to_owned() }))
}

/// Shows the caller to itself.
pub(crate) async fn account_show(
    State(control): State<Arc<Control>>,
    Extension(access): Extension<Access>,
    about: ForAccount,
) -> ApiResult<Json<GetAccountResponse>> {
    let row = control.store.accounts().get(*about.account.target()).await?;
    let Principal::Key { credential, scopes, .. } = access.principal()? else {
        return Err(ApiError::not_found("account"));
    };
    let (kind, id) = match credential {
        Credential::Key(id) => (CredentialKind::ApiKey, id.to_string()),
        Credential::Session(id) => (CredentialKind::Session, id.to_string()),
        // It opens workspaces, and nothing here.
        Credential::SshKey(_) => return Err(ApiError::not_found("account")),
    };
    let credential = CredentialView { kind, id, scopes: scopes.clone() };
    Ok(Json(GetAccountResponse { user: view(row), credential }))
}

async fn answer(control: &Control, row: AccountRow) -> ApiResult<Json<GetUserResponse>> {
    let limits = limits_of(control, &row).await?;
    let identities = control.store.identities().list(row.id).await?;
    let identities = identities.into_iter().map(identity).collect();
    Ok(Json(GetUserResponse { user: view(row), limits, identities }))
}

fn identity(row: IdentityRow) -> UserIdentity {
    let Identity { issuer, subject, provider, email } = row.identity;
    let (created_at, last_used_at) = (row.created_at, row.last_used_at);
    UserIdentity { provider, issuer, subject, email, created_at, last_used_at }
}

fn view(row: AccountRow) -> User {
    User {
        id: row.id,
        email: row.profile.email,
        display_name: row.profile.display_name,
        standing: row.standing,
        plan: row.profile.plan,
        overrides: row.profile.overrides,
        disabled_at: row.profile.disabled_at,
        has_password: row.has_password,
        created_at: row.created_at,
    }
}
