//! The gateway that a workspace sees at 172.16.0.1:9090: its own, workspace-scoped API, and the way
//! to the AI proxy.
//! Invariants: the caller is the workspace whose namespace the socket was bound in, and whatever
//! claims another identity is dropped; connections, sizes and times are bounded.
//! Does not answer anything itself: control does (see `platform`), and the AI proxy (see `calls`).

mod calls;
mod headers;
mod platform;
mod refusal;
mod upload;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use rigbox_fabric::{Client, MultiplexedClient, task};
use rigbox_types::{HostId, WorkspaceId};

use super::{
    idle::{self, Idle, Waiting},
    next,
};

#[cfg(test)]
mod tests;

/// Most connections of one workspace: as many calls as it may have under way, and as many that its
/// programs keep open for the next one.
const MAX_CONNECTIONS: usize = 128;

/// Most requests of all workspaces of a host that control is asked at once.
const MAX_REQUESTS: usize = 256;

/// How long what a guest does may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the head of a request.
    head: Duration,
    /// For a body for control: with it as long as for the head, whatever comes drop by drop.
    body: Duration,
    /// For the body of an AI call: the largest one comes in that time at 280 KB/s.
    upload: Duration,
    /// For an AI call in all. The proxy has shorter limits, for each thing that may take long.
    call: Duration,
    /// Between two bytes in either direction: longer than control takes for an answer. Counts for
    /// nothing while an AI call waits for its answer: a provider may think for ten minutes.
    idle: Duration,
    /// For a connection as a whole. A client that goes on opens another one.
    life: Duration,
}

const PATIENCE: Patience = Patience {
    head: Duration::from_secs(15),
    body: Duration::from_secs(15),
    upload: Duration::from_secs(120),
    call: Duration::from_secs(35 * 60),
    idle: Duration::from_secs(60),
    life: Duration::from_secs(600),
};

/// Most headers, and most bytes of a head: what common servers allow.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Where the gateways of a host lead, and the places that all of them share.
#[derive(Clone)]
pub struct Ways {
    pub(crate) host: HostId,
    pub(crate) control: Client,
    ai: Option<MultiplexedClient>,
    requests: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Ways {
    /// Ways of `host` to control, and to the AI proxy where it has one.
    #[must_use]
    pub fn new(host: HostId, control: Client, ai: Option<MultiplexedClient>) -> Self {
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        let calls = Arc::new(Semaphore::new(calls::MAX_CALLS_OF_HOST));
        Self { host, control, ai, requests, calls }
    }
}

/// The gateway of one workspace.
pub struct Gateway {
    workspace: WorkspaceId,
    ways: Ways,
    /// Places for this workspace's AI calls.
    calls: Arc<Semaphore>,
    patience: Patience,
}

impl Gateway {
    /// A gateway that speaks for `workspace`.
    #[must_use]
    pub fn new(workspace: WorkspaceId, ways: Ways) -> Self {
        let calls = Arc::new(Semaphore::new(calls::MAX_CALLS));
        Self { workspace, ways, calls, patience: PATIENCE }
    }

    /// Answers until told to stop.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let gateway = Arc::new(self);
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some((stream, _)) = next(&stop, |cx| listener.poll_accept(cx)).await {
            // Over the limit: closing at once is an answer that every client understands.
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
            let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
            task::spawn("relay.gateway.connection", async move {
                let _permit = permit;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = gateway.converse(stream) => {}
                }
            });
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let Patience { head, upload, idle, life, .. } = self.patience;
        // What is passed on bit by bit shall arrive bit by bit.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a guest's connection delays what is small");
        }
        let waiting = Arc::new(Waiting::default());
        let stream = Idle::new(stream, idle, Arc::clone(&waiting));
        let of_calls = Arc::clone(&waiting);
        let service = service_fn(move |request| {
            let (gateway, waiting) = (Arc::clone(&self), Arc::clone(&of_calls));
            async move { Ok::<_, Infallible>(gateway.answer(request, &waiting).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = sleep(life) => {
                connection.as_mut().graceful_shutdown();
                // Whatever is under way ends within the time of one exchange, or is cut; an AI call
                // has its own time.
                loop {
                    match timeout(idle.max(upload), connection.as_mut()).await {
                        Ok(ended) => break ended,
                        Err(_) if waiting.is_any() => {}
                        Err(_) => break Ok(()),
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "gateway connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, waiting: &Arc<Waiting>) -> Response<Body> {
        if request.uri().path().starts_with("/rig/") {
            self.platform(request).await
        } else {
            self.call(request, waiting).await
        }
    }
}
