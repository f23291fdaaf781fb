//! What is promised to workspaces, and to whom which user id belongs.
//! Invariant: the sum of all promises never exceeds the capacity; every promise is in a record, from
//! which this is rebuilt at start. Does not look at what is really used.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use rigbox_types::{WorkspaceId, failure::FailureCode, host::Capacity};

use crate::{
    config, disk::DiskError, disk::Disks, record::Promise, record::Record, trouble::StepError,
};

/// Virtual CPUs for each CPU of the machine, where nothing else is configured.
pub(crate) const VCPUS_PER_CPU: u32 = 16;

/// Memory that is kept for the machine itself, at least, in MiB; else an eighth of all.
const KEPT_MIB: u64 = 1024;

/// Promises and user ids of all workspaces.
#[derive(Debug)]
pub(crate) struct Ledger {
    capacity: Capacity,
    first_uid: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    promises: BTreeMap<WorkspaceId, Promise>,
    uids: BTreeMap<WorkspaceId, u32>,
}

impl Ledger {
    pub(crate) fn new(capacity: Capacity, first_uid: u32) -> Self {
        Self { capacity, first_uid, state: Mutex::default() }
    }

    /// Counts what a record says, whether it fits or not: it was promised.
    pub(crate) fn set(&self, record: &Record) {
        self.with(|state| {
            set(&mut state.promises, &record.workspace, record.promise);
            set(&mut state.uids, &record.workspace, record.uid);
        });
    }

    /// Promises something instead of what was promised to the workspace before.
    ///
    /// Only what is asked for beyond that must fit: a capacity that is measured may be below what is
    /// promised already, and a stopped workspace that has its disk must start all the same.
    pub(crate) fn promise(&self, workspace: &WorkspaceId, new: Promise) -> Result<(), StepError> {
        self.with(|state| {
            let old = state.promises.get(workspace).copied().unwrap_or_default();
            let others = state.promises.iter().filter(|(other, _)| *other != workspace);
            let total = others.fold(new, |total, (_, promise)| total.plus(promise));
            let capacity = &self.capacity;
            let short = if new.memory_mib > old.memory_mib && total.memory_mib > capacity.memory_mib
            {
                "memory"
            } else if new.vcpus > old.vcpus && total.vcpus > capacity.vcpus {
                "vCPUs"
            } else if new.disk_mib > old.disk_mib && total.disk_mib > capacity.disk_mib {
                "disk"
            } else {
                state.promises.insert(workspace.clone(), new);
                return Ok(());
            };
            let message = format!(
                "the host has no {short} left to promise: stop other workspaces or try again later"
            );
            Err(StepError::new(FailureCode::CapacityExhausted, message))
        })
    }

    /// A user id that no other workspace has. It belongs to the workspace until [`Ledger::set`]
    /// says otherwise.
    pub(crate) fn uid(&self, workspace: &WorkspaceId) -> u32 {
        self.with(|state| {
            if let Some(uid) = state.uids.get(workspace) {
                return *uid;
            }
            let mut taken: Vec<u32> = state.uids.values().copied().collect();
            taken.sort_unstable();
            let uid = taken.into_iter().fold(self.first_uid, |free, uid| {
                if uid == free { free.saturating_add(1) } else { free }
            });
            state.uids.insert(workspace.clone(), uid);
            uid
        })
    }

    /// What may be promised in all.
    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What is promised in all.
    pub(crate) fn promised(&self) -> Capacity {
        let total = self.with(|state| {
            state.promises.values().fold(Promise::default(), |total, promise| total.plus(promise))
        });
        let Promise { vcpus, memory_mib, disk_mib } = total;
        Capacity { vcpus, memory_mib, disk_mib }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Promise {
    fn plus(self, other: &Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            disk_mib: self.disk_mib.saturating_add(other.disk_mib),
        }
    }
}

/// The capacity that is configured; what is left out is measured.
pub(crate) fn capacity(config: &config::Capacity, disks: &Disks) -> Result<Capacity, DiskError> {
    let disk_mib = match config.disk_mib {
        Some(disk_mib) => disk_mib,
        None => disks.capacity_mib()?,
    };
    Ok(Capacity {
        vcpus: config.vcpus.unwrap_or_else(|| {
            let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(VCPUS_PER_CPU)
        }),
        memory_mib: config.memory_mib.unwrap_or_else(|| {
            let info = rustix::system::sysinfo();
            let total = info.totalram.saturating_mul(u64::from(info.mem_unit)) / (1024 * 1024);
            total.saturating_sub(KEPT_MIB.max(total / 8))
        }),
        disk_mib,
    })
}

fn set<T>(map: &mut BTreeMap<WorkspaceId, T>, workspace: &WorkspaceId, value: Option<T>) {
    match value {
        Some(value) => map.insert(workspace.clone(), value),
        None => map.remove(workspace),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(n: u8) -> WorkspaceId {
        WorkspaceId::from_random([n; 8])
    }

    #[test]
    fn no_more_is_promised_than_there_is() {
        let capacity = Capacity { vcpus: 8, memory_mib: 1024, disk_mib: 10_240 };
        let ledger = Ledger::new(capacity, 100);
        let one = Promise { vcpus: 1, memory_mib: 512, disk_mib: 1024 };
        ledger.promise(&workspace(1), one).unwrap();
        ledger.promise(&workspace(2), one).unwrap();
        let refused = ledger.promise(&workspace(3), one).unwrap_err();
        assert_eq!(refused.code, FailureCode::CapacityExhausted);
        let disk = Promise { vcpus: 0, memory_mib: 0, ..one };
        ledger.promise(&workspace(1), disk).unwrap();
        ledger.promise(&workspace(3), one).unwrap();
        let promised = Capacity { vcpus: 2, memory_mib: 1024, disk_mib: 3072 };
        assert_eq!(ledger.promised(), promised);
    }

    #[test]
    fn a_stopped_workspace_starts_where_its_disk_no_longer_fits() {
        // Measured at the start of the agent, when other data had filled the file system.
        let ledger = Ledger::new(Capacity { vcpus: 2, memory_mib: 1024, disk_mib: 1024 }, 100);
        let stopped = Promise { vcpus: 0, memory_mib: 0, disk_mib: 1024 };
        for n in [1, 2] {
            let mut record = Record::new(workspace(n));
            record.promise = Some(stopped);
            ledger.set(&record);
        }
        let check = |n, promise, fits| {
            let promised = ledger.promise(&workspace(n), promise);
            assert_eq!(promised.map_err(|error| error.code), fits, "{n}: {promise:?}");
        };
        let full = Err(FailureCode::CapacityExhausted);
        let running = Promise { vcpus: 1, memory_mib: 512, ..stopped };
        check(1, running, Ok(()));
        // What is asked for beyond what was promised must fit, in each respect.
        check(1, Promise { disk_mib: 1025, ..running }, full);
        check(2, Promise { memory_mib: 513, ..running }, full);
        check(2, Promise { vcpus: 2, ..running }, full);
        check(3, stopped, full);
        check(2, running, Ok(()));
        check(1, Promise { disk_mib: 512, ..running }, Ok(()));
        assert_eq!(ledger.promised().disk_mib, 1536);
    }

    #[test]
    fn each_workspace_has_a_user_of_its_own() {
        let ledger = Ledger::new(Capacity::default(), 100);
        assert_eq!([1, 2, 1, 3].map(|n| ledger.uid(&workspace(n))), [100, 101, 100, 102]);
        ledger.set(&Record::new(workspace(2)));
        assert_eq!(ledger.uid(&workspace(4)), 101);
    }
}
