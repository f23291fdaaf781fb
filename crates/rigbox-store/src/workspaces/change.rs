//! Changes what should be. The caller's edit decides within the transaction, on a row that nobody
//! else changes meanwhile.

use rigbox_types::{Desired, Generation, Revision, Timestamp, WorkspaceId};

use super::{
    GET, Promised, Wanted, WorkspaceRow, Workspaces,
    admit::{Needs, admit},
    row,
};
use crate::{
    StoreError,
    apps::follow,
    engine::Text,
    feed::Wake,
    idempotency::{self, Claim},
    row::{json, json_optional, word},
    tx::Tx,
};

/// A host's observation may change the row on PostgreSQL while this transaction decides.
const GET_LOCKED: Text = Text {
    sqlite: GET,
    postgres: concat!("SELECT ", row::columns!("env"), " FROM workspaces WHERE id = $1 FOR UPDATE"),
};

const UPDATE: &str = "UPDATE workspaces SET updated_at = $2, revision = $3, generation = $4, \
     desired = $5, restart_generation = $6, retry_generation = $7, force = $8, vcpus = $9, \
     memory_mib = $10, disk_mib = $11, egress_mode = $12, egress_hosts = $13, egress_cidrs = $14, \
     idle_mode = $15, idle_after_s = $16, env = COALESCE($17, env), setup_scripts = $18, \
     service_specs = $19, creation_attempts = $20, creation_started_at = $21 WHERE id = $1";

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The caller's edit said no.
    #[error("refused")]
    Refused(E),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Workspaces<'_> {
    /// Changes a workspace by `edit`, which gets the row as it is and the desired side to change.
    /// The change will have the generation after the row's. An edit that changes nothing writes
    /// nothing. Where the workspace grows or is to boot, that must fit into the account's plan, as it
    /// is in this transaction, and into its host. With a claim on an idempotency key, the key notes
    /// in the same transaction that the change was made.
    ///
    /// # Errors
    /// What `edit` refused with, [`StoreError::NotFound`], [`StoreError::Over`],
    /// [`StoreError::ClaimLost`].
    pub async fn change<E: Send>(
        &self,
        id: &WorkspaceId,
        claim: Option<&Claim>,
        edit: impl FnOnce(&WorkspaceRow, &mut Wanted) -> Result<(), E> + Send,
    ) -> Result<WorkspaceRow, ChangeError<E>> {
        let mut tx = self.engine.begin().await?;
        let revision = tx.revision().await?;
        let text = self.engine.text(GET_LOCKED);
        let found = sqlx::query(text).bind(id.as_str()).fetch_optional(tx.on()).await;
        let found = found.map_err(StoreError::from)?;
        let before = row::read(&found.ok_or_else(|| StoreError::not_found("workspace", id))?)?;
        let mut after = before.clone();
        edit(&before, &mut after.wanted).map_err(ChangeError::Refused)?;
        if after.wanted == before.wanted {
            return Ok(before);
        }
        let needs = needs(&before, &after);
        if needs != Needs::default() {
            admit(&mut tx, before.account, &before.host, needs).await?;
        }
        renew(&mut after, revision, self.engine.now());
        write(&mut tx, &after).await?;
        let lives = |row: &WorkspaceRow| {
            let wanted = &row.wanted;
            (wanted.desired, wanted.restart_generation, wanted.retry_generation)
        };
        if lives(&before) != lives(&after) {
            follow::workspace_changed(&mut tx, id).await?;
        }
        if let Some(claim) = claim {
            idempotency::note_made(&mut tx, claim, id.as_str()).await?;
        }
        tx.commit().await?;
        Ok(after)
    }
}

fn needs(before: &WorkspaceRow, after: &WorkspaceRow) -> Needs {
    let (took, takes) = (takes(before), takes(after));
    let more = takes.beyond(took);
    let again =
        if boots(before, after) { takes.beyond(more).running() } else { Promised::default() };
    Needs { grown: Promised::grown(before.wanted.resources, after.wanted.resources), more, again }
}

/// Whether a workspace is to boot that did not run, or not like this: it is then like a new one to
/// the plan, which may have been lowered while it ran.
fn boots(before: &WorkspaceRow, after: &WorkspaceRow) -> bool {
    let (was, is) = (&before.wanted, &after.wanted);
    let asked = was.desired != is.desired
        || was.restart_generation != is.restart_generation
        || was.retry_generation != is.retry_generation;
    is.desired == Desired::Running && asked
}

fn takes(row: &WorkspaceRow) -> Promised {
    Promised::of(row.wanted.resources, row.wanted.desired, row.seen.observed)
}

/// Gives a row that is about to be written its next generation and its place in the stream.
pub(super) fn renew(row: &mut WorkspaceRow, revision: Revision, now: Timestamp) {
    row.revision = revision;
    row.generation = Generation::next(row.generation);
    // A clock that went back must not make a row look older than it was.
    row.updated_at = row.updated_at.max(now);
}

pub(super) async fn write(tx: &mut Tx<'_>, row: &WorkspaceRow) -> Result<(), StoreError> {
    let wanted = &row.wanted;
    sqlx::query(UPDATE)
        .bind(row.id.as_str())
        .bind(row.updated_at.as_micros())
        .bind(crate::row::count(row.revision.0))
        .bind(crate::row::count(row.generation.0))
        .bind(word(&wanted.desired)?)
        .bind(crate::row::count(wanted.restart_generation.0))
        .bind(crate::row::count(wanted.retry_generation.0))
        .bind(i64::from(wanted.force))
        .bind(i64::from(wanted.resources.vcpus))
        .bind(i64::from(wanted.resources.memory_mib))
        .bind(i64::from(wanted.resources.disk_mib))
        .bind(word(&wanted.egress.mode)?)
        .bind(json(&wanted.egress.hosts)?)
        .bind(json(&wanted.egress.cidrs)?)
        .bind(word(&wanted.idle.mode)?)
        .bind(wanted.idle.after_seconds.map(i64::from))
        .bind(json_optional(wanted.env.as_ref())?)
        .bind(json(&wanted.setup_scripts)?)
        .bind(json(&wanted.service_specs)?)
        .bind(i64::from(wanted.creation_attempts))
        .bind(wanted.creation_started_at.map(|at| at.as_micros()))
        .execute(tx.on())
        .await?;
    tx.wake(Wake::Workspace { workspace: row.id.clone(), host: row.host.clone() });
    Ok(())
}
