//! Which workspaces' guests say another SSH host key than the one that they are known by, so that it
//! is said once for each: a guest says it with every report, and may say what it likes.
//! Does not decide which key counts (see `store::workspaces`).

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use rigbox_types::WorkspaceId;

/// Most workspaces that are remembered. After that they are said again.
const WORKSPACES_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct OtherHostKeys(Mutex<BTreeSet<WorkspaceId>>);

impl OtherHostKeys {
    /// Whether it was not said of this workspace yet.
    pub(super) fn is_news(&self, workspace: &WorkspaceId) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= WORKSPACES_MAX && !said.contains(workspace) {
            said.clear();
        }
        said.insert(workspace.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_for_each_and_few_are_remembered() {
        let keys = OtherHostKeys::default();
        let workspace = |n: usize| {
            let [.., high, low] = n.to_be_bytes();
            WorkspaceId::from_random([0, 0, 0, 0, low % 32, low / 32, high % 32, high / 32])
        };
        for n in 0..WORKSPACES_MAX {
            assert!(keys.is_news(&workspace(n)), "{n}");
            assert!(!keys.is_news(&workspace(n)), "{n}");
        }
        assert!(!keys.is_news(&workspace(0)));
        assert!(keys.is_news(&workspace(WORKSPACES_MAX)));
        assert!(keys.is_news(&workspace(0)));
        assert_eq!(keys.0.lock().unwrap().len(), 2);
    }
}
