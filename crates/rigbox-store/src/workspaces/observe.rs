//! Applies what a host reports. Invariants: an observation is applied only if it is newer than the
//! last one and the host has the workspace; the observation that a workspace is gone, when that is
//! what is wanted, removes its row, its apps, its samples, its tags and the roles that were given on it in
//! the same transaction; an observation by which apps are served otherwise than before gives each of
//! them a revision; the first host key that is seen of a workspace stays.

use rigbox_types::{
    Desired, HostId, Observed as State, WorkspaceId, access::ResourceRef, host::Observation,
};

use super::Workspaces;
use crate::{
    StoreError,
    apps::follow,
    bindings,
    engine::Text,
    feed::Wake,
    row::{Columns, json, json_optional, word},
    samples, tags,
    tx::Tx,
};

/// A generation that was never wanted is of another database: it says nothing about this one.
const UPDATE: &str = "UPDATE workspaces SET observed = $5, observed_generation = $6, failure = $7, \
     ready_at = $8, setup = $9, observed_at = $10, sequence_incarnation = $3, sequence_count = $4, \
     updated_at = CASE WHEN updated_at < $11 THEN $11 ELSE updated_at END \
     WHERE id = $1 AND host_id = $2 AND generation >= $6 \
     AND (sequence_incarnation, sequence_count) < ($3, $4)";

const DELETE: &str = "DELETE FROM workspaces \
     WHERE id = $1 AND host_id = $2 AND desired = $3 AND generation = $4 \
     AND (sequence_incarnation, sequence_count) < ($5, $6)";

const GOES: &str = "SELECT id FROM workspaces \
     WHERE id = $1 AND host_id = $2 AND desired = $3 AND generation = $4 \
     AND (sequence_incarnation, sequence_count) < ($5, $6)";

const REMOVAL: &str = "INSERT INTO removals (revision, host_id, workspace_id, removed_at) \
     VALUES ($1, $2, $3, $4)";

/// Another report of the same host waits until this one is done.
const SEEN: Text = Text {
    sqlite: "SELECT observed, observed_generation, (SELECT public_key FROM ssh_host_keys \
         WHERE workspace_id = workspaces.id) AS ssh_host_key \
         FROM workspaces WHERE id = $1 AND host_id = $2",
    postgres: "SELECT observed, observed_generation, (SELECT public_key FROM ssh_host_keys \
         WHERE workspace_id = workspaces.id) AS ssh_host_key \
         FROM workspaces WHERE id = $1 AND host_id = $2 FOR UPDATE",
};

const PIN: &str = "INSERT INTO ssh_host_keys (workspace_id, public_key, seen_at) \
     VALUES ($1, $2, $3) ON CONFLICT (workspace_id) DO NOTHING";

const HAS_APPS: &str = "SELECT id FROM apps WHERE workspace_id = $1 LIMIT 1";

const EXISTS: &str = "SELECT id FROM workspaces WHERE id = $1 AND host_id = $2";

/// What became of one observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observed {
    /// It is what is known now.
    Applied,
    /// It is what is known now, but for the host key: the workspace is known by another one.
    OtherHostKey,
    /// The workspace is gone, as was wanted, and so is its row.
    Removed,
    /// Something newer is known already.
    Stale,
    /// This host has no such workspace.
    Unknown,
}

impl Workspaces<'_> {
    /// Applies observations of `host`, all or none, and says for each what became of it.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn observe(
        &self,
        host: &HostId,
        observations: &[Observation],
    ) -> Result<Vec<Observed>, StoreError> {
        // Most reports change nothing that an edge has to know, and do without the counter.
        let counter =
            if observations.iter().any(may_remove) { Counter::Held } else { Counter::Free };
        match self.observe_once(host, observations, counter).await? {
            Some(outcomes) => Ok(outcomes),
            None => {
                let outcomes = self.observe_once(host, observations, Counter::Held).await?;
                outcomes.ok_or_else(|| StoreError::Internal("the counter is held".into()))
            }
        }
    }

    /// None, and nothing done, where the counter is needed and not held.
    async fn observe_once(
        &self,
        host: &HostId,
        observations: &[Observation],
        counter: Counter,
    ) -> Result<Option<Vec<Observed>>, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        // The counter is taken before any row, and rows in the order of their ids: two reports
        // then never wait for each other in a circle.
        if counter == Counter::Held {
            tx.revision().await?;
        }
        let mut ordered: Vec<_> = observations.iter().enumerate().collect();
        ordered.sort_by(|(_, left), (_, right)| left.workspace.cmp(&right.workspace));
        let mut outcomes = vec![Observed::Unknown; observations.len()];
        for (at, observation) in ordered {
            let before = seen(&mut tx, self.engine.text(SEEN), (host, observation)).await?;
            let outcome = if may_remove(observation) {
                remove_or_update(&mut tx, host, observation, now).await?
            } else {
                update(&mut tx, host, observation, now).await?
            };
            // Whether it runs is in the observed side and in how new that is.
            let said = (word(&observation.observed)?, observation.generation.0);
            let is_applied = outcome == Observed::Applied;
            let changed = is_applied && before.as_ref().is_some_and(|before| before.said != said);
            // Whoever makes an app holds the workspace's row: one that is made now sees what is seen
            // here, or is seen here.
            if changed && has_apps(&mut tx, &observation.workspace).await? {
                match counter {
                    Counter::Free => return Ok(None),
                    Counter::Held => {
                        follow::workspace_changed(&mut tx, &observation.workspace).await?;
                    }
                }
            }
            let is_known = !is_applied || host_key(&mut tx, observation, (before, now)).await?;
            if let Some(slot) = outcomes.get_mut(at) {
                *slot = if is_known { outcome } else { Observed::OtherHostKey };
            }
        }
        tx.commit().await?;
        Ok(Some(outcomes))
    }
}

