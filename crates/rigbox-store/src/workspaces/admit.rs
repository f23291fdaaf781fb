//! Whether one more fits: into the account's quota and into what the host may promise.
//! Invariants: called in the transaction that adds, which holds the counter, so that no other one
//! adds meanwhile; disk counts from a workspace's making until it is gone, memory and virtual CPUs
//! while it should run or still does; what could never run is not made.

use rigbox_types::{AccountId, Desired, HostId, Observed, host::Resources};

use crate::{Amount, Over, Scope, StoreError, row::Columns, tx::Tx};

/// Sums of the workspaces `w`; what is live is the same as in [`is_live`].
macro_rules! sums {
    () => {
        "COUNT(w.id) AS workspaces, \
         CAST(COALESCE(SUM(w.vcpus) FILTER (WHERE w.desired = 'running' \
         OR w.observed IN ('preparing', 'booting', 'running', 'stopping')), 0) AS BIGINT) AS vcpus, \
         CAST(COALESCE(SUM(w.memory_mib) FILTER (WHERE w.desired = 'running' \
         OR w.observed IN ('preparing', 'booting', 'running', 'stopping')), 0) AS BIGINT) \
         AS memory_mib, \
         CAST(COALESCE(SUM(w.disk_mib), 0) AS BIGINT) AS disk_mib"
    };
}
pub(crate) use sums;

pub(super) const SUM_OF_ACCOUNT: &str =
    concat!("SELECT ", sums!(), " FROM workspaces w WHERE w.account_id = $1");

pub(super) const SUM_OF_HOST: &str =
    concat!("SELECT ", sums!(), " FROM workspaces w WHERE w.host_id = $1");

const CAPACITY: &str =
    "SELECT capacity_vcpus, capacity_memory_mib, capacity_disk_mib FROM hosts WHERE id = $1";

/// What an account may have in all, counted like [`Promised`]; none means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Workspaces.
    pub workspaces: Option<u64>,
    /// Virtual CPUs.
    pub vcpus: Option<u64>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Disk in MiB.
    pub disk_mib: Option<u64>,
}

/// What workspaces add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promised {
    /// How many there are.
    pub workspaces: u64,
    /// Virtual CPUs of those that should run or still do.
    pub vcpus: u64,
    /// Memory of those that should run or still do, in MiB.
    pub memory_mib: u64,
    /// Disk of all, in MiB.
    pub disk_mib: u64,
}

impl Promised {
    pub(crate) fn read(columns: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            workspaces: columns.number("workspaces")?,
            vcpus: columns.number("vcpus")?,
            memory_mib: columns.number("memory_mib")?,
            disk_mib: columns.number("disk_mib")?,
        })
    }

    /// What one workspace of this size takes.
    pub(super) fn of(size: Resources, desired: Desired, observed: Observed) -> Self {
        let live = u64::from(is_live(desired, observed));
        Self {
            workspaces: 1,
            vcpus: u64::from(size.vcpus) * live,
            memory_mib: u64::from(size.memory_mib) * live,
            disk_mib: size.disk_mib.into(),
        }
    }

    /// The size where it is larger than it was, because only that can be too large by itself.
    pub(super) fn grown(from: Resources, to: Resources) -> Self {
        let grown = |from: u64, to: u64| if to > from { to } else { 0 };
        Self {
            workspaces: 0,
            vcpus: grown(from.vcpus.into(), to.vcpus.into()),
            memory_mib: grown(from.memory_mib.into(), to.memory_mib.into()),
            disk_mib: grown(from.disk_mib.into(), to.disk_mib.into()),
        }
    }

    /// What this takes on top of `before`; nothing of what shrinks.
    pub(super) fn beyond(self, before: Self) -> Self {
        Self {
            workspaces: self.workspaces.saturating_sub(before.workspaces),
            vcpus: self.vcpus.saturating_sub(before.vcpus),
            memory_mib: self.memory_mib.saturating_sub(before.memory_mib),
            disk_mib: self.disk_mib.saturating_sub(before.disk_mib),
        }
    }
}

/// Whether a workspace holds memory and CPU: it should run, or its VMM is not known to be gone.
fn is_live(desired: Desired, observed: Observed) -> bool {
    match (desired, observed) {
        (Desired::Running, _)
        | (
            Desired::Stopped | Desired::Suspended | Desired::Deleted,
            Observed::Preparing | Observed::Booting | Observed::Running | Observed::Stopping,
        ) => true,
        (
            Desired::Stopped | Desired::Suspended | Desired::Deleted,
            Observed::Absent
            | Observed::Stopped
            | Observed::Suspended
            | Observed::Deleting
            | Observed::Failed,
        ) => false,
    }
}

/// Refuses where `more` does not fit, and where a workspace that has `grown` could never run.
pub(super) async fn admit(
    tx: &mut Tx<'_>,
    (account, limits): (AccountId, &Limits),
    host: &HostId,
    (grown, more): (Promised, Promised),
) -> Result<(), StoreError> {
    let sum = sqlx::query(SUM_OF_ACCOUNT).bind(account.to_string()).fetch_one(tx.on()).await?;
    let used = Promised::read(&Columns::of("workspaces", &sum))?;
    check(Scope::Account, limits, Promised::default(), grown)?;
    check(Scope::Account, limits, used, more)?;

    let row = sqlx::query(CAPACITY).bind(host.as_str()).fetch_optional(tx.on()).await?;
    let row = row.ok_or_else(|| StoreError::not_found("host", host))?;
    let columns = Columns::of("hosts", &row);
    let capacity = Limits {
        workspaces: None,
        vcpus: Some(columns.number("capacity_vcpus")?),
        memory_mib: Some(columns.number("capacity_memory_mib")?),
        disk_mib: Some(columns.number("capacity_disk_mib")?),
    };
    let sum = sqlx::query(SUM_OF_HOST).bind(host.as_str()).fetch_one(tx.on()).await?;
    let used = Promised::read(&Columns::of("workspaces", &sum))?;
    check(Scope::Host, &capacity, Promised::default(), grown)?;
    check(Scope::Host, &capacity, used, more)
}

fn check(scope: Scope, limits: &Limits, used: Promised, more: Promised) -> Result<(), StoreError> {
    let amounts = [
        (Amount::Workspaces, limits.workspaces, used.workspaces, more.workspaces),
        (Amount::Vcpus, limits.vcpus, used.vcpus, more.vcpus),
        (Amount::MemoryMib, limits.memory_mib, used.memory_mib, more.memory_mib),
        (Amount::DiskMib, limits.disk_mib, used.disk_mib, more.disk_mib),
    ];
    for (what, limit, used, asked) in amounts {
        // What adds nothing is never refused, even where a limit was lowered below what is used.
        match limit {
            Some(limit) if asked > 0 && used.saturating_add(asked) > limit => {
                return Err(Over { scope, what, limit, used, asked }.into());
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
