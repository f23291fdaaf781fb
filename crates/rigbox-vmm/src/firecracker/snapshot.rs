//! Memory and state of a paused Firecracker to files and back.
//!
//! A Firecracker sees its jail only: what it writes is moved out, what it loads is a copy (a reflink
//! where there are any) of its own. So a memory file that a VM maps is never written to by another.
//! Everything a snapshot refers to has the same name in every jail; the tap may be renamed.

use std::time::Duration;

use super::{
    api::Api,
    documents::{
        INTERFACE, InstanceState, MemoryBackend, NetworkOverride, SNAPSHOT, SnapshotCreate,
        SnapshotLoad,
    },
    driver::expect_running,
    jail::Jail,
};
use crate::{
    SnapshotPaths, VmSpec, VmmError,
    manifest::{Manifest, blocking},
};

/// Which Firecracker may load a snapshot of `spec`.
pub(super) fn manifest(version: &str, spec: &VmSpec) -> Manifest {
    Manifest::of(version.to_owned(), spec)
}

/// Writes state and memory.
pub(super) async fn take(
    api: &Api,
    jail: &Jail,
    spec: &VmSpec,
    to: &SnapshotPaths,
) -> Result<(), VmmError> {
    if api.state().await? != InstanceState::Paused {
        return Err(VmmError::Refused {
            request: "snapshot".to_owned(),
            reason: "the workspace is not paused".to_owned(),
        });
    }
    let request = SnapshotCreate {
        snapshot_type: "Full",
        snapshot_path: OUT_STATE,
        mem_file_path: OUT_MEMORY,
    };
    api.put_within("/snapshot/create", &request, limit(spec)).await?;
    let (jail, to) = (jail.clone(), to.clone());
    blocking(move || {
        jail.take_out(SNAPSHOT, "state", &to.state())?;
        jail.take_out(SNAPSHOT, "memory", &to.memory())
    })
    .await
}

/// Puts a snapshot into a jail that has been prepared.
pub(super) async fn place(jail: &Jail, from: &SnapshotPaths) -> Result<(), VmmError> {
    let (jail, from) = (jail.clone(), from.clone());
    blocking(move || {
        jail.make_directory(IN)?;
        jail.place_copy(&from.state(), IN_STATE)?;
        jail.place_copy(&from.memory(), IN_MEMORY)
    })
    .await
}

/// Loads what was placed and lets it run. A failure ends Firecracker.
pub(super) async fn load(api: &Api, found: &Manifest, spec: &VmSpec) -> Result<(), VmmError> {
    let renamed = NetworkOverride { iface_id: INTERFACE, host_dev_name: spec.tap.clone() };
    let request = SnapshotLoad {
        snapshot_path: IN_STATE,
        mem_backend: MemoryBackend { backend_type: "File", backend_path: IN_MEMORY },
        resume_vm: true,
        network_overrides: (found.tap != spec.tap).then_some(renamed).into_iter().collect(),
    };
    api.put_within("/snapshot/load", &request, limit(spec)).await?;
    expect_running(api).await
}

/// The whole memory is written: a minute, and 20 MB a second.
fn limit(spec: &VmSpec) -> Duration {
    Duration::from_secs(60 + u64::from(spec.memory_mib) / 20)
}

const OUT_STATE: &str = "/snapshot/state";
const OUT_MEMORY: &str = "/snapshot/memory";
const IN: &str = "/restore";
const IN_STATE: &str = "/restore/state";
const IN_MEMORY: &str = "/restore/memory";
