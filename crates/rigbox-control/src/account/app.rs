//! What there is room for, and what an account uses. Sums come from the store; hosts that are silent
//! count for what they have, because they come back.

use rigbox_store::{accounts::AccountRow, hosts::HostLoad};
use rigbox_types::{
    AccountId, Quotas, RegionName,
    api::accounts::{CapacityResponse, EffectiveLimits, GetUserLimitsResponse, LimitsUsage},
    limits::{DISK_MAX_MB, RAM_MAX_MB, SSH_KEYS_MAX_COUNT, VCPU_MAX},
};

use super::templates;
use crate::{
    control::Control, credits::credits_of, error::ApiResult, hosts::place::is_heard, source::now,
};

/// How many workspaces of the default template there is room for.
pub(super) async fn capacity(control: &Control) -> ApiResult<CapacityResponse> {
    let loads = control.store.hosts().loads().await?;
    let used = loads.iter().map(|load| load.promised.workspaces).sum::<u64>();
    let available = loads.iter().filter(|load| is_heard(load, now())).map(slots).sum::<u64>();
    Ok(CapacityResponse { available, total: used.saturating_add(available), used })
}

fn slots(load: &HostLoad) -> u64 {
    let slot = templates::default();
    let free = |capacity: u64, promised: u64, slot: u32| {
        capacity.saturating_sub(promised).checked_div(slot.into()).unwrap_or_default()
    };
    let memory = free(load.host.capacity.memory_mib, load.promised.memory_mib, slot.ram_mb);
    let disk = free(load.host.capacity.disk_mib, load.promised.disk_mib, slot.disk_size_mb);
    let vcpus = free(load.host.capacity.vcpus.into(), load.promised.vcpus, slot.vcpu_count.into());
    memory.min(disk).min(vcpus)
}

/// The default region, then the others by name.
pub(crate) async fn regions(control: &Control) -> ApiResult<Vec<RegionName>> {
    let default = control.config.region.clone();
    let mut others: Vec<RegionName> = control
        .store
        .hosts()
        .loads()
        .await?
        .into_iter()
        .map(|load| load.host.region)
        .filter(|region| *region != default)
        .collect();
    others.sort();
    others.dedup();
    Ok(std::iter::once(default).chain(others).collect())
}

/// What an account may use and does use.
pub(super) async fn limits(
    control: &Control,
    account: AccountId,
) -> ApiResult<GetUserLimitsResponse> {
    let row = control.store.accounts().get(account).await?;
    limits_of(control, &row).await
}

/// The same of an account whose row is known. What its plan does not limit, the machines do.
pub(crate) async fn limits_of(
    control: &Control,
    account: &AccountRow,
) -> ApiResult<GetUserLimitsResponse> {
    let loads = control.store.hosts().loads().await?;
    let used = control.store.workspaces().promised_to_account(account.id).await?;
    let (_, balance) = credits_of(control, account.id).await?;
    let usage = LimitsUsage {
        workspace_count: used.workspaces,
        running_vcpus: used.vcpus,
        total_disk_mb: used.disk_mib,
        total_ram_mb: used.memory_mib,
        ssh_key_count: control.store.ssh_keys().count(account.id).await?,
        app_count: control.store.apps().count(account.id).await?,
        snapshot_count: 0,
        ai_credits_used: balance.used.begun(),
    };
    Ok(GetUserLimitsResponse {
        plan: account.profile.plan.clone(),
        custom: !account.profile.overrides.is_empty(),
        limits: effective(&account.quotas, &loads),
        usage,
    })
}

fn effective(quotas: &Quotas, loads: &[HostLoad]) -> EffectiveLimits {
    let sum = |of: fn(&HostLoad) -> u64| loads.iter().map(of).sum::<u64>();
    let most = |of: fn(&HostLoad) -> u64| loads.iter().map(of).max().unwrap_or_default();
    let disk = sum(|load| load.host.capacity.disk_mib);
    let smallest = templates::all().iter().map(|template| template.disk_size_mb).min();
    let workspaces = disk.checked_div(smallest.unwrap_or(1).into()).unwrap_or_default();
    let memory = most(|load| load.host.capacity.memory_mib).min(RAM_MAX_MB.into());
    let vcpus = most(|load| load.host.capacity.vcpus.into()).min(VCPU_MAX.into());
    let one_disk = most(|load| load.host.capacity.disk_mib).min(DISK_MAX_MB.into());
    let ssh_keys = u64::try_from(SSH_KEYS_MAX_COUNT).unwrap_or(u64::MAX);
    let or_sum = |quota: Option<u64>, of| quota.unwrap_or_else(|| sum(of));
    EffectiveLimits {
        max_vms: quotas.max_vms.unwrap_or(workspaces),
        max_ram_per_vm_mb: quotas.max_ram_per_vm_mb.unwrap_or(memory),
        max_ram_total_mb: or_sum(quotas.max_ram_total_mb, |load| load.host.capacity.memory_mib),
        max_disk_total_mb: quotas.max_disk_total_mb.unwrap_or(disk),
        max_vcpu_per_vm: quotas.max_vcpu_per_vm.unwrap_or(vcpus),
        max_running_vcpus: or_sum(quotas.max_running_vcpus, |load| load.host.capacity.vcpus.into()),
        max_disk_per_vm_mb: quotas.max_disk_per_vm_mb.unwrap_or(one_disk),
        max_ssh_keys: quotas.max_ssh_keys.unwrap_or(ssh_keys).min(ssh_keys),
        max_apps_per_vm: quotas.max_apps_per_vm,
        max_snapshots_per_vm: quotas.max_snapshots_per_vm,
        max_ai_credits_per_month: quotas.max_ai_credits_per_month,
        max_disk_mb_per_s_per_vm: quotas.max_disk_mb_per_s_per_vm,
        max_disk_iops_per_vm: quotas.max_disk_iops_per_vm,
        max_network_mbit_per_s_per_vm: quotas.max_network_mbit_per_s_per_vm,
    }
}
