//! What control said about credentials, for a while.
//! Invariants: no credential is kept, only a digest of it with the app it was shown to; an answer that
//! was asked for before a `Forget` is not kept after it; a change of the route voids its answers.
//! Bounded in number, and so is what control is asked at once, in all and of one app.
//! Does not decide (see the module above).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use rigbox_types::{
    AccountId,
    edge::{Admission, AdmissionRequest, Shown},
};
use ring::digest::{Context, SHA256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Who, admitted, is_over};
use crate::{edge::Edge, table::App};

/// How long an answer is used while control is there.
const FRESH: Duration = Duration::from_secs(60);

/// How long it is used while control is away.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Parts of the cache, each under a lock of its own.
const SHARDS: usize = 32;

/// Most answers of one part: 65,536 in all, at some 200 bytes.
const SHARD_MAX: usize = 2_048;

/// Most questions that control is asked at once, about visitors and for them.
const ASKING_MAX: usize = 64;

/// Most questions of one app that wait for one of these turns or have one: turns are given in the order of
/// asking, so however many visitors an app has, those of another wait for so few of them.
pub(crate) const ASKING_PER_APP_MAX: usize = 8;

/// How long a question may take, waiting for its turn included.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

type Key = [u8; 32];

/// The answers.
pub(crate) struct Admissions {
    shards: [Mutex<HashMap<Key, Entry>>; SHARDS],
    /// Grows with each `Forget`.
    epoch: AtomicU64,
    asking: Semaphore,
}

struct Entry {
    /// None for somebody unknown.
    who: Option<Who>,
    ends: Option<i64>,
    since: Instant,
    /// The route for which it was asked.
    stamp: u64,
}

/// The answer to a question.
pub(crate) enum Asked {
    Found(Who),
    Nobody,
    /// Control does not say, and nothing that it said is recent enough.
    Away,
}

impl Default for Admissions {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            epoch: AtomicU64::new(0),
            asking: Semaphore::new(ASKING_MAX),
        }
    }
}

impl Admissions {
    /// Whose a credential is.
    pub(crate) async fn ask(&self, edge: &Edge, app: &App, shown: &Shown, from: IpAddr) -> Asked {
        let key = key(app, shown);
        let connected = edge.is_connected();
        if let Some(known) = self.find(&key, app.stamp, if connected { FRESH } else { STALE }) {
            return known;
        }
        match Box::pin(self.fetch(edge, app, shown, (key, from))).await {
            Some(asked) => asked,
            None => self.find(&key, app.stamp, STALE).unwrap_or(Asked::Away),
        }
    }

    /// Waits for a turn to ask control something for a visitor of an app; it is the asker's for as long as
    /// what this gives lives.
    pub(super) async fn turn<'a>(&'a self, app: &'a App) -> Option<[SemaphorePermit<'a>; 2]> {
        // The app's own first: whoever waits for that keeps nobody else waiting.
        let own = app.counters.asking.acquire().await.ok()?;
        Some([own, self.asking.acquire().await.ok()?])
    }

    /// Voids the answers about an account, or all of them.
    pub(crate) fn forget(&self, account: Option<AccountId>) {
        // First this: an answer that comes now is not kept, or is there to be found below.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            match account {
                None => shard.clear(),
                // Whom a link lets in may depend on anyone who made it.
                Some(account) => shard.retain(|_, entry| match &entry.who {
                    Some(Who::Known(known)) => known.account != account,
                    Some(Who::Link) => false,
                    Some(Who::Anyone | Who::Preflight) | None => true,
                }),
            }
        }
    }

    fn find(&self, key: &Key, stamp: u64, fresh: Duration) -> Option<Asked> {
        let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(key)?;
        if entry.stamp != stamp || entry.since.elapsed() >= fresh {
            return None;
        }
        Some(match &entry.who {
            Some(who) if !is_over(entry.ends) => Asked::Found(who.clone()),
            Some(_) | None => Asked::Nobody,
        })
    }

    /// Asks control; none where it does not answer.
    async fn fetch(
        &self,
        edge: &Edge,
        app: &App,
        shown: &Shown,
        (key, from): (Key, IpAddr),
    ) -> Option<Asked> {
        let request = AdmissionRequest {
            app: app.route.app.clone(),
            shown: shown.clone(),
            from: from.to_string(),
        };
        let ask = async {
            let _turn = self.turn(app).await?;
            loop {
                let epoch = self.epoch.load(Ordering::SeqCst);
                let asked =
                    edge.control.json(Method::POST, "/internal/v1/edge/admissions", &request);
                let answer: Admission = match asked.await {
                    Ok(answer) => answer,
                    Err(error) => {
                        tracing::debug!(%error, "control does not say who a visitor is");
                        return None;
                    }
                };
                let found = admitted(answer);
                if self.insert(key, epoch, app.stamp, found.clone()) {
                    return Some(found);
                }
                // What was asked for may have been forgotten meanwhile: once more.
            }
        };
        let found = tokio::time::timeout(ASK_TIMEOUT, ask).await.ok()??;
        Some(match found {
            Some((who, ends)) if !is_over(ends) => Asked::Found(who),
            Some(_) | None => Asked::Nobody,
        })
    }

    /// Keeps an answer, unless something was forgotten since `epoch`.
    fn insert(&self, key: Key, epoch: u64, stamp: u64, found: Option<(Who, Option<i64>)>) -> bool {
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Ordering::SeqCst) != epoch {
            return false;
        }
        if shard.len() >= SHARD_MAX {
            shard.retain(|_, entry| entry.since.elapsed() < FRESH);
        }
        if shard.len() >= SHARD_MAX {
            // Whoever floods it evicts others at most into asking again.
            shard.clear();
        }
        let (who, ends) = found.map_or((None, None), |(who, ends)| (Some(who), ends));
        shard.insert(key, Entry { who, ends, since: Instant::now(), stamp });
        true
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Entry>> {
        let [first, .., last] = &self.shards;
        let at = usize::from(key.first().copied().unwrap_or_default()) % SHARDS;
        self.shards.get(at).unwrap_or(if at == 0 { first } else { last })
    }
}

fn key(app: &App, shown: &Shown) -> Key {
    let (kind, secret) = match shown {
        Shown::Key(secret) => (0, secret),
        Shown::Cookie(secret) => (1, secret),
        Shown::Link(secret) => (2, secret),
    };
    let mut context = Context::new(&SHA256);
    context.update(app.route.app.as_str().as_bytes());
    // No app id has this byte, so no two triples make the same text.
    context.update(&[0, kind]);
    context.update(secret.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}
