//! The rows of apps.

use super::super::{
    Endpoint, Operation as Op, Payload, RateClass,
    query::{APP_LOG_STREAM, APP_LOGS, APP_REQUESTS, RANGE, WORKSPACES},
    schema_of,
};
use crate::{
    Right,
    api::{
        app_logs::{
            CreateAppLogSourceRequest, GetAppLogSourceResponse, GetAppLogsResponse,
            ListAppLogSourcesResponse, UpdateAppLogSourceRequest,
        },
        app_metrics::{AppMetricsResponse, AppMetricsSummaryResponse},
        app_requests::ListAppRequestsResponse,
        apps::{
            AppHealthResponse, CreateAppRequest, CreateShareLinkRequest, ExposePortRequest,
            ExposePortResponse, GetAppResponse, ListAppsResponse, ListShareLinksResponse,
            ReconcileAppsResponse, ServiceActionResponse, ShareLinkSecretResponse,
            UpdateAppRequest, UpdateAppVisibilityRequest, VerifyDomainResponse,
        },
        error::ErrorCode::{
            self, Conflict, InvalidState, NotFound, QuotaExceeded, Unavailable, Unsupported,
        },
        workspaces::MessageResponse,
    },
    guest::LogLine,
};

const MISSING: &[ErrorCode] = &[NotFound];
const OF_GUEST: &[ErrorCode] = &[NotFound, InvalidState, Unavailable];

const fn get(operation: Op, path: &'static str, right: Right) -> Endpoint {
    Endpoint::get(operation, path, right).rate(RateClass::Apps)
}

const fn post(operation: Op, path: &'static str, right: Right) -> Endpoint {
    Endpoint::post(operation, path, right).rate(RateClass::Apps)
}

const fn patch(operation: Op, path: &'static str, right: Right) -> Endpoint {
    Endpoint::patch(operation, path, right).rate(RateClass::Apps)
}

const fn delete(operation: Op, path: &'static str, right: Right) -> Endpoint {
    Endpoint::delete(operation, path, right).rate(RateClass::Apps)
}

