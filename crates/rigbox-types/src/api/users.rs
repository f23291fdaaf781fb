//! Accounts as the operator manages them, and the plans there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Email, KeyScopes, PlanName, QuotaChanges, Quotas, Timestamp,
    api::{accounts::GetUserLimitsResponse, change::Change},
    authz::Standing,
    secret::debug_shows,
    text::Title,
};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Its id.
    pub id: AccountId,
    /// The e-mail address; none for the operator's account until it has one.
    pub email: Option<Email>,
    /// For people.
    pub display_name: Option<String>,
    /// What it may do on the platform.
    pub standing: Standing,
    /// Its plan.
    pub plan: PlanName,
    /// Its own numbers; the plan's where there is none.
    pub overrides: Quotas,
    /// Since when its credentials are refused; none while they are not.
    pub disabled_at: Option<Timestamp>,
    /// Whether it has a password to sign in with.
    pub has_password: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// `POST /users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserRequest {
    /// The e-mail address, of no other account.
    pub email: Email,
    /// For people.
    #[serde(default)]
    #[schemars(with = "Option<Title>")]
    pub display_name: Option<String>,
    /// The plan; `free` when missing.
    #[serde(default)]
    pub plan: Option<PlanName>,
    /// Whether to make a first API key, too, and to show it this once.
    #[serde(default)]
    pub api_key: bool,
}

/// The answer to `POST /users`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateUserResponse {
    /// The account.
    pub user: User,
    /// Its first API key, where one was asked for. It is kept nowhere and cannot be shown again.
    pub api_key: Option<String>,
}

debug_shows!(CreateUserResponse: user);

/// `GET /users/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetUserResponse {
    /// The account.
    pub user: User,
    /// What it may use and does use.
    pub limits: GetUserLimitsResponse,
    /// Who it is to sign-in providers, oldest first.
    pub identities: Vec<UserIdentity>,
}

/// Who an account is to a sign-in provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserIdentity {
    /// The provider's name in the configuration, when it was last signed in with.
    pub provider: String,
    /// The provider's address.
    pub issuer: String,
    /// The provider's own name for the person, which never changes.
    pub subject: String,
    /// The address that the provider said last; nothing is found by it.
    pub email: Option<Email>,
    /// Since when it is the account's.
    pub created_at: Timestamp,
    /// When it was last signed in with.
    pub last_used_at: Timestamp,
}

/// `GET /users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListUsersResponse {
    /// Newest first.
    pub users: Vec<User>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// `PATCH /users/{id}`: a missing field keeps its value, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUserRequest {
    /// New name for people.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Title>")]
    pub display_name: Change<String>,
    /// Another plan; `null` gives the one that the account had at first.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub plan: Change<PlanName>,
    /// Own numbers; `null` gives all of the plan's back.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub overrides: Change<QuotaChanges>,
    /// Whether the account's credentials are refused.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub disabled: Change<bool>,
}

/// `POST /users/{id}/api-keys`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateUserKeyRequest {
    /// Whether all other keys of the account end at once; in others' hands, they could make more.
    pub end_others: bool,
}

/// `POST /users/{id}/sign-in-link`: the only answer with the link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignInLinkResponse {
    /// Where whoever has the account sets a password. Works once.
    pub url: String,
    /// From when on it does not work any more.
    pub expires_at: Timestamp,
}

debug_shows!(SignInLinkResponse: expires_at);

/// `PUT /users/{id}/password`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUserPasswordRequest {
    /// The new password, by the rules of the page where people choose one.
    pub password: String,
}

debug_shows!(UpdateUserPasswordRequest:);

/// `GET /users/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAccountResponse {
    /// The caller's account.
    pub user: User,
    /// What the caller is known by.
    pub credential: CredentialView,
}

/// What a caller is known by, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialView {
    /// Its kind.
    pub kind: CredentialKind,
    /// The id of the API key or session.
    pub id: String,
    /// What it is narrowed to.
    pub scopes: KeyScopes,
}

/// Kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// An API key.
    ApiKey,
    /// A session of somebody who signed in.
    Session,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// What an account may use; no number is no limit but the machines'.
    pub limits: Quotas,
}

/// `GET /plans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListPlansResponse {
    /// By name.
    pub plans: Vec<Plan>,
}

/// `POST /plans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlanRequest {
    /// Its name.
    pub name: PlanName,
    /// Its numbers; one that is missing is no limit but the machines'.
    #[serde(default)]
    pub limits: QuotaChanges,
}

/// `PATCH /plans/{name}`: a missing number keeps its value, `null` takes the limit away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePlanRequest {
    /// The numbers to change.
    #[serde(default)]
    pub limits: QuotaChanges,
}

/// `POST /plans` and `PATCH /plans/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanResponse {
    /// The plan as it is now.
    pub plan: Plan,
}
