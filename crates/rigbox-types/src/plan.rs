//! What a plan is, and how an account's own numbers change it. Pure.
//! Invariant: a number that is missing in a plan is no limit, but for the totals, which follow from
//! the limits of one workspace; a number that is missing in an account's overrides is the plan's.
//! Does not hold the plans' numbers, which are data in the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{api::change::Change, host::Speed, limits::QUOTA_MAX};

macro_rules! quotas {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Numbers of a plan, or an account's own ones.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct Quotas {
            $($(#[$doc])* #[serde(default)] pub $name: Option<u64>,)+
        }

        /// Changes of an account's own numbers: a missing one stays, `null` gives the plan's back.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct QuotaChanges {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Change::is_keep")]
            #[schemars(range(max = QUOTA_MAX))]
            pub $name: Change<u64>,)+
        }

        impl Quotas {
            /// These numbers, and those of `plan` where there is none.
            fn over(self, plan: Self) -> Self {
                Self { $($name: self.$name.or(plan.$name),)+ }
            }

            /// These numbers after `changes`.
            #[must_use]
            pub fn changed(self, changes: QuotaChanges) -> Self {
                Self { $($name: changes.$name.or_keep_optional(self.$name),)+ }
            }

            /// The names of all numbers.
            pub const NAMES: &[&str] = &[$(stringify!($name),)+];

            /// The numbers by their names.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, Option<u64>)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }

        impl QuotaChanges {
            /// The numbers that are set, by their names.
            #[must_use]
            pub fn set(&self) -> Vec<(&'static str, u64)> {
                [$((stringify!($name), self.$name.value().copied()),)+]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect()
            }
        }
    };
}

quotas! {
    /// Workspaces.
    max_vms,
    /// Apps of one workspace.
    max_apps_per_vm,
    /// Memory of one workspace, in MiB.
    max_ram_per_vm_mb,
    /// Virtual CPUs of one workspace.
    max_vcpu_per_vm,
    /// Disk of one workspace, in MiB.
    max_disk_per_vm_mb,
    /// Memory of all running workspaces, in MiB; where missing, that of one times workspaces.
    max_ram_total_mb,
    /// Disk of all workspaces, in MiB; where missing, that of one times workspaces.
    max_disk_total_mb,
    /// Virtual CPUs of all running workspaces; where missing, those of one times workspaces.
    max_running_vcpus,
    /// Snapshots of one workspace.
    max_snapshots_per_vm,
    /// SSH keys.
    max_ssh_keys,
    /// AI credits a month.
    max_ai_credits_per_month,
    /// Reads, and writes, of one workspace's disk, in megabytes (1,000,000 bytes) a second.
    max_disk_mb_per_s_per_vm,
    /// Reads, and writes, of one workspace's disk a second.
    max_disk_iops_per_vm,
    /// Each way of one workspace's network, in megabits (1,000,000 bits) a second.
    max_network_mbit_per_s_per_vm,
}

impl Quotas {
    /// What an account may use: the plan's numbers with its own ones over them. A total that
    /// neither says follows from the others, so that more workspaces are of use without it.
    #[must_use]
    pub fn effective(plan: Self, own: Self) -> Self {
        let mut all = own.over(plan);
        let workspaces = all.max_vms;
        let times = |each: Option<u64>| Some(each?.saturating_mul(workspaces?));
        all.max_ram_total_mb = all.max_ram_total_mb.or_else(|| times(all.max_ram_per_vm_mb));
        all.max_disk_total_mb = all.max_disk_total_mb.or_else(|| times(all.max_disk_per_vm_mb));
        all.max_running_vcpus = all.max_running_vcpus.or_else(|| times(all.max_vcpu_per_vm));
        all
    }

    /// How fast one workspace may be, as its host enforces it.
    #[must_use]
    pub fn speed(&self) -> Speed {
        let times = |value: Option<u64>, unit: u64| Some(value?.saturating_mul(unit));
        Speed {
            disk_bps: times(self.max_disk_mb_per_s_per_vm, 1_000_000),
            disk_iops: self.max_disk_iops_per_vm,
            net_bps: times(self.max_network_mbit_per_s_per_vm, 1_000_000 / 8),
        }
    }

    /// Whether no number is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Quotas = Quotas {
        max_vms: Some(2),
        max_ram_per_vm_mb: Some(1_024),
        max_vcpu_per_vm: Some(1),
        max_disk_per_vm_mb: Some(4_096),
        max_apps_per_vm: None,
        max_ram_total_mb: None,
        max_disk_total_mb: None,
        max_running_vcpus: None,
        max_snapshots_per_vm: None,
        max_ssh_keys: Some(5),
        max_ai_credits_per_month: None,
        max_disk_mb_per_s_per_vm: Some(100),
        max_disk_iops_per_vm: None,
        max_network_mbit_per_s_per_vm: Some(8),
    };

    #[test]
    fn a_host_is_told_of_speed_in_bytes() {
        let expected =
            Speed { disk_bps: Some(100_000_000), disk_iops: None, net_bps: Some(1_000_000) };
        assert_eq!(PLAN.speed(), expected);
        let huge = Quotas { max_disk_mb_per_s_per_vm: Some(u64::MAX), ..PLAN };
        assert_eq!(huge.speed().disk_bps, Some(u64::MAX));
    }

    #[test]
    fn totals_follow_from_what_one_workspace_may_have() {
        let all = Quotas::effective(PLAN, Quotas::default());
        assert_eq!(
            (all.max_ram_total_mb, all.max_disk_total_mb, all.max_running_vcpus),
            (Some(2_048), Some(8_192), Some(2))
        );
        let own = Quotas { max_vms: Some(3), max_running_vcpus: Some(9), ..Quotas::default() };
        let all = Quotas::effective(PLAN, own);
        assert_eq!(
            (all.max_ram_total_mb, all.max_disk_total_mb, all.max_running_vcpus),
            (Some(3_072), Some(12_288), Some(9))
        );
        assert_eq!(all.max_ssh_keys, Some(5));
        let huge = Quotas { max_vms: Some(u64::MAX), ..Quotas::default() };
        assert_eq!(Quotas::effective(PLAN, huge).max_disk_total_mb, Some(u64::MAX));
        let none = Quotas::effective(Quotas::default(), Quotas::default());
        assert!(none.is_empty());
    }

    #[test]
    fn a_missing_number_stays_and_null_gives_the_plan_s_back() {
        let own = Quotas { max_vms: Some(7), max_ssh_keys: Some(9), ..Quotas::default() };
        let changes = serde_json::from_str(r#"{"max_vms":null,"max_apps_per_vm":1}"#);
        let changed = own.changed(changes.unwrap());
        let expected =
            Quotas { max_ssh_keys: Some(9), max_apps_per_vm: Some(1), ..Quotas::default() };
        assert_eq!(changed, expected);
        assert!(serde_json::from_str::<QuotaChanges>(r#"{"max_vm":1}"#).is_err());
    }
}
