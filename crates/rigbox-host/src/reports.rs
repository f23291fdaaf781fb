//! What is still to be told to control: the latest observation of each workspace.
//! Invariant: at most one observation a workspace waits, so that the memory of a host that cannot
//! reach control does not grow; a later one replaces an earlier one. Does not send (see `control`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rigbox_types::{
    WorkspaceId,
    host::{Observation, Sequence},
};
use tokio::sync::Notify;

/// Most observations of one report: control's own limit.
pub(crate) const MAX_BATCH: usize = 256;

/// Most bytes of one report's observations. The output of setup scripts is in them, so that 256 may
/// have ten times as much; control takes 32 MiB, and what is read whole should be far less.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Observations that wait.
#[derive(Debug)]
pub(crate) struct Reports {
    incarnation: u64,
    count: AtomicU64,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<WorkspaceId, Observation>,
    /// The last of each, for a control that has forgotten.
    last: BTreeMap<WorkspaceId, Observation>,
    /// Those of which control has not taken all: their last observation was refused by itself, and
    /// is said later, or was said without its setup.
    held: BTreeSet<WorkspaceId>,
    /// Those whose observation was refused by itself, and which one it was.
    refused: BTreeMap<WorkspaceId, Sequence>,
    /// Most observations of the next report; none: as many as there may be.
    next_max: Option<usize>,
}

impl Reports {
    pub(crate) fn new(incarnation: u64) -> Self {
        let state = Mutex::default();
        Self { incarnation, count: AtomicU64::new(0), state, wake: Notify::new() }
    }

    /// Notes what is seen, unless it was said already.
    pub(crate) fn submit(&self, mut observation: Observation) {
        let news = self.with(|state| {
            if state.last.get(&observation.workspace).is_some_and(|last| same(last, &observation)) {
                return false;
            }
            observation.sequence = self.next();
            let workspace = observation.workspace.clone();
            state.last.insert(workspace.clone(), observation.clone());
            state.waiting.insert(workspace, observation);
            true
        });
        if news {
            self.wake.notify_one();
        }
    }

    /// Nothing more will be said of a workspace.
    pub(crate) fn forget(&self, workspace: &WorkspaceId) {
        self.with(|state| {
            state.last.remove(workspace);
            state.held.remove(workspace);
            state.refused.remove(workspace);
            state.waiting.remove(workspace)
        });
    }

    /// Says everything again.
    pub(crate) fn repeat_all(&self) {
        self.with(|state| {
            self.renew_held(state);
            state.waiting = state.last.clone();
        });
        self.wake.notify_one();
    }

    /// Waits until there is something to say.
    pub(crate) async fn wait(&self) {
        while self.with(|state| state.waiting.is_empty()) {
            self.wake.notified().await;
        }
    }

    /// Takes what is to be said next.
    pub(crate) fn take(&self) -> Vec<Observation> {
        self.with(|state| {
            let max = state.next_max.unwrap_or(MAX_BATCH);
            let (mut batch, mut bytes) = (Vec::new(), 0_usize);
            while batch.len() < max
                && let Some((workspace, observation)) = state.waiting.pop_first()
            {
                bytes = bytes.saturating_add(size(&observation));
                // One that is larger by itself goes alone.
                if bytes > MAX_BATCH_BYTES && !batch.is_empty() {
                    state.waiting.insert(workspace, observation);
                    break;
                }
                batch.push(observation);
            }
            batch
        })
    }

    /// What was said was taken: the next report may be of full size.
    pub(crate) fn taken(&self) {
        self.with(|state| state.next_max = None);
    }

    /// Takes a refusal of what was said. It would be refused again, and nothing of the host would be
    /// heard any more: the next report is half as long, until the one that is refused is alone. That
    /// one is said once more, because control may only have been in trouble; then without what its
    /// guest had to say; and if that does not help, later.
    pub(crate) fn refused(&self, mut batch: Vec<Observation>) {
        if let [observation] = batch.as_mut_slice() {
            let workspace = observation.workspace.clone();
            if self.is_refused_first(observation) {
                tracing::warn!(%workspace, "control refuses an observation: said once more");
            } else if observation.setup.is_empty() {
                tracing::error!(%workspace, "control refuses an observation: it is held back");
                return;
            } else {
                tracing::warn!(%workspace, "control refuses an observation: said without its setup");
                observation.setup.clear();
            }
        } else if !batch.is_empty() {
            self.with(|state| state.next_max = Some((batch.len() / 2).max(1)));
        }
        self.give_back(batch);
    }

