//! Callers as they were read, for as long as the database is as it was then: a busy workspace need not be
//! looked up for each of its calls, and a switch still counts from the next one on.
//! Invariant: nothing is kept beyond a commit of anybody, but for commits of this process that change
//! nothing of a caller, between whose begin and end nobody else could write.
//! With PostgreSQL nothing is kept: what it has changed is not known without asking.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rigbox_types::WorkspaceId;

use super::AiCaller;
use crate::wal_index::{Stamp, WalIndex};

/// Most callers that are kept.
const CALLERS_MAX: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Callers {
    index: Option<WalIndex>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The state of the database that all were read in.
    as_of: Option<Stamp>,
    callers: HashMap<WorkspaceId, Arc<AiCaller>>,
}

impl Callers {
    /// Nothing is kept without an index.
    pub(crate) fn new(index: Option<WalIndex>) -> Self {
        Self { index, kept: Mutex::default() }
    }

    /// The state of the database now; none where it cannot be told.
    pub(crate) fn now(&self) -> Option<Stamp> {
        self.index.as_ref()?.stamp()
    }

    /// A caller that was read in this state.
    pub(super) fn get(&self, now: Option<Stamp>, id: &WorkspaceId) -> Option<Arc<AiCaller>> {
        let kept = self.kept();
        let is_same = now.is_some() && kept.as_of == now;
        if is_same { kept.callers.get(id).cloned() } else { None }
    }

    /// Keeps a caller whose reading began in state `before`.
    pub(super) fn put(&self, before: Option<Stamp>, caller: &Arc<AiCaller>) {
        let Some(before) = before else { return };
        // It may have been read in a later one, of which nothing is said.
        if self.now() != Some(before) {
            return;
        }
        let mut kept = self.kept();
        if kept.as_of != Some(before) || kept.callers.len() >= CALLERS_MAX {
            *kept = Kept { as_of: Some(before), callers: HashMap::new() };
        }
        kept.callers.insert(caller.workspace.clone(), Arc::clone(caller));
    }

    /// A transaction that has written something, and nothing of a caller, was committed; `before` is the
    /// state once it had begun, from when on nobody else could write.
    pub(crate) fn committed(&self, before: Option<Stamp>) {
        let (Some(before), Some(after)) = (before, self.now()) else { return };
        let mut kept = self.kept();
        if kept.as_of == Some(before) && before.is_one_before(&after) {
            kept.as_of = Some(after);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
