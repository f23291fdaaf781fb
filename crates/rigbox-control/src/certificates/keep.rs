//! Looks which certificates are missing, old or not wanted any longer, again and again.
//! Invariant: each look begins with what the database has, so that it does not matter what woke it
//! or whether another process looks too.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rigbox_certs::Kind;
use rigbox_store::feed::Wake;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    CertificateError, Certificates, Edges, Wanted,
    order::{Want, is_due},
};

/// How often it is looked where nothing wakes us.
const EVERY: Duration = Duration::from_secs(30);

/// Orders of this process at once.
const ORDERS_AT_ONCE: usize = 4;

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
    let mut orders = Orders { running: JoinSet::new(), subjects: BTreeSet::new() };
    loop {
        let is_tick = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => true,
            Some(ended) = orders.running.join_next() => {
                if let Ok(subject) = ended {
                    orders.subjects.remove(&subject);
                }
                true
            }
            wake = wakes.next() => match wake {
                Some(Wake::Certificates | Wake::Everything) => false,
                // Its custom domain may have been verified, or be gone.
                Some(Wake::App(_)) => true,
                Some(_) => continue,
                None => return,
            },
        };
        let looked = match is_tick {
            true => look(&certificates, &*wanted, &edges, &mut orders).await,
            false => certificates.reload().await.map(|_| ()),
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "certificates were not looked after");
        }
    }
}

/// Orders of this process.
struct Orders {
    running: JoinSet<String>,
    subjects: BTreeSet<String>,
}

async fn look(
    certificates: &Arc<Certificates>,
    wanted: &dyn Wanted,
    edges: &Arc<dyn Edges>,
    orders: &mut Orders,
) -> Result<(), CertificateError> {
    certificates.rotate().await?;
    let custom = wanted.wanted_names().await?;
    let wants = certificates.wants(custom);
    let store = certificates.store.certificates();
    let now = certificates.now();
    let rows = store.all().await?;
    for row in &rows {
        let is_wanted = wants.iter().any(|want| want.subject == row.subject);
        if !is_wanted {
            tracing::info!(names = ?row.names, "a certificate is not wanted any longer");
            store.remove(&row.subject, &row.id).await?;
            store.forget_order(&row.subject).await?;
        } else if is_due(row.ask_at, now) && row.renew_at > now {
            certificates.ask_when(row).await?;
        }
    }
    for want in wants {
        let row = rows.iter().find(|row| row.subject == want.subject);
        let is_good = row.is_some_and(|row| certificates.is_good(&want, row));
        let has_room = orders.running.len() < ORDERS_AT_ONCE;
        if is_good || !has_room || !orders.subjects.insert(want.subject.clone()) {
            continue;
        }
        let (certificates, edges) = (Arc::clone(certificates), Arc::clone(edges));
        let row = row.cloned();
        orders.running.spawn(async move {
            let ordered = Box::pin(certificates.order(&want, row.as_ref(), edges)).await;
            if let Err(error) = ordered {
                tracing::warn!(%error, names = ?want.names, "an order was not noted");
            }
            want.subject
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
