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
    guest::{ExecList, ExecRequest, exec::EXEC_MAX_SESSIONS},
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
    fn reserve(&self) -> Result<Place<'_>, Refusal> {
        let mut kept = self.lock();
        let running = kept.all.values().filter(|session| !session.has_ended()).count();
        if running.saturating_add(kept.starting) >= EXEC_MAX_SESSIONS {
            return Err(too_many());
        }
        kept.starting = kept.starting.saturating_add(1);
        Ok(Place { sessions: self })
    }
}

/// The place of a command that starts; free again when it goes without one.
struct Place<'s> {
    sessions: &'s Sessions,
}

impl Place<'_> {
    /// Keeps the command that has started. Cannot fail: whoever has a place has room.
    fn keep(self, session: &Arc<Session>) {
        let sessions = self.sessions;
        // Given up below, under the same lock: at no moment is the command counted twice or not.
        std::mem::forget(self);
        let mut kept = sessions.lock();
        kept.starting = kept.starting.saturating_sub(1);
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
        let mut kept = self.sessions.lock();
        kept.starting = kept.starting.saturating_sub(1);
    }
}

fn too_many() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        format!("{EXEC_MAX_SESSIONS} commands run in this workspace already"),
    )
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
    let place = guest.exec.reserve()?;
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
/// ended, and one whose end it has heard is forgotten.
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
        if self.session.output.detach(self.reader) && !self.session.is_detachable() {
            self.session.end();
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_once_and_is_free_again_when_the_start_fails() {
        let sessions = Sessions::default();
        let mut places: Vec<_> =
            (0..EXEC_MAX_SESSIONS).map(|_| sessions.reserve().ok().unwrap()).collect();
        assert!(sessions.reserve().is_err());
        drop(places.pop());
        let place = sessions.reserve().ok().unwrap();
        assert!(sessions.reserve().is_err());
        drop((places, place));
        assert_eq!(sessions.lock().starting, 0);
    }
}
