//! The right of a visitor whose answer lasts: an endless stream, a WebSocket.
//! Invariant: what lasts is asked about again, so that it ends soon after the right to it, whether it
//! waits or always has something to send. Costs nothing before the first wait or the first interval.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    edge::Edge,
    table::App,
    visit::{self, Ticket, Turned},
};

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(10);

/// What has to hold.
pub(crate) struct Permit {
    facts: Arc<Facts>,
    began: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    asking: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

struct Facts {
    edge: Arc<Edge>,
    app: Arc<App>,
    name: Box<str>,
    ticket: Ticket,
    from: IpAddr,
}

impl Permit {
    pub(crate) fn new(
        edge: Arc<Edge>,
        app: Arc<App>,
        name: &str,
        ticket: Ticket,
        from: IpAddr,
    ) -> Self {
        let facts = Arc::new(Facts { edge, app, name: name.into(), ticket, from });
        Self { facts, began: Instant::now(), timer: None, asking: None }
    }

    /// Whether it has lasted so long that it is to be asked about.
    pub(crate) fn is_due(&self) -> bool {
        self.timer.is_some() || self.began.elapsed() >= INTERVAL
    }

    /// Ready once the right has ended.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(asking) = &mut self.asking {
                let holds = ready!(asking.as_mut().poll(cx));
                self.asking = None;
                if !holds {
                    return Poll::Ready(());
                }
            }
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.began + INTERVAL)));
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(Instant::now() + INTERVAL);
            self.asking = Some(Box::pin(holds(self.facts.clone())));
        }
    }
}

async fn holds(facts: Arc<Facts>) -> bool {
    let Facts { edge, app, name, ticket, from } = &*facts;
    // The name may lead elsewhere by now, and the place may have been left.
    let now = edge.table.load().app(name).cloned();
    let Some(now) = now.filter(|now| now.route.app == app.route.app) else { return false };
    let same_place = match (&now.upstream, &app.upstream) {
        (Some(now), Some(then)) => now.place() == then.place(),
        _ => false,
    };
    if !same_place {
        return false;
    }
    match visit::recheck(edge, &now, ticket, *from).await {
        // Nobody says that the right has ended.
        Ok(_) | Err(Turned::ControlAway) => true,
        Err(_) => false,
    }
}