    /// Notes a refusal of an observation by itself. Whether it was the first.
    fn is_refused_first(&self, observation: &Observation) -> bool {
        let Observation { workspace, sequence, .. } = observation;
        self.with(|state| {
            let is_first = state.refused.insert(workspace.clone(), *sequence) != Some(*sequence);
            // The next report is it alone, and not all others with it once more.
            state.next_max = is_first.then_some(1);
            if !is_first {
                state.held.insert(workspace.clone());
            }
            is_first
        })
    }

    /// Says again what was held back: control may be another one by now, or have been in trouble.
    pub(crate) fn repeat_held(&self) {
        self.with(|state| {
            for workspace in self.renew_held(state) {
                if let Some(last) = state.last.get(&workspace) {
                    state.waiting.insert(workspace, last.clone());
                }
            }
            let State { refused, last, .. } = state;
            refused.retain(|workspace, _| last.contains_key(workspace));
        });
        self.wake.notify_one();
    }

    /// Makes what was held back news: control ignores what it has, and may have it without its setup.
    fn renew_held(&self, state: &mut State) -> BTreeSet<WorkspaceId> {
        let held = std::mem::take(&mut state.held);
        for workspace in &held {
            if let Some(last) = state.last.get_mut(workspace) {
                last.sequence = self.next();
            }
        }
        held
    }

    /// Gives back what could not be said; what was seen since goes before it.
    pub(crate) fn give_back(&self, batch: Vec<Observation>) {
        self.with(|state| {
            for observation in batch {
                if state.last.contains_key(&observation.workspace) {
                    let workspace = observation.workspace.clone();
                    state.waiting.entry(workspace).or_insert(observation);
                }
            }
        });
    }

    fn next(&self) -> Sequence {
        let count = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Sequence { incarnation: self.incarnation, count }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Length of an observation on the wire.
fn size(observation: &Observation) -> usize {
    serde_json::to_vec(observation).map_or(0, |text| text.len())
}

/// Whether two observations say the same, whenever they were made.
fn same(one: &Observation, other: &Observation) -> bool {
    let Observation { workspace, generation, observed, failure, .. } = other;
    let Observation { ready_at, setup, ssh_host_key, .. } = other;
    (&one.workspace, one.generation, one.observed) == (workspace, *generation, *observed)
        && (&one.failure, one.ready_at, &one.setup) == (failure, *ready_at, setup)
        && one.ssh_host_key == *ssh_host_key
}

#[cfg(test)]
mod tests {
    use rigbox_types::{Generation, Observed, Timestamp};

    use super::*;

    fn observation(n: u8, observed: Observed) -> Observation {
        Observation {
            workspace: WorkspaceId::from_random([n; 8]),
            generation: Generation(1),
            observed,
            sequence: Sequence::default(),
            failure: None,
            ready_at: None,
            setup: Vec::new(),
            ssh_host_key: None,
            observed_at: Timestamp::from_micros(i64::from(n)),
        }
    }

    #[test]
    fn the_latest_is_said_once_and_in_order() {
        let reports = Reports::new(3);
        reports.submit(observation(1, Observed::Booting));
        reports.submit(observation(1, Observed::Running));
        reports.submit(observation(1, Observed::Running));
        let said = reports.take();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].observed, Observed::Running);
        assert_eq!(said[0].sequence, Sequence { incarnation: 3, count: 2 });
        assert!(reports.take().is_empty());
        // The host key of a new disk comes after everything else.
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";
        let ssh_host_key = Some(key.parse().unwrap());
        reports.submit(Observation { ssh_host_key, ..observation(1, Observed::Running) });
        assert_eq!(reports.take().len(), 1);
    }

    #[test]
    fn what_could_not_be_said_does_not_replace_what_came_after() {
        let reports = Reports::new(1);
        reports.submit(observation(1, Observed::Booting));
        reports.submit(observation(2, Observed::Booting));
        let failed = reports.take();
        reports.submit(observation(1, Observed::Running));
        reports.forget(&WorkspaceId::from_random([2; 8]));
        reports.give_back(failed);
        let said: Vec<_> = reports.take().into_iter().map(|said| said.observed).collect();
        assert_eq!(said, [Observed::Running]);
    }

