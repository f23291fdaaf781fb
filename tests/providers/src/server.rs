//! The server: what is kept of all requests, which behaviour each gets, and the connections.
//! Owns the ledger and the behaviours. Invariants: no lock is held across an await; when a `Providers`
//! is dropped, its connections are, and with them what is under way.
//! Does not know a provider's shapes; `request` has what happens to one request, `control` what tests
//! ask by HTTP.

mod control;
mod request;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    behaviour::Behaviour,
    ledger::{Billed, End, Ledger, Request, Totals},
    speak::Provider,
    tls::Tls,
};

/// Most series of requests whose first ones fail that are counted at once.
const SERIES_MAX: usize = 10_000;

/// Most models with a behaviour of their own.
const MODELS_MAX: usize = 1_000;

/// How long `requests_when` waits for what a test expects, also on a machine that does much else.
const WAIT: Duration = Duration::from_secs(120);

/// How to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 is any free one.
    pub listen: SocketAddr,
    /// How connections are secured.
    pub tls: Tls,
    /// The only key that is accepted, by all providers. Any is where absent.
    pub key: Option<String>,
    /// The default behaviour.
    pub behaviour: Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: Tls::Plain,
            key: None,
            behaviour: Behaviour::default(),
        }
    }
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing can listen there.
    #[error("listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The certificate is none.
    #[error("the certificate: {0:#}")]
    Certificate(anyhow::Error),
}

/// The running simulator. It ends when this is dropped.
#[derive(Debug)]
pub struct Providers {
    address: SocketAddr,
    authority_pem: Option<String>,
    is_tls: bool,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Providers {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    /// When it cannot listen or the certificate is none.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let tls = options.tls.ready().map_err(StartError::Certificate)?;
        let listen = |source| StartError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared::new(options.key, options.behaviour));
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config.clone()));
        let accepting = tokio::spawn(accept(listener, acceptor, shared.clone()));
        let is_tls = tls.is_some();
        let authority_pem = tls.and_then(|tls| tls.authority_pem);
        Ok(Self { address, authority_pem, is_tls, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a provider's own host would be: `http://127.0.0.1:1234/openai`.
    #[must_use]
    pub fn base(&self, provider: Provider) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, provider.prefix())
    }

    /// The authority that clients have to trust, if its certificate was made here.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// The last requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.with(|ledger| ledger.requests())
    }

    /// What the last requests were charged, in the order of their ends.
    #[must_use]
    pub fn billed(&self) -> Vec<Billed> {
        self.shared.with(|ledger| ledger.billed())
    }

    /// Sums over all requests.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.with(|ledger| ledger.totals())
    }

    /// The requests, as soon as they are as a test expects.
    ///
    /// # Panics
    /// When they do not come to be so; with what they are.
    pub async fn requests_when(&self, expected: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if expected(&self.requests()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = timeout(WAIT, waiting).await;
        let requests = self.requests();
        assert!(waited.is_ok(), "after {WAIT:?} requests are not as expected: {requests:#?}");
        requests
    }

    /// The behaviour of requests that have no other.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.change(|settings| settings.default = behaviour);
    }

    /// The behaviour of requests for a model, instead of the default.
    pub fn set_model_behaviour(&self, model: &str, behaviour: Behaviour) {
        self.shared.change(|settings| settings.set(model, behaviour));
    }

    /// Forgets all requests that have ended, all charges, series and behaviours.
    pub fn reset(&self) {
        self.shared.reset();
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Which behaviour is whose.
#[derive(Debug, Clone, Default)]
struct Settings {
    default: Behaviour,
    models: HashMap<String, Behaviour>,
}

impl Settings {
    fn set(&mut self, model: &str, behaviour: Behaviour) {
        if self.models.len() < MODELS_MAX || self.models.contains_key(model) {
            self.models.insert(model.to_owned(), behaviour);
        }
    }

    fn of(&self, model: &str) -> &Behaviour {
        self.models.get(model).unwrap_or(&self.default)
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    key: Option<String>,
    started: Instant,
    started_unix: Duration,
    /// What `reset` goes back to.
    first: Behaviour,
    settings: RwLock<Arc<Settings>>,
    series: Mutex<HashMap<String, u64>>,
    ledger: Mutex<Ledger>,
    changed: Notify,
}

impl Shared {
    fn new(key: Option<String>, behaviour: Behaviour) -> Self {
        let settings = Settings { default: behaviour.clone(), models: HashMap::new() };
        Self {
            key,
            started: Instant::now(),
            started_unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            first: behaviour,
            settings: RwLock::new(Arc::new(settings)),
            series: Mutex::default(),
            ledger: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Ledger) -> T) -> T {
        use_it(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut settings));
    }

    fn begin(&self, request: Request) -> u64 {
        let number = self.with(|ledger| ledger.begin(request));
        self.changed.notify_waiters();
        number
    }

    /// Ends a request. See `Ticket`.
    pub(crate) fn end(&self, number: u64, how: End, billed: Option<Billed>) {
        self.with(|ledger| ledger.end(number, how, billed));
        self.changed.notify_waiters();
    }

    /// How many of a series have come, with this one.
    fn attempt(&self, series: &str) -> u64 {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERIES_MAX && !all.contains_key(series) {
            all.clear();
        }
        let count = all.entry(series.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn reset(&self) {
        self.with(Ledger::reset);
        self.series.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let first = self.first.clone();
        self.change(|settings| *settings = Settings { default: first, ..Settings::default() });
        self.changed.notify_waiters();
    }

    pub(crate) fn at_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn unix(&self) -> u64 {
        self.started_unix.saturating_add(self.started.elapsed()).as_secs()
    }
}

/// Takes connections until it is aborted, and ends them then.
async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Out of descriptors, or a client that is gone again: there is a next one.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, acceptor.clone(), shared.clone()));
    }
}

/// Serves one connection. Whatever ends it is the client's to notice.
async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // So that a write is a packet.
    stream.set_nodelay(true).unwrap_or_default();
    let service = service_fn(move |request| request::answer(shared.clone(), request));
    let builder = Builder::new(TokioExecutor::new());
    match acceptor {
        None => builder.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default(),
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            builder.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
        }
    }
}
