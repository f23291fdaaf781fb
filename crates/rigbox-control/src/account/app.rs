//! What there is room for, and what an account uses. Sums come from the store; hosts that are silent
//! count for what they have, because they come back.

use rigbox_store::hosts::HostLoad;
use rigbox_types::{
    AccountId, RegionName,
    api::accounts::{CapacityResponse, EffectiveLimits, GetUserLimitsResponse, LimitsUsage},
    limits::{RAM_MAX_MB, VCPU_MAX},
};

use super::templates;
use crate::{control::Control, error::ApiResult, hosts::place::is_heard, source::now};

/// The plan of whoever installed the platform.
const OPERATOR_PLAN: &str = "operator";

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
pub(super) async fn regions(control: &Control) -> ApiResult<Vec<RegionName>> {
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

/// What an account may use: what the machines have, until there are plans.
pub(super) async fn limits(
    control: &Control,
    account: AccountId,
) -> ApiResult<GetUserLimitsResponse> {
    let loads = control.store.hosts().loads().await?;
    let usage = control.store.workspaces().promised_to_account(account).await?;
    let sum = |of: fn(&HostLoad) -> u64| loads.iter().map(of).sum::<u64>();
    let memory = sum(|load| load.host.capacity.memory_mib);
    let disk = sum(|load| load.host.capacity.disk_mib);
    let largest = loads.iter().map(|load| load.host.capacity.memory_mib).max().unwrap_or_default();
    let vcpus = sum(|load| load.host.capacity.vcpus.into());
    let most_vcpus = loads.iter().map(|load| load.host.capacity.vcpus).max().unwrap_or_default();
    let smallest = templates::all().iter().map(|template| template.disk_size_mb).min();
    let workspaces = disk.checked_div(smallest.unwrap_or(1).into()).unwrap_or_default();
    Ok(GetUserLimitsResponse {
        plan: OPERATOR_PLAN.to_owned(),
        custom: false,
        limits: EffectiveLimits {
            max_vms: workspaces,
            max_ram_per_vm_mb: largest.min(RAM_MAX_MB.into()),
            max_ram_total_mb: memory,
            max_disk_total_mb: disk,
            max_vcpu_per_vm: most_vcpus.min(VCPU_MAX.into()).into(),
            max_running_vcpus: vcpus,
        },
        usage: LimitsUsage {
            workspace_count: usage.workspaces,
            running_vcpus: usage.vcpus,
            total_disk_mb: usage.disk_mib,
            total_ram_mb: usage.memory_mib,
        },
    })
}
