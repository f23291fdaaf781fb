//! Handlers of AI: parse, authorise, call, convert.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use rigbox_store::ai_usage::CallsOf;
use rigbox_types::{
    AccountId, Right,
    api::{
        ai::{
            AiUsageMetricsRange, AiUsageMetricsResponse, AiUsageMetricsSummaryResponse,
            GetAiDefaultsResponse, GetAiUsageResponse, UpdateAiDefaultsRequest,
            UpdateAiModeRequest, UpdateWorkspaceAiConfigRequest, UpdateWorkspaceAiModeRequest,
            WorkspaceAiConfigResponse, WorkspaceAiModeResponse,
        },
        change::Change,
        credits::AiCredits,
    },
    authz::{Resource, authorise},
};

use super::{app, usage};
use crate::{
    control::Control,
    credits::credits_of,
    error::{ApiError, ApiResult},
    http::{
        access::{Access, ForAccount, ForWorkspace},
        body::Document,
        params::Params,
    },
};

/// Shows what the account has decided.
pub(crate) async fn account_ai_defaults_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<GetAiDefaultsResponse>> {
    app::defaults_show(&control, *about.account.target()).await.map(Json)
}

/// Changes it.
pub(crate) async fn account_ai_defaults_update(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Document(request): Document<UpdateAiDefaultsRequest>,
) -> ApiResult<Json<GetAiDefaultsResponse>> {
    app::defaults_update(&control, &about.account, request).await.map(Json)
}

/// Says who pays.
pub(crate) async fn account_ai_mode_update(
    State(control): State<Arc<Control>>,
    about: ForAccount,
    Document(request): Document<UpdateAiModeRequest>,
) -> ApiResult<Json<AiCredits>> {
    let request = UpdateAiDefaultsRequest {
        default_mode: Change::Set(request.mode),
        ..UpdateAiDefaultsRequest::default()
    };
    app::defaults_update(&control, &about.account, request).await?;
    Ok(Json(credits_of(&control, *about.account.target()).await?.0))
}

/// Shows what was used in the last days.
pub(crate) async fn account_ai_usage_show(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<GetAiUsageResponse>> {
    usage::days(&control, *about.account.target()).await.map(Json)
}

/// Shows the series of an account.
pub(crate) async fn account_ai_metrics(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<AiUsageMetricsResponse>> {
    let of = CallsOf::Account(*about.account.target());
    usage::metrics(&control, &of, range(&about.params)).await.map(Json)
}

/// Shows what they add up to.
pub(crate) async fn account_ai_metrics_summary(
    State(control): State<Arc<Control>>,
    about: ForAccount,
) -> ApiResult<Json<AiUsageMetricsSummaryResponse>> {
    let of = CallsOf::Account(*about.account.target());
    usage::summary(&control, &of, range(&about.params)).await.map(Json)
}

/// Shows what holds for a workspace.
pub(crate) async fn workspace_ai_config_show(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    Extension(access): Extension<Access>,
) -> ApiResult<Json<WorkspaceAiConfigResponse>> {
    let with_keys = owns(&access, about.row.account, Right::AccountRead);
    app::config_show(&control, &about.row, with_keys).await.map(Json)
}

/// Changes it. What has to do with keys is their owner's alone, with a credential that may all.
pub(crate) async fn workspace_ai_config_update(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    Extension(access): Extension<Access>,
    Document(request): Document<UpdateWorkspaceAiConfigRequest>,
) -> ApiResult<Json<WorkspaceAiConfigResponse>> {
    if app::is_about_keys(&request) && !owns(&access, about.row.account, Right::AccountWrite) {
        let what = "the account that the workspace belongs to: keys, and whether they are put into \
                    the workspace, are its owner's to set";
        return Err(ApiError::lacks(Right::AccountWrite, what));
    }
    let with_keys = owns(&access, about.row.account, Right::AccountRead);
    app::config_update(&control, &about.id, (&about.row, with_keys), request).await.map(Json)
}

/// Shows the series of a workspace.
pub(crate) async fn workspace_ai_metrics(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<AiUsageMetricsResponse>> {
    let range = range(&about.params);
    let of = CallsOf::Workspace(about.id.into_target());
    usage::metrics(&control, &of, range).await.map(Json)
}

/// Shows what they add up to.
pub(crate) async fn workspace_ai_metrics_summary(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<AiUsageMetricsSummaryResponse>> {
    let range = range(&about.params);
    let of = CallsOf::Workspace(about.id.into_target());
    usage::summary(&control, &of, range).await.map(Json)
}

/// Shows who pays for a workspace.
pub(crate) async fn workspace_mode_show(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<WorkspaceAiModeResponse>> {
    app::mode_show(&control, about.id.target()).await.map(Json)
}

/// Says who pays for a workspace.
pub(crate) async fn workspace_mode_update(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
    Document(request): Document<UpdateWorkspaceAiModeRequest>,
) -> ApiResult<Json<WorkspaceAiModeResponse>> {
    app::mode_update(&control, &about.id, request.mode).await.map(Json)
}

/// The entry has let nothing but the words pass.
fn range(params: &Params) -> AiUsageMetricsRange {
    params.text("range").and_then(AiUsageMetricsRange::of_word).unwrap_or_default()
}

/// Whether the caller may do so to the account itself, whatever role it has on a workspace of it.
fn owns(access: &Access, account: AccountId, right: Right) -> bool {
    let own = Resource::Account { id: account, granted: None };
    access.principal().is_ok_and(|who| authorise(who, right, &own, ()).is_ok())
}
