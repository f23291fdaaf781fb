//! What is measured of each side. Names of rows: `<what>.<measure>`, `n` counts connections, or
//! routes where the name begins with `routes`.
//!
//! - `h1.1KiB.rate`, `.p50`, `.p99`: at full load; `.per_cpu`: by second of the side's own time.
//! - `h1.1KiB.paced.p99`: far below what the slowest can do.
//! - `connect.full.*`, `connect.resumed.*`: a connection for each request; `echo.*`: WebSockets.
//! - `idle.h1`, `idle.h2`: memory of the side with `n` idle connections, shared pages in proportion.
//! - `routes.*`: the edge alone; `routes.change` from the event until it is served.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use camino::Utf8Path;
use tokio::time::sleep;

use super::{
    Options,
    certificate::{Certificate, connect},
    found::Found,
    h2load::{self, Ask},
    product::Product,
    sockets::{self, Idle},
    upstream::{BODIES, Upstreams},
};
use crate::{output::note, procfs, rows::Rows, running::Running};

/// How the edge is called in rows.
pub(super) const RIGBOX: &str = "rigbox";

/// Requests in a second of all paced connections together, and how many those are.
const PACED: u32 = 1_000;
const PACED_CONNECTIONS: u32 = 50;
/// WebSockets at once.
const ECHOES: u32 = 64;
/// Requests at once on an HTTP/2 connection, where connections are few.
const STREAMS: u32 = 4;
const FEW: u32 = 100;
/// A change that takes as long is no change.
const CHANGE_LIMIT: Duration = Duration::from_secs(20);

/// What a run measures with.
pub(super) struct Stage<'a> {
    pub(super) options: &'a Options,
    pub(super) folder: &'a Utf8Path,
    pub(super) certificate: &'a Certificate,
    pub(super) upstreams: &'a Upstreams,
    pub(super) rows: &'a mut Rows,
}

/// A side that runs.
enum Proxy {
    Rigbox(Box<Product>),
    Peer(&'static str, Running),
}

impl Proxy {
    fn side(&self) -> &'static str {
        match self {
            Self::Rigbox(_) => RIGBOX,
            Self::Peer(name, _) => name,
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Rigbox(product) => product.address,
            Self::Peer(_, running) => running.address,
        }
    }

    fn family(&self) -> Vec<u32> {
        procfs::family(match self {
            Self::Rigbox(product) => product.process.pid(),
            Self::Peer(_, running) => running.pid(),
        })
    }

    /// Time that its processes were executed.
    fn executed(&self) -> Result<Duration> {
        self.family().into_iter().map(procfs::executed).sum()
    }

    /// Memory of its processes, KiB.
    fn memory(&self) -> Result<u64> {
        self.family().into_iter().map(|pid| Ok(procfs::memory(pid)?.pss)).sum()
    }
}

