//! Whether one more fits: into the account's quota and into what the host may promise.
//! Invariants: called in the transaction that adds, which holds the counter, so that no other one
//! adds or changes the account's plan meanwhile; disk counts from a workspace's making until it is
//! gone, memory and virtual CPUs while it should run or still does; what could never run is not
//! made; nothing is refused that adds nothing, so that a lowered plan takes nothing away, except
//! that a workspace boots only within the totals.

use rigbox_types::{AccountId, Desired, HostId, Observed, PlanName, Quotas, host::Resources};

use crate::{
    Amount, Over, Scope, StoreError,
    accounts::{self, AccountRow},
    row::Columns,
    tx::Tx,
};

/// Sums of the workspaces `w`; what is live is the same as in [`is_live`], and in the triggers that
/// keep the table `host_sums`.
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
pub(super) const SUM_OF_ACCOUNT: &str =
    concat!("SELECT ", sums!(), " FROM workspaces w WHERE w.account_id = $1");

/// One row also for a host that never had any.
pub(super) const SUM_OF_HOST: &str = "SELECT CAST(COALESCE(SUM(workspaces), 0) AS BIGINT) \
     AS workspaces, CAST(COALESCE(SUM(vcpus), 0) AS BIGINT) AS vcpus, \
     CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib, \
     CAST(COALESCE(SUM(disk_mib), 0) AS BIGINT) AS disk_mib FROM host_sums WHERE host_id = $1";

const CAPACITY: &str =
    "SELECT capacity_vcpus, capacity_memory_mib, capacity_disk_mib FROM hosts WHERE id = $1";

/// What may be had in all, counted like [`Promised`]; none means no limit.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    workspaces: Option<u64>,
    vcpus: Option<u64>,
    memory_mib: Option<u64>,
    disk_mib: Option<u64>,
}

impl Limits {
    fn of_account(quotas: &Quotas) -> Self {
        Self {
            workspaces: quotas.max_vms,
            vcpus: quotas.max_running_vcpus,
            memory_mib: quotas.max_ram_total_mb,
            disk_mib: quotas.max_disk_total_mb,
        }
    }

    fn of_one_workspace(quotas: &Quotas) -> Self {
        Self {
            workspaces: None,
            vcpus: quotas.max_vcpu_per_vm,
            memory_mib: quotas.max_ram_per_vm_mb,
            disk_mib: quotas.max_disk_per_vm_mb,
        }
    }
}

/// What a change needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The new size where it is larger than before, because only that can be too large by itself.
    pub(super) grown: Promised,
    /// What is taken on top of what was taken before.
    pub(super) more: Promised,
    /// What the workspace takes already and must fit anew, because it boots again.
    pub(super) again: Promised,
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

    /// Without the part that only the making of a workspace adds.
    pub(super) fn running(self) -> Self {
        Self { workspaces: 0, disk_mib: 0, ..self }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            workspaces: self.workspaces.saturating_add(other.workspaces),
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            disk_mib: self.disk_mib.saturating_add(other.disk_mib),
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

/// Refuses where what is needed does not fit into the account's plan and the host, and where a
/// workspace that has grown could never run.
pub(super) async fn admit(
    tx: &mut Tx<'_>,
    account: AccountId,
    host: &HostId,
    needs: Needs,
) -> Result<(), StoreError> {
    let owner = accounts::row_of(tx, account).await?;
    let sum = sqlx::query(SUM_OF_ACCOUNT).bind(account.to_string()).fetch_one(tx.on()).await?;
    let used = Promised::read(&Columns::of("workspaces", &sum))?;
    check_account(&owner, used, needs)?;

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
    let whose = Whose { scope: Scope::Host, plan: None, words: &IN_ALL };
    check(whose, &capacity, Promised::default(), needs.grown)?;
    check(whose, &capacity, used, needs.more)
}

/// Refuses what the account's plan has no room for beside `used`.
pub(super) fn check_account(
    owner: &AccountRow,
    used: Promised,
    needs: Needs,
) -> Result<(), StoreError> {
    let Needs { grown, more, again } = needs;
    let plan = Some(&owner.profile.plan);
    let one = Whose { scope: Scope::Account, plan, words: &OF_ONE };
    let all = Whose { words: &IN_ALL, ..one };
    check(one, &Limits::of_one_workspace(&owner.quotas), Promised::default(), grown)?;
    let limits = Limits::of_account(&owner.quotas);
    check(all, &limits, Promised::default(), grown)?;
    check(all, &limits, used.beyond(again), more.plus(again))
}

/// Whose limits are checked, and how its amounts are called.
#[derive(Clone, Copy)]
struct Whose<'a> {
    scope: Scope,
    plan: Option<&'a PlanName>,
    words: &'a [Amount; 4],
}

const IN_ALL: [Amount; 4] = [Amount::Workspaces, Amount::Vcpus, Amount::MemoryMib, Amount::DiskMib];

const OF_ONE: [Amount; 4] = [
    Amount::Workspaces,
    Amount::WorkspaceVcpus,
    Amount::WorkspaceMemoryMib,
    Amount::WorkspaceDiskMib,
];

fn check(
    whose: Whose<'_>,
    limits: &Limits,
    used: Promised,
    more: Promised,
) -> Result<(), StoreError> {
    let [workspaces, vcpus, memory, disk] = *whose.words;
    let amounts = [
        (workspaces, limits.workspaces, used.workspaces, more.workspaces),
        (vcpus, limits.vcpus, used.vcpus, more.vcpus),
        (memory, limits.memory_mib, used.memory_mib, more.memory_mib),
        (disk, limits.disk_mib, used.disk_mib, more.disk_mib),
    ];
    for (what, limit, used, asked) in amounts {
        // What adds nothing is never refused, even where a limit was lowered below what is used.
        match limit {
            Some(limit) if asked > 0 && used.saturating_add(asked) > limit => {
                let (scope, plan) = (whose.scope, whose.plan.cloned());
                return Err(Over { scope, what, limit, used, asked, plan }.into());
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
