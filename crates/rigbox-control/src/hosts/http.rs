//! The internal API: routes for hosts, on the fabric listener.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, Path, Query, RawQuery, State},
    response::Response,
    routing::{any, get, post, put},
};
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use rigbox_fabric::{Body, Peer, task, watch::response};
use rigbox_store::workspaces::ObservationOutcome;
use rigbox_types::{
    HostId, Revision,
    api::error::ErrorCode,
    host::{HostAnnouncement, HostReport, WatchEvent},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{inside, watch};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    http::entry::{identify, unknown_path, wrong_method},
};

/// Most observations of one report, as the document says.
const OBSERVATIONS_MAX: usize = 256;
/// Most images of one host.
const IMAGES_MAX: usize = 256;
/// Largest report: each observation has the tails of at most 32 scripts.
const REPORT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// The routes.
pub(crate) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/internal/v1/hosts/{id}", put(host_register))
        .route("/internal/v1/hosts/{id}/assignments", get(host_watch))
        .route("/internal/v1/hosts/{id}/reports", post(host_report))
        .route("/internal/v1/hosts/{id}/guest-api/{workspace}/{*path}", any(guest_ask))
        .layer(DefaultBodyLimit::max(REPORT_MAX_BYTES))
}

/// Routes for our own parts as they are served: each request with an id, each refusal explained.
pub(crate) fn complete(routes: Router<Arc<Control>>, control: Arc<Control>) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(control.clone(), identify))
        .with_state(control)
}

/// Which revision a host has seen.
#[derive(Debug, Deserialize)]
struct After {
    after: Option<Revision>,
}

async fn host_register(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<HostId>,
    Json(HostAnnouncement { registration, images }): Json<HostAnnouncement>,
) -> ApiResult<()> {
    check_peer(&peer, &id)?;
    if registration.id != id {
        return Err(ApiError::field("id", "must be the id of the path"));
    }
    control.store.hosts().register(&registration).await?;
    if let Some(images) = images {
        if images.len() > IMAGES_MAX {
            let rule = format!("may have at most {IMAGES_MAX} entries");
            return Err(ApiError::field("images", rule));
        }
        control.store.hosts().images_set(&id, &images).await?;
    }
    tracing::info!(
        host = %id,
        driver = ?registration.driver,
        version = registration.version,
        "host registered"
    );
    Ok(())
}

async fn host_watch(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<HostId>,
    Query(After { after }): Query<After>,
) -> ApiResult<Response<Body>> {
    check_peer(&peer, &id)?;
    control.store.hosts().seen(&id).await?;
    let (events, queue) = mpsc::channel(watch::QUEUE);
    let watch = watch::Watch { control, host: id, events };
    task::spawn("control.watch", watch.run(after));
    let events = stream::unfold(queue, |mut queue| async {
        let event = queue.recv().await?;
        Some((event, queue))
    });
    Ok(response(events, WatchEvent::Heartbeat))
}

async fn host_report(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<HostId>,
    Json(report): Json<HostReport>,
) -> ApiResult<()> {
    check_peer(&peer, &id)?;
    if report.observations.len() > OBSERVATIONS_MAX {
        let rule = format!("may have at most {OBSERVATIONS_MAX} entries");
        return Err(ApiError::field("observations", rule));
    }
    control.store.hosts().report(&id, &report.promised, report.drift).await?;
    if report.observations.is_empty() {
        return Ok(());
    }
    let outcomes = control.store.workspaces().observe(&id, &report.observations).await?;
    for (observation, outcome) in report.observations.iter().zip(outcomes) {
        let workspace = &observation.workspace;
        if outcome == ObservationOutcome::OtherHostKey && control.other_host_keys.is_news(workspace)
        {
            tracing::warn!(host = %id, %workspace, "another SSH host key than before: ignored");
        }
        tracing::debug!(
            host = %id,
            %workspace,
            observed = ?observation.observed,
            generation = observation.generation.0,
            ?outcome,
            "observation"
        );
    }
    Ok(())
}

async fn guest_ask(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    Path((id, workspace, path)): Path<(HostId, String, String)>,
    RawQuery(query): RawQuery,
    asked: (Method, Bytes),
) -> ApiResult<Response> {
    check_peer(&peer, &id)?;
    let (method, body) = asked;
    let question = inside::Question { method, path, query, body };
    inside::answer(&control, &id, &workspace, question).await
}

/// A host speaks for itself; on one machine the listener has let in only our own users.
fn check_peer(peer: &Peer, id: &HostId) -> ApiResult<()> {
    match peer {
        Peer::Local { .. } => Ok(()),
        Peer::Host(host) if host == id => Ok(()),
        Peer::Host(_) | Peer::Control => {
            Err(ApiError::new(ErrorCode::Forbidden, "this is another host's"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_speaks_for_itself_only() {
        let (mine, other) = (HostId::from_random([1; 8]), HostId::from_random([2; 8]));
        let check = |peer: &Peer| check_peer(peer, &mine).is_ok();
        assert!(check(&Peer::Host(mine.clone())));
        assert!(check(&Peer::Local { uid: 0, pid: 1 }));
        assert!(!check(&Peer::Host(other)));
        assert!(!check(&Peer::Control));
    }
}
