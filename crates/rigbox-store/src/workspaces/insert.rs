//! Makes the row of a new workspace: counted, named and placed in one transaction.

use rigbox_types::{
    AccountId, Desired, Generation, HostId, ImageName, Observed, RegionName, TemplateId,
    WorkspaceId, WorkspaceName, host::Resources,
};

use super::{
    GET, Promised, Wanted, WorkspaceRow, Workspaces,
    admit::{Needs, admit, check_account},
    row,
};
use crate::{
    StoreError, accounts,
    feed::Wake,
    idempotency::{self, Claim},
    row::{json, word},
    tx::Tx,
};

const NAME_TAKEN: &str = "SELECT id FROM workspaces WHERE account_id = $1 AND name = $2";

const INSERT: &str = "INSERT INTO workspaces (id, account_id, name, region, host_id, image, template, \
     created_at, updated_at, revision, generation, desired, restart_generation, retry_generation, \
     force, vcpus, memory_mib, disk_mib, egress_mode, egress_hosts, egress_cidrs, idle_mode, \
     idle_after_s, env, setup_scripts, service_specs, creation_attempts, creation_started_at, \
     observed, observed_generation, sequence_incarnation, sequence_count, setup) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, 0, 0, 0, '[]')";

/// The size that a new workspace has grown from.
const NOTHING: Resources = Resources { vcpus: 0, memory_mib: 0, disk_mib: 0 };

/// The generation of a new workspace.
const FIRST: Generation = Generation(1);

/// A workspace to be made.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// Its id, random.
    pub id: WorkspaceId,
    /// Who will own it.
    pub account: AccountId,
    /// Its name.
    pub name: WorkspaceName,
    /// Where it runs.
    pub region: RegionName,
    /// The host that placement chose.
    pub host: HostId,
    /// What its disk is cloned from.
    pub image: ImageName,
    /// What it is made from.
    pub template: Option<TemplateId>,
    /// What should be.
    pub wanted: Wanted,
}

impl Workspaces<'_> {
    /// Makes a workspace, if its name is free and it fits into the account's plan, as it is in this
    /// transaction, and into its host. With a claim on an idempotency key, the key notes in the same transaction what was made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a name or id that is taken, [`StoreError::Over`] where it does
    /// not fit, [`StoreError::NotFound`] for an unknown host or account,
    /// [`StoreError::ClaimLost`].
    pub async fn insert(
        &self,
        new: &NewWorkspace,
        claim: Option<&Claim>,
    ) -> Result<WorkspaceRow, StoreError> {
        let now = self.engine.now().as_micros();
        let mut tx = self.engine.begin().await?;
        // Taken first: from here on this is the only transaction that adds workspaces.
        let revision = tx.revision().await?;
        let taken = sqlx::query(NAME_TAKEN)
            .bind(new.account.to_string())
            .bind(new.name.as_str())
            .fetch_optional(tx.on())
            .await?;
        if taken.is_some() {
            return Err(StoreError::Conflict { what: "workspace name", id: new.name.to_string() });
        }
        let size = new.wanted.resources;
        admit(&mut tx, new.account, &new.host, needs(size, new.wanted.desired)).await?;
        write(&mut tx, new, (revision.0, now)).await?;
        if let Some(claim) = claim {
            idempotency::note_made(&mut tx, claim, new.id.as_str()).await?;
        }
        let made = sqlx::query(GET).bind(new.id.as_str()).fetch_one(tx.on()).await?;
        let made = row::read(&made)?;
        tx.wake(Wake::Workspace { workspace: new.id.clone(), host: new.host.clone() });
        tx.commit().await?;
        Ok(made)
    }

    /// Refuses a workspace of this size that the account's plan has no room for right now. A first
    /// look, before a host is chosen for it: what counts is what [`Workspaces::insert`] finds.
    ///
    /// # Errors
    /// [`StoreError::Over`], [`StoreError::NotFound`] for an unknown account.
    pub async fn check_room(&self, account: AccountId, size: Resources) -> Result<(), StoreError> {
        let owner = accounts::Accounts { engine: self.engine }.get(account).await?;
        let used = self.promised_to_account(account).await?;
        check_account(&owner, used, needs(size, Desired::Stopped))
    }
}

fn needs(size: Resources, desired: Desired) -> Needs {
    Needs {
        grown: Promised::grown(NOTHING, size),
        more: Promised::of(size, desired, Observed::Absent),
        again: Promised::default(),
    }
}

pub(super) async fn write(
    tx: &mut Tx<'_>,
    new: &NewWorkspace,
    (revision, now): (u64, i64),
) -> Result<(), StoreError> {
    let wanted = &new.wanted;
    let env = wanted.env.clone().unwrap_or_default();
    sqlx::query(INSERT)
        .bind(new.id.as_str())
        .bind(new.account.to_string())
        .bind(new.name.as_str())
        .bind(new.region.as_str())
        .bind(new.host.as_str())
        .bind(new.image.as_str())
        .bind(new.template.as_ref().map(TemplateId::to_string))
        .bind(now)
        .bind(crate::row::count(revision))
        .bind(crate::row::count(FIRST.0))
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
        .bind(json(&env)?)
        .bind(json(&wanted.setup_scripts)?)
        .bind(json(&wanted.service_specs)?)
        .bind(i64::from(wanted.creation_attempts))
        .bind(wanted.creation_started_at.map(|at| at.as_micros()))
        .bind(word(&Observed::Absent)?)
        .execute(tx.on())
        .await
        .map_err(|error| {
            if StoreError::is_foreign_key(&error) {
                StoreError::not_found("account", &new.account)
            } else {
                StoreError::or_conflict(error, "workspace id", &new.id)
            }
        })?;
    Ok(())
}
