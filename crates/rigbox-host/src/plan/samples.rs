//! Records, assignments and realities to start a test from.

use std::collections::BTreeMap;

use rigbox_types::{
    AccountId, Desired, Generation, Timestamp, WorkspaceId,
    host::{Assignment, DriverName, Egress as Policy, GuestSetup, Resources, Speed},
};
use rigbox_vmm::{IoLimits, KernelKind, KernelSpec, MacAddr, ProcessId, VmSpec};

use super::{Egress, Guest, Network, Patience, Presence, Reality, VmState};
use crate::record::{CgroupNote, DiskNote, DiskState, Ending, Promise, Record, Told, VmNote};

/// The promise that belongs to [`assignment`].
pub(crate) const WANTED: Promise = Promise { vcpus: 1, memory_mib: 512, disk_mib: 1024 };

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::from_random([7; 8])
}

/// Generation 5.
pub(crate) fn assignment(desired: Desired) -> Assignment {
    Assignment {
        workspace: workspace(),
        generation: Generation(5),
        desired,
        restart_generation: Generation(0),
        retry_generation: Generation(0),
        force: false,
        image: "tiny".parse().unwrap(),
        resources: Resources { vcpus: 1, memory_mib: 256, disk_mib: 1024 },
        speed: Speed::default(),
        egress: Policy::default(),
        guest: GuestSetup {
            name: "sample".parse().unwrap(),
            region: "local".parse().unwrap(),
            api_url: "http://127.0.0.1:7070".to_owned(),
            account: AccountId::from_random([1; 16]),
            created_at: Timestamp::from_micros(0),
            env: BTreeMap::new(),
            proxy_env: None,
            authorized_keys: Vec::new(),
            setup_scripts: Vec::new(),
            services: Vec::new(),
            ssh: None,
        },
    }
}

/// Everything is as the record says, and no time is over.
pub(crate) fn reality() -> Reality {
    Reality {
        wanted: WANTED,
        disk: Presence::There,
        network: Network::Ready,
        cgroup: Presence::There,
        vm: VmState::Runs,
        guest: Guest::Told,
        egress: Egress::Current,
        boot: Patience::Left,
        ending: Patience::Left,
        adoption: Patience::Left,
        retry: Patience::Left,
        settling: Patience::Left,
    }
}

/// Nothing was ever made.
pub(crate) fn blank() -> Record {
    Record::new(workspace())
}

/// Stopped, with its disk.
pub(crate) fn stopped() -> Record {
    let mut record = blank();
    record.revision = 9;
    record.uid = Some(70_000);
    record.promise = Some(Promise { vcpus: 0, memory_mib: 0, ..WANTED });
    record.disk = Some(DiskNote { size_mib: 1024, state: DiskState::Made });
    record
}

/// Ready to boot.
pub(crate) fn prepared() -> Record {
    let mut record = stopped();
    record.promise = Some(WANTED);
    record.slot = Some(3);
    record.cgroup = Some(CgroupNote { vcpus: 1, memory_mib: 512 });
    record
}

/// Booted at generation 4, and ready.
pub(crate) fn running() -> Record {
    let mut record = prepared();
    record.vm = Some(VmNote {
        driver: Some(DriverName::QemuTcg),
        spec: spec(),
        generation: Generation(4),
        process: Some(ProcessId { pid: 1, start_time_ticks: 1, boot: 1 }),
        ending: None,
        told: Some(Told {
            digest: "d".to_owned(),
            ready_at: Timestamp::from_micros(5),
            ssh_host_key: None,
        }),
    });
    record
}

/// Booted, not ready yet.
pub(crate) fn booting() -> Record {
    let mut record = running();
    if let Some(vm) = &mut record.vm {
        vm.told = None;
    }
    record
}

/// On its way out.
pub(crate) fn ending(ending: Ending) -> Record {
    let mut record = running();
    if let Some(vm) = &mut record.vm {
        vm.ending = Some(ending);
    }
    record
}

fn spec() -> VmSpec {
    VmSpec {
        workspace: workspace(),
        run_dir: "/data/run/vm/x".into(),
        kernel: KernelSpec { kind: KernelKind::Own, image: "/k".into(), initrd: None },
        root_disk: "/data/pool/x".into(),
        vcpus: 1,
        memory_mib: 256,
        netns: "/run/netns/x".into(),
        tap: "tap0".to_owned(),
        guest_mac: MacAddr::new([2, 0, 0, 0, 0, 2]),
        uid: 70_000,
        gid: 70_000,
        console: "/data/console".into(),
        hostname: "sample".parse().unwrap(),
        limits: IoLimits::default(),
    }
}
