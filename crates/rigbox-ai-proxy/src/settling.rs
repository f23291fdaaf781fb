//! A call that has begun, until it is over: whatever happens to it, it ends once.
//!
//! | when it is dropped | it is |
//! |---|---|
//! | before anything was sent | given back |
//! | before a whole answer began | charged what was held, as if the process had been killed |
//! | after it was sent, else | settled by what was seen |
//! | after it was released or settled | over already |
//!
//! Invariant: its end is in the journal before whoever ends it goes on.

use std::{sync::Arc, time::Duration};

use rigbox_ai::{
    estimate::Estimate,
    settle::{Basis, Bill, Course, settle},
    usage::{Ending, Report, Standing},
};
use rigbox_store::Store;
use rigbox_types::{Credits, Timestamp};
use tokio::time::Instant;

use crate::{
    journal::{Beginning, CallId, End, Journal, Position},
    metrics::Metrics,
    purse::Hold,
    refusal::Refusal,
    subject::UnderWay,
};

/// See the module.
pub(crate) struct Settling {
    id: CallId,
    beginning: Beginning,
    estimate: Option<Estimate>,
    position: Position,
    parts: Parts,
    /// None once it is over.
    hold: Option<Hold>,
    subject: Option<UnderWay>,
    sent: Option<Instant>,
    /// When something of its answer was shown last, and how long nothing was before.
    shown: Option<Instant>,
    hidden: Duration,
    status: u16,
    is_stream: bool,
    /// What was written down already that it has cost.
    known: Option<End>,
}

/// What it needs of the proxy.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<Metrics>,
}

impl Settling {
    /// Writes down that a call begins. Nothing was sent for it yet.
    pub(crate) fn begin(
        parts: Parts,
        (id, beginning): (CallId, Beginning),
        (hold, subject): (Hold, Option<UnderWay>),
        estimate: Option<Estimate>,
    ) -> Result<Self, Refusal> {
        let begun = parts.journal.begin(id, &beginning);
        let position = begun.map_err(|error| Refusal::internal("write down a call", &error))?;
        Ok(Self {
            id,
            beginning,
            estimate,
            position,
            parts,
            hold: Some(hold),
            subject,
            sent: None,
            shown: None,
            hidden: Duration::ZERO,
            status: 0,
            is_stream: false,
            known: None,
        })
    }

    /// From here on it may cost something.
    pub(crate) fn sent(&mut self, is_stream: bool) {
        self.sent = Some(Instant::now());
        self.is_stream = is_stream;
    }

    /// What was sent was surely not worked on.
    pub(crate) fn not_sent(&mut self) {
        self.sent = None;
    }

    /// More of its answer was shown.
    pub(crate) fn shown(&mut self) {
        self.hidden = self.hidden();
        self.shown = Some(Instant::now());
    }

    /// How long nothing was shown. Pieces that come one after the other leave no time for anything else.
    fn hidden(&self) -> Duration {
        const BETWEEN_PIECES: Duration = Duration::from_secs(1);
        let since = self.shown.or(self.sent).map_or(Duration::ZERO, |since| since.elapsed());
        let is_between = self.shown.is_some() && since <= BETWEEN_PIECES;
        if is_between { self.hidden } else { self.hidden.saturating_add(since) }
    }

    /// The provider has said how it answers.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Waits until its beginning is on disk: before anybody sees a byte of the answer.
    pub(crate) async fn on_disk(&self) {
        self.parts.journal.on_disk(self.position).await;
    }

    /// No provider has worked on it.
    pub(crate) fn release(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let end = End {
            released: true,
            basis: Basis::Failed.as_str().to_owned(),
            status: self.status,
            at: Some(self.parts.store.now()),
            ..End::default()
        };
        self.write(&end);
        drop(hold);
        self.subject = None;
        // Nothing is posted of it.
        self.parts.journal.posted([self.id]);
    }

