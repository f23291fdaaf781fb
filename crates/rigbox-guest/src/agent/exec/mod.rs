//! Commands of users.
//!
//! ```text
//! request ─> Place ─> spawn ─> Session: child ── output ─> Replay (bounded) ── one reader ─> answer
//!                                         ^──── Input (within credit) <───────── frames
//! ```
//!
//! A session belongs to [`Sessions`] until its end has been told to somebody, or it is old.
//! Invariant: at most one reader a session; a session that is not detachable dies with its reader;
//! one that is never waits for a reader. A command begins only when it has a place, so that none
//! that runs is unknown to [`Sessions`].

mod answer;
mod input;
mod pty;
mod replay;
mod session;
mod spawn;
mod talk;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rigbox_types::{
    api::error::ErrorCode,
    guest::{
        ExecList, ExecRequest,
        exec::{EXEC_MAX_SESSIONS, TERMINAL_KEPT_S, TERMINALS_MAX},
    },
};
use tokio::time::Instant;

pub(crate) use self::{
    answer::{document, lines},
    session::Channel,
    spawn::STARTS_MAX,
    talk::talk,
};
use self::{replay::Reader, session::Session};
use super::{Guest, refusal::Refusal};

/// How long the end of a command is kept for whoever attaches.
const KEPT: Duration = Duration::from_secs(600);

/// All commands that run, or whose end nobody has been told.
#[derive(Default)]
pub(crate) struct Sessions {
    kept: Mutex<Kept>,
}

/// Invariant: those that run and those that start are at most [`EXEC_MAX_SESSIONS`] together.
#[derive(Default)]
struct Kept {
    all: BTreeMap<String, Arc<Session>>,
    /// Places that were given to commands which are not in `all` yet.
    starting: usize,
    /// Those of them for commands that will have a terminal.
    starting_terminals: usize,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commands that can be attached to.
    pub(crate) fn list(&self) -> ExecList {
        let mut sessions: Vec<_> = self
            .lock()
            .all
            .values()
            .filter(|session| session.is_detachable())
            .map(|s| s.describe())
            .collect();
        sessions.sort_by_key(|session| session.started_at);
        ExecList { sessions }
    }

    /// A command that can be attached to.
    fn find(&self, id: &str) -> Result<Arc<Session>, Refusal> {
        let found = self.lock().all.get(id).filter(|session| session.is_detachable()).cloned();
        found.ok_or_else(|| Refusal::not_found("this command"))
    }

    fn remove(&self, id: &str) {
        self.lock().all.remove(id);
    }

    /// Ends a command and forgets it.
    pub(crate) fn end(&self, id: &str) -> Result<(), Refusal> {
        self.find(id)?.end();
        self.remove(id);
        Ok(())
    }

    /// Ends all commands: the guest shuts down, and a shell that ignores the polite signal would
    /// hold up init.
    pub(crate) fn end_all(&self) {
        self.lock().all.values().for_each(|session| session.end());
    }

    /// A place for a command that is about to start, unless there are too many.
    fn reserve(&self, kind: Kind) -> Result<Place<'_>, Refusal> {
        let mut kept = self.lock();
        let running = || kept.all.values().filter(|session| !session.has_ended());
        if running().count().saturating_add(kept.starting) >= EXEC_MAX_SESSIONS {
            return Err(too_many(EXEC_MAX_SESSIONS, "commands run"));
        }
        let terminals = running().filter(|session| session.has_tty()).count();
        if kind == Kind::Terminal
            && terminals.saturating_add(kept.starting_terminals) >= TERMINALS_MAX
        {
            return Err(too_many(TERMINALS_MAX, "terminals are open"));
        }
        kept.starting = kept.starting.saturating_add(1);
        kept.starting_terminals = kept.starting_terminals.saturating_add(kind.terminals());
        Ok(Place { sessions: self, kind })
    }
}

/// Whether a command has a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Pipes,
}

impl Kind {
    fn terminals(self) -> usize {
        usize::from(self == Self::Terminal)
    }
}

impl Kept {
    /// A command that had a place has started, or will not.
    fn starts_no_more(&mut self, kind: Kind) {
        self.starting = self.starting.saturating_sub(1);
        self.starting_terminals = self.starting_terminals.saturating_sub(kind.terminals());
    }
}