impl Stage<'_> {
    async fn product(&self, routes: u64) -> Result<Product> {
        let folder = self.folder.join(format!("edge{routes}-{}", nth()));
        Product::start(&folder, self.certificate, self.upstreams, routes).await
    }

    async fn sides(&self) -> Result<Vec<Proxy>> {
        let mut all = vec![Proxy::Rigbox(Box::new(self.product(1).await?))];
        for peer in &self.options.peers {
            let folder = self.folder.join(format!("{}{}", peer.name(), nth()));
            let running = peer.start(&folder, self.certificate, self.upstreams)?;
            all.push(Proxy::Peer(peer.name(), running));
        }
        Ok(all)
    }

    /// All sides in turns, so that what disturbs one disturbs the others; the order turns too.
    async fn in_turns(
        &mut self,
        (name, n): (&str, u64),
        sides: &[Proxy],
        load: impl AsyncFn(SocketAddr) -> Result<Found>,
    ) -> Result<()> {
        note(&format!("{name}, {n} connections"));
        for round in 0..self.options.rounds {
            let first = usize::try_from(round)? % sides.len();
            for proxy in sides.iter().cycle().skip(first).take(sides.len()) {
                let side = proxy.side();
                let measured = measured(proxy, &load).await;
                let measured = measured.with_context(|| format!("{name} of {side}"))?;
                self.note(name, (side, n), &measured);
            }
        }
        Ok(())
    }

    fn note(&mut self, name: &str, (side, n): (&str, u64), (found, executed): &(Found, f64)) {
        self.rows.rate(&format!("{name}.rate"), side, n, found.per_second);
        let per_cpu = found.per_second / executed;
        if per_cpu.is_finite() {
            self.rows.rate(&format!("{name}.per_cpu"), side, n, per_cpu);
        }
        for (percent, what) in [(50, "p50"), (99, "p99")] {
            if let Some(micros) = found.percentile_us(percent) {
                let time = Duration::from_micros(micros);
                self.rows.time(&format!("{name}.{what}"), side, n, time);
            }
        }
    }

    /// Requests over connections that stay open.
    pub(super) async fn requests(&mut self) -> Result<()> {
        let (sides, seconds, folder) = (self.sides().await?, self.options.seconds, self.folder);
        for (is_h2, version) in [(false, "h1"), (true, "h2")] {
            for (path, _) in BODIES {
                for connections in self.options.connections.clone() {
                    let streams = if is_h2 && connections <= FEW { STREAMS } else { 1 };
                    let name = format!("{version}.{path}");
                    self.in_turns((&name, connections.into()), &sides, async |to| {
                        let rate = None;
                        let ask = Ask { to, is_h2, path, connections, streams, rate, seconds };
                        h2load::load(&ask, folder).await
                    })
                    .await?;
                }
            }
            let (path, connections) = (BODIES[0].0, PACED_CONNECTIONS);
            let name = format!("{version}.{path}.paced");
            self.in_turns((&name, connections.into()), &sides, async |to| {
                let rate = Some(PACED / PACED_CONNECTIONS);
                let ask = Ask { to, is_h2, path, connections, streams: 1, rate, seconds };
                h2load::load(&ask, folder).await
            })
            .await?;
        }
        Ok(())
    }

    /// A connection for each request.
    pub(super) async fn handshakes(&mut self) -> Result<()> {
        let (sides, time) = (self.sides().await?, self.time());
        for (name, resumes) in [("connect.full", false), ("connect.resumed", true)] {
            let certificate = self.certificate;
            self.in_turns((name, sockets::SHAKING.into()), &sides, async |to| {
                // Sessions of one side are of no use at another.
                let config = certificate.client("http/1.1", resumes)?;
                sockets::shake(config, to, time).await
            })
            .await?;
        }
        Ok(())
    }

    /// Messages over WebSockets.
    pub(super) async fn echo(&mut self) -> Result<()> {
        let (sides, time) = (self.sides().await?, self.time());
        let config = self.certificate.client("http/1.1", false)?;
        self.in_turns(("echo", ECHOES.into()), &sides, async |to| {
            sockets::echo(config.clone(), to, (ECHOES, time)).await
        })
        .await
    }

    /// Memory with connections that do nothing; each side fresh.
    pub(super) async fn memory(&mut self) -> Result<()> {
        for (name, alpn) in [("idle.h1", "http/1.1"), ("idle.h2", "h2")] {
            note(name);
            let is_h2 = alpn == "h2";
            let config = self.certificate.client(alpn, false)?;
            for proxy in self.sides().await? {
                let (side, to) = (proxy.side(), proxy.address());
                // What the first of all needs is nobody's in particular.
                let mut open = Idle::new();
                sockets::idle(&config, to, (is_h2, 8), &mut open).await?;
                open.clear();
                self.rows.size(name, side, 0, proxy.memory()?);
                for count in self.options.idle.clone() {
                    let more = count.saturating_sub(open.len());
                    let opened = sockets::idle(&config, to, (is_h2, more), &mut open).await;
                    opened.with_context(|| format!("{name} of {side}"))?;
                    let n = u64::try_from(count)?;
                    self.rows.size(name, side, n, proxy.memory()?);
                }
            }
        }
        Ok(())
    }

    /// The edge beside few and many routes.
    pub(super) async fn routes(&mut self) -> Result<()> {
        let (seconds, folder) = (self.options.seconds, self.folder);
        let mut all = Vec::new();
        for routes in self.options.routes.clone() {
            let began = Instant::now();
            let product = Box::new(self.product(routes).await?);
            self.rows.time("routes.start", RIGBOX, routes, began.elapsed());
            all.push((routes, Proxy::Rigbox(product)));
        }
        for round in 0..self.options.rounds {
            note(&format!("routes, round {}", round + 1));
            for (routes, proxy) in &all {
                for (is_h2, name) in [(false, "routes.h1.1KiB"), (true, "routes.h2.1KiB")] {
                    let measured = measured(proxy, async |to| {
                        let (path, connections, rate) = (BODIES[0].0, 64, None);
                        let streams = if is_h2 { STREAMS } else { 1 };
                        let ask = Ask { to, is_h2, path, connections, streams, rate, seconds };
                        h2load::load(&ask, folder).await
                    })
                    .await?;
                    self.note(name, (RIGBOX, *routes), &measured);
                }
            }
        }
        for (routes, proxy) in &all {
            let Proxy::Rigbox(product) = proxy else { continue };
            self.rows.size("routes.memory", RIGBOX, *routes, proxy.memory()?);
            for number in 0..self.options.changes {
                self.change(product, *routes, routes + number).await?;
            }
        }
        Ok(())
    }

    /// Tells of one more app, and asks for it until it is served.
    async fn change(&mut self, product: &Product, routes: u64, number: u64) -> Result<()> {
        let name = Product::name(number);
        let config: Arc<_> = self.certificate.client("http/1.1", false)?;
        let mut stream = connect(config, product.address, &name).await?;
        let began = Instant::now();
        let revision = product.add(number).await?;
        sockets::until_served(&mut stream, &name, CHANGE_LIMIT).await?;
        self.rows.time("routes.change", RIGBOX, routes, began.elapsed());
        product.control.acked(revision).await?;
        self.rows.time("routes.acked", RIGBOX, routes, began.elapsed());
        Ok(())
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds.into())
    }
}

/// Loads a side; what was found, and for how much of a second it was executed in each while it was
/// measured.
async fn measured(
    proxy: &Proxy,
    load: impl AsyncFn(SocketAddr) -> Result<Found>,
) -> Result<(Found, f64)> {
    let (mut load, mut began) = (pin!(load(proxy.address())), None);
    let found = loop {
        tokio::select! {
            found = load.as_mut() => break found?,
            () = sleep(h2load::WARM_UP) , if began.is_none() => {
                began = Some((Instant::now(), proxy.executed()?));
            }
        }
    };
    let (at, before) = began.context("the load was shorter than its beginning")?;
    let executed = proxy.executed()?.saturating_sub(before);
    Ok((found, executed.as_secs_f64() / at.elapsed().as_secs_f64()))
}

/// For names of folders.
fn nth() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