    /// It is over, and this is what was seen of its answer. What it has cost, where the platform pays.
    pub(crate) fn settle(&mut self, report: &Report) -> Option<Credits> {
        self.hold.as_ref()?;
        if report.ending == Ending::Failed {
            self.parts.metrics.failed(&self.beginning.provider, "in_answer");
        }
        let end = self.end(report);
        if end.charge > self.beginning.held && self.estimate.is_some() {
            let Beginning { provider, model, held, .. } = &self.beginning;
            tracing::warn!(%provider, %model, %held, charge = %end.charge, "beyond its hold");
            self.parts.metrics.failed(provider, "beyond_hold");
        }
        self.settle_as(&end);
        self.estimate.is_some().then_some(end.charge)
    }

    fn settle_as(&mut self, end: &End) {
        let Some(hold) = self.hold.take() else { return };
        self.write(end);
        self.parts.metrics.ended(&self.beginning, end);
        hold.settle(self.id, self.beginning.call(self.id, end));
        self.subject = None;
    }

    /// All that it costs is known, though not all of its answer was passed on: written down before more
    /// of it is, so that who is killed from here on charges that and not what was held. The end that
    /// comes last counts.
    pub(crate) fn is_ending(&mut self, report: &Report) {
        let end = End { at: None, ..self.end(report) };
        if self.known.as_ref() != Some(&end) {
            self.write(&end);
            self.known = Some(end);
        }
    }

    fn end(&self, report: &Report) -> End {
        let at = self.parts.store.now();
        match &self.estimate {
            Some(estimate) => self.charged(&settle(estimate, report, self.course()), at),
            None => self.uncharged(report, at),
        }
    }

    /// What it costs, as far as nothing more can come.
    pub(crate) fn cost_so_far(&self, report: &Report) -> Option<Credits> {
        let estimate = self.estimate.as_ref().filter(|_| report.standing == Standing::Final)?;
        Some(settle(estimate, report, self.course()).credits)
    }

    fn course(&self) -> Course {
        let hidden_ms = u64::try_from(self.hidden().as_millis()).unwrap_or(u64::MAX);
        Course { hidden_ms, is_stream: self.is_stream }
    }

    fn charged(&self, bill: &Bill, at: Timestamp) -> End {
        if bill.tier_is_unknown {
            let Beginning { provider, model, .. } = &self.beginning;
            tracing::warn!(%provider, %model, "an answer had a service tier without a price");
        }
        if bill.is_not_believed {
            let Beginning { provider, model, .. } = &self.beginning;
            tracing::warn!(%provider, %model, "an answer was to cost more than can be true");
        }
        End {
            charge: bill.credits,
            basis: bill.basis.as_str().to_owned(),
            ..self.used(&bill.usage, at)
        }
    }

    fn uncharged(&self, report: &Report, at: Timestamp) -> End {
        End { basis: "own_key".to_owned(), ..self.used(&report.usage, at) }
    }

    fn used(&self, usage: &rigbox_ai::usage::Usage, at: Timestamp) -> End {
        End {
            released: false,
            charge: Credits::ZERO,
            input: usage.input_tokens(),
            cached: usage.cache_read,
            output: usage.output_tokens(),
            reasoning: usage.reasoning,
            basis: String::new(),
            status: self.status,
            at: Some(at),
        }
    }

    /// The ledger gets it also where the journal cannot take it: only a crash in between would charge
    /// what was held.
    fn write(&self, end: &End) {
        if let Err(error) = self.parts.journal.end(self.id, end) {
            tracing::error!(%error, "the end of a call is not in the journal");
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        match self.sent {
            None => self.release(),
            // The provider writes on: nobody knows how much.
            Some(_) if !self.is_stream && self.status == 0 && self.estimate.is_some() => {
                let end = self.beginning.interrupted(self.parts.store.now());
                self.settle_as(&end);
            }
            Some(_) => {
                // Broken off: what was not seen is estimated.
                self.settle(&Report::default());
            }
        }
    }
}
