//! Ways to call. Paced, calls are due at fixed times, and each is timed from when it was due; at full load
//! each connection makes its next call when it has the answer to the last; streams that are listened to
//! have the delay of each of their pieces.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    client::{Answer, Ask, Came, Connection, Delays, Pool},
    clock::{Timer, now_ns},
    side::Side,
};

/// Most calls under way of a paced load: a side that has more of them does not keep up.
const UNDER_WAY_MAX: usize = 512;
/// Connections that are open before the first call of it is due.
const OPEN_FIRST: usize = 96;
/// How long answers may take to come after the last call, and streams to begin and to end.
const DRAIN: Duration = Duration::from_secs(120);
/// Streams that are begun at once.
const OPENING: usize = 32;

const SECOND_NS: u64 = 1_000_000_000;

/// What a load found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// From when a call was due, or begun, until the first byte of the answer's body, and the last.
    pub(super) first_ns: Vec<u64>,
    pub(super) total_ns: Vec<u64>,
    /// Calls that were due while as many were under way as there may be.
    pub(super) waited: u64,
    pub(super) took: Duration,
}

impl Found {
    fn add(&mut self, since: u64, came: Came) {
        self.first_ns.push(came.first_ns.saturating_sub(since));
        self.total_ns.push(came.last_ns.saturating_sub(since));
    }

    /// Answers in a second.
    pub(super) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody gets 2^53 answers")]
        let answers = self.total_ns.len() as f64;
        answers / self.took.as_secs_f64()
    }
}

/// Calls that are due `rate` times a second.
pub(super) async fn paced(pool: &Arc<Pool>, rate: u32, time: Duration) -> Result<Found> {
    pool.fill(OPEN_FIRST.min(usize::try_from(rate)?)).await?;
    let (places, timer) = (Arc::new(Semaphore::new(UNDER_WAY_MAX)), Timer::new()?);
    let (mut calls, mut found) = (JoinSet::new(), Found::default());
    let (began, end) = (Instant::now(), Instant::now() + time);
    let (start, between) = (now_ns(), SECOND_NS / u64::from(rate.max(1)));
    for nth in 0.. {
        let due = start + between * nth;
        timer.until(due).await?;
        if Instant::now() >= end {
            break;
        }
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                found.waited += 1;
                Arc::clone(&places).acquire_owned().await.context("a place")?
            }
        };
        let pool = pool.clone();
        calls.spawn(async move {
            let came = pool.ask().await;
            drop(place);
            came.map(|came| (due, came))
        });
        while let Some(call) = calls.try_join_next() {
            let (due, came) = call.context("a call's task")??;
            found.add(due, came);
        }
    }
    let until = Instant::now() + DRAIN;
    while let Some((due, came)) = next(&mut calls, until).await? {
        found.add(due, came);
    }
    found.took = began.elapsed();
    Ok(found)
}

/// The next of the tasks that ends; none after the last.
async fn next<T: 'static>(tasks: &mut JoinSet<Result<T>>, until: Instant) -> Result<Option<T>> {
    let left = until.saturating_duration_since(Instant::now());
    let ended = timeout(left, tasks.join_next()).await.context("calls are not answered")?;
    ended.map(|ended| ended.context("a call's task")?).transpose()
}

/// As many calls as so many connections make.
pub(super) async fn full(side: &Arc<Side>, ask: &Ask, about: (usize, Duration)) -> Result<Found> {
    let (connections, time) = about;
    let mut tasks = JoinSet::new();
    let (began, end) = (Instant::now(), Instant::now() + time);
    for nth in 0..connections {
        let (side, ask) = (side.clone(), ask.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(side.address(nth)?).await?;
            let mut found = Found::default();
            while Instant::now() < end {
                let since = now_ns();
                found.add(since, connection.ask(&ask).await?);
                side.answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(found)
        });
    }
    let mut all = Found::default();
    while let Some(found) = next(&mut tasks, end + DRAIN).await? {
        all.first_ns.extend(found.first_ns);
        all.total_ns.extend(found.total_ns);
    }
    all.took = began.elapsed();
    Ok(all)
}

/// Streams at once that are listened to, one after the other on each of their connections, and not all
/// begun at the same moment: the delay of each piece.
pub(super) async fn listen(
    side: &Arc<Side>,
    (ask, gap): (&Ask, Duration),
    (streams, time): (u32, Duration),
) -> Result<Vec<u64>> {
    let mut tasks = JoinSet::new();
    let (start, end) = (now_ns(), Instant::now() + time);
    let between = u64::try_from(gap.as_nanos())? / u64::from(streams.max(1));
    for nth in 0..streams {
        let (side, ask) = (side.clone(), ask.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(side.address(usize::try_from(nth)?)?).await?;
            let mut delays = Delays::default();
            Timer::new()?.until(start + between * u64::from(nth)).await?;
            while Instant::now() < end {
                connection.listen(&ask, &mut delays).await?;
                side.answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(delays.ns)
        });
    }
    let mut all = Vec::new();
    while let Some(delays) = next(&mut tasks, end + DRAIN).await? {
        all.extend(delays);
    }
    ensure!(!all.is_empty(), "nothing was said");
    Ok(all)
}

/// Streams that have begun and say no more, until they are read on.
pub(super) struct Open {
    ask: Ask,
    streams: Vec<(Connection, Answer)>,
}

/// Begins so many streams.
pub(super) async fn open(side: &Arc<Side>, ask: &Ask, count: usize) -> Result<Open> {
    let (mut tasks, mut streams) = (JoinSet::new(), Vec::new());
    let until = Instant::now() + DRAIN;
    for nth in 0..count {
        if tasks.len() >= OPENING {
            streams.extend(next(&mut tasks, until).await?);
        }
        let (address, ask) = (side.address(nth)?, ask.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut answer = connection.begin(&ask).await?;
            ensure!(answer.piece(None).await?, "a stream has ended");
            anyhow::Ok((connection, answer))
        });
    }
    while let Some(stream) = next(&mut tasks, until).await? {
        streams.push(stream);
    }
    Ok(Open { ask: ask.clone(), streams })
}

impl Open {
    /// Reads all to their ends.
    pub(super) async fn finish(self, side: &Side) -> Result<()> {
        for (connection, answer) in self.streams {
            answer.finish(&self.ask).await?;
            side.answered.fetch_add(1, Ordering::Relaxed);
            drop(connection);
        }
        Ok(())
    }
}
