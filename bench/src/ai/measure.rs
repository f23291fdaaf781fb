//! What is measured of each side. Names of rows, where `<form>` is `whole` or `stream`:
//!
//! - `ai.<form>.<think>ms.p50`, `.p99` (of a stream also `.first.p50`, `.first.p99`): from when a call was
//!   due until its answer was there; `n` calls are due in a second. `.reached`: answers in a second;
//!   `.waited`: calls that were due while too many were under way, in a second; `.cpu`: of the side's own time
//!   for a call, `.cpu.<kind>` of a kind of its processes.
//! - `ai.full.<form>.rate`, `.p50`, `.p99`, `.per_cpu`, `.per_cpu.<kind>`: over `n` connections that are
//!   never idle, answers in a second of everybody's and of the side's own time.
//! - `ai.chunks.p50`, `.p99`: from when a piece was written until it is read, `n` streams.
//! - `ai.memory.pss`, `.rss`, and of a kind `.pss.<kind>`, `.rss.<kind>`: with `n` streams open.
//!
//! Rows of one name, side and `n` are in the order of rounds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use camino::Utf8Path;
use tokio::time::sleep;

use super::{
    Options,
    client::{Ask, Pool},
    load::{self, Found},
    product::Product,
    side::{DIRECT, RIGBOX, Side},
    upstream::{RELEASE, Wish},
};
use crate::{output::note, rows::Rows, stats::Series};

/// Before each measurement: connections are open, buffers have their size.
const WARM_UP: Duration = Duration::from_millis(1_000);
/// How long a provider thinks: none is faster. What is added while it does so can hide behind it, so those
/// that add little are also measured with one that does not.
const THINK: Duration = Duration::from_millis(50);
const QUICK: [&str; 3] = [DIRECT, RIGBOX, "nginx"];
/// Pieces of a stream.
const CHUNKS: u32 = 10;
/// Pieces of one that is listened to, and the time between them.
const LISTEN_CHUNKS: u32 = 40;
const LISTEN_GAP: Duration = Duration::from_millis(20);
/// What sides do after an answer is theirs too.
const SETTLES: Duration = Duration::from_millis(100);
/// Until memory is what it stays.
const RESTS: Duration = Duration::from_secs(1);
/// Calls of each side before its memory is first looked at.
const FIRST_CALLS: usize = 64;

/// Whole answers, or streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Stream,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Stream => "stream",
        }
    }

    fn ask(self, side: &Side, think: Duration) -> Result<Ask> {
        let wish = Wish { think, chunks: CHUNKS, ..Wish::default() };
        match self {
            Self::Whole => Ask::whole(side, wish),
            Self::Stream => Ask::stream(side, wish),
        }
    }
}

/// What a run measures with.
pub(super) struct Stage<'a> {
    options: &'a Options,
    upstream: SocketAddr,
    sides: Vec<Arc<Side>>,
    rows: &'a mut Rows,
}

impl<'a> Stage<'a> {
    /// Starts all sides.
    pub(super) async fn start(
        options: &'a Options,
        (folder, upstream): (&Utf8Path, SocketAddr),
        rows: &'a mut Rows,
    ) -> Result<Self> {
        let product = Product::start(&folder.join(RIGBOX), upstream).await?;
        let mut sides = vec![Arc::new(Side::direct(upstream)), Arc::new(Side::product(product))];
        for peer in &options.peers {
            note(&format!("starting {}", peer.name()));
            sides.push(Arc::new(peer.start(&folder.join(peer.name()), upstream)?));
        }
        Ok(Self { options, upstream, sides, rows })
    }

