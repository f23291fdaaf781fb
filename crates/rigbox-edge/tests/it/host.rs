//! The host as an edge sees it: opens connections to what the test plays as workspaces.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_fabric::{
    Peer,
    dial::{DialListener, DialRefusal, DialRefused, DialRequest, Dialer},
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

pub(crate) struct Host {
    pub(crate) path: Utf8PathBuf,
    dialer: Arc<Workspaces>,
}

#[derive(Default)]
struct Workspaces {
    addresses: Mutex<HashMap<u16, SocketAddr>>,
    dials: AtomicUsize,
}

impl Host {
    pub(crate) async fn start(folder: &Utf8Path, shutdown: CancellationToken) -> Self {
        let path = folder.join("dial.sock");
        let listener = DialListener::bind(&path, None).await.unwrap();
        let dialer = Arc::new(Workspaces::default());
        tokio::spawn(listener.serve(dialer.clone(), shutdown));
        Self { path, dialer }
    }

    /// Has a port of every workspace lead to an address.
    pub(crate) fn port(&self, port: u16, to: SocketAddr) {
        self.dialer.addresses.lock().unwrap().insert(port, to);
    }

    pub(crate) fn dials(&self) -> usize {
        self.dialer.dials.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Dialer for Workspaces {
    async fn dial(&self, _: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let known = self.addresses.lock().unwrap().get(&request.port.number()).copied();
        let refuse = |code| DialRefused { code, message: "no".to_owned() };
        match known {
            None if request.port.number() == 1 => Err(refuse(DialRefusal::NotRunning)),
            None => Err(refuse(DialRefusal::PortClosed)),
            Some(to) => {
                let stream = TcpStream::connect(to).await;
                let stream = stream.map_err(|_| refuse(DialRefusal::PortClosed))?;
                stream.set_nodelay(true).unwrap();
                Ok(stream)
            }
        }
    }
}