/// See the module.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(Op::AppList, "/api/v1/apps", Right::WorkspaceList)
        .query(WORKSPACES)
        .answers::<ListAppsResponse>(200)
        .errors(MISSING),
    post(Op::AppCreate, "/api/v1/apps", Right::AppWrite)
        .takes::<CreateAppRequest>()
        .answers::<GetAppResponse>(201)
        .errors(&[NotFound, Conflict, QuotaExceeded]),
    get(Op::AppShow, "/api/v1/apps/{id}", Right::AppRead)
        .answers::<GetAppResponse>(200)
        .errors(MISSING),
    patch(Op::AppUpdate, "/api/v1/apps/{id}", Right::AppWrite)
        .takes::<UpdateAppRequest>()
        .answers::<GetAppResponse>(200)
        .errors(&[NotFound, Conflict, QuotaExceeded]),
    delete(Op::AppDelete, "/api/v1/apps/{id}", Right::AppWrite)
        .answers::<MessageResponse>(200)
        .errors(&[NotFound, Conflict]),
    Endpoint::put(Op::AppVisibilityUpdate, "/api/v1/apps/{id}/visibility", Right::AppWrite)
        .rate(RateClass::Apps)
        .takes::<UpdateAppVisibilityRequest>()
        .answers::<GetAppResponse>(200)
        .errors(MISSING),
    post(Op::AppStart, "/api/v1/apps/{id}/start", Right::AppOperate)
        .answers::<ServiceActionResponse>(200)
        .errors(OF_GUEST)
        .never_replayed(),
    post(Op::AppStop, "/api/v1/apps/{id}/stop", Right::AppOperate)
        .answers::<ServiceActionResponse>(200)
        .errors(OF_GUEST)
        .never_replayed(),
    post(Op::AppRestart, "/api/v1/apps/{id}/restart", Right::AppOperate)
        .answers::<ServiceActionResponse>(200)
        .errors(OF_GUEST)
        .never_replayed(),
    get(Op::AppHealth, "/api/v1/apps/{id}/health", Right::AppRead)
        .answers::<AppHealthResponse>(200)
        .errors(MISSING),
    post(Op::AppDomainVerify, "/api/v1/apps/{id}/verify-domain", Right::AppWrite)
        .answers::<VerifyDomainResponse>(200)
        .errors(&[NotFound, Conflict, Unavailable])
        .never_replayed(),
    get(Op::AppMetrics, "/api/v1/apps/{id}/metrics", Right::AppRead)
        .query(RANGE)
        .answers::<AppMetricsResponse>(200)
        .errors(&[NotFound, Unavailable]),
    get(Op::AppMetricsSummary, "/api/v1/apps/{id}/metrics/summary", Right::AppRead)
        .query(RANGE)
        .answers::<AppMetricsSummaryResponse>(200)
        .errors(&[NotFound, Unavailable]),
    get(Op::AppRequestList, "/api/v1/apps/{id}/requests", Right::AppRead)
        .query(APP_REQUESTS)
        .answers::<ListAppRequestsResponse>(200)
        .errors(MISSING),
    get(Op::AppLinkList, "/api/v1/apps/{id}/share-links", Right::AppRead)
        .answers::<ListShareLinksResponse>(200)
        .errors(MISSING),
    post(Op::AppLinkCreate, "/api/v1/apps/{id}/share-links", Right::AppWrite)
        .takes::<CreateShareLinkRequest>()
        .answers::<ShareLinkSecretResponse>(201)
        .errors(&[NotFound, QuotaExceeded])
        .never_replayed(),
    delete(Op::AppLinkDelete, "/api/v1/apps/{id}/share-links/{link_id}", Right::AppWrite)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    get(Op::AppLogSourceList, "/api/v1/apps/{id}/log-sources", Right::AppRead)
        .answers::<ListAppLogSourcesResponse>(200)
        .errors(MISSING),
    post(Op::AppLogSourceCreate, "/api/v1/apps/{id}/log-sources", Right::AppWrite)
        .takes::<CreateAppLogSourceRequest>()
        .answers::<GetAppLogSourceResponse>(200)
        .errors(&[NotFound, QuotaExceeded])
        .never_replayed(),
    patch(Op::AppLogSourceUpdate, "/api/v1/apps/{id}/log-sources/{source_id}", Right::AppWrite)
        .takes::<UpdateAppLogSourceRequest>()
        .answers::<GetAppLogSourceResponse>(200)
        .errors(MISSING),
    delete(Op::AppLogSourceDelete, "/api/v1/apps/{id}/log-sources/{source_id}", Right::AppWrite)
        .answers::<MessageResponse>(200)
        .errors(MISSING),
    get(Op::AppLogs, "/api/v1/apps/{id}/logs", Right::AppRead)
        .query(APP_LOGS)
        .answers::<GetAppLogsResponse>(200)
        .errors(&[NotFound, InvalidState, Unavailable, Unsupported]),
    get(Op::AppLogsStream, "/api/v1/apps/{id}/logs/stream", Right::AppRead)
        .query(APP_LOG_STREAM)
        .streams(Payload::Events(schema_of::<LogLine>))
        .errors(&[NotFound, InvalidState, Unavailable, Unsupported]),
    post(
        Op::WorkspaceAppsReconcile,
        "/api/v1/workspaces/{id}/reconcile-apps",
        Right::WorkspaceWrite,
    )
    .answers::<ReconcileAppsResponse>(200)
    .errors(&[NotFound, Conflict, QuotaExceeded])
    .never_replayed(),
    post(Op::WorkspacePortExpose, "/api/v1/workspaces/{id}/expose-port", Right::WorkspaceWrite)
        .takes::<ExposePortRequest>()
        .answers::<ExposePortResponse>(200)
        .errors(&[NotFound, Conflict, QuotaExceeded, InvalidState, Unavailable, Unsupported])
        .never_replayed(),
];
