//! Starts the proxy: what earlier processes have left is brought to the ledger before the first call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::Request,
    response::Response,
    routing::{any, get},
};
use camino::Utf8PathBuf;
use http::Uri;
use rigbox_ai::{
    prices::{Table, TableError},
    vault::{Vault, VaultError},
};
use rigbox_fabric::{Address, BindError, Listener, ServerAuth, serve_multiplexed, task};
use rigbox_store::{
    Clock, OpenError, Store, StoreError, StoreUrl,
    ledger::{LedgerError, Outcome, Posting, Stale},
};
use rigbox_types::{Credits, guest::refusal::Shape};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    call::Asked,
    free::FreeCalls,
    hang_up::Calls,
    journal::{Journal, JournalError, Left, read_all},
    metrics::Metrics,
    places::Places,
    provider::{self, ProviderConfig, ProviderError},
    proxy::Proxy,
    purse::{self, Purse},
    refusal::Refusal,
    subject::Subjects,
};

/// Calls that are posted at once when they are recovered.
const RECOVERED_AT_ONCE: usize = 500;

/// What stands before the path that a workspace has asked for.
const PREFIX_SEGMENTS: usize = 7;

/// What the proxy is started with.
pub struct Config {
    /// The database.
    pub store: StoreUrl,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Directory of the installation's own secrets.
    pub secrets: Utf8PathBuf,
    /// Directory of the journal of calls.
    pub journal: Utf8PathBuf,
    /// Where relays come.
    pub listen: Address,
    /// How they are known.
    pub auth: ServerAuth,
    /// Providers.
    pub providers: Vec<ProviderConfig>,
    /// Names of models that stand for others.
    pub aliases: BTreeMap<String, String>,
    /// Prices.
    pub prices: Prices,
}

/// Where prices come from: those that are compiled in, and a file over them.
#[derive(Clone)]
pub struct Prices {
    /// A file whose rows replace those of the same names.
    pub file: Option<Utf8PathBuf>,
    /// Asks for the file to be read again.
    pub reload: Arc<Notify>,
}

