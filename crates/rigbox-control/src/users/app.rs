//! Makes and changes accounts.
//! Invariant: the operator's account is never disabled, because nobody could enable it again.

use rigbox_store::{
    Adding, StoreError,
    accounts::{AccountRow, Preferences, Profile},
    workspaces::ChangeError,
};
use rigbox_types::{
    AccountId, PlanName, Quotas,
    api::{
        api_keys::ApiKeySecretResponse,
        change::Change,
        users::{CreateUserKeyRequest, CreateUserRequest, UpdateUserRequest},
    },
    authz::Standing,
    limits::API_KEYS_MAX_COUNT,
};
use secrecy::ExposeSecret as _;

use super::plans::check_numbers;
use crate::{
    authn::ApiKey,
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    source::{now, random},
    validate::text::check_title,
};

/// The plan of an account whose maker does not say.
pub(super) const FIRST_PLAN: &str = "free";
/// The plan of whoever installed the platform.
pub(super) const OPERATOR_PLAN: &str = "operator";
/// The name of an account's first key.
const FIRST_KEY: &str = "first";
/// The name of a key that the operator has given later.
const GIVEN_KEY: &str = "given";

/// Makes an account, with a first key where one is asked for.
pub(super) async fn user_create(
    control: &Control,
    request: CreateUserRequest,
) -> ApiResult<(AccountRow, Option<ApiKey>)> {
    check_name(request.display_name.as_deref())?;
    let id = AccountId::from_random(random().map_err(ApiError::internal)?);
    let profile = Profile {
        email: Some(request.email),
        display_name: request.display_name,
        plan: request.plan.unwrap_or_else(|| first_plan(Standing::User)),
        overrides: Quotas::default(),
        disabled_at: None,
        preferences: Preferences::default(),
    };
    let key = match request.api_key {
        true => Some(control.authn.new_key(id, FIRST_KEY)?),
        false => None,
    };
    let row = key.as_ref().map(|(_, row)| row);
    let made = control.store.accounts().insert_user(id, &profile, row).await;
    Ok((made.map_err(explain)?, key.map(|(key, _)| key)))
}

/// Makes a key for an account that is there already.
pub(super) async fn user_key_create(
    control: &Control,
    id: AccountId,
    request: CreateUserKeyRequest,
) -> ApiResult<ApiKeySecretResponse> {
    let keys = control.store.api_keys();
    // Before anything is made: a row of nobody is refused by the database as well, in other words.
    control.store.accounts().get(id).await?;
    let (key, row) = control.authn.new_key(id, GIVEN_KEY)?;
    if request.end_others {
        keys.insert_alone(&row).await?;
        control.ended_of(id).await;
    } else {
        keys.insert(&row, Adding::at_most(API_KEYS_MAX_COUNT)).await?;
    }
    let text = key.text().expose_secret().to_owned();
    Ok(ApiKeySecretResponse { id: row.id, key: text, scopes: row.scopes, expires_at: None })
}

/// Changes an account; from the answer on what it adds is counted against its new numbers.
pub(super) async fn user_update(
    control: &Control,
    id: AccountId,
    request: UpdateUserRequest,
) -> ApiResult<AccountRow> {
    check_name(request.display_name.value().map(String::as_str))?;
    request.overrides.value().map_or(Ok(()), |own| check_numbers("overrides", own))?;
    let edit = move |row: &AccountRow, profile: &mut Profile| apply(request, row, profile);
    let row = control.store.accounts().change(id, edit).await.map_err(|error| match error {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Store(error) => explain(error),
    })?;
    if row.profile.disabled_at.is_some() {
        control.ended_of(id).await;
    }
    Ok(row)
}

fn apply(request: UpdateUserRequest, row: &AccountRow, profile: &mut Profile) -> ApiResult<()> {
    profile.display_name = request.display_name.or_keep_optional(profile.display_name.take());
    match request.plan {
        Change::Keep => {}
        Change::Clear => profile.plan = first_plan(row.standing),
        Change::Set(plan) => profile.plan = plan,
    }
    match request.overrides {
        Change::Keep => {}
        Change::Clear => profile.overrides = Quotas::default(),
        Change::Set(changes) => profile.overrides = profile.overrides.changed(changes),
    }
    match request.disabled {
        Change::Keep => {}
        Change::Clear | Change::Set(false) => profile.disabled_at = None,
        Change::Set(true) if row.standing == Standing::Operator => {
            let rule = "the operator's account cannot be disabled: nobody could enable it again";
            return Err(ApiError::field("disabled", rule));
        }
        // A repeat keeps the time of the first one.
        Change::Set(true) => profile.disabled_at = profile.disabled_at.or_else(|| Some(now())),
    }
    Ok(())
}

fn first_plan(standing: Standing) -> PlanName {
    let name = match standing {
        Standing::Operator => OPERATOR_PLAN,
        Standing::User => FIRST_PLAN,
    };
    name.parse().expect("the names above are labels")
}

fn check_name(name: Option<&str>) -> Result<(), Invalid> {
    name.map_or(Ok(()), |name| check_title("display_name", name))
}

/// A plan that does not exist is a mistake of the document, not of the path.
fn explain(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { what: "plan", .. } => {
            ApiError::field("plan", "there is no such plan: see GET /plans")
        }
        other => other.into(),
    }
}
