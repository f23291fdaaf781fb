//! Control as an edge sees it: tells routes, says who visitors are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{StreamExt as _, stream};
use rigbox_fabric::{Address, Client, ClientAuth, Listener, ServerAuth, serve, watch::response};
use rigbox_types::{
    AppId, Revision,
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
    /// The app whose questions are not answered for now.
    held: watch::Sender<Option<AppId>>,
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
    /// What a stream tells instead of all that was told, before it falls silent.
    script: Option<Vec<EdgeEvent>>,
    /// From where on edges asked to be told.
    followed: Vec<Option<Revision>>,
    acks: Vec<EdgeAck>,
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
        let told = Arc::new(Told {
            state: Mutex::default(),
            acked: watch::channel(0).0,
            held: watch::channel(None).0,
        });
        Self::at(folder.join("control.sock"), told).await
    }

    /// Control at a place, with what it has told before.
    pub(crate) async fn at(path: Utf8PathBuf, told: Arc<Told>) -> Self {
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
        let revision = self.say(events).await;
        self.acked(revision).await;
    }

    /// Tells something, and says up to which revision that is.
    pub(crate) async fn say(&self, events: impl IntoIterator<Item = EdgeEvent>) -> u64 {
        let (revision, events) = {
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
            (revision, events)
        };
        self.pass_on(&events).await;
        revision
    }

    /// Tells something that is of no use to who comes later.
    pub(crate) async fn pass_on(&self, events: &[EdgeEvent]) {
        let listeners = self.told.state.lock().unwrap().listeners.clone();
        for listener in listeners {
            for event in events {
                // One that is gone is no concern.
                drop(listener.send(event.clone()).await);
            }
        }
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

    /// Ends all streams, and tells just this over each that comes.
    pub(crate) fn script(&self, events: Vec<EdgeEvent>) {
        let mut inner = self.told.state.lock().unwrap();
        inner.script = Some(events);
        inner.listeners.clear();
    }

    /// Keeps questions about an app waiting; none lets all go on.
    pub(crate) fn hold(&self, app: Option<AppId>) {
        self.told.held.send_replace(app);
    }

    pub(crate) fn followed(&self) -> Vec<Option<Revision>> {
        self.told.state.lock().unwrap().followed.clone()
    }

    pub(crate) fn acks(&self) -> Vec<u64> {
        self.told.acks()
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

impl Told {
    pub(crate) fn acks(&self) -> Vec<u64> {
        self.state.lock().unwrap().acks.iter().map(|ack| ack.revision.0).collect()
    }

    /// The last mark that was acknowledged.
    pub(crate) fn mark(&self) -> Option<u64> {
        self.state.lock().unwrap().acks.last().map(|ack| ack.mark)
    }

    /// Waits while an app's questions are held.
    async fn let_go(&self, app: &AppId) {
        self.held.subscribe().wait_for(|held| held.as_ref() != Some(app)).await.unwrap();
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

#[derive(serde::Deserialize)]
struct Follow {
    after: Option<Revision>,
}

async fn events(
    State(told): State<Arc<Told>>,
    Query(Follow { after }): Query<Follow>,
) -> axum::response::Response {
    let (sender, queue) = mpsc::channel(1_024);
    let (known, revision) = {
        let mut inner = told.state.lock().unwrap();
        inner.listeners.push(sender);
        inner.followed.push(after);
        let known = inner.script.clone().unwrap_or_else(|| {
            let end = EdgeEvent::Synced { revision: Revision(inner.revision) };
            [EdgeEvent::Reset].into_iter().chain(inner.events.clone()).chain([end]).collect()
        });
        (known, inner.revision)
    };
    let known = stream::iter(known);
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
    let revision = ack.revision.0;
    told.state.lock().unwrap().acks.push(ack);
    told.acked.send_replace(revision);
}

async fn admission(
    State(told): State<Arc<Told>>,
    Json(request): Json<AdmissionRequest>,
) -> Json<Admission> {
    let (Shown::Key(secret) | Shown::Cookie(secret) | Shown::Link(secret)) = request.shown;
    told.state.lock().unwrap().asked.push(secret.clone());
    told.let_go(&request.app).await;
    let inner = told.state.lock().unwrap();
    Json(inner.admissions.get(&secret).cloned().unwrap_or(Admission::Unknown))
}

async fn exchange(
    State(told): State<Arc<Told>>,
    Json(exchange): Json<Exchange>,
) -> Json<Exchanged> {
    let app = exchange.app.clone();
    told.state.lock().unwrap().exchanges.push(exchange);
    told.let_go(&app).await;
    let inner = told.state.lock().unwrap();
    Json(inner.exchanged.clone().unwrap_or(Exchanged::Refused))
}

async fn traffic(State(told): State<Arc<Told>>, Json(report): Json<TrafficReport>) {
    told.state.lock().unwrap().traffic = report;
}

async fn requests(State(told): State<Arc<Told>>, Json(report): Json<RequestReport>) {
    told.state.lock().unwrap().requests.extend(report.requests);
}
