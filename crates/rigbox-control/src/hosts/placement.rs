//! Which host gets a new workspace. Pure and deterministic: the same hosts give the same answer.

use rigbox_types::{
    HostId,
    host::{Capacity, Resources},
};

/// A host as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Which.
    pub(crate) id: HostId,
    /// What it may promise in all.
    pub(crate) capacity: Capacity,
    /// What is promised.
    pub(crate) promised: Capacity,
}

/// What is short where nothing fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// No host is there.
    Hosts,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// Virtual CPUs.
    Vcpus,
}

impl Short {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Vcpus => "vcpus",
        }
    }
}

/// Whether a host has room. Disk is promised to every workspace it has; memory and virtual CPUs are
/// promised by the store when a workspace starts, so here the host only must be able to run it when
/// empty.
fn room(candidate: &Candidate, wanted: &Resources) -> Result<(), Short> {
    let Candidate { capacity, promised, .. } = candidate;
    if u64::from(wanted.memory_mib) > capacity.memory_mib {
        return Err(Short::Memory);
    }
    if u32::from(wanted.vcpus) > capacity.vcpus {
        return Err(Short::Vcpus);
    }
    if promised.disk_mib.saturating_add(u64::from(wanted.disk_mib)) > capacity.disk_mib {
        return Err(Short::Disk);
    }
    Ok(())
}

/// The host with most free memory that has room; among equals the one with most free disk, then
/// the first by id.
pub(crate) fn choose(candidates: &[Candidate], wanted: &Resources) -> Result<HostId, Short> {
    let free = |candidate: &Candidate| {
        let memory = candidate.capacity.memory_mib.saturating_sub(candidate.promised.memory_mib);
        let disk = candidate.capacity.disk_mib.saturating_sub(candidate.promised.disk_mib);
        (memory, disk)
    };
    let mut short = Short::Hosts;
    let mut best: Option<&Candidate> = None;
    for candidate in candidates {
        match room(candidate, wanted) {
            Err(reason) => short = reason,
            Ok(()) => {
                let better = best
                    .is_none_or(|best| (free(candidate), &best.id) > (free(best), &candidate.id));
                if better {
                    best = Some(candidate);
                }
            }
        }
    }
    best.map(|candidate| candidate.id.clone()).ok_or(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8, memory: u64, promised_memory: u64, promised_disk: u64) -> Candidate {
        Candidate {
            id: HostId::from_random([n; 8]),
            capacity: Capacity { vcpus: 4, memory_mib: memory, disk_mib: 1000 },
            promised: Capacity { vcpus: 0, memory_mib: promised_memory, disk_mib: promised_disk },
        }
    }

    const WANTED: Resources = Resources { vcpus: 1, memory_mib: 512, disk_mib: 300 };

    fn check(hosts: &[Candidate], expected: Result<u8, Short>) {
        let expected = expected.map(|n| HostId::from_random([n; 8]));
        assert_eq!(choose(hosts, &WANTED), expected);
        let turned: Vec<_> = hosts.iter().rev().cloned().collect();
        assert_eq!(choose(&turned, &WANTED).is_ok(), expected.is_ok());
        if let Ok(expected) = expected {
            assert_eq!(choose(&turned, &WANTED), Ok(expected));
        }
    }

    #[test]
    fn the_emptiest_host_with_room_is_chosen() {
        check(&[], Err(Short::Hosts));
        check(&[host(1, 256, 0, 0)], Err(Short::Memory));
        check(&[host(1, 1024, 0, 701)], Err(Short::Disk));
        let mut small = host(1, 4096, 0, 0);
        small.capacity.vcpus = 0;
        check(&[small.clone()], Err(Short::Vcpus));
        check(&[small, host(2, 512, 0, 0)], Ok(2));
        check(&[host(1, 1024, 512, 0), host(2, 1024, 256, 700)], Ok(2));
        check(&[host(1, 2048, 1024, 100), host(2, 1024, 0, 0)], Ok(2));
        check(&[host(1, 1024, 0, 0), host(2, 1024, 0, 0)], Ok(1));
    }
}