/// The place of a command that starts; free again when it goes without one.
struct Place<'s> {
    sessions: &'s Sessions,
    kind: Kind,
}

impl Place<'_> {
    /// Keeps the command that has started. Cannot fail: whoever has a place has room.
    fn keep(self, session: &Arc<Session>) {
        let (sessions, kind) = (self.sessions, self.kind);
        // Given up below, under the same lock: at no moment is the command counted twice or not.
        std::mem::forget(self);
        let mut kept = sessions.lock();
        kept.starts_no_more(kind);
        kept.all.retain(|_, other| !other.ended_before(Instant::now().checked_sub(KEPT)));
        while kept.all.len() >= EXEC_MAX_SESSIONS {
            // One that runs is worth more than the end of one that nobody has asked for. Not all
            // of them run: this one had a place.
            let ended = kept.all.values().filter(|other| other.has_ended());
            let oldest = ended.min_by_key(|other| other.started_at()).map(|s| s.id().to_owned());
            let Some(oldest) = oldest else { break };
            kept.all.remove(&oldest);
        }
        kept.all.insert(session.id().to_owned(), Arc::clone(session));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.sessions.lock().starts_no_more(self.kind);
    }
}

fn too_many(most: usize, what: &str) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, format!("{most} {what} in this workspace already"))
}

/// Starts the command of a request.
pub(crate) async fn start(
    guest: &Guest,
    request: ExecRequest,
    channel: Channel,
) -> Result<Attached, Refusal> {
    request.check().map_err(|refusal| Refusal::field(refusal.field, refusal.message))?;
    if channel == Channel::Answer && (request.tty.is_some() || request.detach) {
        let field = if request.detach { "detach" } else { "tty" };
        return Err(Refusal::field(field, "needs an upgrade of the connection"));
    }
    let kind = if request.tty.is_some() { Kind::Terminal } else { Kind::Pipes };
    let place = guest.exec.reserve(kind)?;
    let (session, reader) = session::start(guest, request, channel).await?;
    place.keep(&session);
    Ok(Attached { guest: guest.clone(), session, reader })
}

/// Attaches to a command that was left, from a position of its output on.
pub(crate) fn attach(guest: &Guest, id: &str, after: u64) -> Result<Attached, Refusal> {
    let session = guest.exec.find(id)?;
    let reader = session.output.attach(after);
    Ok(Attached { guest: guest.clone(), session, reader })
}

/// Somebody who reads a command's output. When it goes, a command that cannot live without it is
/// ended, one whose end it has heard is forgotten, and a terminal is ended unless somebody comes back.
pub(crate) struct Attached {
    guest: Guest,
    session: Arc<Session>,
    reader: Reader,
}

impl Attached {
    async fn next(&self) -> replay::Item {
        self.session.output.next(self.reader).await
    }

    /// The end of the command was told.
    fn forget(&self) {
        self.guest.exec.remove(self.session.id());
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.session.output.detach(self.reader) {
            return;
        }
        if !self.session.is_detachable() {
            self.session.end();
            self.forget();
        } else if self.session.has_tty() {
            let (session, reader) = (Arc::clone(&self.session), self.reader);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(TERMINAL_KEPT_S)).await;
                if session.output.was_left_by(reader) {
                    session.end();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_once_and_is_free_again_when_the_start_fails() {
        let sessions = Sessions::default();
        let reserve = |kind| sessions.reserve(kind).ok();
        let terminals: Vec<_> =
            (0..TERMINALS_MAX).map(|_| reserve(Kind::Terminal).unwrap()).collect();
        assert!(reserve(Kind::Terminal).is_none());
        let rest = EXEC_MAX_SESSIONS - TERMINALS_MAX;
        let mut places: Vec<_> = (0..rest).map(|_| reserve(Kind::Pipes).unwrap()).collect();
        assert!(reserve(Kind::Pipes).is_none());
        drop(places.pop());
        let place = reserve(Kind::Pipes).unwrap();
        assert!(reserve(Kind::Pipes).is_none());
        drop((places, place, terminals));
        let kept = sessions.lock();
        assert_eq!((kept.starting, kept.starting_terminals), (0, 0));
    }
}
