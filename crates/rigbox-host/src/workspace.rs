//! One workspace: the only owner of its record, its VM, its network and its relays.
//!
//! ```text
//!  assignment, VM ended, guest answered, time over, clock jumped
//!        └──▶ look at reality ──▶ plan ──▶ execute each step ──▶ report ──▶ wait
//! ```
//!
//! Invariants: steps run in this task, one after the other, and are never cancelled half way; an
//! older assignment changes nothing; when the agent ends, everything stays as it is.
//! Does not decide (see `plan`).

mod adopt;
mod boot;
mod execute;
mod guest;
mod live;

use std::sync::Arc;

use rigbox_types::{
    Desired, Observed,
    host::{Assignment, Observation},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    host::Host,
    metrics::count,
    observe::{acted_on, failure, is_all_done, observe},
    plan::plan,
    record::{Ending, Record},
    table::{View, Wanted},
    task::blocking,
    trouble::{StepError, Trouble, Verdict},
};

use guest::Event;
use live::Live;

/// Events that wait for the workspace; whoever has more waits.
const MAX_EVENTS: usize = 16;

/// Plans in a row without a wait. A life from nothing to running and back needs under ten.
const MAX_ROUNDS: usize = 32;

/// Pause after that many plans: something is wrong, and it must not eat the machine.
const ROUNDS_PAUSE: Duration = Duration::from_secs(5);

/// One workspace and its task.
pub(crate) struct Workspace {
    host: Arc<Host>,
    record: Record,
    assignment: Option<Arc<Assignment>>,
    live: Live,
    is_orphan: bool,
    inbox: watch::Receiver<Wanted>,
    publish: watch::Sender<View>,
    events: mpsc::Receiver<Event>,
    /// For tasks that tell this one something.
    notify: mpsc::Sender<Event>,
}

impl Workspace {
    pub(crate) fn new(
        host: Arc<Host>,
        record: Record,
        mut inbox: watch::Receiver<Wanted>,
        publish: watch::Sender<View>,
    ) -> Self {
        inbox.mark_changed();
        let (notify, events) = mpsc::channel(MAX_EVENTS);
        let live = Live::new(&record);
        Self {
            host,
            record,
            assignment: None,
            live,
            is_orphan: false,
            inbox,
            publish,
            events,
            notify,
        }
    }

