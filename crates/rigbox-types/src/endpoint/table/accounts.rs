//! The rows of accounts: keys, sessions, plans, who may reach what; and what is nobody's.

use super::super::{
    Endpoint, Operation as Op, Payload, RateClass,
    query::{OF_RESOURCE, PAGE, PRINCIPALS, ROLE_PRESETS, STATEMENT},
    schema_of,
};
use crate::{
    Right,
    api::{
        access::{
            AccessBinding, BindingsResponse, CreateBindingRequest, DeleteBindingRequest,
            DeleteResponse, PrincipalLookupResponse, RolePresetsResponse, SimulateAccessRequest,
            SimulateAccessResponse, TagsResponse, ThrottleBindingResponse, ThrottlePresetsResponse,
            UpdateBindingRequest, UpdateTagsRequest, UpdateThrottleBindingRequest,
        },
        accounts::{
            CapacityResponse, FeatureFlagsResponse, GetDashboardResponse, GetUserLimitsResponse,
            GetUserSettingsResponse, ListRegionsResponse, UpdateUserSettingsRequest,
        },
        api_keys::{ApiKeySecretResponse, ApiKeysResponse, CreateApiKeyRequest},
        audit::AuditResponse,
        credits::{
            AiCredits, ChangeCreditsRequest, ChangeCreditsResponse, CreditStatementResponse,
        },
        device::{DeviceSessionResponse, DeviceStatusResponse},
        error::ErrorCode::{self, Conflict, InvalidState, NotFound},
        sessions::{CreateSessionRequest, ListSessionsResponse, SessionTokenResponse},
        templates::TemplatesResponse,
        users::{
            CreatePlanRequest, CreateUserKeyRequest, CreateUserRequest, CreateUserResponse,
            GetAccountResponse, GetUserResponse, ListPlansResponse, ListUsersResponse,
            PlanResponse, SignInLinkResponse, UpdatePlanRequest, UpdateUserPasswordRequest,
            UpdateUserRequest,
        },
        workspaces::MessageResponse,
    },
};

const MISSING: &[ErrorCode] = &[NotFound];

