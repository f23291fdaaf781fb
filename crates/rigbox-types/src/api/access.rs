//! Who may reach what: roles that were given, tags, and profiles of request rates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AccountId, Email, Right, Timestamp,
    access::{PrincipalRef, ResourceRef, Role, ScopeKind, Tags},
    api::change::Change,
};

/// A role that somebody has on a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessBinding {
    /// Who has it.
    pub principal_ref: PrincipalRef,
    /// On what.
    pub resource_ref: ResourceRef,
    /// Which one.
    pub role: Role,
    /// Who gave it; none for the account that the thing belongs to, which is its owner as long as
    /// the thing is there.
    pub created_by_ref: Option<PrincipalRef>,
    /// Since when it is had.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// `GET /access-control/bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BindingsResponse {
    /// The account that the thing belongs to, then the others, oldest first; all of them.
    pub bindings: Vec<AccessBinding>,
}

/// `POST /access-control/bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBindingRequest {
    /// Who gets it.
    pub principal: PrincipalRef,
    /// On what.
    pub resource: ResourceRef,
    /// Which role.
    pub role: Role,
}

/// `DELETE /access-control/bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteBindingRequest {
    /// Who loses it.
    pub principal: PrincipalRef,
    /// On what.
    pub resource: ResourceRef,
    /// The role that they have.
    pub role: Role,
}

/// `PATCH /access-control/bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateBindingRequest {
    /// Whose it is.
    pub principal: PrincipalRef,
    /// On what.
    pub resource: ResourceRef,
    /// The role that they have.
    pub current_role: Role,
    /// The role that they get instead.
    pub new_role: Role,
}

/// The answer to `DELETE /access-control/bindings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteResponse {
    /// Whether there was one.
    pub deleted: bool,
}

/// Somebody who was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalLookupResult {
    /// How bindings refer to them.
    pub principal: PrincipalRef,
    /// Their account.
    pub user_id: AccountId,
    /// Their e-mail address.
    pub email: Email,
    /// For people.
    pub display_name: Option<String>,
}

/// `GET /access-control/principals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalLookupResponse {
    /// By e-mail address.
    pub principals: Vec<PrincipalLookupResult>,
}

/// What a role gives on things of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolePreset {
    /// The role.
    pub role: Role,
    /// The kind of thing.
    pub scope_kind: ScopeKind,
    /// The rights that it gives there; on an account, those to its workspaces too.
    pub permissions: Vec<Right>,
    /// Keys of tags that must have the same value on the thing and on the account that was given
    /// the role, or else the role does not count.
    pub match_tag_keys: Vec<String>,
    /// Tags that the thing must have, or else the role does not count.
    pub required_resource_tags: Tags,
    /// Whether it came with the platform.
    pub system_managed: bool,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// `GET /access-control/role-presets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolePresetsResponse {
    /// By kind of thing, and by what they give, the least first.
    pub presets: Vec<RolePreset>,
}

/// `POST /access-control/simulate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateAccessRequest {
    /// Who would do it; when missing, the caller with the very credential of this request.
    #[serde(default)]
    pub principal: Option<PrincipalRef>,
    /// What would be done: a right such as `workspace_enter`, or an operation such as
    /// `workspace_exec`.
    pub action: String,
    /// With what.
    pub resource: ResourceRef,
}

/// The answer to `POST /access-control/simulate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SimulateAccessResponse {
    /// Who would do it.
    pub principal: PrincipalRef,
    /// What would be done.
    pub action: String,
    /// With what.
    pub resource: ResourceRef,
    /// Whether it would be let through.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: String,
}

/// `GET` and `PUT /access-control/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TagsResponse {
    /// The thing.
    pub resource: ResourceRef,
    /// Its tags.
    pub tags: Tags,
}

/// `PUT /access-control/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTagsRequest {
    /// The thing.
    pub resource: ResourceRef,
    /// All its tags: those that are left out are gone.
    pub tags: Tags,
}

/// A named profile of request rates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottlePreset {
    /// Its name.
    pub name: String,
    /// Requests a minute by class; a class that is missing has the platform's own number.
    pub rules: Value,
    /// Whether it came with the platform.
    pub system_managed: bool,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// `GET /access-control/throttle-presets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottlePresetsResponse {
    /// By name; none for a kind of thing that cannot be throttled.
    pub presets: Vec<ThrottlePreset>,
}

/// `GET` and `PUT /access-control/throttle-binding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottleBindingResponse {
    /// The thing.
    pub resource: ResourceRef,
    /// The profile that it has; none for the platform's own numbers.
    pub profile: Option<String>,
}

/// `PUT /access-control/throttle-binding`: a missing profile stays, `null` clears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateThrottleBindingRequest {
    /// The account.
    pub resource: ResourceRef,
    /// The name of a preset.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub profile: Change<String>,
}
