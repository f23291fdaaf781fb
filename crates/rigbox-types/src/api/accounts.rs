//! What an account may use and does use, and what the installation has room for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ImageName, PlanName, RegionName, Timestamp,
    api::{apps::App, change::Change, credits::AiCredits, workspaces::Vm},
    text::{PictureUrl, Title},
};

/// `GET /users/me/limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetUserLimitsResponse {
    /// The account's plan.
    pub plan: PlanName,
    /// Whether a number of the plan was changed for this account.
    pub custom: bool,
    /// What it may use.
    pub limits: EffectiveLimits,
    /// What it uses.
    pub usage: LimitsUsage,
}

/// What an account may use. The plan `operator` has the limits of the machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EffectiveLimits {
    /// Workspaces.
    pub max_vms: u64,
    /// Memory of one workspace, in MiB.
    pub max_ram_per_vm_mb: u64,
    /// Memory of all running workspaces, in MiB.
    pub max_ram_total_mb: u64,
    /// Disk of all workspaces, in MiB.
    pub max_disk_total_mb: u64,
    /// Virtual CPUs of one workspace.
    pub max_vcpu_per_vm: u64,
    /// Virtual CPUs of all running workspaces.
    pub max_running_vcpus: u64,
    /// Disk of one workspace, in MiB.
    #[serde(default)]
    pub max_disk_per_vm_mb: u64,
    /// SSH keys.
    #[serde(default)]
    pub max_ssh_keys: u64,
    /// Apps of one workspace; none for no limit.
    #[serde(default)]
    pub max_apps_per_vm: Option<u64>,
    /// Snapshots of one workspace; none for no limit.
    #[serde(default)]
    pub max_snapshots_per_vm: Option<u64>,
    /// AI credits a month; none for no limit.
    #[serde(default)]
    pub max_ai_credits_per_month: Option<u64>,
    /// Reads, and writes, of one workspace's disk, in megabytes (1,000,000 bytes) a second; none for
    /// no limit but the host's.
    #[serde(default)]
    pub max_disk_mb_per_s_per_vm: Option<u64>,
    /// Reads, and writes, of one workspace's disk a second; none for no limit but the host's.
    #[serde(default)]
    pub max_disk_iops_per_vm: Option<u64>,
    /// Each way of one workspace's network, in megabits (1,000,000 bits) a second; none for no limit
    /// but the host's.
    #[serde(default)]
    pub max_network_mbit_per_s_per_vm: Option<u64>,
}

/// What an account uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsUsage {
    /// Workspaces that are not deleted.
    pub workspace_count: u64,
    /// Virtual CPUs of workspaces that run or should.
    pub running_vcpus: u64,
    /// Disk of all workspaces, in MiB.
    pub total_disk_mb: u64,
    /// Memory of workspaces that run or should, in MiB.
    pub total_ram_mb: u64,
    /// SSH keys.
    #[serde(default)]
    pub ssh_key_count: u64,
    /// Apps of all workspaces.
    #[serde(default)]
    pub app_count: u64,
    /// Snapshots of all workspaces; none until they can be made.
    #[serde(default)]
    pub snapshot_count: u64,
    /// AI credits that were charged this month; one that was begun counts.
    #[serde(default)]
    pub ai_credits_used: u64,
}

/// `GET` and `PUT /users/me/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetUserSettingsResponse {
    /// The settings in force.
    pub settings: UserSettings,
}

/// What an account has chosen for itself, or what holds where it has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserSettings {
    /// Whose they are.
    pub user_id: AccountId,
    /// For people.
    pub display_name: Option<String>,
    /// Where the account's picture is.
    pub avatar_url: Option<String>,
    /// The image of a new workspace whose maker names neither image nor template.
    pub default_image: ImageName,
    /// The region of a new workspace whose maker does not say.
    pub default_region: RegionName,
    /// Whether to tell of maintenance. Kept, while this version tells nobody.
    pub maintenance_updates: bool,
    /// Whether to tell of what is used. Kept, while this version tells nobody.
    pub usage_alerts: bool,
    /// When the account was last changed.
    pub updated_at: Timestamp,
}

/// `PUT /users/me/settings`: a missing field keeps its value, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUserSettingsRequest {
    /// New name for people.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Title>")]
    pub display_name: Change<String>,
    /// New place of the picture: an `https` address.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<PictureUrl>")]
    pub avatar_url: Change<String>,
    /// New image of new workspaces.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_image: Change<ImageName>,
    /// New region of new workspaces.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_region: Change<RegionName>,
    /// Whether to tell of maintenance.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub maintenance_updates: Change<bool>,
    /// Whether to tell of what is used.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub usage_alerts: Change<bool>,
}

/// `GET /users/me/regions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRegionsResponse {
    /// Regions that a workspace can be made in, the default one first.
    pub regions: Vec<RegionName>,
    /// Their SSH gateways, in the same order.
    #[serde(default)]
    pub ssh: Vec<RegionSsh>,
}

/// The SSH gateway of a region: what `known_hosts` has to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionSsh {
    /// The region.
    pub region: RegionName,
    /// The name or address to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it serves.
    pub enabled: bool,
    /// Its host key, as `authorized_keys` has keys.
    pub host_key: String,
    /// The key's fingerprint, as `ssh` shows it at a first visit.
    pub fingerprint: String,
}

/// `GET /capacity`: in workspaces of the default template. A picture, not a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityResponse {
    /// How many more there is room for.
    pub available: u64,
    /// `available` and `used` together.
    pub total: u64,
    /// How many there are.
    pub used: u64,
}

/// `GET /feature-flags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureFlagsResponse {
    /// Which parts of the product this installation has.
    pub flags: BTreeMap<String, bool>,
}

/// `GET /dashboard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetDashboardResponse {
    /// The newest workspaces, as many as a page has.
    pub workspaces: Vec<Vm>,
    /// The newest apps, as many as a page has.
    pub apps: Vec<App>,
    /// As `GET /users/me/limits`.
    pub limits: GetUserLimitsResponse,
    /// As `GET /users/me/credits`.
    pub ai_credits: AiCredits,
}
