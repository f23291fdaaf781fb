//! The HTTPS router: takes requests of visitors to apps and passes them on to workspaces.
//! Invariants: nothing reaches a workspace without the answer of the one authorisation function; what
//! only we may say of a visitor, only we say; the edge serves what it was told last, also while control
//! is away. Does not order certificates, does not know accounts, and writes to no database.

mod access_log;
mod body;
mod clock;
mod config;
mod edge;
mod error;
mod feed;
mod forward;
mod headers;
mod host;
mod journal;
mod listen;
mod metrics;
mod pages;
mod permit;
mod plain;
mod record;
mod request;
mod scrape;
mod seen;
mod shards;
mod table;
mod tls;
mod traffic;
mod upgrade;
mod upstream;
mod visit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rigbox_dns::{Records, Responder};
use rigbox_fabric::task;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{
    AccessLog, ControlClient, Dialers, Dns, EdgeConfig, Limits, Listen, MetricsListen,
};
pub use error::EdgeError;
pub use rigbox_dns::Zone;

use crate::{
    access_log::Log,
    edge::Edge,
    feed::Feed,
    journal::{Journal, Stored},
    table::Builder,
    upstream::Upstream,
};

/// How long control may take to tell, before what is on disk is served: an edge that follows another one
/// must not serve an older table than that one does, and none waits for a control that hangs.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// How long the last report may take once everything else has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves until `shutdown`, then lets what is under way end.
///
/// # Errors
/// Where it cannot start.
pub async fn run(config: EdgeConfig, shutdown: CancellationToken) -> Result<(), EdgeError> {
    check_name(&config.name)?;
    let https = listen::bind(config.https, "visitors")?;
    let http = config.http.map(|http| listen::bind(http, "visitors without TLS")).transpose()?;
    let scrape = config.metrics.map(scrape::bind).transpose()?;
    let (journal, stored) = Journal::open(&config.state)
        .map_err(|source| EdgeError::State { path: config.state.clone(), source })?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| EdgeError::Random)?;
    let (limits, ended) = (config.limits, CancellationToken::new());
    let (log, writer) = Log::start(&config.access_log, ended.clone()).await?.unzip();
    let edge = Arc::new(Edge {
        name: config.name,
        limits,
        table: Arc::new(ArcSwap::from_pointee(table::Snapshot::default())),
        tickets: tls::Tickets::new(),
        control: config.control.0,
        dashboard: config.dashboard.map(|at| Upstream::control(at, limits.upstream_idle_per_app)),
        admissions: visit::Admissions::default(),
        clients: listen::clients::Clients::default(),
        metrics: metrics::Metrics::default(),
        traffic: traffic::Busy::default(),
        seen: seen::Seen::default(),
        log,
        shutdown,
        ended,
        connected: AtomicBool::new(false),
        next_id: AtomicU64::new(u64::from_ne_bytes(seed)),
    });
    let records = Records::default();
    let dns = config.dns.map(|dns| challenges(dns, records.clone(), edge.shutdown.clone()));
    let responder = dns.transpose()?;
    let tls = tls::config(edge.table.clone(), edge.tickets.clone()).map_err(EdgeError::Tls)?;
    follow(&edge, config.dialers, (journal, stored), records).await;
    task::spawn("edge.expire", expire(edge.clone()));
    let report = task::spawn("edge.traffic", traffic::report(edge.clone()));
    let told = task::spawn("edge.seen", seen::report(edge.clone()));
    if let Some(responder) = responder {
        task::spawn("edge.dns", responder);
    }
    let connections = TaskTracker::new();
    if let Some(http) = http {
        task::spawn("edge.http", plain::serve(edge.clone(), http, connections.clone()));
    }
    if let Some(scrape) = scrape {
        scrape.serves()?;
        task::spawn("edge.metrics", scrape::serve(edge.clone(), scrape));
    }
    tracing::info!(apps = edge.table.load().apps_len(), "edge serves");
    listen::serve(edge.clone(), https, tls, connections.clone()).await;
    listen::drain(&edge, &connections, limits.drain).await;
    let last_words = async {
        // A task that panicked has said so itself.
        drop(tokio::join!(report, told));
        if let Some(writer) = writer {
            drop(writer.await);
        }
    };
    if timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::warn!("last traffic, requests and lines of the log not told");
    }
    Ok(())
}

/// Puts what is on disk into effect and follows control from there on. Back when control has told
/// everything for the first time, or cannot be asked, or takes too long.
async fn follow(
    edge: &Arc<Edge>,
    dialers: Dialers,
    (journal, stored): (Journal, Stored),
    records: Records,
) {
    let (acks, acked) = watch::channel(feed::Acked::default());
    let asked = CancellationToken::new();
    let builder = Builder::new(dialers, edge.limits.upstream_idle_per_app);
    let told = asked.clone();
    let journal = Some(journal);
    let unwritten = feed::Unwritten::default();
    let mut feed = Feed { edge: edge.clone(), builder, journal, acks, unwritten, records, asked };
    feed.restore(stored);
    task::spawn("edge.feed", feed.run());
    task::spawn("edge.acks", feed::acknowledge(edge.clone(), acked));
    let wait = timeout(FIRST_WORD, told.cancelled());
    if let Some(Err(_)) = edge.shutdown.run_until_cancelled(wait).await {
        tracing::warn!("control neither tells nor refuses: serving what is on disk");
    }
}

/// Answers authorities by DNS.
fn challenges(
    dns: Dns,
    records: Records,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()>, EdgeError> {
    let bound = |source| EdgeError::Listen { what: "questions of authorities", source };
    dns.udp.set_nonblocking(true).map_err(bound)?;
    dns.tcp.set_nonblocking(true).map_err(bound)?;
    let udp = tokio::net::UdpSocket::from_std(dns.udp).map_err(bound)?;
    let tcp = tokio::net::TcpListener::from_std(dns.tcp).map_err(bound)?;
    Ok(Responder::new(dns.zones, records).serve(udp, tcp, shutdown))
}

/// Closes connections to workspaces that were idle for too long.
async fn expire(edge: Arc<Edge>) {
    let limit = edge.limits.upstream_idle_timeout;
    let mut ticks = interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sweep = async {
        loop {
            ticks.tick().await;
            let table = edge.table.load_full();
            for app in table.apps() {
                if let Some(upstream) = &app.upstream {
                    upstream.expire(limit);
                }
            }
            if let Some(dashboard) = &edge.dashboard {
                dashboard.expire(limit);
            }
            edge.count_lost_lines();
        }
    };
    edge.ended.run_until_cancelled(sweep).await;
}

/// The name goes into the paths of requests to control.
fn check_name(name: &str) -> Result<(), EdgeError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && (1..=63).contains(&name.len()) {
        Ok(())
    } else {
        Err(EdgeError::Name { name: name.to_owned() })
    }
}
