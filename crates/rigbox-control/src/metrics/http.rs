//! Handlers of what a workspace used.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::samples::Sample;
use rigbox_types::{
    Status,
    api::metrics::{
        WorkspaceMetricsRange, WorkspaceMetricsSeriesResponse, WorkspaceMetricsSource,
        WorkspaceMetricsSummaryResponse,
    },
};

use super::series;
use crate::{control::Control, error::ApiResult, http::access::ForWorkspace, source::now};

/// Shows the series.
pub(crate) async fn workspace_metrics_series(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<WorkspaceMetricsSeriesResponse>> {
    let (range, samples) = samples(&control, &about).await?;
    let guest = || "guest".to_owned();
    Ok(Json(WorkspaceMetricsSeriesResponse {
        series: series::series(range, &samples),
        workspace_id: about.id.into_target(),
        node_id: Some(about.row.host),
        range,
        step_seconds: range.step_seconds(),
        source: WorkspaceMetricsSource {
            cpu: guest(),
            memory: guest(),
            disk: guest(),
            network: guest(),
        },
    }))
}

/// Shows what it adds up to.
pub(crate) async fn workspace_metrics_summary(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<WorkspaceMetricsSummaryResponse>> {
    let (range, samples) = samples(&control, &about).await?;
    let fresh = about.row.status() == Status::Running && series::is_fresh(&samples, now());
    let summary = series::summary(about.id.into_target(), range, &samples);
    Ok(Json(WorkspaceMetricsSummaryResponse { guest_metrics_fresh: fresh, ..summary }))
}

async fn samples(
    control: &Control,
    about: &ForWorkspace,
) -> ApiResult<(WorkspaceMetricsRange, Vec<Sample>)> {
    // The entry has let nothing but the words pass.
    let range = about.params.text("range").and_then(WorkspaceMetricsRange::of_word);
    let range = range.unwrap_or_default();
    let from = series::from(range, now());
    Ok((range, control.store.samples().since(about.id.target(), from).await?))
}