    fn with_output(n: u8, bytes: usize) -> Observation {
        let output = rigbox_types::host::SetupResult {
            id: rigbox_types::SetupScriptId::from_random([1; 16]),
            name: "s".to_owned(),
            exit_code: Some(0),
            output_tail: "x".repeat(bytes),
            finished_at: None,
        };
        Observation { setup: vec![output], ..observation(n, Observed::Running) }
    }

    #[test]
    fn a_report_is_bounded_in_bytes() {
        let reports = Reports::new(1);
        for n in 0..8 {
            reports.submit(with_output(n, 1024 * 1024));
        }
        reports.submit(with_output(8, 2 * MAX_BATCH_BYTES));
        let mut all = 0;
        while all < 9 {
            let batch = reports.take();
            let bytes: usize = batch.iter().map(size).sum();
            assert!(batch.len() == 1 || bytes <= MAX_BATCH_BYTES, "{bytes}");
            assert!(!batch.is_empty());
            all += batch.len();
        }
    }

    /// A control that refuses every report with this workspace in it, or with its setup.
    fn said_past(reports: &Reports, refuses: impl Fn(&Observation) -> bool) -> Vec<Observation> {
        for n in 0..32 {
            reports.submit(with_output(n, 10));
        }
        let (mut said, mut tries) = (Vec::new(), 0);
        loop {
            let batch = reports.take();
            if batch.is_empty() {
                return said;
            }
            tries += 1;
            assert!(tries < 200, "it goes on for ever");
            if batch.iter().any(&refuses) {
                reports.refused(batch);
            } else {
                reports.taken();
                said.extend(batch);
            }
        }
    }

    #[test]
    fn one_observation_that_control_refuses_does_not_hold_up_the_others() {
        let bad = WorkspaceId::from_random([9; 8]);
        let is_bad = |seen: &Observation| seen.workspace == bad;
        let reports = Reports::new(1);
        let said = said_past(&reports, |seen| is_bad(seen) && !seen.setup.is_empty());
        assert_eq!(said.len(), 32);
        assert!(said.iter().all(|seen| is_bad(seen) == seen.setup.is_empty()));
        let reports = Reports::new(2);
        assert_eq!(said_past(&reports, is_bad).len(), 31);
        // Whatever was wrong with it, or with control, is over.
        reports.repeat_held();
        let said = reports.take();
        assert!(said.len() == 1 && is_bad(&said[0]) && !said[0].setup.is_empty());
    }

    #[test]
    fn a_refusal_that_was_controls_own_trouble_costs_no_setup() {
        let reports = Reports::new(1);
        reports.submit(with_output(3, 10));
        let first = reports.take();
        reports.refused(first.clone());
        assert_eq!(reports.take(), first);
        reports.taken();
        reports.repeat_held();
        assert!(reports.take().is_empty());
    }

    #[test]
    fn what_was_said_without_its_setup_is_said_in_full_as_news() {
        for repeat in [Reports::repeat_held, Reports::repeat_all] {
            let reports = Reports::new(1);
            reports.submit(with_output(3, 10));
            let full = reports.take();
            reports.refused(full.clone());
            reports.refused(reports.take());
            let stripped = reports.take();
            assert!(stripped[0].setup.is_empty());
            assert_eq!(stripped[0].sequence, full[0].sequence);
            reports.taken();
            reports.submit(with_output(3, 10));
            assert!(reports.take().is_empty(), "it says the same");
            repeat(&reports);
            let again = reports.take();
            assert_eq!(again[0].setup, full[0].setup);
            assert!(again[0].sequence > stripped[0].sequence);
            // What is said to a control that has forgotten is the same.
            reports.repeat_all();
            assert_eq!(reports.take(), again);
        }
    }

    #[test]
    fn a_report_is_bounded() {
        let reports = Reports::new(1);
        for n in 0..=255 {
            reports.submit(observation(n, Observed::Running));
        }
        let mut other = observation(0, Observed::Running);
        other.workspace = "ws-zzzzzzz0".parse().unwrap();
        reports.submit(other);
        let (first, second) = (reports.take().len(), reports.take().len());
        assert!(first <= MAX_BATCH && second <= first, "{first} {second}");
        reports.repeat_all();
        assert_eq!(reports.take().len(), first);
    }
}