/// See the module.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::get(Op::ApiKeyList, "/api/v1/api-keys", Right::AccountRead)
        .query(PAGE)
        .rate(RateClass::Authentication)
        .answers::<ApiKeysResponse>(200),
    Endpoint::post(Op::ApiKeyCreate, "/api/v1/api-keys", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .takes::<CreateApiKeyRequest>()
        .answers::<ApiKeySecretResponse>(201)
        .errors(&[ErrorCode::QuotaExceeded])
        .never_replayed(),
    Endpoint::post(Op::ApiKeyRotate, "/api/v1/api-keys/{id}/rotate", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .answers::<ApiKeySecretResponse>(200)
        .errors(&[NotFound, InvalidState])
        .never_replayed(),
    Endpoint::delete(Op::ApiKeyDelete, "/api/v1/api-keys/{id}", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    Endpoint::post(Op::SessionCreate, "/api/v1/auth/session", Right::Public)
        .rate(RateClass::Open)
        .takes::<CreateSessionRequest>()
        .answers::<SessionTokenResponse>(201)
        .errors(&[ErrorCode::Unauthenticated])
        .never_replayed(),
    Endpoint::post(Op::DeviceSessionCreate, "/api/v1/auth/cli/session", Right::Public)
        .rate(RateClass::Open)
        .answers::<DeviceSessionResponse>(200)
        .never_replayed(),
    Endpoint::get(Op::DeviceSessionShow, "/api/v1/auth/cli/session/{code}", Right::Public)
        .rate(RateClass::Open)
        .answers::<DeviceStatusResponse>(200)
        .errors(&[NotFound, ErrorCode::QuotaExceeded]),
    Endpoint::delete(Op::SessionEnd, "/api/v1/auth/session", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(&[InvalidState]),
    Endpoint::get(Op::SessionList, "/api/v1/auth/sessions", Right::AccountRead)
        .rate(RateClass::Authentication)
        .answers::<ListSessionsResponse>(200),
    Endpoint::delete(Op::SessionDelete, "/api/v1/auth/sessions/{id}", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    Endpoint::get(Op::AuditList, "/api/v1/audit", Right::AccountRead)
        .query(PAGE)
        .answers::<AuditResponse>(200),
    Endpoint::get(Op::TemplateList, "/api/v1/templates", Right::Public)
        .rate(RateClass::Open)
        .answers::<TemplatesResponse>(200),
    Endpoint::get(Op::CapacityShow, "/api/v1/capacity", Right::Public)
        .rate(RateClass::Open)
        .answers::<CapacityResponse>(200),
    Endpoint::get(Op::AccountShow, "/api/v1/users/me", Right::AccountRead)
        .answers::<GetAccountResponse>(200),
    Endpoint::get(Op::AccountLimitsShow, "/api/v1/users/me/limits", Right::AccountRead)
        .answers::<GetUserLimitsResponse>(200),
    Endpoint::get(Op::AccountCreditsShow, "/api/v1/users/me/credits", Right::AccountRead)
        .answers::<AiCredits>(200),
    Endpoint::get(
        Op::AccountStatementShow,
        "/api/v1/users/me/credits/statement",
        Right::AccountRead,
    )
    .query(STATEMENT)
    .streams(Payload::JsonOrCsv(schema_of::<CreditStatementResponse>)),
    Endpoint::get(Op::AccountSettingsShow, "/api/v1/users/me/settings", Right::AccountRead)
        .answers::<GetUserSettingsResponse>(200),
    Endpoint::put(Op::AccountSettingsUpdate, "/api/v1/users/me/settings", Right::AccountWrite)
        .takes::<UpdateUserSettingsRequest>()
        .answers::<GetUserSettingsResponse>(200),
    Endpoint::get(Op::UserList, "/api/v1/users", Right::Administer)
        .query(PAGE)
        .rate(RateClass::Authentication)
        .answers::<ListUsersResponse>(200)
        .errors(&[ErrorCode::Forbidden]),
    // The answer may have a key in it, so it is never kept; an address is taken once anyway.
    Endpoint::post(Op::UserCreate, "/api/v1/users", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<CreateUserRequest>()
        .answers::<CreateUserResponse>(201)
        .errors(&[Conflict, ErrorCode::Forbidden])
        .never_replayed(),
    Endpoint::get(Op::UserShow, "/api/v1/users/{id}", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<GetUserResponse>(200)
        .errors(&[NotFound, ErrorCode::Forbidden]),
    Endpoint::patch(Op::UserUpdate, "/api/v1/users/{id}", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<UpdateUserRequest>()
        .answers::<GetUserResponse>(200)
        .errors(&[NotFound, ErrorCode::Forbidden]),
    Endpoint::post(Op::UserKeyCreate, "/api/v1/users/{id}/api-keys", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<CreateUserKeyRequest>()
        .answers::<ApiKeySecretResponse>(201)
        .errors(&[NotFound, ErrorCode::QuotaExceeded])
        .never_replayed(),
    Endpoint::post(Op::UserLinkCreate, "/api/v1/users/{id}/sign-in-link", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<SignInLinkResponse>(201)
        .errors(MISSING)
        .never_replayed(),
    // Nothing of the answer depends on how often it is done, and what is sent is kept nowhere.
    Endpoint::put(Op::UserPasswordUpdate, "/api/v1/users/{id}/password", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<UpdateUserPasswordRequest>()
        .answers::<MessageResponse>(200)
        .errors(&[NotFound, Conflict, InvalidState, ErrorCode::Forbidden]),
    Endpoint::get(Op::UserCreditsShow, "/api/v1/users/{id}/credits", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<AiCredits>(200)
        .errors(&[NotFound, ErrorCode::Forbidden]),
    Endpoint::post(Op::UserCreditsChange, "/api/v1/users/{id}/credits", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<ChangeCreditsRequest>()
        .answers::<ChangeCreditsResponse>(200)
        .errors(&[NotFound, Conflict, ErrorCode::Forbidden, ErrorCode::CreditsExhausted]),
    Endpoint::get(Op::UserStatementShow, "/api/v1/users/{id}/credits/statement", Right::Administer)
        .query(STATEMENT)
        .rate(RateClass::Authentication)
        .streams(Payload::JsonOrCsv(schema_of::<CreditStatementResponse>))
        .errors(&[NotFound, ErrorCode::Forbidden]),
    Endpoint::delete(Op::UserFactorDelete, "/api/v1/users/{id}/second-factor", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    Endpoint::get(Op::PlanList, "/api/v1/plans", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<ListPlansResponse>(200)
        .errors(&[ErrorCode::Forbidden]),
    Endpoint::post(Op::PlanCreate, "/api/v1/plans", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<CreatePlanRequest>()
        .answers::<PlanResponse>(201)
        .errors(&[Conflict, ErrorCode::Forbidden]),
    Endpoint::patch(Op::PlanUpdate, "/api/v1/plans/{name}", Right::Administer)
        .rate(RateClass::Authentication)
        .takes::<UpdatePlanRequest>()
        .answers::<PlanResponse>(200)
        .errors(&[NotFound, Conflict, ErrorCode::Forbidden]),
    Endpoint::delete(Op::PlanDelete, "/api/v1/plans/{name}", Right::Administer)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(&[NotFound, Conflict, ErrorCode::Forbidden]),
    Endpoint::get(Op::AccountRegionsList, "/api/v1/users/me/regions", Right::AccountRead)
        .answers::<ListRegionsResponse>(200),
    Endpoint::get(Op::FeatureFlagsShow, "/api/v1/feature-flags", Right::AccountRead)
        .answers::<FeatureFlagsResponse>(200),
    Endpoint::get(Op::DashboardShow, "/api/v1/dashboard", Right::AccountRead)
        .answers::<GetDashboardResponse>(200),
    Endpoint::get(Op::AccessBindingList, "/api/v1/access-control/bindings", Right::AccessRead)
        .query(OF_RESOURCE)
        .rate(RateClass::Authentication)
        .answers::<BindingsResponse>(200)
        .errors(MISSING),
    Endpoint::post(Op::AccessBindingCreate, "/api/v1/access-control/bindings", Right::AccessWrite)
        .rate(RateClass::Authentication)
        .takes::<CreateBindingRequest>()
        .answers::<AccessBinding>(200)
        .errors(&[NotFound, ErrorCode::QuotaExceeded]),
    Endpoint::delete(
        Op::AccessBindingDelete,
        "/api/v1/access-control/bindings",
        Right::AccessWrite,
    )
    .rate(RateClass::Authentication)
    .takes::<DeleteBindingRequest>()
    .answers::<DeleteResponse>(200)
    .errors(MISSING),
    Endpoint::patch(Op::AccessBindingUpdate, "/api/v1/access-control/bindings", Right::AccessWrite)
        .rate(RateClass::Authentication)
        .takes::<UpdateBindingRequest>()
        .answers::<AccessBinding>(200)
        .errors(MISSING),
    Endpoint::get(Op::AccessPrincipalList, "/api/v1/access-control/principals", Right::AccessWrite)
        .query(PRINCIPALS)
        .rate(RateClass::Authentication)
        .answers::<PrincipalLookupResponse>(200)
        .errors(MISSING),
    Endpoint::get(
        Op::AccessRolePresetList,
        "/api/v1/access-control/role-presets",
        Right::AccountRead,
    )
    .query(ROLE_PRESETS)
    .answers::<RolePresetsResponse>(200),
    // Nothing changes, and what was true a while ago is no answer.
    Endpoint::post(Op::AccessSimulate, "/api/v1/access-control/simulate", Right::AccessRead)
        .takes::<SimulateAccessRequest>()
        .answers::<SimulateAccessResponse>(200)
        .errors(MISSING)
        .never_replayed(),
    Endpoint::get(Op::AccessTagsShow, "/api/v1/access-control/tags", Right::AccessRead)
        .query(OF_RESOURCE)
        .answers::<TagsResponse>(200)
        .errors(MISSING),
    Endpoint::put(Op::AccessTagsUpdate, "/api/v1/access-control/tags", Right::AccessWrite)
        .takes::<UpdateTagsRequest>()
        .answers::<TagsResponse>(200)
        .errors(MISSING),
    Endpoint::get(
        Op::AccessThrottleBindingShow,
        "/api/v1/access-control/throttle-binding",
        Right::AccessRead,
    )
    .query(OF_RESOURCE)
    .answers::<ThrottleBindingResponse>(200)
    .errors(MISSING),
    Endpoint::put(
        Op::AccessThrottleBindingUpdate,
        "/api/v1/access-control/throttle-binding",
        Right::Administer,
    )
    .rate(RateClass::Authentication)
    .takes::<UpdateThrottleBindingRequest>()
    .answers::<ThrottleBindingResponse>(200)
    .errors(MISSING),
    Endpoint::get(
        Op::AccessThrottlePresetList,
        "/api/v1/access-control/throttle-presets",
        Right::AccessRead,
    )
    .query(OF_RESOURCE)
    .answers::<ThrottlePresetsResponse>(200)
    .errors(MISSING),
    Endpoint::get(Op::CaShow, "/api/v1/ca", Right::Public)
        .rate(RateClass::Open)
        .streams(Payload::Pem)
        .errors(MISSING),
    Endpoint::get(Op::OpenapiShow, "/api/v1/openapi.json", Right::Public)
        .rate(RateClass::Open)
        .streams(Payload::AnyJson),
];
