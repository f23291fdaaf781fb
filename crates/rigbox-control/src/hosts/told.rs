//! Waits until guests that run were told what is wanted of their workspaces now.
//! Invariant: a wait ends, whatever hosts and guests do; what is waited for is kept and will be told.
//! Does not tell anybody anything: hosts follow the changes by themselves (see `watch`).

use std::{collections::BTreeMap, time::Duration};

use rigbox_store::{
    StoreError,
    feed::{Subscription, Wake},
    workspaces::WorkspaceRow,
};
use rigbox_types::{Generation, Status, WorkspaceId};
use tokio::time::{Instant, timeout_at};

use crate::control::Control;

/// A wake-up is a hint: after this long without one the rows are read anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// Waits for the guests of those of `rows` that run; rows that were read after what they are to be told
/// was written. Says who runs and was not told when `patience` was over.
pub(crate) async fn until_told(
    control: &Control,
    rows: &[WorkspaceRow],
    patience: Duration,
) -> Result<Vec<WorkspaceId>, StoreError> {
    let until = Instant::now() + patience;
    let wakes = control.store.feed().subscribe();
    let is_behind = |row: &&WorkspaceRow| is_behind(row, row.generation);
    let behind = rows.iter().filter(is_behind).map(|row| (row.id.clone(), row.generation));
    let mut waiting = Waiting { wakes, behind: behind.collect() };
    // What was told before the wake-ups were heard woke nobody.
    let mut woken = Woken::All;
    loop {
        waiting.look(control, &woken).await?;
        if waiting.behind.is_empty() || Instant::now() >= until {
            return Ok(waiting.behind.into_keys().collect());
        }
        let next = waiting.next();
        woken = match timeout_at(until.min(Instant::now() + LOOK_ANYWAY), next).await {
            Ok(woken) => woken,
            Err(_) => Woken::All,
        };
    }
}

/// Whose rows are to be read.
enum Woken {
    All,
    One(WorkspaceId),
}

/// Who is waited for.
struct Waiting {
    wakes: Subscription,
    /// With what each is to know.
    behind: BTreeMap<WorkspaceId, Generation>,
}

impl Waiting {
    /// Forgets those that are behind no more.
    async fn look(&mut self, control: &Control, woken: &Woken) -> Result<(), StoreError> {
        let ids: Vec<_> = match woken {
            Woken::All => self.behind.keys().cloned().collect(),
            Woken::One(id) => vec![id.clone()],
        };
        for id in ids {
            let wanted = self.behind.get(&id).copied().unwrap_or_default();
            let still = match control.store.workspaces().get(&id).await {
                Ok(row) => is_behind(&row, wanted),
                Err(StoreError::NotFound { .. }) => false,
                Err(error) => return Err(error),
            };
            if !still {
                self.behind.remove(&id);
            }
        }
        Ok(())
    }

    /// The next wake-up about one of them. May be dropped while it waits.
    async fn next(&mut self) -> Woken {
        loop {
            match self.wakes.next().await {
                Some(Wake::Workspace { workspace, .. }) if self.behind.contains_key(&workspace) => {
                    return Woken::One(workspace);
                }
                Some(Wake::Everything) => return Woken::All,
                Some(
                    Wake::Workspace { .. }
                    | Wake::App(_)
                    | Wake::ApiKey(_)
                    | Wake::Session(_)
                    | Wake::Access(_)
                    | Wake::Throttle(_)
                    | Wake::Certificates,
                ) => {}
                // The store is closed: the time ends the wait.
                None => std::future::pending().await,
            }
        }
    }
}

/// Whether a guest runs that does not know `wanted` yet. One that is booted is told before anybody is in.
fn is_behind(row: &WorkspaceRow, wanted: Generation) -> bool {
    row.status() == Status::Running && row.seen.generation < wanted
}
