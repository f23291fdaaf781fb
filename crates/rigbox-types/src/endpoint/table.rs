//! The rows.

use super::{
    Endpoint, Operation as Op, Payload, RateClass,
    query::{
        FILE, FILE_DELETE, FILE_WRITE, FORCE, IN_ACCOUNT, LOG_STREAM, LOGS, OF_RESOURCE, PAGE,
        PRINCIPALS, RANGE, ROLE_PRESETS, SERVICE_LOGS, TERMINAL, WORKSPACES,
    },
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
        device::{DeviceSessionResponse, DeviceStatusResponse},
        error::ErrorCode::{self, CapacityExhausted, Conflict, InvalidState, NotFound, TooLarge},
        events::WorkspaceEvent,
        jobs::JobStatusResponse,
        metrics::{
            WorkspaceMetrics, WorkspaceMetricsSeriesResponse, WorkspaceMetricsSummaryResponse,
        },
        service_specs::{
            CreateServiceSpecRequest, ServiceSpecResponse, ServiceSpecsListResponse,
            UpdateServiceSpecRequest,
        },
        services::{WorkspaceService, WorkspaceServicesResponse},
        sessions::{CreateSessionRequest, ListSessionsResponse, SessionTokenResponse},
        setup_scripts::{
            CreateSetupScriptRequest, SetupScriptResponse, SetupScriptsListResponse,
            UpdateSetupScriptRequest,
        },
        ssh_keys::{
            AddSshKeyRequest, ListWorkspaceSshKeysResponse, SshKey, SshKeysResponse,
            SyncSshKeysResponse,
        },
        templates::TemplatesResponse,
        terminal::TerminalTokenResponse,
        users::{
            CreatePlanRequest, CreateUserKeyRequest, CreateUserRequest, CreateUserResponse,
            GetAccountResponse, GetUserResponse, ListPlansResponse, ListUsersResponse,
            PlanResponse, SignInLinkResponse, UpdatePlanRequest, UpdateUserRequest,
        },
        workspaces::{
            CreateWorkspaceRequest, GetWorkspaceResponse, ListWorkspacesResponse, MessageResponse,
            ResizeWorkspaceRequest, ResizeWorkspaceResponse, UpdateWorkspaceEnvRequest,
        },
    },
    guest::{
        ExecEvent, ExecRequest, ExecResult, FileListResponse, FilePutResponse,
        GetWorkspaceLogsResponse, ListListeningPortsResponse, LogLine,
    },
};

const MISSING: &[ErrorCode] = &[NotFound];
const MISSING_OR_STATE: &[ErrorCode] = &[NotFound, InvalidState, ErrorCode::Unavailable];
const BOOTS: &[ErrorCode] = &[NotFound, InvalidState, ErrorCode::QuotaExceeded, CapacityExhausted];

/// Part of the contract, and of a later version.
const LATER: &[ErrorCode] = &[NotFound, ErrorCode::Unsupported];

