//! Looks which certificates are missing, old or not wanted any longer, again and again.
//! Invariant: each look begins with what the database has, so that it does not matter what woke it
//! or whether another process looks too.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use rigbox_certs::Kind;
use rigbox_fabric::task;
use rigbox_store::{certificates::CertificateRow, feed::Wake};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    CertificateError, Certificates, Edges, Wanted,
    order::{Want, is_due},
};

/// How often it is looked where nothing wakes us.
const EVERY: Duration = Duration::from_secs(30);

/// Orders of this process at once.
const ORDERS_AT_ONCE: usize = 4;

/// Certificates about which the authority is asked at once when they are to be renewed.
const ASKED_AT_ONCE: usize = 4;

/// Runs until `shutdown`. Orders that are under way then end with the process; the next one begins
/// them anew when their claim is over.
pub(crate) async fn run(
    certificates: Arc<Certificates>,
    wanted: Arc<dyn Wanted>,
    edges: Arc<dyn Edges>,
    shutdown: CancellationToken,
) {
    // Before the first look, so that no change falls in between.
    let mut wakes = certificates.store.feed().subscribe();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut orders, mut asking) = (Orders::default(), None);
    loop {
        let is_tick = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {
                orders.tried.clear();
                true
            }
            Some(ended) = orders.running.join_next() => {
                if let Err(error) = ended {
                    // Its claim ends by itself.
                    tracing::error!(%error, "an order broke off");
                }
                true
            }
            wake = wakes.next() => match wake {
                Some(Wake::Certificates | Wake::Everything) => false,
                // Its custom domain may have been verified, or be gone.
                Some(Wake::App(_)) => {
                    orders.tried.clear();
                    true
                }
                Some(_) => continue,
                None => return,
            },
        };
        let looked = match is_tick {
            true => look(&certificates, &*wanted, &edges, (&mut orders, &mut asking)).await,
            false => certificates.reload().await.map(|_| ()),
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "certificates were not looked after");
        }
    }
}

/// Orders of this process.
#[derive(Default)]
struct Orders {
    running: JoinSet<()>,
    subjects: Arc<Mutex<BTreeSet<String>>>,
    /// Names that had their turn since nothing but the end of an order woke us: without it, those that
    /// have to wait after a failure would be tried again and again, and those behind them never.
    tried: BTreeSet<String>,
}

impl Orders {
    /// Begins one, unless the name has one or had its turn, or there are too many.
    fn begin(&mut self, subject: &str, order: impl Future<Output = ()> + Send + 'static) {
        if self.running.len() >= ORDERS_AT_ONCE {
            return;
        }
        if self.tried.contains(subject) || !lock(&self.subjects).insert(subject.to_owned()) {
            return;
        }
        self.tried.insert(subject.to_owned());
        let taken = Taken { subjects: self.subjects.clone(), subject: subject.to_owned() };
        self.running.spawn(async move {
            let _taken = taken;
            order.await;
        });
    }
}

/// A name that is being ordered for, until this is dropped, however the order ends.
struct Taken {
    subjects: Arc<Mutex<BTreeSet<String>>>,
    subject: String,
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.subjects).remove(&self.subject);
    }
}

fn lock(subjects: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    subjects.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the authority about certificates when they are to be renewed, beside everything else: it may be
/// slow, or away, and there may be many.
async fn ask(certificates: Arc<Certificates>, due: Vec<CertificateRow>) {
    let asked = stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, |row| {
        let certificates = certificates.clone();
        async move {
            if let Err(error) = certificates.ask_when(&row).await {
                tracing::warn!(%error, names = ?row.names, "when to renew was not noted");
            }
        }
    });
    asked.await;
}

async fn look(
    certificates: &Arc<Certificates>,
    wanted: &dyn Wanted,
    edges: &Arc<dyn Edges>,
    (orders, asking): (&mut Orders, &mut Option<AbortOnDropHandle<()>>),
) -> Result<(), CertificateError> {
    certificates.rotate().await?;
    let custom = wanted.wanted_names().await?;
    let wants = certificates.wants(custom);
    let store = certificates.store.certificates();
    let now = certificates.now();
    let rows = store.all().await?;
    let mut due = Vec::new();
    for row in &rows {
        let is_wanted = wants.iter().any(|want| want.subject == row.subject);
        if !is_wanted {
            tracing::info!(names = ?row.names, "a certificate is not wanted any longer");
            store.remove(&row.subject, &row.id).await?;
            store.forget_order(&row.subject).await?;
        } else if is_due(row.ask_at, now) && row.renew_at > now {
            due.push(row.clone());
        }
    }
    // Those that become due meanwhile are seen by a later look.
    if !due.is_empty() && asking.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
        let asked = task::spawn("control.certificates.ask", ask(certificates.clone(), due));
        *asking = Some(AbortOnDropHandle::new(asked));
    }
    for want in wants {
        let row = rows.iter().find(|row| row.subject == want.subject);
        let is_good = row.is_some_and(|row| certificates.is_good(&want, row));
        if is_good {
            continue;
        }
        let (certificates, edges) = (Arc::clone(certificates), Arc::clone(edges));
        let row = row.cloned();
        orders.begin(&want.subject.clone(), async move {
            let ordered = Box::pin(certificates.order(&want, row.as_ref(), edges)).await;
            if let Err(error) = ordered {
                tracing::warn!(%error, names = ?want.names, "an order was not noted");
            }
        });
    }
    certificates.reload().await?;
    Ok(())
}

impl Certificates {
    /// The certificates that there should be. Without an authority nobody signs for custom domains.
    fn wants(&self, custom: Vec<String>) -> Vec<Want> {
        let mut names = vec![self.domain.clone()];
        if self.domain.contains('.') {
            names.insert(0, format!("*.{}", self.domain));
        }
        let subject = self.domain.clone();
        let platform = Want { subject, names, kinds: vec![Kind::Dns] };
        let below = format!(".{}", self.domain);
        let custom: BTreeSet<String> = match self.config.settings.acme_directory {
            Some(_) => custom.into_iter().collect(),
            None => BTreeSet::new(),
        };
        let custom = custom
            .into_iter()
            // What is below the platform's domain is under its wildcard.
            .filter(|name| *name != self.domain && !name.ends_with(&below))
            .map(|name| Want {
                subject: name.clone(),
                names: vec![name],
                kinds: vec![Kind::TlsAlpn, Kind::Http],
            });
        std::iter::once(platform).chain(custom).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn an_order_that_breaks_off_leaves_its_name_to_the_next_one() {
        let mut orders = Orders::default();
        orders.begin("shop.example", async { assert!(std::hint::black_box(false), "broken") });
        orders.begin("shop.example", pending());
        assert_eq!(orders.running.len(), 1, "one for a name");
        assert!(orders.running.join_next().await.unwrap().is_err());
        orders.begin("shop.example", pending());
        assert!(orders.running.is_empty(), "it had its turn");
        orders.tried.clear();
        orders.begin("shop.example", ready(()));
        assert_eq!(orders.running.len(), 1);
        assert!(orders.running.join_next().await.unwrap().is_ok());
        for name in 0..ORDERS_AT_ONCE + 1 {
            orders.begin(&name.to_string(), pending());
        }
        assert_eq!(orders.running.len(), ORDERS_AT_ONCE);
    }
}
