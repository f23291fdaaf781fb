//! Control as an edge sees it: tells routes, says who visitors are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{StreamExt as _, stream};
use rigbox_fabric::{Address, Client, ClientAuth, Listener, ServerAuth, serve, watch::response};
use rigbox_types::{
    Revision,
    edge::{
        Admission, AdmissionRequest, EdgeAck, EdgeEvent, Exchange, Exchanged, RequestOf,
        RequestReport, Shown, TrafficReport,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What is told and asked.
pub(crate) struct Told {
    state: Mutex<Inner>,
    acked: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    events: Vec<EdgeEvent>,
    listeners: Vec<mpsc::Sender<EdgeEvent>>,
    revision: u64,
    admissions: HashMap<String, Admission>,
    asked: Vec<String>,
    exchanges: Vec<Exchange>,
    exchanged: Option<Exchanged>,
    traffic: TrafficReport,
    requests: Vec<RequestOf>,
}

pub(crate) struct Control {
    pub(crate) told: Arc<Told>,
    pub(crate) client: Client,
    path: Utf8PathBuf,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Control {
    pub(crate) async fn start(folder: &Utf8Path) -> Self {
        let told = Arc::new(Told { state: Mutex::default(), acked: watch::channel(0).0 });
        Self::at(folder.join("control.sock"), told).await
    }

    async fn at(path: Utf8PathBuf, told: Arc<Told>) -> Self {
        let address = Address::Unix(path.clone());
        let auth = ServerAuth::Local { peer_uid: None };
        let listener = Listener::bind(address.clone(), &auth).await.unwrap();
        let router = Router::new()
            .route("/internal/v1/edge/events", get(events))
            .route("/internal/v1/edge/acks", post(ack))
            .route("/internal/v1/edge/admissions", post(admission))
            .route("/internal/v1/edge/exchanges", post(exchange))
            .route("/internal/v1/edge/traffic", post(traffic))
            .route("/internal/v1/edge/requests", post(requests))
            .with_state(told.clone());
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, router, shutdown.clone()));
        let client = Client::new(address, &ClientAuth::Local).unwrap();
        Self { told, client, path, shutdown, ended }
    }

    /// Goes away.
    pub(crate) async fn stop(self) -> (Utf8PathBuf, Arc<Told>) {
        self.told.state.lock().unwrap().listeners.clear();
        self.shutdown.cancel();
        self.ended.await.unwrap();
        (self.path, self.told)
    }

    /// Tells something, and waits until it is in effect.
    pub(crate) async fn tell(&self, events: impl IntoIterator<Item = EdgeEvent>) {
        let (revision, listeners, events) = {
            let mut inner = self.told.state.lock().unwrap();
            let mut events: Vec<_> = events
                .into_iter()
                .map(|event| {
                    inner.revision += 1;
                    stamped(event, inner.revision)
                })
                .collect();
            let revision = inner.revision;
            events.push(EdgeEvent::Synced { revision: Revision(revision) });
            inner.events.extend(events.iter().cloned());
            (revision, inner.listeners.clone(), events)
        };
        for listener in listeners {
            for event in &events {
                // One that is gone is no concern.
                drop(listener.send(event.clone()).await);
            }
        }
        self.acked(revision).await;
    }

    pub(crate) async fn acked(&self, revision: u64) {
        self.told.acked.subscribe().wait_for(|acked| *acked >= revision).await.unwrap();
    }

    pub(crate) fn admit(&self, secret: &str, admission: Admission) {
        let mut inner = self.told.state.lock().unwrap();
        inner.admissions.insert(secret.to_owned(), admission);
    }

    /// The secrets that were asked about.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.told.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn exchange(&self, exchanged: Exchanged) {
        self.told.state.lock().unwrap().exchanged = Some(exchanged);
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.told.state.lock().unwrap().exchanges.clone()
    }

    pub(crate) fn traffic(&self) -> TrafficReport {
        self.told.state.lock().unwrap().traffic.clone()
    }

    pub(crate) fn requests(&self) -> Vec<RequestOf> {
        self.told.state.lock().unwrap().requests.clone()
    }
}

fn stamped(event: EdgeEvent, revision: u64) -> EdgeEvent {
    let revision = Revision(revision);
    match event {
        EdgeEvent::Route { route, .. } => EdgeEvent::Route { revision, route },
        EdgeEvent::Gone { app, .. } => EdgeEvent::Gone { revision, app },
        other => other,
    }
}

async fn events(State(told): State<Arc<Told>>) -> axum::response::Response {
    let (sender, queue) = mpsc::channel(1_024);
    let (known, revision) = {
        let mut inner = told.state.lock().unwrap();
        inner.listeners.push(sender);
        (inner.events.clone(), inner.revision)
    };
    let end = EdgeEvent::Synced { revision: Revision(revision) };
    let known = stream::iter([EdgeEvent::Reset].into_iter().chain(known).chain([end]));
    let later = stream::unfold(queue, |mut queue| async {
        let event = queue.recv().await?;
        Some((event, queue))
    });
    // Only the last word of each kind counts: a `Synced` amid the known would be too early.
    let known = known.filter(move |event| {
        let early = matches!(event, EdgeEvent::Synced { revision: Revision(at) } if *at < revision);
        std::future::ready(!early)
    });
    response(known.chain(later), EdgeEvent::Heartbeat)
}

async fn ack(State(told): State<Arc<Told>>, Json(ack): Json<EdgeAck>) {
    told.acked.send_replace(ack.revision.0);
}

async fn admission(
    State(told): State<Arc<Told>>,
    Json(request): Json<AdmissionRequest>,
) -> Json<Admission> {
    let (Shown::Key(secret) | Shown::Cookie(secret) | Shown::Link(secret)) = request.shown;
    let mut inner = told.state.lock().unwrap();
    inner.asked.push(secret.clone());
    Json(inner.admissions.get(&secret).cloned().unwrap_or(Admission::Unknown))
}

async fn exchange(
    State(told): State<Arc<Told>>,
    Json(exchange): Json<Exchange>,
) -> Json<Exchanged> {
    let mut inner = told.state.lock().unwrap();
    inner.exchanges.push(exchange);
    Json(inner.exchanged.clone().unwrap_or(Exchanged::Refused))
}

async fn traffic(State(told): State<Arc<Told>>, Json(report): Json<TrafficReport>) {
    told.state.lock().unwrap().traffic = report;
}

async fn requests(State(told): State<Arc<Told>>, Json(report): Json<RequestReport>) {
    told.state.lock().unwrap().requests.extend(report.requests);
}
