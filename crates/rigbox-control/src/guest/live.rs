//! What a guest measures and what listens in it, right now.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_types::{
    api::metrics::WorkspaceMetrics,
    guest::{GuestMetrics, ListListeningPortsResponse, ports::PORTS_MAX},
};

use crate::{control::Control, error::ApiResult, http::access::ForWorkspace, source::now};

const MIB: u64 = 1024 * 1024;

/// What a workspace uses.
pub(crate) async fn workspace_metrics(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<WorkspaceMetrics>> {
    let agent = control.agent(&about, "be measured").await?;
    let guest: GuestMetrics = agent.get("/metrics").await?;
    Ok(Json(WorkspaceMetrics {
        workspace_id: about.id.target().clone(),
        cpu_percent: cpu_percent(&guest),
        ram_used_mb: guest.memory_used_bytes / MIB,
        ram_total_mb: guest.memory_total_bytes / MIB,
        disk_used_mb: guest.disk_used_bytes / MIB,
        disk_total_mb: guest.disk_total_bytes / MIB,
        network_rx_bytes: guest.network_rx_bytes,
        network_tx_bytes: guest.network_tx_bytes,
        // Our clock: the guest's may be anywhere.
        updated_at: now(),
    }))
}

/// The share that a guest says it uses. It may say anything, and JSON knows no NaN.
pub(crate) fn cpu_percent(guest: &GuestMetrics) -> f64 {
    if guest.cpu_percent.is_finite() { guest.cpu_percent.clamp(0.0, 100.0) } else { 0.0 }
}

/// What listens.
pub(crate) async fn workspace_ports_list(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Json<ListListeningPortsResponse>> {
    let agent = control.agent(&about, "list its ports").await?;
    let mut list: ListListeningPortsResponse = agent.get("/ports").await?;
    list.ports.truncate(PORTS_MAX);
    let apps = control.store.apps().of_workspace(&about.row.id).await?;
    for port in &mut list.ports {
        port.already_exposed = apps.iter().any(|app| app.published.port == port.port);
    }
    Ok(Json(list))
}