/// Whether a transaction holds the counter of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counter {
    Held,
    Free,
}

async fn has_apps(tx: &mut Tx<'_>, workspace: &WorkspaceId) -> Result<bool, StoreError> {
    let query = sqlx::query(HAS_APPS).bind(workspace.as_str());
    Ok(query.fetch_optional(tx.on()).await?.is_some())
}

/// What was known of a workspace until now.
struct Before {
    /// State and generation.
    said: (String, u64),
    ssh_host_key: Option<String>,
}

async fn seen(
    tx: &mut Tx<'_>,
    text: &'static str,
    (host, observation): (&HostId, &Observation),
) -> Result<Option<Before>, StoreError> {
    let query = sqlx::query(text).bind(observation.workspace.as_str()).bind(host.as_str());
    let Some(row) = query.fetch_optional(tx.on()).await? else { return Ok(None) };
    let columns = Columns::of("workspaces", &row);
    let said = (columns.raw("observed")?, columns.number("observed_generation")?);
    Ok(Some(Before { said, ssh_host_key: columns.raw("ssh_host_key")? }))
}

/// Keeps a host key where none is known. False where another one is.
async fn host_key(
    tx: &mut Tx<'_>,
    observation: &Observation,
    (before, now): (Option<Before>, i64),
) -> Result<bool, StoreError> {
    let Some(key) = &observation.ssh_host_key else { return Ok(true) };
    if let Some(known) = before.and_then(|before| before.ssh_host_key) {
        return Ok(known == key.as_str());
    }
    let pin = sqlx::query(PIN).bind(observation.workspace.as_str()).bind(key.as_str()).bind(now);
    pin.execute(tx.on()).await?;
    Ok(true)
}

fn may_remove(observation: &Observation) -> bool {
    observation.observed == State::Absent
}

async fn remove_or_update(
    tx: &mut Tx<'_>,
    host: &HostId,
    observation: &Observation,
    now: i64,
) -> Result<Observed, StoreError> {
    let revision = tx.revision().await?;
    let id = observation.workspace.as_str();
    let goes = sqlx::query(GOES)
        .bind(id)
        .bind(host.as_str())
        .bind(word(&Desired::Deleted)?)
        .bind(crate::row::count(observation.generation.0))
        .bind(crate::row::count(observation.sequence.incarnation))
        .bind(crate::row::count(observation.sequence.count))
        .fetch_optional(tx.on())
        .await?;
    if goes.is_some() {
        follow::workspace_gone(tx, &observation.workspace, now).await?;
    }
    let deleted = sqlx::query(DELETE)
        .bind(id)
        .bind(host.as_str())
        .bind(word(&Desired::Deleted)?)
        .bind(crate::row::count(observation.generation.0))
        .bind(crate::row::count(observation.sequence.incarnation))
        .bind(crate::row::count(observation.sequence.count))
        .execute(tx.on())
        .await?;
    if deleted.rows_affected() == 0 {
        return update(tx, host, observation, now).await;
    }
    sqlx::query(REMOVAL)
        .bind(crate::row::count(revision.0))
        .bind(host.as_str())
        .bind(id)
        .bind(now)
        .execute(tx.on())
        .await?;
    samples::forget_workspace(tx, id).await?;
    let thing = ResourceRef::Workspace(observation.workspace.clone());
    bindings::forget(tx, &thing).await?;
    tags::forget(tx, &thing).await?;
    wake(tx, host, observation);
    Ok(Observed::Removed)
}

async fn update(
    tx: &mut Tx<'_>,
    host: &HostId,
    observation: &Observation,
    now: i64,
) -> Result<Observed, StoreError> {
    let updated = sqlx::query(UPDATE)
        .bind(observation.workspace.as_str())
        .bind(host.as_str())
        .bind(crate::row::count(observation.sequence.incarnation))
        .bind(crate::row::count(observation.sequence.count))
        .bind(word(&observation.observed)?)
        .bind(crate::row::count(observation.generation.0))
        .bind(json_optional(observation.failure.as_ref())?)
        .bind(observation.ready_at.map(|at| at.as_micros()))
        .bind(json(&observation.setup)?)
        .bind(observation.observed_at.as_micros())
        .bind(now)
        .execute(tx.on())
        .await?;
    if updated.rows_affected() > 0 {
        wake(tx, host, observation);
        return Ok(Observed::Applied);
    }
    let known = sqlx::query(EXISTS)
        .bind(observation.workspace.as_str())
        .bind(host.as_str())
        .fetch_optional(tx.on())
        .await?;
    Ok(if known.is_some() { Observed::Stale } else { Observed::Unknown })
}

fn wake(tx: &mut Tx<'_>, host: &HostId, observation: &Observation) {
    let workspace = observation.workspace.clone();
    tx.wake(Wake::Workspace { workspace, host: host.clone() });
}
