//! Two honest ways to ask. At full load each connection sends its next request when it has the
//! answer to the last: how many there are in a second. Paced, requests are due at fixed times, and a
//! request that could not be sent in time has waited since then: how long one takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::api::Api;

/// One request; its number chooses what it asks for.
pub(crate) type Make = fn(&Plan, u64) -> Ask;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) status: u16,
}

/// Requests of one kind.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pub(crate) key: String,
    pub(crate) make: Make,
    /// Ids and cursors that requests name.
    pub(crate) known: std::sync::Arc<Vec<String>>,
}

impl Plan {
    /// A word that requests name.
    pub(crate) fn known(&self, n: u64) -> &str {
        let at = usize::try_from(n).unwrap_or_default() % self.known.len().max(1);
        self.known.get(at).map_or("", String::as_str)
    }

    async fn ask(&self, api: &mut Api, n: u64) -> Result<()> {
        let ask = (self.make)(self, n);
        let (status, body) = api.exchange(ask.method, &ask.path, ask.body.as_ref()).await?;
        ensure!(status == ask.status, "{}: {status} {}", ask.path, String::from_utf8_lossy(&body));
        Ok(())
    }
}

/// Requests in a second over `connections` that are never idle.
pub(crate) async fn full(plan: &Plan, connections: u32, time: Duration) -> Result<f64> {
    let mut tasks = JoinSet::new();
    let (began, end) = (Instant::now(), Instant::now() + time);
    for first in 0..u64::from(connections) {
        let plan = plan.clone();
        let step = u64::from(connections);
        tasks.spawn(async move {
            let (mut api, mut done) = (Api::new(&plan.address, &plan.key), 0_u32);
            let mut n = first;
            while Instant::now() < end {
                plan.ask(&mut api, n).await?;
                (n, done) = (n + step, done + 1);
            }
            anyhow::Ok(done)
        });
    }
    let mut all = 0.0;
    while let Some(done) = tasks.join_next().await {
        all += f64::from(done.context("a connection's task")??);
    }
    Ok(all / began.elapsed().as_secs_f64())
}

/// Connections of a paced load: enough that none of them is busy when its next request is due, unless
/// control is late.
pub(crate) const PACED: u32 = 8;

/// How long requests take that are due `rate` times a second.
pub(crate) async fn paced(plan: &Plan, rate: u32, time: Duration) -> Result<Vec<Duration>> {
    let mut tasks = JoinSet::new();
    let between = Duration::from_secs(1) / rate;
    let start = Instant::now() + Duration::from_millis(50);
    for first in 0..PACED {
        let plan = plan.clone();
        tasks.spawn(async move {
            let mut api = Api::new(&plan.address, &plan.key);
            // Connects before the clock runs.
            plan.ask(&mut api, u64::from(first)).await?;
            let mut took = Vec::new();
            let mut n = first + PACED;
            loop {
                let due = start + between * (n - PACED);
                if due >= start + time {
                    return anyhow::Ok(took);
                }
                // A timer is late by up to a millisecond, which is nobody's time; where the answer
                // before came too late, this request has waited since it was due.
                let from = if Instant::now() < due {
                    sleep_until(due).await;
                    Instant::now()
                } else {
                    due
                };
                plan.ask(&mut api, u64::from(n)).await?;
                took.push(from.elapsed());
                n += PACED;
            }
        });
    }
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took.context("a connection's task")??);
    }
    Ok(all)
}
