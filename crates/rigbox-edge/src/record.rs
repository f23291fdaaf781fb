//! What is noted of one request: that it is under way, how it was answered, how much was sent, and its
//! line in the access log. Invariant: what was counted in is counted out when this is dropped, however
//! that comes about.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use http::StatusCode;
use rigbox_types::api::app_requests::VisitorKind;

use crate::{
    access_log::Line, edge::Edge, listen::clients::Turn, permit::Permit, seen::Sight, table::App,
};

/// A request that is under way.
pub(crate) struct Record {
    edge: Arc<Edge>,
    app: Option<Arc<App>>,
    started: Instant,
    line: Option<Box<Line>>,
    sight: Option<Box<Sight>>,
    bytes: u64,
    permit: Option<Permit>,
    own: Option<Arc<Turn>>,
}

impl Record {
    pub(crate) fn begin(edge: Arc<Edge>, line: Option<Box<Line>>) -> Box<Self> {
        edge.metrics.requests_open.add(1);
        Box::new(Self {
            edge,
            app: None,
            started: Instant::now(),
            line,
            sight: None,
            bytes: 0,
            permit: None,
            own: None,
        })
    }

    /// Counts it as under way to an app; false where there are too many.
    pub(crate) fn enter(&mut self, app: &Arc<App>, max: u32) -> bool {
        let before = app.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        self.app = Some(app.clone());
        before < max
    }

    /// Counts it as its client's, too.
    pub(crate) fn of_client(&mut self, own: Turn) {
        self.own = Some(Arc::new(own));
    }

    /// Has it listed among the app's requests.
    pub(crate) fn seen(&mut self, sight: Option<Box<Sight>>) {
        self.sight = sight;
    }

    /// The visitor was let in.
    pub(crate) fn let_in(&mut self, visitor: VisitorKind) {
        if let Some(sight) = &mut self.sight {
            sight.let_in(visitor);
        }
    }

    /// The answer has begun.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.edge.metrics.answered(status);
        if let Some(app) = &self.app {
            app.counters.answered(status, micros);
            self.edge.traffic.note(app);
        }
        if let Some(line) = &mut self.line {
            line.answered(status, micros);
        }
        if let Some(sight) = &mut self.sight {
            sight.answered(status, micros);
        }
    }

    /// Has the right asked about again while the answer lasts.
    pub(crate) fn lasts(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Whether the right to the answer is to be asked about even where there is something to send.
    pub(crate) fn is_due(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_due)
    }

    /// Ready when the right to the answer has ended. To be asked while there is nothing to send, and
    /// when it is due.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.permit.as_mut().map_or(Poll::Pending, |permit| permit.poll_ended(cx))
    }

    /// Counts it as under way to its app for as long as what this gives lives too.
    pub(crate) fn share(&self) -> Option<InFlight> {
        let app = self.app.clone()?;
        app.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(InFlight { app, _own: self.own.clone() })
    }

    pub(crate) fn permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.edge.metrics.requests_open.sub(1);
        self.edge.metrics.bytes_out.add(self.bytes);
        if let Some(app) = &self.app {
            app.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
            app.counters.sent(self.bytes);
            if let Some(sight) = self.sight.take() {
                sight.end(app, &self.edge, (self.bytes, self.started.elapsed()));
            }
        }
        if let (Some(line), Some(log)) = (self.line.take(), &self.edge.log) {
            let app = self.app.as_ref().map(|app| app.route.app.as_str());
            log.write(&line, app, self.bytes, self.started.elapsed());
        }
    }
}

/// Something of a request that outlives its answer.
pub(crate) struct InFlight {
    app: Arc<App>,
    _own: Option<Arc<Turn>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.app.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
