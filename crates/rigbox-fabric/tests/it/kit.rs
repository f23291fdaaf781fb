//! A listener with a router in its own directory.

use std::sync::Arc;

use axum::Router;
use camino::Utf8PathBuf;
use rigbox_fabric::{Address, Client, ClientAuth, Listener, ServerAuth, serve};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Served {
    pub(crate) client: Client,
    pub(crate) path: Utf8PathBuf,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
    dir: Arc<tempfile::TempDir>,
}

pub(crate) fn dir() -> (Arc<tempfile::TempDir>, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    (Arc::new(dir), path)
}

/// Serves a router at a unix socket.
pub(crate) async fn serve_local(router: Router) -> Served {
    let (dir, path) = dir();
    serve_at(dir, path.join("s.sock"), router).await
}

impl Served {
    /// Ends the listener, and starts another one at the same path.
    pub(crate) async fn restart(self, router: Router) -> Self {
        self.shutdown.cancel();
        self.ended.await.unwrap();
        let client = self.client;
        let again = serve_at(self.dir, self.path, router).await;
        Self { client, ..again }
    }
}

async fn serve_at(dir: Arc<tempfile::TempDir>, path: Utf8PathBuf, router: Router) -> Served {
    let address = Address::Unix(path.clone());
    let auth = ServerAuth::Local { peer_uid: None };
    let listener = Listener::bind(address.clone(), &auth).await.unwrap();
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(serve(listener, router, shutdown.clone()));
    let client = Client::new(address, &ClientAuth::Local).unwrap();
    Served { client, path, shutdown, ended, dir }
}
