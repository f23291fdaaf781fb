//! Whether one more fits: into the account's quota and into what the host may promise.
//! Invariant: called in the transaction that adds, which holds the counter, so that no other one
//! adds meanwhile. A workspace counts from its making until it is gone, running or not.

use rigbox_types::{AccountId, HostId, host::Resources};

use crate::{Amount, Over, Scope, StoreError, row::Columns, tx::Tx};

pub(super) const SUM_OF_ACCOUNT: &str = "SELECT COUNT(*) AS workspaces, \
     CAST(COALESCE(SUM(vcpus), 0) AS BIGINT) AS vcpus, \
     CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib, \
     CAST(COALESCE(SUM(disk_mib), 0) AS BIGINT) AS disk_mib \
     FROM workspaces WHERE account_id = $1";

pub(super) const SUM_OF_HOST: &str = "SELECT COUNT(*) AS workspaces, \
     CAST(COALESCE(SUM(vcpus), 0) AS BIGINT) AS vcpus, \
     CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib, \
     CAST(COALESCE(SUM(disk_mib), 0) AS BIGINT) AS disk_mib \
     FROM workspaces WHERE host_id = $1";

const CAPACITY: &str =
    "SELECT capacity_vcpus, capacity_memory_mib, capacity_disk_mib FROM hosts WHERE id = $1";

/// What an account may have in all; none means no limit.
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
    /// How many.
    pub workspaces: u64,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
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

    /// What a new workspace of this size adds.
    pub(super) fn one(size: Resources) -> Self {
        Self {
            workspaces: 1,
            vcpus: size.vcpus.into(),
            memory_mib: size.memory_mib.into(),
            disk_mib: size.disk_mib.into(),
        }
    }

    /// What growing adds; what shrinks adds nothing.
    pub(super) fn growth(from: Resources, to: Resources) -> Self {
        Self {
            workspaces: 0,
            vcpus: to.vcpus.saturating_sub(from.vcpus).into(),
            memory_mib: to.memory_mib.saturating_sub(from.memory_mib).into(),
            disk_mib: to.disk_mib.saturating_sub(from.disk_mib).into(),
        }
    }
}

/// Refuses where `more` does not fit.
pub(super) async fn admit(
    tx: &mut Tx<'_>,
    (account, limits): (AccountId, &Limits),
    host: &HostId,
    more: Promised,
) -> Result<(), StoreError> {
    let sum = sqlx::query(SUM_OF_ACCOUNT).bind(account.to_string()).fetch_one(tx.on()).await?;
    let used = Promised::read(&Columns::of("workspaces", &sum))?;
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