/// Every endpoint of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::get(Op::WorkspaceList, "/api/v1/workspaces", Right::WorkspaceList)
        .query(WORKSPACES)
        .answers::<ListWorkspacesResponse>(200)
        .errors(MISSING),
    Endpoint::post(Op::WorkspaceCreate, "/api/v1/workspaces", Right::WorkspaceCreate)
        .query(IN_ACCOUNT)
        .takes::<CreateWorkspaceRequest>()
        .answers::<GetWorkspaceResponse>(201)
        .errors(&[NotFound, ErrorCode::QuotaExceeded, Conflict, CapacityExhausted]),
    Endpoint::get(Op::WorkspaceShow, "/api/v1/workspaces/{id}", Right::WorkspaceRead)
        .answers::<GetWorkspaceResponse>(200)
        .errors(MISSING),
    Endpoint::delete(Op::WorkspaceDelete, "/api/v1/workspaces/{id}", Right::WorkspaceWrite)
        .query(FORCE)
        .answers::<MessageResponse>(200)
        .errors(&[NotFound, InvalidState]),
    Endpoint::post(Op::WorkspaceStart, "/api/v1/workspaces/{id}/start", Right::WorkspaceOperate)
        .answers::<GetWorkspaceResponse>(200)
        .errors(BOOTS),
    Endpoint::post(Op::WorkspaceStop, "/api/v1/workspaces/{id}/stop", Right::WorkspaceOperate)
        .answers::<GetWorkspaceResponse>(200)
        .errors(&[NotFound, InvalidState]),
    Endpoint::post(
        Op::WorkspaceRestart,
        "/api/v1/workspaces/{id}/restart",
        Right::WorkspaceOperate,
    )
    .answers::<GetWorkspaceResponse>(200)
    .errors(BOOTS),
    Endpoint::post(Op::WorkspaceCancel, "/api/v1/workspaces/{id}/cancel", Right::WorkspaceOperate)
        .answers::<GetWorkspaceResponse>(200)
        .errors(&[NotFound, Conflict]),
    Endpoint::post(Op::WorkspaceRetry, "/api/v1/workspaces/{id}/retry", Right::WorkspaceOperate)
        .answers::<GetWorkspaceResponse>(200)
        .errors(&[NotFound, Conflict, ErrorCode::QuotaExceeded, CapacityExhausted]),
    Endpoint::post(
        Op::WorkspaceSuspend,
        "/api/v1/workspaces/{id}/suspend",
        Right::WorkspaceOperate,
    )
    .answers::<GetWorkspaceResponse>(200)
    .errors(LATER)
    .never_replayed(),
    Endpoint::post(Op::WorkspaceResume, "/api/v1/workspaces/{id}/resume", Right::WorkspaceOperate)
        .answers::<GetWorkspaceResponse>(200)
        .errors(LATER)
        .never_replayed(),
    Endpoint::post(Op::WorkspaceFork, "/api/v1/workspaces/{id}/fork", Right::WorkspaceWrite)
        .answers::<GetWorkspaceResponse>(201)
        .errors(LATER)
        .never_replayed(),
    Endpoint::put(
        Op::WorkspaceResourcesUpdate,
        "/api/v1/workspaces/{id}/resources",
        Right::WorkspaceWrite,
    )
    .takes::<ResizeWorkspaceRequest>()
    .answers::<ResizeWorkspaceResponse>(200)
    .errors(BOOTS),
    Endpoint::post(Op::WorkspaceEnvUpdate, "/api/v1/workspaces/{id}/env", Right::WorkspaceWrite)
        .takes::<UpdateWorkspaceEnvRequest>()
        .answers::<MessageResponse>(200)
        .errors(&[NotFound, InvalidState]),
    Endpoint::post(Op::WorkspaceExec, "/api/v1/workspaces/{id}/exec", Right::WorkspaceEnter)
        .takes::<ExecRequest>()
        .streams(Payload::JsonOrLines(schema_of::<ExecResult>, schema_of::<ExecEvent>))
        .errors(MISSING_OR_STATE)
        .never_replayed(),
    Endpoint::get(Op::WorkspaceFileRead, "/api/v1/workspaces/{id}/files", Right::WorkspaceEnter)
        .query(FILE)
        .streams(Payload::Bytes)
        .errors(MISSING_OR_STATE),
    Endpoint::put(Op::WorkspaceFileWrite, "/api/v1/workspaces/{id}/files", Right::WorkspaceEnter)
        .query(FILE_WRITE)
        .takes_bytes()
        .answers::<FilePutResponse>(200)
        .errors(&[
            NotFound,
            InvalidState,
            TooLarge,
            ErrorCode::QuotaExceeded,
            ErrorCode::Unavailable,
        ]),
    Endpoint::delete(
        Op::WorkspaceFileDelete,
        "/api/v1/workspaces/{id}/files",
        Right::WorkspaceEnter,
    )
    .query(FILE_DELETE)
    .answers::<MessageResponse>(200)
    .errors(MISSING_OR_STATE),
    Endpoint::get(
        Op::WorkspaceFileList,
        "/api/v1/workspaces/{id}/files/list",
        Right::WorkspaceEnter,
    )
    .query(FILE)
    .answers::<FileListResponse>(200)
    .errors(MISSING_OR_STATE),
    Endpoint::get(Op::WorkspaceLogs, "/api/v1/workspaces/{id}/logs", Right::WorkspaceRead)
        .query(LOGS)
        .answers::<GetWorkspaceLogsResponse>(200)
        .errors(MISSING_OR_STATE),
    Endpoint::get(
        Op::WorkspaceLogsStream,
        "/api/v1/workspaces/{id}/logs/stream",
        Right::WorkspaceRead,
    )
    .query(LOG_STREAM)
    .streams(Payload::Events(schema_of::<LogLine>))
    .errors(MISSING_OR_STATE),
    Endpoint::get(Op::WorkspaceMetrics, "/api/v1/workspaces/{id}/metrics", Right::WorkspaceRead)
        .answers::<WorkspaceMetrics>(200)
        .errors(MISSING_OR_STATE),
    Endpoint::get(
        Op::WorkspaceMetricsSeries,
        "/api/v1/workspaces/{id}/metrics/series",
        Right::WorkspaceRead,
    )
    .query(RANGE)
    .answers::<WorkspaceMetricsSeriesResponse>(200)
    .errors(&[NotFound, ErrorCode::Unavailable]),
    Endpoint::get(
        Op::WorkspaceMetricsSummary,
        "/api/v1/workspaces/{id}/metrics/summary",
        Right::WorkspaceRead,
    )
    .query(RANGE)
    .answers::<WorkspaceMetricsSummaryResponse>(200)
    .errors(&[NotFound, ErrorCode::Unavailable]),
    Endpoint::get(
        Op::WorkspaceJobShow,
        "/api/v1/workspaces/{id}/jobs/{job_id}",
        Right::WorkspaceRead,
    )
    .answers::<JobStatusResponse>(200)
    .errors(MISSING),
    Endpoint::get(
        Op::WorkspacePortsList,
        "/api/v1/workspaces/{id}/listening-ports",
        Right::WorkspaceRead,
    )
    .answers::<ListListeningPortsResponse>(200)
    .errors(MISSING_OR_STATE),
    Endpoint::get(
        Op::WorkspaceServicesList,
        "/api/v1/workspaces/{id}/services",
        Right::WorkspaceRead,
    )
    .answers::<WorkspaceServicesResponse>(200)
    .errors(MISSING),
    Endpoint::get(
        Op::WorkspaceServiceShow,
        "/api/v1/workspaces/{id}/services/{name}",
        Right::WorkspaceRead,
    )
    .answers::<WorkspaceService>(200)
    .errors(MISSING),
    Endpoint::get(
        Op::WorkspaceServiceLogs,
        "/api/v1/workspaces/{id}/services/{name}/logs",
        Right::WorkspaceRead,
    )
    .query(SERVICE_LOGS)
    .answers::<GetWorkspaceLogsResponse>(200)
    .errors(MISSING_OR_STATE),
    Endpoint::get(Op::WorkspaceEvents, "/api/v1/workspaces/{id}/events", Right::WorkspaceRead)
        .streams(Payload::Events(schema_of::<WorkspaceEvent>))
        .errors(MISSING),
    Endpoint::get(
        Op::WorkspaceSshKeysList,
        "/api/v1/workspaces/{id}/ssh-keys",
        Right::WorkspaceRead,
    )
    .answers::<ListWorkspaceSshKeysResponse>(200)
    .errors(MISSING),
    Endpoint::post(
        Op::WorkspaceSshKeysSync,
        "/api/v1/workspaces/{id}/ssh-keys/sync",
        Right::WorkspaceOperate,
    )
    .answers::<SyncSshKeysResponse>(200)
    .errors(MISSING_OR_STATE),
    Endpoint::post(
        Op::TerminalTokenCreate,
        "/api/v1/workspaces/{id}/terminal-token",
        Right::WorkspaceEnter,
    )
    .answers::<TerminalTokenResponse>(201)
    .errors(MISSING)
    .never_replayed(),
    Endpoint::get(Op::TerminalOpen, "/api/ws/terminal/{id}", Right::WorkspaceEnter)
        .query(TERMINAL)
        .streams(Payload::WebSocket)
        .errors(MISSING_OR_STATE),
    Endpoint::get(Op::SetupScriptList, "/api/v1/setup-scripts", Right::AccountRead)
        .query(PAGE)
        .answers::<SetupScriptsListResponse>(200),
    Endpoint::post(Op::SetupScriptCreate, "/api/v1/setup-scripts", Right::AccountWrite)
        .takes::<CreateSetupScriptRequest>()
        .answers::<SetupScriptResponse>(201)
        .errors(&[Conflict, ErrorCode::QuotaExceeded]),
    Endpoint::get(Op::SetupScriptShow, "/api/v1/setup-scripts/{id}", Right::AccountRead)
        .answers::<SetupScriptResponse>(200)
        .errors(MISSING),
    Endpoint::put(Op::SetupScriptUpdate, "/api/v1/setup-scripts/{id}", Right::AccountWrite)
        .takes::<UpdateSetupScriptRequest>()
        .answers::<SetupScriptResponse>(200)
        .errors(&[NotFound, Conflict]),
    Endpoint::delete(Op::SetupScriptDelete, "/api/v1/setup-scripts/{id}", Right::AccountWrite)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    Endpoint::get(Op::ServiceSpecList, "/api/v1/service-specs", Right::AccountRead)
        .query(PAGE)
        .answers::<ServiceSpecsListResponse>(200),
    Endpoint::post(Op::ServiceSpecCreate, "/api/v1/service-specs", Right::AccountWrite)
        .takes::<CreateServiceSpecRequest>()
        .answers::<ServiceSpecResponse>(201)
        .errors(&[Conflict, ErrorCode::QuotaExceeded]),
    Endpoint::get(Op::ServiceSpecShow, "/api/v1/service-specs/{id}", Right::AccountRead)
        .answers::<ServiceSpecResponse>(200)
        .errors(MISSING),
    Endpoint::put(Op::ServiceSpecUpdate, "/api/v1/service-specs/{id}", Right::AccountWrite)
        .takes::<UpdateServiceSpecRequest>()
        .answers::<ServiceSpecResponse>(200)
        .errors(&[NotFound, Conflict]),
    Endpoint::delete(Op::ServiceSpecDelete, "/api/v1/service-specs/{id}", Right::AccountWrite)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    Endpoint::get(Op::SshKeyList, "/api/v1/ssh-keys", Right::AccountRead)
        .query(PAGE)
        .rate(RateClass::Authentication)
        .answers::<SshKeysResponse>(200),
    Endpoint::post(Op::SshKeyCreate, "/api/v1/ssh-keys", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .takes::<AddSshKeyRequest>()
        .answers::<SshKey>(201)
        .errors(&[Conflict, ErrorCode::QuotaExceeded]),
    Endpoint::delete(Op::SshKeyDelete, "/api/v1/ssh-keys/{id}", Right::AccountWrite)
        .rate(RateClass::Authentication)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
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
    Endpoint::get(Op::OpenapiShow, "/api/v1/openapi.json", Right::Public)
        .rate(RateClass::Open)
        .streams(Payload::AnyJson),
];
