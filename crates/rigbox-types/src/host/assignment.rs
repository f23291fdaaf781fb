//! What a host should make of one workspace.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Desired, Generation, ImageName, RegionName, Revision, SetupScriptId, Timestamp,
    WorkspaceId, WorkspaceName,
    api::service_specs::RestartPolicy,
    api::setup_scripts::RunOn,
    limits::EGRESS_MAX_ENTRIES,
    secret::debug_shows,
    text::{HostPattern, NetworkText},
};

/// The whole desired side of one workspace, as its host must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Counts changes; the host refuses an older one.
    pub generation: Generation,
    /// What should be.
    pub desired: Desired,
    /// A VM booted for an older generation than this one is ended and booted again.
    pub restart_generation: Generation,
    /// A failure seen before this generation is forgotten and its step tried again.
    pub retry_generation: Generation,
    /// Removal goes on past steps that fail (`DELETE ?force=true`).
    pub force: bool,
    /// What the disk is cloned from at the first start.
    pub image: ImageName,
    /// What the VM gets at its next boot.
    pub resources: Resources,
    /// How fast the VM may be from its next boot on. An older control says nothing of it.
    #[serde(default)]
    pub speed: Speed,
    /// What the workspace may reach.
    pub egress: Egress,
    /// What the guest is told at each boot, and again whenever it changes.
    pub guest: GuestSetup,
}

/// The size of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Disk in MiB.
    pub disk_mib: u32,
}

/// How fast a VM may use what it shares with others, by its account's plan; none is no limit of the
/// plan, and the host's own limits hold beside these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// Bytes read, and bytes written, a second on its disk.
    pub disk_bps: Option<u64>,
    /// Reads, and writes, a second on its disk.
    pub disk_iops: Option<u64>,
    /// Bytes a second, each way, on its network.
    pub net_bps: Option<u64>,
}

/// What a workspace may reach, on top of the floor that no setting lifts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = { "properties": { "mode": { "const": "allow" } }, "required": ["mode"] },
    "else" = { "properties": { "hosts": { "maxItems": 0 }, "cidrs": { "maxItems": 0 } } }
))]
pub struct Egress {
    /// Which of the three policies.
    #[serde(default)]
    pub mode: EgressMode,
    /// Names that `allow` lets through; `*.example.com` is every name below.
    #[serde(default)]
    #[schemars(with = "Vec<HostPattern>", length(max = EGRESS_MAX_ENTRIES))]
    pub hosts: Vec<String>,
    /// Networks that `allow` lets through, such as `203.0.113.0/24`.
    #[serde(default)]
    #[schemars(with = "Vec<NetworkText>", length(max = EGRESS_MAX_ENTRIES))]
    pub cidrs: Vec<String>,
}

/// The three egress policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EgressMode {
    /// The public internet.
    #[default]
    Open,
    /// Nothing.
    None,
    /// What is listed.
    Allow,
}

/// What the agent in the guest sets up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSetup {
    /// The workspace's name, which is also the guest's host name.
    pub name: WorkspaceName,
    /// The region's name, for the metadata file.
    pub region: RegionName,
    /// The API's public address, for the metadata file.
    pub api_url: String,
    /// Who owns the workspace.
    pub account: AccountId,
    /// When the workspace was created.
    pub created_at: Timestamp,
    /// The workspace's environment. User secrets may be in it: not shown by `Debug`.
    pub env: BTreeMap<String, String>,
    /// What leads programs to AI, where it is on; none: there is no such file. A key may be in it that the
    /// owner wants there: not shown by `Debug`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_env: Option<BTreeMap<String, String>>,
    /// Public keys in the format of `authorized_keys`, one each.
    pub authorized_keys: Vec<String>,
    /// In the order in which they run.
    pub setup_scripts: Vec<AssignedScript>,
    /// Units of the workspace.
    pub services: Vec<AssignedService>,
    /// Whose certificates open the guest's SSH server; none: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshTrust>,
}

impl fmt::Debug for GuestSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestSetup")
            .field("name", &self.name)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("proxy_env", &self.proxy_env.as_ref().map(|env| env.keys().collect::<Vec<_>>()))
            .field("authorized_keys", &self.authorized_keys.len())
            .field("setup_scripts", &self.setup_scripts.len())
            .field("services", &self.services.len())
            .field("ssh", &self.ssh)
            .finish_non_exhaustive()
    }
}

/// Which certificates of users let in to a workspace as its default user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTrust {
    /// The key that signs them: one public key as `ssh-ed25519 AAAA…`, see [`crate::Ed25519Key`].
    pub authority: String,
    /// What a certificate has to name: the workspace's id, so that one for another opens nothing.
    pub principal: String,
}

/// A setup script as the guest runs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedScript {
    /// Which script of the account.
    pub id: SetupScriptId,
    /// Its name, for logs.
    pub name: String,
    /// When it runs.
    pub run_on: RunOn,
    /// Bash.
    pub content: String,
}

debug_shows!(AssignedScript: id, name, run_on);

/// A service as the guest makes a unit of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedService {
    /// Becomes `rigbox-svc-<name>.service`.
    pub name: String,
    /// The unit file, whole; control renders it, so that the API's preview is what runs.
    pub unit: String,
    /// When systemd starts it again.
    pub restart_policy: RestartPolicy,
    /// Whether it starts with the workspace.
    pub auto_enable: bool,
}

debug_shows!(AssignedService: name, restart_policy, auto_enable);

/// One line of a host's watch: the whole set, the mark that it is whole, then changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WatchEvent {
    /// Everything that follows up to `Synced` is the whole set: forget the rest.
    Reset,
    /// A workspace of this host is new or has changed.
    Assigned {
        /// Position in the change stream.
        revision: Revision,
        /// What should be now.
        assignment: Box<Assignment>,
    },
    /// A workspace is no longer this host's concern: control has forgotten it.
    Removed {
        /// Position in the change stream.
        revision: Revision,
        /// Which workspace.
        workspace: WorkspaceId,
    },
    /// The set is whole as of this revision.
    Synced {
        /// Position in the change stream.
        revision: Revision,
    },
    /// Nothing happened; the stream is alive. Sent at least every 10 s.
    Heartbeat,
}