/// Why the proxy ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Owners' keys cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A provider's configuration.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The table of prices.
    #[error("ai.prices_file {path}")]
    Prices {
        /// Which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: PricesError,
    },
    /// The table that is compiled in.
    #[error("the table of prices")]
    Embedded(#[source] TableError),
    /// The journal.
    #[error("the journal of calls: {0}")]
    Journal(String),
    /// What earlier processes have left cannot be posted.
    #[error("post what an earlier process has left")]
    Recover(#[source] LedgerError),
    /// The listener.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Why a file of prices is not used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It cannot be read.
    #[error("read")]
    Read(#[from] std::io::Error),
    /// It is no table.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl From<JournalError> for RunError {
    fn from(error: JournalError) -> Self {
        let cause = std::error::Error::source(&error).map(|it| format!(": {it}"));
        Self::Journal(format!("{error}{}", cause.unwrap_or_default()))
    }
}

impl Prices {
    fn load(&self) -> Result<Table, RunError> {
        let table = Table::embedded().map_err(RunError::Embedded)?;
        let Some(path) = &self.file else { return Ok(table) };
        let read =
            || -> Result<Table, PricesError> { Ok(Table::parse(&std::fs::read_to_string(path)?)?) };
        let over = read().map_err(|source| RunError::Prices { path: path.clone(), source })?;
        Ok(table.overlaid(over))
    }
}

/// Runs until `shutdown`.
///
/// # Errors
/// Says which step of the start failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let providers = provider::all(&config.providers)?;
    let prices = config.prices.load()?;
    let vault = Vault::open(&config.secrets)?;
    let store = Store::open(&config.store, config.clock.clone()).await?;
    let holder = format!("ai-{}", uuid::Uuid::new_v4().simple());
    let journal = Journal::open(&config.journal, &holder)?;
    recover(&store, &journal).await?;
    let purse = Purse::new(store.clone(), journal.clone());
    let proxy = Arc::new(Proxy {
        store: store.clone(),
        vault,
        providers,
        prices: ArcSwap::from_pointee(prices),
        aliases: config.aliases,
        purse: purse.clone(),
        journal: journal.clone(),
        subjects: Subjects::default(),
        places: Places::new(),
        free: FreeCalls::default(),
        calls: Calls::default(),
        metrics: Arc::new(Metrics::default()),
    });
    let listener = Listener::bind(config.listen, &config.auth).await?;
    let ends = CancellationToken::new();
    let serving = shutdown.child_token();
    let fails = serving.clone();
    let syncing = task::spawn("ai.journal", async move {
        let error = journal.keep_synced().await;
        tracing::error!(%error, "the journal of calls cannot be brought to disk");
        fails.cancel();
        error
    });
    let posting = task::spawn("ai.post", purse.clone().keep_posted(ends.clone()));
    let reloading = task::spawn("ai.prices", reload(proxy.clone(), config.prices));
    let releasing = task::spawn("ai.leases", release_late(store.clone(), holder.clone()));
    tracing::info!(%holder, "the AI proxy serves");
    serve_multiplexed(listener, router(proxy.clone()), serving).await;
    proxy.calls.end().await;
    ends.cancel();
    posting.await.ok();
    purse.close().await;
    reloading.abort();
    releasing.abort();
    store.close().await;
    syncing.abort();
    // Aborted, unless it had ended by itself before.
    syncing.await.map_or(Ok(()), |error| Err(error.into()))
}

fn router(proxy: Arc<Proxy>) -> Router {
    Router::new()
        .route("/internal/v1/hosts/{host}/ai/{workspace}/{*path}", any(call))
        .route("/internal/v1/ai/metrics", get(metrics))
        .with_state(proxy)
}

async fn call(
    State(proxy): State<Arc<Proxy>>,
    Path((host, workspace, _)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let path = inner(request.uri());
    let shape = Shape::of(&path);
    let calls = proxy.clone();
    let answer = calls.calls.run(|presence| async move {
        let asked = Asked { host, workspace, path, presence };
        proxy.answer(&asked, request).await
    });
    let ends = || Refusal::unavailable("the AI proxy ends; try again").answer(shape);
    answer.await.unwrap_or_else(ends)
}

/// The path that a workspace has asked for, as it was written.
fn inner(uri: &Uri) -> String {
    let behind = uri.path().splitn(PREFIX_SEGMENTS + 1, '/').nth(PREFIX_SEGMENTS);
    format!("/{}", behind.unwrap_or_default())
}

async fn metrics(State(proxy): State<Arc<Proxy>>) -> String {
    let now = (proxy.places.under_way(), proxy.purse.waiting());
    proxy.metrics.text(&proxy.providers, now)
}

/// Brings to the ledger what earlier processes have left, and gives back what they held.
async fn recover(store: &Store, journal: &Journal) -> Result<(), RunError> {
    let left = read_all(journal.directory(), journal.first(), store.now())?;
    let is_posted = post(store, &left).await.map_err(RunError::Recover)?;
    // One proxy of a platform runs at a time, which the journal's lock sees to. So whatever others hold is
    // of processes that are gone, also where their journal is: after a restore, or with a lost disk.
    let others = Stale::NotOf(journal.holder());
    store.ledger().recover(others, Outcome::Release).await.map_err(RunError::Recover)?;
    if !left.calls.is_empty() {
        tracing::warn!(
            calls = left.calls.len(),
            "brought to the ledger what was left of a process"
        );
    }
    if is_posted {
        left.delete();
    } else {
        left.put_aside();
    }
    Ok(())
}

/// Gives back what a killed process has leased after its successor had looked: a database server goes on with
/// a statement whose client is gone, and none of ours takes longer than a minute.
async fn release_late(store: Store, holder: String) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    if let Err(error) = store.ledger().recover(Stale::NotOf(&holder), Outcome::Release).await {
        tracing::warn!(%error, "what a killed process may have leased late is held until the next start");
    }
}

/// Whether all of it is in the ledger: an account that is not there has no calls. Its database was put back to
/// an earlier day, or is another one, and the calls are for that.
async fn post(store: &Store, left: &Left) -> Result<bool, LedgerError> {
    let mut all = true;
    let mut by_account: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (holder, call) in &left.calls {
        by_account.entry((holder, call.account)).or_default().push(call.clone());
    }
    for ((holder, account), calls) in by_account {
        for calls in calls.chunks(RECOVERED_AT_ONCE) {
            let posting =
                Posting { account, holder, calls, keep: Credits::MAX, fill: Credits::ZERO };
            match purse::post(store, &posting).await {
                Err(LedgerError::Store(StoreError::NotFound { .. })) => {
                    let calls = calls.len();
                    tracing::error!(%account, calls, "calls of an account that is not there");
                    all = false;
                }
                posted => drop(posted?),
            }
        }
    }
    Ok(all)
}

/// Reads prices again, each time that it is asked for.
async fn reload(proxy: Arc<Proxy>, prices: Prices) {
    loop {
        prices.reload.notified().await;
        match prices.load() {
            Ok(table) => {
                tracing::info!(as_of = %table.as_of, "prices were read again");
                proxy.prices.store(Arc::new(table));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "prices stay as they were");
            }
        }
        // One at a time, however often it is asked for.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
