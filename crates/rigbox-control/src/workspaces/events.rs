//! `GET /workspaces/{id}/events`: the status at once, and again whenever it changes.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{Response, sse::Event},
};
use futures_util::stream;
use rigbox_store::{
    StoreError,
    feed::{Subscription, Wake},
    workspaces::WorkspaceRow,
};
use rigbox_types::{
    WorkspaceId,
    api::events::{WorkspaceDeletedEvent, WorkspaceStatusEvent},
};
use tokio::time::timeout;

use super::view;
use crate::{
    control::Control,
    error::ApiResult,
    http::{access::ForWorkspace, sse},
};

/// A wake-up is a hint: after this long without one the row is read anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

struct Follow {
    control: Arc<Control>,
    wakes: Subscription,
    id: WorkspaceId,
    told: Option<WorkspaceStatusEvent>,
    ended: bool,
}

/// Follows the status.
pub(crate) async fn workspace_events(
    State(control): State<Arc<Control>>,
    about: ForWorkspace,
) -> ApiResult<Response> {
    let shutdown = control.shutdown.clone();
    let wakes = control.store.feed().subscribe();
    let id = about.id.into_target();
    let follow = Follow { control, wakes, id, told: None, ended: false };
    let events = stream::unfold(follow, |mut follow| async {
        let event = follow.next().await?;
        Some((event, follow))
    });
    Ok(sse::response(events, shutdown))
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        loop {
            match self.control.store.workspaces().get(&self.id).await {
                Ok(row) => {
                    let status = status(&row);
                    if self.differs(&status) {
                        let event = sse::event("status", None, &status);
                        self.told = Some(status);
                        return Some(event);
                    }
                }
                Err(StoreError::NotFound { .. }) => {
                    self.ended = true;
                    let gone = WorkspaceDeletedEvent { id: self.id.clone() };
                    return Some(sse::event("deleted", None, &gone));
                }
                // The reader comes again by itself.
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ended early");
                    return None;
                }
            }
            self.wait().await?;
        }
    }

    /// Whether a reader would see something new. Times alone are nothing new.
    fn differs(&self, now: &WorkspaceStatusEvent) -> bool {
        let told = self.told.as_ref();
        told.is_none_or(|told| {
            (told.status, told.generation, &told.failure)
                != (now.status, now.generation, &now.failure)
        })
    }

    async fn wait(&mut self) -> Option<()> {
        loop {
            match timeout(LOOK_ANYWAY, self.wakes.next()).await {
                Err(_) | Ok(Some(Wake::Everything)) => return Some(()),
                Ok(Some(Wake::Workspace { workspace, .. })) if workspace == self.id => {
                    return Some(());
                }
                Ok(Some(
                    Wake::Workspace { .. }
                    | Wake::App(_)
                    | Wake::ApiKey(_)
                    | Wake::Session(_)
                    | Wake::Access(_)
                    | Wake::Throttle(_)
                    | Wake::Certificates,
                )) => {}
                Ok(None) => return None,
            }
        }
    }
}

fn status(row: &WorkspaceRow) -> WorkspaceStatusEvent {
    WorkspaceStatusEvent {
        id: row.id.clone(),
        status: row.status(),
        generation: row.generation,
        failure: view::failure(row).cloned(),
        updated_at: row.updated_at,
    }
}
