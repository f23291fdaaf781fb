//! The rows of AI: of an account, and of a workspace.

use super::super::{Endpoint, Operation as Op, query::RANGE};
use crate::{
    Right,
    api::{
        ai::{
            AiUsageMetricsResponse, AiUsageMetricsSummaryResponse, GetAiDefaultsResponse,
            GetAiUsageResponse, UpdateAiDefaultsRequest, UpdateAiModeRequest,
            UpdateWorkspaceAiConfigRequest, UpdateWorkspaceAiModeRequest,
            WorkspaceAiConfigResponse, WorkspaceAiModeResponse,
        },
        credits::AiCredits,
        error::ErrorCode::{self, NotFound},
    },
};

const MISSING: &[ErrorCode] = &[NotFound];

/// See the module.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::get(Op::AccountAiDefaultsShow, "/api/v1/users/me/ai-defaults", Right::AccountRead)
        .answers::<GetAiDefaultsResponse>(200),
    Endpoint::put(Op::AccountAiDefaultsUpdate, "/api/v1/users/me/ai-defaults", Right::AccountWrite)
        .takes::<UpdateAiDefaultsRequest>()
        .answers::<GetAiDefaultsResponse>(200),
    Endpoint::put(Op::AccountAiModeUpdate, "/api/v1/users/me/ai-mode", Right::AccountWrite)
        .takes::<UpdateAiModeRequest>()
        .answers::<AiCredits>(200),
    Endpoint::get(Op::AccountAiUsageShow, "/api/v1/users/me/ai-usage", Right::AccountRead)
        .answers::<GetAiUsageResponse>(200),
    Endpoint::get(Op::AccountAiMetrics, "/api/v1/users/me/ai-usage/metrics", Right::AccountRead)
        .query(RANGE)
        .answers::<AiUsageMetricsResponse>(200),
    Endpoint::get(
        Op::AccountAiMetricsSummary,
        "/api/v1/users/me/ai-usage/metrics/summary",
        Right::AccountRead,
    )
    .query(RANGE)
    .answers::<AiUsageMetricsSummaryResponse>(200),
    Endpoint::get(
        Op::WorkspaceAiConfigShow,
        "/api/v1/workspaces/{id}/ai-config",
        Right::WorkspaceRead,
    )
    .answers::<WorkspaceAiConfigResponse>(200)
    .errors(MISSING),
    Endpoint::put(
        Op::WorkspaceAiConfigUpdate,
        "/api/v1/workspaces/{id}/ai-config",
        Right::WorkspaceWrite,
    )
    .takes::<UpdateWorkspaceAiConfigRequest>()
    .answers::<WorkspaceAiConfigResponse>(200)
    .errors(&[NotFound, ErrorCode::Forbidden]),
    Endpoint::get(
        Op::WorkspaceAiMetrics,
        "/api/v1/workspaces/{id}/ai-usage/metrics",
        Right::WorkspaceRead,
    )
    .query(RANGE)
    .answers::<AiUsageMetricsResponse>(200)
    .errors(MISSING),
    Endpoint::get(
        Op::WorkspaceAiMetricsSummary,
        "/api/v1/workspaces/{id}/ai-usage/metrics/summary",
        Right::WorkspaceRead,
    )
    .query(RANGE)
    .answers::<AiUsageMetricsSummaryResponse>(200)
    .errors(MISSING),
    Endpoint::get(Op::WorkspaceModeShow, "/api/v1/workspaces/{id}/mode", Right::WorkspaceRead)
        .answers::<WorkspaceAiModeResponse>(200)
        .errors(MISSING),
    Endpoint::put(Op::WorkspaceModeUpdate, "/api/v1/workspaces/{id}/mode", Right::WorkspaceWrite)
        .takes::<UpdateWorkspaceAiModeRequest>()
        .answers::<WorkspaceAiModeResponse>(200)
        .errors(MISSING),
];