    /// Ends all sides, and looks whether ours has charged what it should.
    pub(super) async fn end(self) -> Result<()> {
        for side in self.sides {
            let name = side.name;
            let side = Arc::into_inner(side).with_context(|| format!("{name} is still in use"))?;
            side.end().await.with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    /// The sides of a round: what disturbs one disturbs the others, and the order turns.
    fn turn(&self, round: u32) -> Result<Vec<Arc<Side>>> {
        let first = usize::try_from(round)? % self.sides.len().max(1);
        Ok(self.sides.iter().cycle().skip(first).take(self.sides.len()).cloned().collect())
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds.into())
    }

    /// Calls that are due at fixed times.
    pub(super) async fn paced(&mut self) -> Result<()> {
        for think in [THINK, Duration::ZERO] {
            for form in [Form::Whole, Form::Stream] {
                for rate in self.options.rates.clone() {
                    let name = format!("ai.{}.{}ms", form.name(), think.as_millis());
                    note(&format!("{name}, {rate} due in a second"));
                    for round in 0..self.options.rounds {
                        for side in self.turn(round)? {
                            if !think.is_zero() || QUICK.contains(&side.name) {
                                let measured = self.pace(&side, &name, (form, think, rate)).await;
                                measured.with_context(|| format!("{name} of {}", side.name))?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn pace(
        &mut self,
        side: &Arc<Side>,
        name: &str,
        (form, think, rate): (Form, Duration, u32),
    ) -> Result<()> {
        let pool = Arc::new(Pool::new(side, form.ask(side, think)?));
        load::paced(&pool, rate, WARM_UP).await?;
        let before = executed(side)?;
        let found = load::paced(&pool, rate, self.time()).await?;
        sleep(SETTLES).await;
        let (n, of) = (u64::from(rate), side.name);
        self.percentiles(name, (of, n), &found.total_ns);
        if form == Form::Stream {
            self.percentiles(&format!("{name}.first"), (of, n), &found.first_ns);
        }
        self.rows.rate(&format!("{name}.reached"), of, n, found.per_second());
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^53 calls")]
        let waited = found.waited as f64 / self.time().as_secs_f64();
        self.rows.rate(&format!("{name}.waited"), of, n, waited);
        let calls = u32::try_from(found.total_ns.len())?.max(1);
        for ((kind, before), (_, after)) in before.into_iter().zip(executed(side)?) {
            let took = after.saturating_sub(before) / calls;
            self.rows.time(&format!("{name}.cpu{}", behind(kind)), of, n, took);
        }
        Ok(())
    }

    /// As many calls as go.
    pub(super) async fn full(&mut self) -> Result<()> {
        for form in [Form::Whole, Form::Stream] {
            let name = format!("ai.full.{}", form.name());
            note(&name);
            for round in 0..self.options.rounds {
                for side in self.turn(round)? {
                    let measured = self.fill(&side, &name, form).await;
                    measured.with_context(|| format!("{name} of {}", side.name))?;
                }
            }
        }
        Ok(())
    }

    async fn fill(&mut self, side: &Arc<Side>, name: &str, form: Form) -> Result<()> {
        let (ask, n) = (form.ask(side, Duration::ZERO)?, self.options.connections);
        let connections = usize::try_from(n)?;
        load::full(side, &ask, (connections, WARM_UP)).await?;
        let before = executed(side)?;
        let found = load::full(side, &ask, (connections, self.time())).await?;
        sleep(SETTLES).await;
        let (n, of) = (u64::from(n), side.name);
        self.rows.rate(&format!("{name}.rate"), of, n, found.per_second());
        self.percentiles(name, (of, n), &found.total_ns);
        for ((kind, before), (_, after)) in before.into_iter().zip(executed(side)?) {
            let per_cpu = per_second(&found, after.saturating_sub(before));
            if per_cpu.is_finite() {
                self.rows.rate(&format!("{name}.per_cpu{}", behind(kind)), of, n, per_cpu);
            }
        }
        Ok(())
    }

    /// What is added to each piece of a stream.
    pub(super) async fn chunks(&mut self) -> Result<()> {
        let (streams, gap) = (self.options.listeners, LISTEN_GAP);
        let wish = Wish { chunks: LISTEN_CHUNKS, gap, ..Wish::default() };
        for round in 0..self.options.rounds {
            for side in self.turn(round)? {
                let ask = Ask::stream(&side, wish)?;
                let delays = load::listen(&side, (&ask, gap), (streams, self.time())).await;
                let delays = delays.with_context(|| format!("pieces of {}", side.name))?;
                self.percentiles("ai.chunks", (side.name, streams.into()), &delays);
            }
        }
        Ok(())
    }

    /// Memory with streams that are open and say nothing.
    pub(super) async fn memory(&mut self) -> Result<()> {
        let wish = Wish { chunks: CHUNKS, ..Wish::default() };
        for side in self.turn(0)? {
            // Nobody's.
            if side.name == DIRECT {
                continue;
            }
            note(&format!("memory of {}", side.name));
            let ask = Ask::stream(&side, Wish { holds: true, ..wish })?;
            // What the first of all need is nobody's in particular.
            let first = Ask::stream(&side, wish)?;
            load::open(&side, &first, FIRST_CALLS).await?.finish(&side).await?;
            sleep(RESTS).await;
            self.sizes(&side, 0)?;
            let streams = self.options.streams.min(side.streams_max);
            let open = load::open(&side, &ask, usize::try_from(streams)?).await;
            let open = open.with_context(|| format!("streams of {}", side.name))?;
            sleep(RESTS).await;
            self.sizes(&side, streams.into())?;
            self.release().await?;
            open.finish(&side).await.with_context(|| format!("streams of {}", side.name))?;
        }
        Ok(())
    }

    fn sizes(&mut self, side: &Side, n: u64) -> Result<()> {
        for kind in std::iter::once(None).chain(side.kinds().map(Some)) {
            let memory = side.memory(kind)?;
            for (what, kib) in [("pss", memory.pss), ("rss", memory.rss)] {
                self.rows.size(&format!("ai.memory.{what}{}", behind(kind)), side.name, n, kib);
            }
        }
        Ok(())
    }

    /// Lets streams that are open end.
    async fn release(&self) -> Result<()> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.upstream).await?;
        let head = format!("GET {RELEASE} HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    fn percentiles(&mut self, name: &str, (side, n): (&str, u64), all_ns: &[u64]) {
        #[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
        let series = Series::from_values(all_ns.iter().map(|ns| *ns as f64));
        for (percent, what) in [(50, "p50"), (99, "p99")] {
            if let Some(ns) = series.percentile(percent) {
                let time = Duration::from_secs_f64(ns / 1e9);
                self.rows.time(&format!("{name}.{what}"), side, n, time);
            }
        }
    }
}

/// For names of rows.
fn behind(kind: Option<&str>) -> String {
    kind.map(|kind| format!(".{kind}")).unwrap_or_default()
}

/// Time that a side was executed, in all and by kind of its processes.
fn executed(side: &Side) -> Result<Vec<(Option<&'static str>, Duration)>> {
    let kinds = std::iter::once(None).chain(side.kinds().map(Some));
    kinds.map(|kind| Ok((kind, side.executed(kind)?))).collect()
}

/// Answers in a second of so much time.
fn per_second(found: &Found, executed: Duration) -> f64 {
    found.per_second() * found.took.as_secs_f64() / executed.as_secs_f64()
}
