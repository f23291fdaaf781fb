//! Control as an edge sees it: tells routes and hears what is in effect.
//! Invariant: an edge that comes is told everything that was told before. Admits nobody: what is
//! measured is public.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use camino::Utf8Path;
use futures_util::{StreamExt as _, stream};
use rigbox_fabric::{Address, Listener, ServerAuth, serve, watch::response};
use rigbox_types::{
    Revision,
    edge::{Admission, AdmissionRequest, EdgeAck, EdgeEvent, TrafficReport},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Changes that wait for an edge to take them.
const QUEUE: usize = 1_024;

/// Its unix socket, below the folder that it is given.
pub(super) const SOCKET: &str = "control.sock";

/// Serves until it is dropped.
pub(super) struct Control {
    told: Arc<Told>,
    _shutdown: DropGuard,
}

struct Told {
    inner: Mutex<Inner>,
    acked: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    events: Vec<EdgeEvent>,
    listeners: Vec<mpsc::Sender<EdgeEvent>>,
    revision: u64,
}

impl Control {
    /// Serves these events, which are everything that there is.
    pub(super) async fn start(folder: &Utf8Path, events: Vec<EdgeEvent>) -> Result<Self> {
        let address = Address::Unix(folder.join(SOCKET));
        let auth = ServerAuth::Local { peer_uid: None };
        let listener = Listener::bind(address, &auth).await.context("listen as control")?;
        let inner = Inner { events, listeners: Vec::new(), revision: 1 };
        let told = Arc::new(Told { inner: Mutex::new(inner), acked: watch::channel(0).0 });
        let router = Router::new()
            .route("/internal/v1/edge/events", get(follow))
            .route("/internal/v1/edge/acks", post(ack))
            .route("/internal/v1/edge/admissions", post(admission))
            .route("/internal/v1/edge/traffic", post(traffic))
            .with_state(told.clone());
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, router, shutdown.clone()));
        Ok(Self { told, _shutdown: shutdown.drop_guard() })
    }

    /// Tells a change; its revision.
    pub(super) async fn tell(&self, change: impl FnOnce(Revision) -> EdgeEvent) -> Result<u64> {
        let (revision, event, listeners) = {
            let mut inner = self.told.lock();
            inner.revision += 1;
            let event = change(Revision(inner.revision));
            inner.events.push(event.clone());
            (inner.revision, event, inner.listeners.clone())
        };
        for listener in listeners {
            let synced = EdgeEvent::Synced { revision: Revision(revision) };
            for event in [event.clone(), synced] {
                // One that is gone is no concern.
                listener.send(event).await.ok();
            }
        }
        Ok(revision)
    }

    /// Waits until an edge has put this revision into effect and written it down.
    pub(super) async fn acked(&self, revision: u64) -> Result<()> {
        let mut acked = self.told.acked.subscribe();
        acked.wait_for(|acked| *acked >= revision).await.context("wait for the edge")?;
        Ok(())
    }

    /// The same of what it was started with.
    pub(super) async fn all_acked(&self) -> Result<()> {
        self.acked(1).await
    }
}

impl Told {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(State(told): State<Arc<Told>>) -> axum::response::Response {
    let (sender, queue) = mpsc::channel(QUEUE);
    let (known, revision) = {
        let mut inner = told.lock();
        inner.listeners.push(sender);
        (inner.events.clone(), inner.revision)
    };
    let end = EdgeEvent::Synced { revision: Revision(revision) };
    let known = stream::iter([EdgeEvent::Reset].into_iter().chain(known).chain([end]));
    let later = stream::unfold(queue, |mut queue| async {
        let event = queue.recv().await?;
        Some((event, queue))
    });
    response(known.chain(later), EdgeEvent::Heartbeat)
}

async fn ack(State(told): State<Arc<Told>>, Json(ack): Json<EdgeAck>) {
    told.acked.send_replace(ack.revision.0);
}

async fn admission(Json(request): Json<AdmissionRequest>) -> Json<Admission> {
    drop(request);
    Json(Admission::Unknown)
}

async fn traffic(Json(report): Json<TrafficReport>) {
    drop(report);
}
