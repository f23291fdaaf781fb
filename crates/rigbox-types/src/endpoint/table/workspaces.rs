//! The rows of workspaces and of what goes into them.

use super::super::{
    Endpoint, Operation as Op, Payload, RateClass,
    query::{
        FILE, FILE_DELETE, FILE_WRITE, FORCE, IN_ACCOUNT, LOG_STREAM, LOGS, PAGE, RANGE,
        SERVICE_LOGS, TERMINAL, WORKSPACES,
    },
    schema_of,
};
use crate::{
    Right,
    api::{
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
        setup_scripts::{
            CreateSetupScriptRequest, SetupScriptResponse, SetupScriptsListResponse,
            UpdateSetupScriptRequest,
        },
        ssh_keys::{
            AddSshKeyRequest, ListWorkspaceSshKeysResponse, SshKey, SshKeysResponse,
            SyncSshKeysResponse,
        },
        terminal::TerminalTokenResponse,
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

/// See the module.
pub(super) const ENDPOINTS: &[Endpoint] = &[
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
];