    /// Lives until control has forgotten the workspace and nothing is left of it, or `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let span = tracing::info_span!("workspace", workspace = %self.record.workspace);
        let _entered = tracing::Instrument::instrument(self.live_on(shutdown), span).await;
        self.detach().await;
    }

    async fn live_on(&mut self, shutdown: CancellationToken) {
        if shutdown.run_until_cancelled(self.adopt()).await.is_none() {
            return;
        }
        let mut clock = self.host.clock_told.subscribe();
        while !shutdown.is_cancelled() {
            if shutdown.run_until_cancelled(self.adopt_again()).await.is_none() {
                return;
            }
            self.take_wanted().await;
            let settled = self.advance(&shutdown).await;
            self.report();
            if self.is_over() {
                self.host.reports.forget(&self.record.workspace);
                self.host.ledger.set(&self.record);
                return;
            }
            let pause = Instant::now() + ROUNDS_PAUSE;
            let next = || self.live.deadline(self.times(), self.assignment.as_deref());
            let until = if settled { next() } else { Some(pause) };
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.inbox.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.inbox.mark_changed();
                }
                event = self.events.recv() => {
                    if let Some(event) = event {
                        self.take_event(event).await;
                    }
                }
                _ = clock.changed() => self.set_guest_time(),
                () = wait_until(until) => {}
            }
        }
    }

    /// Control has forgotten it and nothing is left.
    fn is_over(&self) -> bool {
        self.is_orphan
            && self.record.is_empty()
            && self.record.revision == 0
            && !self.inbox.has_changed().unwrap_or(false)
    }

    /// Plans and executes until there is nothing to do but wait. False where that took too long.
    async fn advance(&mut self, shutdown: &CancellationToken) -> bool {
        for _ in 0..MAX_ROUNDS {
            self.live.looked_at = Instant::now();
            let Some(assignment) = self.assignment.clone() else { return true };
            let reality = self.reality(&assignment);
            let steps = plan(&self.record, &assignment, &reality);
            self.report();
            if steps.is_empty() {
                return true;
            }
            for step in steps {
                tracing::debug!(?step, "executing");
                if let Err(error) = self.execute(step, &assignment).await
                    && self.fail(error, &assignment).await
                {
                    break;
                }
                if self.inbox.has_changed().unwrap_or(false) || shutdown.is_cancelled() {
                    break;
                }
            }
            if shutdown.is_cancelled() {
                return true;
            }
            self.take_wanted().await;
        }
        tracing::error!("a plan does not lead anywhere");
        false
    }

    /// Notes a failure. Always true: the rest of the plan no longer holds.
    async fn fail(&mut self, error: StepError, assignment: &Assignment) -> bool {
        count(&self.host.metrics.step_failures_total);
        let trouble =
            Trouble::after(self.record.trouble.as_ref(), &error, assignment, clock::now());
        match trouble.verdict {
            Verdict::TryAgain => {
                tracing::warn!(code = ?error.code, error = %error.chain(), "step failed");
            }
            Verdict::GivenUp => {
                tracing::error!(code = ?error.code, error = %error.chain(), "step given up");
            }
        }
        self.live.retry_at = Some(Instant::now() + trouble.pause(clock::jitter()));
        if let Err(error) = self.write(|record| record.trouble = Some(trouble.clone())).await {
            // It counts all the same, only not beyond a restart of the agent.
            self.record.trouble = Some(trouble);
            tracing::error!(error = %error.chain(), "failure not written down");
        }
        true
    }

    /// Changes the record: on disk first, then here.
    async fn write(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), StepError> {
        let mut next = self.record.clone();
        change(&mut next);
        let layout = self.host.layout.clone();
        let (next, saved) = blocking(move || {
            let saved = next.save(&layout);
            (next, saved)
        })
        .await;
        saved.map_err(|error| {
            let code = rigbox_types::failure::FailureCode::HostError;
            StepError::caused(code, "the host could not write down what it does", error)
        })?;
        self.record = next;
        Ok(())
    }

    async fn take_wanted(&mut self) {
        if !self.inbox.has_changed().unwrap_or(false) {
            return;
        }
        let wanted = self.inbox.borrow_and_update().clone();
        match wanted {
            Wanted::Assigned(assignment) => {
                self.is_orphan = false;
                self.accept(assignment).await;
            }
            Wanted::Unknown => {
                self.is_orphan = true;
                self.accept_unknown();
            }
        }
    }

    async fn accept(&mut self, assignment: Arc<Assignment>) {
        let known = self.assignment.as_deref().or(self.record.assignment.as_ref());
        let known = known.map(|known| known.generation);
        if known.is_some_and(|known| assignment.generation < known) {
            count(&self.host.metrics.stale_assignments_total);
            tracing::warn!(
                generation = assignment.generation.0,
                known = known.map(|known| known.0),
                "older assignment refused"
            );
            return;
        }
        self.live.guest_digest = guest::digest(&assignment.guest);
        if self.record.revision > 0 && self.record.assignment.as_ref() != Some(&*assignment) {
            let noted = Assignment::clone(&assignment);
            if let Err(error) = self.write(|record| record.assignment = Some(noted)).await {
                // It holds from now on, only not beyond a restart of the agent; control says it
                // again then.
                tracing::error!(error = %error.chain(), "assignment not written down");
            }
        }
        self.assignment = Some(assignment);
    }

    /// Control does not know the workspace. A disk is somebody's work, so that nothing but an
    /// assignment removes one: it is stopped, kept, and counted.
    fn accept_unknown(&mut self) {
        let last = self.assignment.as_deref().or(self.record.assignment.as_ref());
        let Some(last) = last else { return };
        if last.desired != Desired::Deleted && !self.record.is_empty() {
            tracing::warn!("control does not know this workspace: it is stopped and its disk kept");
        }
        let mut orphaned = last.clone();
        if orphaned.desired != Desired::Deleted {
            orphaned.desired = Desired::Stopped;
        }
        self.live.guest_digest = guest::digest(&orphaned.guest);
        self.assignment = Some(Arc::new(orphaned));
    }

    /// Lets go of everything without changing it.
    async fn detach(&mut self) {
        self.live.release_vm().await;
        if let Some(network) = self.live.network.take() {
            network.relays.stop().await;
        }
    }

    fn report(&mut self) {
        let Some(assignment) = self.assignment.clone() else { return self.publish(self.at_rest()) };
        let reality = self.reality(&assignment);
        let observed = observe(&self.record, &assignment, &reality);
        let running = observed == Observed::Running;
        let done = (&reality, self.live.done_generation);
        let generation = acted_on(&assignment, observed, done);
        if running && is_all_done(&reality) {
            self.live.done_generation = generation;
        }
        let told = self.record.vm.as_ref().and_then(|vm| vm.told.as_ref()).filter(|_| running);
        if !self.is_orphan {
            self.host.reports.submit(Observation {
                workspace: self.record.workspace.clone(),
                generation,
                observed,
                sequence: rigbox_types::host::Sequence::default(),
                failure: failure(&self.record, &assignment, observed),
                ready_at: told.map(|told| told.ready_at),
                setup: self.live.setup.clone(),
                ssh_host_key: told.and_then(|told| told.ssh_host_key.clone()),
                observed_at: clock::now(),
            });
        }
        self.publish(observed);
    }

    /// What a record without an assignment is seen as: it was made up from a disk.
    fn at_rest(&self) -> Observed {
        match self.record.disk {
            Some(_) => Observed::Stopped,
            None => Observed::Absent,
        }
    }

    fn publish(&self, observed: Observed) {
        let running = observed == Observed::Running;
        self.publish.send_replace(View {
            observed,
            agent: self.live.agent().filter(|_| running),
            namespace: self.live.network.as_ref().map(|network| network.namespace.clone()),
            is_orphan: self.is_orphan && !self.record.is_empty(),
        });
    }

    /// Marks the VM as one that must end. Part of noting what went wrong with it.
    async fn doom(&mut self) -> Result<(), StepError> {
        if self.record.vm.as_ref().is_none_or(|vm| vm.ending == Some(Ending::Doomed)) {
            return Ok(());
        }
        self.write(|record| {
            if let Some(vm) = &mut record.vm {
                vm.ending = Some(Ending::Doomed);
            }
        })
        .await
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
