//! Places new workspaces: reads what the hosts of a region promise, `placement` chooses.

use std::time::Duration;

use rigbox_store::{Amount, hosts::HostLoad};
use rigbox_types::{
    HostId, RegionName, Timestamp,
    api::error::ErrorCode,
    host::{Capacity, Resources},
};
use serde_json::json;

use super::placement::{Candidate, Short, choose};
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
    source::now,
    workspaces::unknown_region,
};

/// A host that was not heard for this long gets no new workspace: six reports.
const SILENT: Duration = Duration::from_secs(60);
/// When to come again after the hosts were full.
const FULL_RETRY_S: u32 = 60;
/// When to come again after no host was heard.
const SILENT_RETRY_S: u32 = 10;

/// The hosts of a region, as candidates.
pub(crate) struct Placement {
    region: RegionName,
    candidates: Vec<Candidate>,
    short: Short,
}

impl Placement {
    /// Reads what the hosts promise.
    pub(crate) async fn open(control: &Control, region: RegionName) -> ApiResult<Self> {
        let loads = control.store.hosts().loads().await?;
        let known = loads.iter().any(|load| load.host.region == region);
        if !known && region != control.config.region {
            return Err(unknown_region(&region));
        }
        let candidates = loads
            .into_iter()
            .filter(|load| load.host.region == region && is_heard(load, now()))
            .map(|load| Candidate {
                id: load.host.id,
                capacity: load.host.capacity,
                promised: Capacity {
                    vcpus: u32::try_from(load.promised.vcpus).unwrap_or(u32::MAX),
                    memory_mib: load.promised.memory_mib,
                    disk_mib: load.promised.disk_mib,
                },
            })
            .collect();
        Ok(Self { region, candidates, short: Short::Hosts })
    }

    /// Chooses a host.
    pub(crate) fn choose(&mut self, wanted: &Resources) -> ApiResult<HostId> {
        if self.candidates.is_empty() && self.short == Short::Hosts {
            return Err(ApiError::unavailable(
                format!("no host of region {} answers", self.region),
                SILENT_RETRY_S,
            ));
        }
        choose(&self.candidates, wanted).map_err(|short| {
            if short != Short::Hosts {
                self.short = short;
            }
            self.exhausted()
        })
    }

    /// A host that was chosen turned out to be short of something.
    pub(crate) fn full(&mut self, host: &HostId, what: Amount) {
        self.candidates.retain(|candidate| candidate.id != *host);
        self.short = match what {
            Amount::Vcpus | Amount::WorkspaceVcpus => Short::Vcpus,
            Amount::DiskMib | Amount::WorkspaceDiskMib => Short::Disk,
            // A host counts nothing else.
            Amount::MemoryMib
            | Amount::WorkspaceMemoryMib
            | Amount::Workspaces
            | Amount::SshKeys
            | Amount::ApiKeys
            | Amount::SetupScripts
            | Amount::ServiceSpecs
            | Amount::BindingsOfResource
            | Amount::BindingsOfPrincipal
            | Amount::BindingsOfPrincipalInAll
            | Amount::AppsOfWorkspace
            | Amount::KeptNames
            | Amount::ShareLinks
            | Amount::LogSources => Short::Memory,
        };
    }

    /// Why nothing could be placed.
    pub(crate) fn exhausted(&self) -> ApiError {
        full(self.short.as_str(), &self.region)
    }
}

/// The machine or the fleet is full.
fn full(short: &str, region: &RegionName) -> ApiError {
    let message = format!("no host of region {region} has room: {short} is short");
    ApiError::new(ErrorCode::CapacityExhausted, message)
        .with(json!({ "short": short, "region": region }))
        .retry_after(FULL_RETRY_S)
}

/// Whether a host was heard lately.
pub(crate) fn is_heard(load: &HostLoad, now: Timestamp) -> bool {
    let silent = i64::try_from(SILENT.as_micros()).unwrap_or(i64::MAX);
    now.as_micros().saturating_sub(load.host.seen_at.as_micros()) < silent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_host_is_short_of_is_named() {
        let region: RegionName = "here".parse().unwrap();
        for (what, short) in
            [(Amount::MemoryMib, "memory"), (Amount::DiskMib, "disk"), (Amount::Vcpus, "vcpus")]
        {
            let mut placement =
                Placement { region: region.clone(), candidates: Vec::new(), short: Short::Hosts };
            placement.full(&HostId::from_random([1; 8]), what);
            let said = placement.exhausted();
            assert_eq!(said.code(), ErrorCode::CapacityExhausted);
            assert!(said.message().contains(&format!("{short} is short")), "{}", said.message());
        }
    }
}
