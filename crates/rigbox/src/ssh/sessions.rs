//! The sessions that are open, and when they end.
//! Invariants: a session is here from before it is asked for the last time whether it may be, until its
//! connection to the workspace is closed; one account has no more than its share.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rigbox_types::{AccountId, WorkspaceId, ssh::Held};
use tokio_util::sync::CancellationToken;

/// Most things that one session forwards which are recorded: a proxy opens a connection for each thing that a
/// page has, and the record is for people.
const FORWARDED_MAX: usize = 100;

/// Most sessions of one account: editors have a handful each.
pub(super) const OF_ACCOUNT_MAX: usize = 256;

/// See the module.
#[derive(Clone)]
pub(super) struct Sessions(Arc<Shared>);

struct Shared {
    of_account_max: usize,
    open: Mutex<HashMap<u64, Session>>,
    next: AtomicU64,
    /// Counts what was asked about: a session that came while it changed is asked about again.
    looks: AtomicU64,
}

struct Session {
    held: Held,
    from: SocketAddr,
    ends: CancellationToken,
    /// What it has forwarded, as far as that is in the record.
    forwarded: HashSet<String>,
}

/// A session; it is open as long as this lives.
pub(super) struct Place {
    sessions: Sessions,
    pub(super) id: u64,
    pub(super) ends: CancellationToken,
}

impl Sessions {
    pub(super) fn new(of_account_max: usize) -> Self {
        let (open, next, looks) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { of_account_max, open, next, looks }))
    }

    /// Opens one more, unless its account has too many.
    pub(super) fn open(&self, held: Held, from: SocketAddr) -> Option<Place> {
        let mut open = self.lock();
        let of_account =
            open.values().filter(|session| session.held.holder.account == held.holder.account);
        if of_account.count() >= self.0.of_account_max {
            return None;
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let ends = CancellationToken::new();
        let forwarded = HashSet::new();
        open.insert(id, Session { held, from, ends: ends.clone(), forwarded });
        Some(Place { sessions: self.clone(), id, ends })
    }

    /// How often sessions were asked about.
    pub(super) fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::SeqCst)
    }

    /// The sessions of an account or a workspace, or all, which are to be asked about.
    pub(super) fn look(
        &self,
        account: Option<AccountId>,
        workspace: Option<&WorkspaceId>,
    ) -> Vec<(u64, Held)> {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        let open = self.lock();
        let of = open.iter().filter(|(_, session)| {
            let held = &session.held;
            account.is_none_or(|account| held.holder.account == account)
                && workspace.is_none_or(|workspace| held.workspace.as_ref() == Some(workspace))
        });
        of.map(|(id, session)| (*id, session.held.clone())).collect()
    }

    /// Ends a session.
    pub(super) fn end(&self, id: u64, why: &str) {
        if let Some(session) = self.lock().get(&id) {
            let Held { holder, workspace } = &session.held;
            tracing::info!(account = %holder.account, ?workspace, why, "session ended");
            session.ends.cancel();
        }
    }

    /// The session of a connection that forwards something, where that is to be recorded: the first time, and
    /// as long as there is not too much.
    pub(super) fn forwards(&self, from: SocketAddr, what: &str) -> Option<Held> {
        let mut open = self.lock();
        // Of two at one address the former one has lost its client.
        let of = open.iter_mut().filter(|(_, session)| session.from == from);
        let (_, session) = of.max_by_key(|(id, _)| **id)?;
        let is_new =
            session.forwarded.len() < FORWARDED_MAX && session.forwarded.insert(what.to_owned());
        is_new.then(|| session.held.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Session>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use rigbox_types::{SshKeyId, ssh::Holder};

    use super::*;

    fn held(account: u8, workspace: &str) -> Held {
        let holder = Holder {
            key: SshKeyId::from_random([account; 16]),
            account: AccountId::from_random([account; 16]),
        };
        Held { holder, workspace: Some(workspace.parse().unwrap()) }
    }

    #[test]
    fn sessions_are_found_by_whose_they_are_and_where() {
        let sessions = Sessions::new(2);
        let from = "192.0.2.1:1".parse().unwrap();
        let (one, two) = (held(1, "ws-aaaaaaaa"), held(2, "ws-aaaaaaaa"));
        let first = sessions.open(one.clone(), from).unwrap();
        let second = sessions.open(two.clone(), "192.0.2.1:2".parse().unwrap()).unwrap();
        let looks = sessions.looks();
        assert_eq!(sessions.look(Some(one.holder.account), None), [(first.id, one.clone())]);
        assert_eq!(sessions.look(None, one.workspace.as_ref()).len(), 2);
        assert_eq!(sessions.look(None, Some(&"ws-bbbbbbbb".parse().unwrap())), []);
        assert!(sessions.looks() > looks);
        assert_eq!(sessions.forwards(from, "tcp a:1"), Some(one.clone()));
        assert_eq!(sessions.forwards(from, "tcp a:1"), None, "once");
        sessions.end(second.id, "test");
        assert!(second.ends.is_cancelled() && !first.ends.is_cancelled());
        drop(first);
        assert_eq!(sessions.forwards(from, "tcp b:1"), None);
        assert_eq!(sessions.look(None, None), [(second.id, two)]);
    }

    #[test]
    fn one_account_has_no_more_than_its_share() {
        let sessions = Sessions::new(2);
        let from = "192.0.2.1:1".parse().unwrap();
        let open = |account| sessions.open(held(account, "ws-aaaaaaaa"), from);
        let (first, _second) = (open(1).unwrap(), open(1).unwrap());
        assert!(open(1).is_none());
        assert!(open(2).is_some());
        drop(first);
        assert!(open(1).is_some());
    }
}
