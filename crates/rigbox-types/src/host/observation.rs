//! What a host says of itself and of its workspaces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Ed25519Key, Failure, Generation, HostId, ImageName, Observed, RegionName, SetupScriptId,
    Timestamp, WorkspaceId,
};

/// Orders the observations of one host: start time of the agent in microseconds, then a count.
/// Control ignores one that is not newer than what it has.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sequence {
    /// Grows with every start of the agent: kept in its data directory, so no clock can turn it back.
    pub incarnation: u64,
    /// Grows with every observation.
    pub count: u64,
}

/// What the host sees of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// The generation that the host has acted on: of a guest that runs, the one that it was told.
    pub generation: Generation,
    /// What it sees.
    pub observed: Observed,
    /// Orders observations.
    pub sequence: Sequence,
    /// The last failure: with `Failed` why, with anything else what is being tried again.
    pub failure: Option<Failure>,
    /// When the guest last said that it is ready.
    pub ready_at: Option<Timestamp>,
    /// How the setup scripts of this boot went.
    pub setup: Vec<SetupResult>,
    /// What the guest says that its SSH server is known by; none before it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<Ed25519Key>,
    /// When the host saw this.
    pub observed_at: Timestamp,
}

/// How one setup script went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupResult {
    /// Which script.
    pub id: SetupScriptId,
    /// Its name.
    pub name: String,
    /// Exit code; none while it runs or when a signal ended it.
    pub exit_code: Option<i32>,
    /// The last part of its output.
    pub output_tail: String,
    /// When it ended; none while it runs.
    pub finished_at: Option<Timestamp>,
}

/// How a host announces itself, at every start of its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRegistration {
    /// Which host.
    pub id: HostId,
    /// The region it serves.
    pub region: RegionName,
    /// Where its fabric listener is, as `unix:/path` or `https://name:port`.
    pub address: String,
    /// Version of the agent.
    pub version: String,
    /// Which driver it uses.
    pub driver: DriverName,
    /// What it may promise in all.
    pub capacity: Capacity,
}

/// What a host may add to its registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAnnouncement {
    /// Who it is.
    #[serde(flatten)]
    pub registration: HostRegistration,
    /// Images that it has or can build; none where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<ImageName>>,
}

/// The VMM driver of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverName {
    /// Firecracker in its jailer.
    Firecracker,
    /// QEMU `microvm` with KVM.
    QemuKvm,
    /// QEMU `microvm` with emulation.
    QemuTcg,
}

/// An amount of what a host promises to workspaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
}

/// What a host posts: observations, and its own load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// What is promised to workspaces now.
    pub promised: Capacity,
    /// Differences between records and reality that the last sweep found. Should read zero.
    pub drift: u32,
    /// At most 256 a report.
    pub observations: Vec<Observation>,
}
